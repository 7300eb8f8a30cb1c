"""Whatever training or its results would refuse is refused before anything is written."""

import os
import sys
from pathlib import Path

import pytest
import torch

from flukeprint.config.schema import Config
from flukeprint.data.readers.read import read_labelled
from flukeprint.errors import FlukeprintError
from flukeprint.identifier.runs import new_run
from flukeprint.models.network import build_model
from flukeprint.training import check as checking
from flukeprint.training.check import check, check_gallery
from flukeprint.training.train import train
from tests.tiny import TinyConfig


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
    tiny: TinyConfig,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    options: list[str],
    words: str,
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(FlukeprintError, match=words):
        train(tiny(f"runs={tmp_path}/runs", *options))
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
    tiny: TinyConfig, monkeypatch: pytest.MonkeyPatch, package: str, option: str, extra: str
) -> None:
    if package == "onnxruntime":
        pytest.importorskip("onnx")
    monkeypatch.setitem(sys.modules, package, None)
    wanted = f"this needs the package {package}: pip install 'flukeprint[{extra}]'"
    assert refusal(tiny(option)) == wanted


def test_more_devices_than_there_are(tiny: TinyConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    said = refusal(tiny("train.accelerator=gpu", "train.devices=2"))
    assert said.startswith("train.devices=2, but this machine has 1 GPU; set train.devices=1")


def test_an_engine_of_the_cpu_beside_a_gpu(
    tiny: TinyConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    said = refusal(tiny("train.accelerator=gpu", "infer.engine=onnxruntime"))
    assert "infer.engine=onnxruntime runs on the CPU, and the network is on cuda" in said


def test_an_index_that_the_size_of_the_gallery_needs(
    tiny: TinyConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the back end `auto` it is the number of photographs that decides."""
    config = tiny("infer.mirror=true", "image.flip=none")
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
    assert asked == [(len(catalog.rows_with_identity(config.data.min_photos)), 2 * net.dim)]
    assert len(catalog.rows_with_identity(config.data.min_photos)) < len(catalog)


@pytest.mark.usefixtures("unread")
def test_a_folder_for_runs_that_cannot_be_made(
    tiny: TinyConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("where the folder should be")
    said = refusal(tiny(f"runs={tmp_path}/file/runs"))
    assert said == f"cannot make {tmp_path}/file/runs/tiny: Not a directory"
    monkeypatch.setattr(os, "access", lambda *_: False)  # else root may write everywhere
    said = refusal(tiny(f"runs={tmp_path}/runs"))
    assert said == f"cannot make {tmp_path}/runs/tiny: Permission denied"
    assert not (tmp_path / "runs").exists()


def test_a_run_that_cannot_be_resumed(
    tiny: TinyConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = f"runs={tmp_path}/runs"
    config = tiny(runs)
    catalog = read_labelled(config.data)
    run = new_run(config, catalog)
    with monkeypatch.context() as patch:
        patch.setattr(checking, "read_labelled", None)  # all this is known without photographs
        assert "no unfinished run" in refusal(config, "last")
        assert f"no run never in {tmp_path}/runs/tiny" in refusal(config, "never")
        assert f"{run.path} has no checkpoint yet" in refusal(config, run.name)
        run.checkpoints.mkdir()
        run.last.touch()
        said = refusal(tiny(runs, "train.lr=0.5", "model.dropout=0.1"), "last")
        assert "it differs in model.dropout, train.lr" in said
        run.identifier.mkdir()
        assert f"run {run.name} is finished" in refusal(config, run.name)
        run.identifier.rmdir()
    assert check(tiny(runs, "train.workers=1"), resume="last").resumed == run
    (run.path / "catalog.json").write_text('{"digest": "of other labels"}')
    assert "the labelled photographs are not those" in refusal(config, "last")


def test_a_right_configuration_is_not_refused(tiny: TinyConfig) -> None:
    setup = check(tiny())
    assert setup.resumed is None
    assert len(setup.catalog) > len(setup.split.train) > 0
    assert not (tiny.folder / "runs").exists()


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["rank.head=0.3", "losses=[{name: triplet}]"], r"rank\.head=0\.3 needs class centers"),
        (["rank.head=0.3", "infer.mirror=true"], r"turn the mirror off or set rank\.head=0"),
        (["image.mirror_views=[left]"], r"no photograph has the view left; set data\.views"),
    ],
)
def test_what_could_not_be_answered_is_not_trained(
    tiny: TinyConfig, tmp_path: Path, overrides: list[str], said: str
) -> None:
    with pytest.raises(FlukeprintError, match=said):
        train(tiny(f"runs={tmp_path}/runs", *overrides))
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["train.ema=0.9", "train.swa=0.5"], r"train\.ema=0.9 and train\.swa=0.5"),
        (["train.sizes=[0.5, 0.6, 0.7, 1]"], r"train\.sizes: 4 sizes in 3 epochs"),
        (
            [
                "train.sizes=[0.5, 1]",
                "model.backbone=vit_tiny_patch16_224",
                "image={height: 64, width: 64}",
            ],
            r"train\.sizes: vit_tiny_patch16_224 takes photos of 64 x 64 px only, not 32 x 32",
        ),
        (["train.memory=10"], r"train\.memory"),
        (
            ["train.layer_decay=0.5", "sampler={first_epochs: 1, first_photos: 99}"],
            r"sampler\.first_photos is 99",
        ),
    ],
)
def test_what_cannot_be_is_refused(tiny: TinyConfig, options: list[str], words: str) -> None:
    with pytest.raises(FlukeprintError, match=words) as error:
        check(tiny(*options))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (("Old Tom", "Old_Tom"), "would both be written Old_Tom"),
        (("new whale", "w_1"), "would both be written new_whale"),
        (("New-Whale", "w_1"), "is data.new_label new_whale in another spelling"),
        (('"a\nb"', "w_1"), "has a line break in its name"),
    ],
)
def test_names_that_cannot_be_written(
    tiny: TinyConfig,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    names: tuple[str, str],
    said: str,
) -> None:
    (tmp_path / "train").mkdir()
    for image in "ab":
        (tmp_path / "train" / f"{image}.jpg").touch()
    rows = "".join(f"{image}.jpg,{name}\n" for image, name in zip("ab", names, strict=True))
    (tmp_path / "train.csv").write_text(f"Image,Id\n{rows}")
    monkeypatch.setattr(checking, "check_readable", None)  # before photographs are decoded
    config = tiny(f"runs={tmp_path}/runs", "data.reader=kaggle_csv", f"data.root={tmp_path}")
    assert said in refusal(config)
    assert not (tmp_path / "runs").exists()
