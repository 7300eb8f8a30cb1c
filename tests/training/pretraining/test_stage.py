"""The stage before labels: resumed wherever it was cut off, blind to labels, started from later."""

import csv
import shutil
import time
from pathlib import Path

import pytest
import torch

from flukeprint.data.readers.read import read_labelled
from flukeprint.evaluation.results_table import read_rows
from flukeprint.identifier.identifier import Identifier
from flukeprint.identifier.runs import Run, find_run
from flukeprint.models.network import build_model
from flukeprint.models.run_weights import read_backbone
from flukeprint.training.cross_validation import crossvalidate
from flukeprint.training.module import MetricLearningModule
from flukeprint.training.pretraining import simclr
from flukeprint.training.pretraining.pretrain import pretrain
from flukeprint.training.train import train
from tests.processes import call, start
from tests.refusals import refused
from tests.tiny import TinyConfig
from tests.training.learner import tensors

STAGE = ("pretrain=simclr", "pretrain.epochs=4", "pretrain.batch_size=24", "pretrain.queue=70")
RECIPE = (*STAGE, "train.epochs=2", "name=staged")


@pytest.fixture(scope="module")
def unbroken(tiny: TinyConfig) -> Run:
    return train(tiny(*RECIPE))


@pytest.fixture(scope="module")
def pretrained(tiny: TinyConfig) -> Run:
    return pretrain(tiny(*STAGE, "name=pretrained"))


@pytest.fixture(scope="module")
def damaged(tiny: TinyConfig, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny photographs, one of those to identify cut short."""
    root = tmp_path_factory.mktemp("damaged") / "shapes"
    shutil.copytree(tiny().data.root, root)
    broken = sorted((root / "test").iterdir())[3]
    broken.write_bytes(broken.read_bytes()[:200])
    return root


def same(one: dict[str, torch.Tensor], two: dict[str, torch.Tensor]) -> bool:
    return one.keys() == two.keys() and all(torch.equal(one[key], two[key]) for key in one)


def test_a_run_that_is_killed_in_its_pretraining_resumes_to_the_same_network(
    tiny: TinyConfig, unbroken: Run, tmp_path: Path
) -> None:
    """Killed from outside, in the middle of an epoch, as a power cut would."""
    there = tiny.apart(tmp_path)
    process = start("python", "train.py", "--config", there.path, *RECIPE)
    deadline = time.monotonic() + 240
    while not list((tmp_path / "runs" / "staged").glob("*/pretrain/last.ckpt")):
        assert process.is_alive(), "it ended before its first checkpoint"
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.kill()
    process.join()
    config = there(*RECIPE)
    unfinished = find_run(config, finished=False)
    assert not unfinished.pretrained.exists()
    kept = torch.load(unfinished.pretraining, weights_only=True)
    assert kept["epoch"] < 3
    assert kept["state_dict"]["queue.labels"].max() >= 0, "the queue is not in the checkpoint"

    resumed = train(config, resume="last")
    assert resumed.path == unfinished.path
    assert same(tensors(resumed.path), tensors(unbroken.path))
    assert same(read_backbone(resumed.pretrained), read_backbone(unbroken.pretrained))
    assert resumed.figures() == unbroken.figures()
    assert not resumed.pretraining.exists()
    assert len(list(resumed.path.glob("pretrain/log/csv-*"))) == 2


def test_a_run_that_is_stopped_after_its_pretraining_does_not_repeat_it(
    tiny: TinyConfig, unbroken: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, written = tiny.apart(tmp_path)(*RECIPE), set[int]()
    for epoch in (0, 1):

        def stop(module: MetricLearningModule, epoch: int = epoch) -> None:
            if module.current_epoch == epoch:
                raise KeyboardInterrupt

        with monkeypatch.context() as patched:
            patched.setattr(MetricLearningModule, "on_train_epoch_start", stop)
            with pytest.raises(KeyboardInterrupt, match="--resume"):
                train(config, resume="last" if epoch else None)
        run = find_run(config, finished=False)
        written.add(run.pretrained.stat().st_mtime_ns)
        assert run.last.is_file() == (epoch > 0)
    resumed = train(config, resume=run.name)
    assert written == {resumed.pretrained.stat().st_mtime_ns}
    assert same(tensors(resumed.path), tensors(unbroken.path))


def test_no_label_is_read(tiny: TinyConfig, pretrained: Run, tmp_path: Path) -> None:
    """With the same photographs under shuffled labels the backbone is the same, bit by bit."""
    root = tiny().data.root
    for name in ("train", "test", "sample_submission.csv"):
        (tmp_path / name).symlink_to(Path(root) / name)
    with (Path(root) / "train.csv").open(newline="") as file:
        header, *rows = list(csv.reader(file))
    turned = [[image, rows[place - 7][1]] for place, (image, _) in enumerate(rows)]
    assert turned != rows
    with (tmp_path / "train.csv").open("w", newline="") as file:
        csv.writer(file).writerows([header, *turned])
    other = pretrain(tiny(*STAGE, "name=shuffled", f"data.root={tmp_path}"))
    assert same(read_backbone(other.pretrained), read_backbone(pretrained.pretrained))


def test_another_seed_gives_another_backbone_which_has_learned(
    tiny: TinyConfig, pretrained: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    other = pretrain(tiny(*STAGE, "name=seed", "train.seed=1", "pretrain.queue=0"))
    assert "collapsed" not in capsys.readouterr().err
    one, two = read_backbone(other.pretrained), read_backbone(pretrained.pretrained)
    assert not same(one, two)
    (log,) = other.path.glob("pretrain/log/csv-0/metrics.csv")
    rows = list(csv.DictReader(log.open()))
    losses = [float(row["pretrain/loss"]) for row in rows if row["pretrain/loss"]]
    assert len(losses) == 4
    assert losses[-1] < losses[0]
    assert all(-1 <= float(row["pretrain/projections_cosine"]) <= 1 for row in rows)
    assert all(float(row["pretrain/features_rank"]) >= 1 for row in rows)


def test_trainings_start_from_a_pretrained_or_a_finished_run(
    tiny: TinyConfig, pretrained: Run, tmp_path: Path
) -> None:
    there = tiny.apart(tmp_path)
    copy = Run(tmp_path / "start")
    shutil.copytree(pretrained.path, copy.path)
    first = there("name=first", "train.epochs=1", f"model.weights=run:{copy.path}")
    begun = build_model(first.model, (32, 48))
    assert same(begun.backbone.state_dict(), read_backbone(copy.pretrained))
    run = train(first)
    shutil.rmtree(copy.path)
    known = Identifier.load(run.identifier)  # it needs the other run no more

    second = there(f"model.weights=run:{run.path}")
    begun = build_model(second.model, (32, 48))
    assert same(begun.backbone.state_dict(), known.net.backbone.state_dict())
    torch.testing.assert_close(begun.mean, known.net.mean)
    torch.testing.assert_close(begun.std, known.net.std)


def test_runs_that_nothing_can_start_from(
    tiny: TinyConfig, tiny_run: Run, pretrained: Run, tmp_path: Path
) -> None:
    def start_from(run: Path, *further: str) -> None:
        train(tiny(f"model.weights=run:{run}", "name=refused", *further))

    refused(lambda: start_from(tmp_path / "none"), f"{tmp_path / 'none'} is no run", "config.yaml")
    unfinished = tmp_path / "unfinished"
    unfinished.mkdir()
    shutil.copy(tiny_run.path / "config.yaml", unfinished)
    refused(
        lambda: start_from(unfinished), "neither finished nor pretrained", "--resume unfinished"
    )
    other = "model.backbone=test_vit"
    for run in (tiny_run, pretrained):
        refused(
            lambda run=run: start_from(run.path, other, "image.height=48"),
            "is test_resnet, not test_vit", "model.backbone=test_resnet",
        )  # fmt: skip
    refused(lambda: start_from(tiny_run.path, "split.fold=1"), "another fold", "split.fold is 0")
    blind = tmp_path / "blind"
    shutil.copytree(pretrained.path, blind)
    text = (blind / "config.yaml").read_text()
    (blind / "config.yaml").write_text(text.replace("photos: all", "photos: train"))
    refused(lambda: start_from(blind, "split.fold=1"), "another fold")
    chained = tmp_path / "chained"  # whose own weights came from a finished run
    shutil.copytree(pretrained.path, chained)
    (chained / "config.yaml").write_text(
        text.replace("weights: none", f"weights: run:{tiny_run.path}")
    )
    refused(lambda: start_from(chained, "split.fold=1"), str(tiny_run.path), "another fold")
    (blind / "pretrain" / "backbone.safetensors").write_bytes(b"short")
    refused(lambda: start_from(blind), "backbone.safetensors cannot be read")
    assert not (tiny.folder / "runs" / "refused").exists()


def test_weights_of_another_shape_are_refused(tiny: TinyConfig, tmp_path: Path) -> None:
    options = ("pretrain=simclr", "pretrain.epochs=1", "name=vit", "model.backbone=test_vit")
    run = pretrain(tiny.apart(tmp_path)(*options, "image.height=48"))
    config = tiny("model.backbone=test_vit", "image.height=64", f"model.weights=run:{run.path}")
    refused(lambda: build_model(config.model, (64, 48)), "does not fit test_vit", "another shape")


def test_what_cannot_be_pretrained_is_refused_before_anything_is_written(
    tiny: TinyConfig, pretrained: Run, unbroken: Run, damaged: Path
) -> None:
    shared = ("pretrain=simclr", "pretrain.batch_size=7", "train.devices=2", "name=refused")
    for act in (train, pretrain):
        refused(lambda act=act: act(tiny(*shared)), "pretrain.batch_size=7", "2 processes")
    refused(lambda: pretrain(tiny("name=refused")), "pretrain is not set", "pretrain=simclr")
    broken = ("pretrain=simclr", f"data.root={damaged}", "name=refused")
    for act in (train, pretrain):
        refused(lambda act=act: act(tiny(*broken)), "1 of 30 photos cannot be read")
    done = tiny(*STAGE, "name=pretrained")
    refused(lambda: pretrain(done, resume=pretrained.name), "is finished")
    refused(lambda: train(done, resume=pretrained.name), "made by flukeprint pretrain")
    refused(lambda: pretrain(done, resume="last"), "no unfinished run of pretrain")
    refused(lambda: pretrain(tiny(*RECIPE), resume=unbroken.name), "is finished")
    refused(lambda: find_run(done, pretrained.name), "backbone alone", "model.weights=run:")
    assert not (tiny.folder / "runs" / "refused").exists()


def test_resuming_with_other_photographs_is_refused(
    tiny: TinyConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "shapes"
    shutil.copytree(tiny().data.root, root)
    config = tiny.apart(tmp_path)(*STAGE, f"data.root={root}", "data.sample_submission=null")

    def stop(module: simclr.SimCLRModule) -> None:
        if module.current_epoch == 1:
            raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(simclr.SimCLRModule, "on_train_epoch_start", stop)
        with pytest.raises(KeyboardInterrupt, match="the same command with --resume"):
            pretrain(config)
    moved = sorted((root / "test").iterdir())[0]
    moved.rename(tmp_path / "aside")
    refused(lambda: pretrain(config, resume="last"), "not those that the pretraining was started")
    (tmp_path / "aside").rename(moved)
    run = pretrain(config, resume="last")
    assert run.pretrained.is_file()
    assert run.made_by == "pretrain"


def test_a_collapse_is_said_once(
    tiny: TinyConfig, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(
        simclr, "nt_xent", lambda first, second, *_, **__: (1 - torch.cosine_similarity(
            torch.cat([first, second]), torch.ones(1, first.shape[1]))).mean(),
    )  # fmt: skip
    pretrain(tiny("pretrain=simclr", "pretrain.epochs=6", "pretrain.lr=0.03", "name=collapsed"))
    said = [line for line in capsys.readouterr().err.splitlines() if "collapsed" in line]
    assert len(said) == 1
    assert float(said[0].split("mean cosine of two photographs ")[1][:5]) > simclr.COLLAPSED


def test_cross_validation_pretrains_each_fold_and_counts_its_minutes(
    tiny: TinyConfig, damaged: Path, tmp_path: Path
) -> None:
    options = ("pretrain.epochs=1", "train.epochs=1", f"data.root={damaged}")
    config = tiny.apart(tmp_path)(*STAGE, *options, "data.skip_unreadable=true")
    (row,) = crossvalidate(config, folds=1, into=tmp_path / "table.csv", report=lambda _: None)
    (run,) = map(Run, (tmp_path / "runs" / "tiny").iterdir())
    assert run.pretrained.is_file()
    parts = [run.path / "minutes.json", run.path / "pretrain" / "minutes.json"]
    spent = [float(part.read_text().split('"minutes": ')[1].split(",")[0]) for part in parts]
    assert row.minutes == pytest.approx(sum(spent), abs=1e-3)
    assert read_rows(tmp_path / "table.csv") == [row]


def test_two_processes_contrast_the_whole_batch(tiny: TinyConfig, tmp_path: Path) -> None:
    """The loss at a high temperature is about the logarithm of the number of views of all."""
    there = tiny.apart(tmp_path)
    options = [
        "pretrain=simclr", "pretrain.epochs=1", "pretrain.temperature=100", "train.epochs=1",
        "pretrain.batch_size=16", "train.devices=2",
    ]  # fmt: skip
    done = call("python", "train.py", "--config", there.path, "--no-untrained", *options)
    assert done.returncode == 0, done.stderr[-2000:]
    (run,) = map(Run, (tmp_path / "runs" / "tiny").iterdir())
    assert run.finished
    assert run.pretrained.is_file()
    (log,) = run.path.glob("pretrain/log/csv-0/metrics.csv")
    photos = len(read_labelled(there().data)) + 30
    batches = -(-photos // 16)
    loss = float(next(csv.DictReader(log.open()))["pretrain/loss"])
    views = 2 * photos / batches  # of a batch, on average
    assert loss == pytest.approx(float(torch.tensor(views - 1).log()), abs=0.1)
