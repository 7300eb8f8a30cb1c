"""Whatever training or its results would refuse is refused before anything is written."""

import os
import sys
from pathlib import Path

import pytest
import torch

from flukeprint.config.load import load_config
from flukeprint.config.schema import Config
from flukeprint.data.readers.read import read_labelled
from flukeprint.data.synthetic.dataset import write_synthetic
from flukeprint.errors import FlukeprintError
from flukeprint.identifier.build import gallery_rows
from flukeprint.identifier.runs import new_run
from flukeprint.models.network import build_model
from flukeprint.training import check as checking
from flukeprint.training.check import check, check_gallery
from flukeprint.training.train import train

TINY = """
name: tiny
data:
  reader: synthetic
  root: {root}/shapes
  synthetic: {{kind: shapes, identities: 10, long_side: 48, test_photos: 10}}
image: {{height: 32, width: 48, cache: {root}/cache, augment: 0.2}}
split: {{folds: 2}}
model: {{backbone: test_resnet, weights: none, embedding_dim: 16}}
sampler: {{batch_size: 8}}
train: {{epochs: 3, workers: 0, accelerator: cpu}}
runs: {root}/runs
"""


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("check")
    (root / "tiny.yaml").write_text(TINY.format(root=root))
    config = load_config(root / "tiny.yaml")
    write_synthetic(config.data.synthetic, config.data.root, progress=False)
    return root


def tiny(root: Path, *overrides: str) -> Config:
    return load_config(root / "tiny.yaml", list(overrides))


def refusal(config: Config, resume: str | None = None) -> str:
    """The message of a refusal, which leaves nothing behind."""
    with pytest.raises(FlukeprintError) as error:
        train(config, resume=resume)
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.fixture
def unread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Photographs may not be read: what is refused is known before."""

    def read(*_: object) -> None:
        raise AssertionError("photographs were read")

    monkeypatch.setattr(checking, "read_labelled", read)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["infer.engine=onnxruntime", "infer.precision=bf16"], "onnxruntime on this machine have"),
        (["infer.engine=openvino", "infer.precision=int8"], "openvino on this machine have"),
        (["infer.precision=fp16"], r"infer\.precision=fp16: torch"),
        (["train.accelerator=gpu"], r"train\.accelerator=gpu, but torch finds none"),
        (["train.accelerator=mps"], r"train\.accelerator=mps, but torch finds none"),
        (["train.ema=0.9", "train.swa=0.5"], "both average the weights"),
    ],
)
@pytest.mark.usefixtures("unread")
def test_settings_that_this_machine_cannot_do(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: list[str], words: str
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(FlukeprintError, match=words):
        train(tiny(root, f"runs={tmp_path}/runs", *options))
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("package", "option", "extra"),
    [
        ("openvino", "infer.engine=openvino", "fast"),
        ("onnx", "infer.engine=onnxruntime", "onnx"),
        ("onnxruntime", "infer.engine=onnxruntime", "onnx"),
        ("faiss", "gallery.backend=hnsw", "search"),
        ("faiss", "gallery.backend=ivf_pq", "search"),
        ("qdrant_client", "gallery.backend=qdrant", "qdrant"),
    ],
)
@pytest.mark.usefixtures("unread")
def test_a_missing_package_is_named_with_its_extra(
    root: Path, monkeypatch: pytest.MonkeyPatch, package: str, option: str, extra: str
) -> None:
    if package == "onnxruntime":
        pytest.importorskip("onnx")
    monkeypatch.setitem(sys.modules, package, None)
    wanted = f"this needs the package {package}: pip install 'flukeprint[{extra}]'"
    assert refusal(tiny(root, option)) == wanted


def test_more_devices_than_there_are(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    said = refusal(tiny(root, "train.accelerator=gpu", "train.devices=2"))
    assert said.startswith("train.devices=2, but this machine has 1 GPU; set train.devices=1")


def test_an_engine_of_the_cpu_beside_a_gpu(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    said = refusal(tiny(root, "train.accelerator=gpu", "infer.engine=onnxruntime"))
    assert "infer.engine=onnxruntime runs on the CPU, and the network is on cuda" in said


def test_an_index_that_the_size_of_the_gallery_needs(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the back end `auto` it is the number of photographs that decides."""
    config = tiny(root, "infer.mirror=true", "image.flip=none")
    catalog = read_labelled(config.data)
    net = build_model(config.model, (32, 48))
    asked: list[tuple[int, int]] = []
    choose = checking.choose

    def chosen(n: int, d: int, *rest: object, **named: object) -> object:
        asked.append((n, d))
        return choose(5_000_000, d, *rest, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(checking, "choose", chosen)
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(FlukeprintError, match=r"needs the package faiss.*flukeprint\[search\]"):
        check_gallery(config, net, catalog)
    # A photograph and its mirror image stand side by side; new individuals are in no gallery.
    assert asked == [(len(gallery_rows(catalog, config)), 2 * net.dim)]
    assert len(gallery_rows(catalog, config)) < len(catalog)


@pytest.mark.usefixtures("unread")
def test_a_folder_for_runs_that_cannot_be_made(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("where the folder should be")
    said = refusal(tiny(root, f"runs={tmp_path}/file/runs"))
    assert said == f"cannot make {tmp_path}/file/runs/tiny: Not a directory"
    monkeypatch.setattr(os, "access", lambda *_: False)  # else root may write everywhere
    said = refusal(tiny(root, f"runs={tmp_path}/runs"))
    assert said == f"cannot make {tmp_path}/runs/tiny: Permission denied"
    assert not (tmp_path / "runs").exists()


def test_a_run_that_cannot_be_resumed(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = f"runs={tmp_path}/runs"
    config = tiny(root, runs)
    catalog = read_labelled(config.data)
    run = new_run(config, catalog)
    with monkeypatch.context() as patch:
        patch.setattr(checking, "read_labelled", None)  # all this is known without photographs
        assert "no unfinished run" in refusal(config, "last")
        assert f"no run never in {tmp_path}/runs/tiny" in refusal(config, "never")
        assert f"{run.path} has no checkpoint yet" in refusal(config, run.name)
        run.checkpoints.mkdir()
        run.last.touch()
        said = refusal(tiny(root, runs, "train.lr=0.5", "model.dropout=0.1"), "last")
        assert "it differs in model.dropout, train.lr" in said
        run.identifier.mkdir()
        assert f"run {run.name} is finished" in refusal(config, run.name)
        run.identifier.rmdir()
    assert check(tiny(root, runs, "train.workers=1"), resume="last").resumed == run
    (run.path / "catalog.json").write_text('{"digest": "of other labels"}')
    assert "the labelled photographs are not those" in refusal(config, "last")


def test_a_right_configuration_is_not_refused(root: Path) -> None:
    setup = check(tiny(root))
    assert setup.resumed is None
    assert len(setup.catalog) > len(setup.split.train) > 0
    assert not (root / "runs").exists()
