"""Runs that were cut off go on to the same network, or say why they cannot."""

import shutil
import time
from pathlib import Path

import pytest
import torch

from flukeprint.errors import FlukeprintError
from flukeprint.identifier.runs import Run, find_run
from flukeprint.training.module import MetricLearningModule
from flukeprint.training.train import train
from tests.processes import start
from tests.tiny import TinyConfig
from tests.training.learner import tensors


@pytest.fixture
def tiny(tiny_config: TinyConfig, tmp_path: Path) -> TinyConfig:
    return tiny_config.apart(tmp_path)


@pytest.fixture
def unfinished(tiny_run: Run, tmp_path: Path) -> Run:
    """A copy of the finished run that looks as if it had not finished."""
    run = Run(tmp_path / "runs" / "tiny" / tiny_run.name)
    shutil.copytree(tiny_run.path, run.path)
    (run.path / "identifier").rename(run.path / "aside")
    return run


# All that has a state of its own or depends on the epoch.
STATEFUL = [
    "train.swa=0.3",
    "train.memory=40",
    "losses=[{name: arcface}, {name: triplet}]",
    "train.sizes=[0.5, 1]",
    "sampler.first_epochs=2",
    "sampler.first_photos=3",
    "train.layer_decay=0.7",
]


@pytest.mark.parametrize("epochs", [0, 1])
def test_who_stops_a_training_is_told_what_there_is_to_resume(
    tiny: TinyConfig, monkeypatch: pytest.MonkeyPatch, epochs: int
) -> None:
    def stop(module: MetricLearningModule) -> None:
        if module.current_epoch == epochs:
            raise KeyboardInterrupt

    monkeypatch.setattr(MetricLearningModule, "on_train_epoch_start", stop)
    with pytest.raises(KeyboardInterrupt) as error:
        train(tiny())
    (folder,) = (tiny.folder / "runs" / "tiny").iterdir()
    if epochs:
        assert f"the same command with --resume {folder.name} goes on" in str(error.value)
        monkeypatch.undo()
        assert train(tiny(), resume=folder.name).path == folder
    else:
        assert f"{folder} has nothing to resume" in str(error.value)
        assert "--resume" not in str(error.value)


@pytest.mark.parametrize(
    ("name", "options"),
    [("plain", []), ("ema", ["train.ema=0.8"]), ("stateful", STATEFUL)],
)
def test_a_killed_run_resumes_to_the_same_network(
    tiny: TinyConfig, name: str, options: list[str]
) -> None:
    """Killed from outside, in the middle of an epoch, as a power cut would."""
    recipe = [*options, "train.epochs=6", "model.dropout=0.2", f"name=killed_{name}"]
    process = start("python", "train.py", "--config", tiny.path, *recipe)
    folder = tiny.folder / "runs" / f"killed_{name}"
    deadline = time.monotonic() + 240
    while not list(folder.glob("*/checkpoints/last.ckpt")):
        assert process.is_alive(), "it ended before its first checkpoint"
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.kill()
    process.join()
    config = tiny(*recipe)
    unfinished = find_run(config, finished=False)
    assert not unfinished.finished
    seen = torch.load(unfinished.last, weights_only=True)["epoch"]
    assert seen < 5

    resumed = train(config, resume="last")
    assert resumed.path == unfinished.path
    unbroken = train(config)
    one, two = tensors(resumed.path), tensors(unbroken.path)
    assert all(torch.equal(one[key], two[key]) for key in one)
    assert resumed.figures() == unbroken.figures()


def test_a_new_run_removes_what_killed_ones_left(tiny: TinyConfig) -> None:
    killed = tiny.folder / "runs" / "tiny" / "20200101-000000"
    (killed / "checkpoints").mkdir(parents=True)
    (killed / "config.yaml").touch()
    (killed / "checkpoints" / ".last.ckpt.a1b2c3d4.partial").touch()
    (killed / ".identifier.a1b2c3d4.partial" / "gallery").mkdir(parents=True)
    begun = killed.with_name("20200101-000001")
    begun.mkdir()
    (begun / ".config.yaml.a1b2c3d4.partial").touch()  # killed in its first writing
    train(tiny("train.epochs=1"))
    assert sorted(path.name for path in killed.rglob("*")) == ["checkpoints", "config.yaml"]
    assert not list(begun.iterdir())


def test_resuming_with_another_recipe_is_refused(tiny: TinyConfig, unfinished: Run) -> None:
    with pytest.raises(FlukeprintError, match=r"model\.backbone"):
        train(tiny("model.backbone=test_vit"), resume="last")


def test_a_damaged_checkpoint_is_refused(tiny: TinyConfig, unfinished: Run) -> None:
    unfinished.last.write_bytes(unfinished.last.read_bytes()[:1000])
    with pytest.raises(FlukeprintError, match="no checkpoint that can be resumed"):
        train(tiny(), resume="last")
