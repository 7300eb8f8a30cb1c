"""Whatever training or its results would refuse is refused before anything is written."""

import os
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from flukeprint.config.schema import Config
from flukeprint.data.readers.read import read_labelled
from flukeprint.errors import FlukeprintError
from flukeprint.identifier.runs import new_run
from flukeprint.models.losses import build_losses
from flukeprint.models.network import build_model
from flukeprint.training import check as checking
from flukeprint.training import cross_validation as crossvalidation
from flukeprint.training.check import check, check_gallery, check_pairs
from flukeprint.training.cross_validation import crossvalidate
from flukeprint.training.train import train
from tests.refusals import refused
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
        (["train.sizes=[0.5, 1]", "train.epochs=1"], "2 sizes in 1 epoch; name fewer sizes"),
        (["losses=[{name: arcfase}]"], "did you mean arcface"),
        (["losses=[]"], "the list is empty"),
        (["losses=[{name: arcface, params: {margin: 9}}]"], "arcface: margin is 9"),
        (["losses=[{name: dynamic_arcface, params: {a: 2.0}}]"], "dynamic_arcface: a . c is 2.05"),
        (["losses=[{name: softmax}]", "train.memory=8"], "no loss compares pairs"),
        (["sampler.new_share=0.5"], "means nothing to sampler.name shuffled"),
        (["sampler={name: pk, batch_size: 3}"], "no room for 4 photos of one identity"),
        (["sampler.batch_size=9", "train.devices=2"], "cannot be shared out among 2 processes"),
        (
            ["gallery={backend: qdrant, url: 'http://127.0.0.1:9'}"],
            "Qdrant at http://127.0.0.1:9 does not answer",
        ),
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


@pytest.fixture
def undecoded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tables of labels may be read, but no photograph may be decoded."""

    def decode(*_: object, **__: object) -> None:
        raise AssertionError("photographs were decoded")

    monkeypatch.setattr(checking, "check_readable", decode)
    monkeypatch.setattr(crossvalidation, "check_readable", decode)


LABELS_ALONE = [
    (["rank.head=0.3", "losses=[{name: triplet}]"], "rank.head=0.3 needs class centers"),
    (["image.mirror_views=[left]"], "no photograph has the view left; set data.views"),
    (["data.classes=identity_and_view"], "data.views is not set"),
    (["model.backbone=no_such_net"], "no backbone 'no_such_net' in timm"),
    (["model.weights=/nowhere/file.pth"], "model.weights: no file /nowhere/file.pth"),
    (["model.freeze_stages=99"], "model.freeze_stages"),
    (["sampler={first_epochs: 1, first_photos: 99}"], "sampler.first_photos is 99"),
    (["gallery.backend=hnsw", "rank.hubness=2"], "gallery.backend=hnsw finds only some"),
    (["split.folds=40"], "too few for 40 folds"),
    (["split.unseen_share=0.0", "infer.fallback=fitted"], "too few to fit a threshold"),
    (["train.teachers=[/nowhere/run]"], "/nowhere/run is no run"),
    (["taxonomy={table: /nowhere/tree.csv}"], "/nowhere/tree.csv is missing"),
    (["cards=/nowhere/cards.csv"], "/nowhere/cards.csv is missing"),
    (["data.pseudo_labels=/nowhere/pseudo.csv"], "/nowhere/pseudo.csv is missing"),
]


@pytest.mark.parametrize(("options", "words"), LABELS_ALONE)
@pytest.mark.usefixtures("undecoded")
def test_what_labels_refuse_is_refused_before_photographs_are_decoded(
    tiny: TinyConfig, tmp_path: Path, options: list[str], words: str
) -> None:
    config = tiny(f"runs={tmp_path}/runs", *options)
    refused(lambda: train(config), words)
    refused(lambda: crossvalidate(config, into=tmp_path / "table.csv"), words)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"folds": 3}, "--folds 3: split.folds=2 allows 1 to that"),
        ({"folds": 0}, "--folds 0"),
        ({"seeds": 0}, "--seeds 0"),
        ({"into": "file/table.csv"}, "file: Not a directory"),
    ],
)
@pytest.mark.usefixtures("undecoded")
def test_arguments_of_a_cross_validation(
    tiny: TinyConfig, tmp_path: Path, arguments: dict[str, object], words: str
) -> None:
    (tmp_path / "file").touch()
    into = tmp_path / str(arguments.pop("into", "table.csv"))
    config = tiny(f"runs={tmp_path}/runs")
    refused(lambda: crossvalidate(config, into=into, **arguments), words)  # type: ignore[arg-type]
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_fold_that_cannot_be_trained_is_refused_before_the_first_is(
    tiny: TinyConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A teacher is of one fold, so that only the second fold refuses it."""
    config = tiny(f"runs={tmp_path}/runs", "train.epochs=1")
    teacher = train(config)
    monkeypatch.setattr(crossvalidation, "train", None)
    taught = tiny(f"runs={tmp_path}/more", f"train.teachers=[{teacher.path}]")
    refused(
        lambda: crossvalidate(taught, into=tmp_path / "table.csv"),
        "was trained on another fold: its split.fold is 0, not 1",
    )
    assert not (tmp_path / "more").exists()


@pytest.mark.usefixtures("unread")
def test_a_machine_that_cannot_compile(tiny: TinyConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise torch._dynamo.exc.BackendCompilerFailed("inductor", OSError("no g++"), None)

    monkeypatch.setattr(torch, "compile", lambda _: fail)
    said = refusal(tiny("infer.engine=torch-compile"))
    assert "torch cannot compile here" in said
    assert "install a C++ compiler" in said


def test_photographs_are_looked_at_last(tiny: TinyConfig, tmp_path: Path) -> None:
    """Where unreadable ones are skipped, the labels that are left decide."""
    data = tmp_path / "shapes"
    shutil.copytree(tiny().data.root, data)
    (data / "synthetic.json").unlink()
    first = read_labelled(tiny().data).images[0]
    (data / "train" / first).write_bytes(b"no photograph")
    options = ["data.reader=kaggle_csv", f"data.root={data}"]
    refused(lambda: check(tiny(*options)), first, "data.skip_unreadable=true")
    setup = check(tiny(*options, "data.skip_unreadable=true"))
    assert first not in setup.catalog.images
    assert len(setup.data.train_catalog) == len(setup.split.train)


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


TRIPLET = "losses=[{name: triplet}]"
ONE_ANIMAL = (
    "so triplet cannot tell animals apart and nothing is learned; raise sampler.batch_size from"
)


@pytest.mark.parametrize(
    "batches",
    [
        ["sampler.name=pk", "sampler.batch_size=6", "sampler.photos_per_identity=4"],
        ["sampler.name=pk", "sampler.batch_size=4", "sampler.photos_per_identity=4"],
        ["sampler.name=positive_available", "sampler.batch_size=3"],
        ["sampler.name=positive_available", "sampler.batch_size=2"],
        # Gradients are added up after the loss, so other batches are no negatives.
        ["sampler.name=positive_available", "sampler.batch_size=2", "train.accumulate=4"],
        # A memory that is never full in the only epoch is never used.
        [
            "sampler.name=positive_available",
            "sampler.batch_size=2",
            "train.memory=5000",
            "train.epochs=1",
        ],
    ],
)
@pytest.mark.parametrize("loss", ["triplet", "contrastive", "multi_similarity", "supcon"])
def test_batches_of_one_animal_teach_a_pair_loss_nothing(
    tiny: TinyConfig, batches: list[str], loss: str
) -> None:
    config = tiny(f"losses=[{{name: {loss}}}]", *batches)
    said = refusal(config)
    assert ONE_ANIMAL.replace("triplet", loss) in said
    assert not config.runs.exists() or not any(config.runs.glob("*/*/log"))


@pytest.mark.parametrize(
    "options",
    [
        [TRIPLET, "sampler.name=pk", "sampler.batch_size=8", "sampler.photos_per_identity=4"],
        [TRIPLET, "sampler.name=positive_available", "sampler.batch_size=4"],
        # Past batches show other animals.
        [TRIPLET, "sampler.name=positive_available", "sampler.batch_size=2", "train.memory=16"],
        # Photographs labelled as new are negatives.
        [
            TRIPLET,
            "sampler.name=positive_available",
            "sampler.batch_size=4",
            "sampler.new_share=0.5",
        ],
    ],
)
def test_batches_with_another_animal_are_trained_on(tiny: TinyConfig, options: list[str]) -> None:
    check(tiny(*options))


def test_beside_a_loss_on_classes_it_is_said_and_trained(
    tiny: TinyConfig, capsys: pytest.CaptureFixture[str]
) -> None:
    batches = ["sampler.name=positive_available", "sampler.batch_size=2"]
    check(tiny("losses=[{name: arcface}]", *batches))
    assert capsys.readouterr().err == ""
    check(tiny("losses=[{name: arcface}, {name: triplet}]", *batches))
    said = capsys.readouterr().err.strip()
    assert "so triplet cannot tell animals apart and adds nothing; raise sampler.batch_size" in said
    assert "\n" not in said


@pytest.mark.parametrize(
    ("labels", "options", "words"),
    [
        # Nobody twice in a batch.
        (range(16), ["sampler.batch_size=8"], "shows an animal twice"),
        # One animal alone.
        ([0] * 16, ["sampler.batch_size=8"], "show 1 animal, so there is nothing to tell apart"),
        (
            [0] * 16,
            ["losses=[{name: arcface}]"],
            "show 1 animal, so there is nothing to tell apart",
        ),
    ],
)
def test_other_batches_that_teach_nothing(
    tiny: TinyConfig, labels: list[int], options: list[str], words: str
) -> None:
    config = tiny(TRIPLET, *options)
    setup = check(config)
    data = setup.data
    data.labels = np.resize(np.array(labels), len(data.labels))
    if words.startswith("shows"):
        data.labels = np.arange(len(data.labels))
    classes = len(set(data.labels.tolist()))
    losses = build_losses(
        config.losses, classes=classes, dim=16, class_counts=np.bincount(data.labels),
        mirrored_classes=False,
    )  # fmt: skip
    refused(lambda: check_pairs(config, data, losses), words)


@pytest.mark.parametrize(
    "name", ["contrastive", "pair_regression", "hinge", "margin", "difference_head",
             "concatenation_head"],
)  # fmt: skip
def test_drawn_pairs_need_the_sampler_that_draws_them(tiny: TinyConfig, name: str) -> None:
    loss = f"losses=[{{name: {name}, params: {{pairs: drawn}}}}]"
    for sampler in ("shuffled", "positive_available", "pk"):
        refused(
            lambda sampler=sampler: check(tiny(loss, f"sampler.name={sampler}")),
            f"{name}: pairs is drawn, but sampler.name {sampler} draws none",
            "set sampler.name=pairs, or pairs to all",
        )
    refused(
        lambda: check(tiny(loss, "sampler.name=pairs", "train.memory=8")),
        "compares nothing with past batches",
    )


def test_mostly_useless_batches_are_told(
    tiny: TinyConfig, capsys: pytest.CaptureFixture[str]
) -> None:
    check(tiny(TRIPLET, "sampler.batch_size=3"))  # shuffled: two of an animal by chance
    said = capsys.readouterr().err
    assert "% of the batches teach triplet nothing" in said
    assert "sampler.name=positive_available or pk" in said


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
