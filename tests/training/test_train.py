"""Training as a user runs it, on colour shapes with a tiny network."""

import csv
import json

import numpy as np
import pytest
import torch
from PIL import Image

from flukeprint.data.embeddings import Embeddings
from flukeprint.errors import FlukeprintError
from flukeprint.evaluation import fold_pictures
from flukeprint.identifier.runs import Run, find_run
from flukeprint.training.train import baselines, train
from tests.processes import call
from tests.tiny import TinyConfig
from tests.training.learner import learner_of, tensors


def test_a_run_leaves_what_it_promises(tiny_config: TinyConfig, tiny_run: Run) -> None:
    run = tiny_run
    assert run.finished
    figures = json.loads(run.validation.read_text())
    assert 0 <= figures["map5"]["low"] <= figures["map5"]["mean"] <= figures["map5"]["high"] <= 1
    logs = [
        line
        for path in run.path.glob("log/csv-0/metrics.csv")
        for line in csv.DictReader(path.open())
    ]
    losses = [float(line["train/loss"]) for line in logs if line.get("train/loss")]
    assert len(losses) == 3
    assert losses[-1] < losses[0]
    assert [line for line in logs if line.get("val/map5")]
    assert list(run.path.glob("log/tensorboard/events*"))
    assert find_run(tiny_config()).path == run.path


KEYPOINTS = "rank.local={candidates: 3, side: 64, keypoints: 40}"


@pytest.mark.usefixtures("with_pictures")
def test_a_run_ends_with_pictures(tiny: TinyConfig) -> None:
    run = train(tiny("train.epochs=1", KEYPOINTS))
    names = [file.name for file in run.pictures()]
    assert names == ["answers.png", "curves.png", "matches.png"]  # too few queries to calibrate
    for file in run.pictures():
        with Image.open(file) as picture:
            assert picture.size == (1920, 1080)
            assert np.asarray(picture.convert("L")).std() > 10


@pytest.mark.usefixtures("with_pictures")
def test_a_picture_that_cannot_be_drawn_loses_no_training(
    tiny: TinyConfig, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("no such font")

    monkeypatch.setattr(fold_pictures, "draw_curves", fail)
    run = train(tiny("train.epochs=1"))
    assert run.finished
    assert [file.name for file in run.pictures()] == ["answers.png"]
    assert f"{run.path}/curves.png could not be drawn: no such font" in capsys.readouterr().err


def test_in_a_file_a_training_has_a_few_lines_and_results_alone_on_standard_output(
    tiny: TinyConfig,
) -> None:
    done = call("python", "train.py", "--config", tiny.path, "train.epochs=50", KEYPOINTS)
    assert done.returncode == 0
    run = find_run(tiny())
    kinds = [line.split(":")[0] for line in done.stdout.splitlines()]
    first, second = [kinds.index(f"{name}") for name in ("pictures", "run")]
    assert kinds[:5] == [
        "untrained network", "five commonest labels", "never new", "always new first",
        "trained network",
    ]  # fmt: skip
    assert (first, second, kinds[-1]) == (len(kinds) - 3, len(kinds) - 2, "next")
    assert f"run: {run.path}" in done.stdout
    lines = done.stderr.splitlines()
    assert "\r" not in done.stdout + done.stderr
    epochs = [line for line in lines if line.startswith("epoch ")]
    assert 10 <= len(epochs) <= 20
    assert epochs[-1].startswith("epoch 50 of 50: loss ")
    assert "MAP@5" in epochs[-1]
    others = [line for line in lines if line not in epochs]
    assert not [line for line in others if "Warning" in line or ".py" in line or "%|" in line]


def test_blocks_that_are_passed_again_give_the_same_network(tiny: TinyConfig) -> None:
    plain, again = (train(tiny("train.epochs=2", f"train.recompute={on}")) for on in (False, True))
    for name, weights in tensors(plain.path).items():
        torch.testing.assert_close(tensors(again.path)[name], weights, rtol=1e-3, atol=1e-4)


def test_a_backbone_without_known_blocks_is_refused_before_anything_is_written(
    tiny: TinyConfig,
) -> None:
    config = tiny("name=unknown", "model.backbone=vgg11", "train.recompute=true")
    with pytest.raises(FlukeprintError, match=r"train\.recompute: timm .* vgg11; set it to false"):
        train(config)
    assert not (config.runs / "unknown").exists()


def test_the_same_seed_gives_the_same_network_and_another_does_not(tiny: TinyConfig) -> None:
    one, two, other = (
        tensors(train(tiny("train.epochs=1", *extra)).path) for extra in ([], [], ["train.seed=1"])
    )
    assert all(torch.equal(one[key], two[key]) for key in one)
    assert any(not torch.equal(one[key], other[key]) for key in one)


def test_workers_change_nothing(tiny: TinyConfig) -> None:
    """They stay for several epochs, and one of them is laid out otherwise than the first."""
    recipe = ["train.epochs=3", "sampler.first_epochs=1", "sampler.first_photos=3"]
    one, two = (
        tensors(train(tiny(f"name=workers{n}", f"train.workers={n}", *recipe)).path) for n in (0, 2)
    )
    assert all(torch.equal(one[key], two[key]) for key in one)


def test_two_processes_learn_as_one_does(tiny: TinyConfig) -> None:
    """Without batch norm and augmentation the whole batch's gradient is the same, cut or not."""
    recipe = [
        "model.backbone=test_vit",
        "model.neck=false",
        "model.pooling=avg",
        "image.height=48",
        "image.augment=0",
        "sampler.name=pk",
        "sampler.photos_per_identity=2",
        "losses=[{name: arcface}, {name: triplet, params: {mining: batch_all, soft: true}}]",
        "train.memory=16",
        "train.epochs=2",
        "train.lr=0.0005",
        'train.precision="32"',  # so that only the cut can make a difference
    ]
    one = train(tiny(*recipe, "name=ddp1")).path
    command = ["python", "train.py", "--config", str(tiny.path), "--no-untrained", *recipe]
    done = call(*command, "train.devices=2", "name=ddp2")
    assert done.returncode == 0, done.stderr[-2000:]
    runs = list((tiny.folder / "runs" / "ddp2").iterdir())
    assert len(runs) == 1, "the second process made a run of its own"
    results = [Embeddings.load(path / "embeddings.npz").vectors for path in (one, runs[0])]
    np.testing.assert_allclose(results[0], results[1], atol=2e-3)


def test_a_loss_that_is_no_number_names_the_photos(tiny: TinyConfig) -> None:
    config = tiny("train.lr=1e30", "train.clip=null", "train.warmup=0", "train.epochs=5")
    with pytest.raises(FlukeprintError, match=r"the loss is (nan|inf).*\.jpg"):
        train(config)


def test_the_baselines_are_measured_on_the_same_queries(tiny: TinyConfig) -> None:
    figures = baselines(tiny())
    queries = {scores.queries for scores in figures.values()}
    assert set(figures) == {"untrained network", "five commonest labels"}
    assert len(queries) == 1


def test_a_student_learns_from_its_teachers(tiny: TinyConfig) -> None:
    teacher = train(tiny("name=teacher", "train.epochs=1"))
    last = []
    for weight in (100, 0.001):
        options = [f"train.teachers=[{teacher.path}]", f"train.teacher_weight={weight}"]
        run = train(tiny(f"name=student{weight}", *options))
        (log,) = run.path.glob("log/csv-0/metrics.csv")
        shown = [line["train/teachers"] for line in csv.DictReader(log.open())]
        costs = [float(cost) for cost in shown if cost]
        assert len(costs) == 3
        last.append(costs[-1])
    assert last[0] < 0.95 * last[1]
    with pytest.raises(FlukeprintError, match="another fold"):
        learner_of(tiny("split.fold=1", f"train.teachers=[{teacher.path}]"))
