"""Folds read from runs and embedded anew, and what is refused before."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from flukeprint.data.embeddings import Embeddings
from flukeprint.data.readers.read import read_labelled
from flukeprint.data.splits import split_for
from flukeprint.errors import FlukeprintError
from flukeprint.evaluation.studies.fold import Fold
from flukeprint.identifier.runs import Run
from flukeprint.identifier.studies import run_fold
from flukeprint.identifier.studies.run_fold import read_run_fold, untrained_fold
from tests.refusals import refused
from tests.tiny import TinyConfig


def test_a_run_is_read_with_the_split_it_was_validated_on(
    tiny_run: Run, tiny_config: TinyConfig
) -> None:
    fold = read_run_fold(tiny_run.path)
    catalog = read_labelled(tiny_config().data)
    split = split_for(tiny_config(), catalog)
    assert fold.identities == catalog.identities
    assert (fold.queries == split.queries).all()
    assert (fold.gallery == split.gallery).all()
    kept = Embeddings.load(tiny_run.path / "embeddings.npz")
    assert (fold.vectors == kept.vectors).all()
    trained = {catalog.identities[row] for row in split.train} - {None}
    assert fold.trained == tuple(name in trained for name in catalog.identities)
    assert fold.name == f"tiny/{tiny_run.name}"


def test_what_is_no_finished_run_is_refused(tiny_run: Run, tmp_path: Path) -> None:
    refused(lambda: read_run_fold(tmp_path), str(tmp_path), "is no run")
    copy = tmp_path / "copy"
    copy.mkdir()
    shutil.copy(tiny_run.path / "config.yaml", copy)
    refused(lambda: read_run_fold(copy), "no embeddings yet", "--resume copy")
    shutil.copy(tiny_run.path / "embeddings.npz", copy)
    (copy / "catalog.json").write_text('{"digest": "other"}')
    refused(lambda: read_run_fold(copy), "not those that", "train a new run")


def test_the_untrained_network_has_seen_nobody(tiny_config: TinyConfig) -> None:
    config = tiny_config()
    asked: list[Fold] = []
    whole = untrained_fold(config, split=False, check=asked.append)
    assert len(whole.queries) == 0
    assert [whole.identities[row] for row in whole.gallery] == [
        name for name in whole.identities if name is not None
    ]
    assert not any(whole.trained)
    assert np.linalg.norm(whole.vectors, axis=1) == pytest.approx(1, abs=1e-5)
    # What is checked beforehand has the same photographs, and no vectors yet.
    assert len(asked) == 1
    assert asked[0].identities == whole.identities
    assert (asked[0].groups == whole.groups).all()
    assert not asked[0].vectors.any()
    again = untrained_fold(config, split=True)
    assert (again.vectors == whole.vectors).all()
    assert (again.queries == split_for(config, read_labelled(config.data)).queries).all()


def test_nothing_is_embedded_where_the_check_refuses(
    tiny_config: TinyConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    def embed(*arguments: object, **more: object) -> None:
        raise AssertionError("embedded before the check")

    monkeypatch.setattr(run_fold, "embed", embed)

    def check(fold: Fold) -> None:
        raise FlukeprintError("too few")

    refused(lambda: untrained_fold(tiny_config(), split=False, check=check), "too few")
