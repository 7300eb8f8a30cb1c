"""A full disk is named, with what was kept; /dev/full refuses every write as one does."""

import errno
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from flukeprint.data.synthetic.dataset import write_synthetic
from flukeprint.disks import full_disk, full_disk_named
from flukeprint.errors import FlukeprintError
from flukeprint.identifier.runs import Run, find_run
from flukeprint.submission.infer import infer
from flukeprint.training.train import train
from tests.refusals import refused
from tests.tiny import TinyConfig

FULL = Path("/dev/full")
pytestmark = pytest.mark.skipif(not FULL.exists(), reason="only Linux has /dev/full")


@pytest.fixture
def fill(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, int], None]:
    """`fill(name, n)`: the disk is full when a file of that name is written for the nth time."""
    plain = Path.open

    def fill(name: str, nth: int) -> None:
        written = 0

        def opened(path: Path, mode: str = "r", *args: Any, **more: Any) -> Any:
            nonlocal written
            if mode[0] in "wx" and name in path.name:
                written += 1
                if written >= nth:
                    path = FULL
                    mode = mode.replace("x", "w")
            return plain(path, mode, *args, **more)

        monkeypatch.setattr(Path, "open", opened)

    return fill


@pytest.mark.parametrize(
    ("file", "nth", "kept"),
    [
        ("config.yaml", 1, "nothing was trained"),
        ("last.ckpt", 1, "no epoch was kept"),
        ("last.ckpt", 3, "the network after 2 of 3 epochs"),
        ("embeddings.npz", 1, "the network after 3 of 3 epochs"),
        ("identifier.json", 1, "the network after 3 of 3 epochs"),
    ],
)
def test_training_says_what_was_kept_and_goes_on(
    tiny_config: TinyConfig,
    tmp_path: Path,
    fill: Callable[[str, int], None],
    monkeypatch: pytest.MonkeyPatch,
    file: str,
    nth: int,
    kept: str,
) -> None:
    tiny = tiny_config.apart(tmp_path)
    fill(file, nth)
    words = ["the disk of /", "is full", kept, "make room"]
    if "of 3" in kept:
        words.append("--resume 20")
    error = refused(lambda: train(tiny()), *words)
    assert "enforce" not in str(error)
    monkeypatch.undo()
    assert not list(tmp_path.rglob("identifier"))
    if "of 3" in kept:
        name = find_run(tiny(), finished=False).name
        assert name in str(error)
        assert train(tiny(), resume=name).finished


def test_a_disk_that_fills_while_all_photographs_are_learned(
    tiny_config: TinyConfig,
    tmp_path: Path,
    fill: Callable[[str, int], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tiny = tiny_config.apart(tmp_path)
    fill("last.ckpt", 5)
    kept = "the training on all photographs after 1 of 2 epochs"
    refused(lambda: train(tiny("train.all_epochs=2")), "is full", kept, "--resume 20")
    monkeypatch.undo()
    assert not list(tmp_path.rglob("identifier"))
    assert train(tiny("train.all_epochs=2"), resume="last").finished


@pytest.mark.parametrize("file", ["test.npz", ".csv"])
def test_inference_leaves_the_run_as_it_was(
    tiny_config: TinyConfig,
    tiny_run: Run,
    tmp_path: Path,
    fill: Callable[[str, int], None],
    file: str,
) -> None:
    fill(file, 1)
    config = tiny_config("infer.threshold=none", f"submissions={tmp_path}")
    refused(lambda: infer(config, tiny_run), "the disk of /", "is full", "the run is as it was")
    assert list(tmp_path.iterdir()) == []


def test_drawing_leaves_nothing(
    tiny_config: TinyConfig, tmp_path: Path, fill: Callable[[str, int], None]
) -> None:
    fill("train.csv", 1)
    root = tmp_path / "shapes"
    refused(
        lambda: write_synthetic(tiny_config().data.synthetic, root, progress=False),
        "the disk of /", "is full", str(root),
    )  # fmt: skip
    assert list(tmp_path.iterdir()) == []


def test_what_a_full_disk_is() -> None:
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    wrapped = RuntimeError("unexpected pos 44416 vs 44312")
    wrapped.__context__ = full
    assert full_disk(wrapped) is full
    assert full_disk(OSError(errno.EACCES, "denied")) is None
    wrapped.__context__ = wrapped.__cause__ = wrapped  # a circle
    assert full_disk(wrapped) is None
    told = full_disk(OSError("I/O error: No space left on device (os error 28)"))  # safetensors'
    assert told is not None
    assert told.errno == errno.ENOSPC
    assert full_disk(OSError("I/O error: Permission denied (os error 13)")) is None


def test_other_failures_pass_as_they_are(tmp_path: Path) -> None:
    with (
        pytest.raises(FlukeprintError, match=r"^wrong$"),
        full_disk_named(tmp_path, lambda: "none"),
    ):
        raise FlukeprintError("wrong")


def test_a_thread_that_fails_for_it_prints_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = threading.excepthook

    def write() -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with full_disk_named(tmp_path, lambda: "none"):
        thread = threading.Thread(target=write)
        thread.start()
        thread.join()
    assert threading.excepthook is before
    assert capsys.readouterr().err == ""
