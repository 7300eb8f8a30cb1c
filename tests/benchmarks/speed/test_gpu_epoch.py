"""The epoch of a recipe beside the bare pass, on a processor with a tiny network."""

from pathlib import Path

import pytest

from benchmarks.speed import gpu_epoch
from tests import tiny


def test_an_epoch_and_the_bare_pass(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu_epoch, "PASSES", 3)
    config = tiny.drawn(tmp_path)("train.epochs=1", "train.validate_every=2", "train.precision=32")
    row = gpu_epoch.measure(config, compiled=False, warm=1)
    assert row["what"] == "tiny"
    assert row["batches"] > 1
    assert len(row["all"]) == 3
    assert row["share"] == row["epoch"] / row["median"] > 0


@pytest.mark.parametrize("name", gpu_epoch.RECIPES)
def test_recipes_train_one_whole_epoch_in_bf16(name: str, tmp_path: Path) -> None:
    config = gpu_epoch.recipe(name, tmp_path, tmp_path)
    assert config.data.root == tmp_path / name.removesuffix("_gpu")
    assert (config.train.epochs, config.train.sizes, config.train.precision) == (1, (), "bf16")
    assert config.model.weights == "none"
