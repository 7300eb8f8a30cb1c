"""Training as a user runs it, on colour shapes with a tiny network."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import lightning as L
import numpy as np
import pytest
import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.strategies import DDPStrategy
from PIL import Image
from safetensors.torch import load_file

from flukeprint.config.load import load_config
from flukeprint.config.schema import Config
from flukeprint.data.embeddings import Embeddings
from flukeprint.data.readers.read import read_labelled
from flukeprint.data.synthetic.dataset import write_synthetic
from flukeprint.errors import FlukeprintError
from flukeprint.identifier.runs import Run, find_run
from flukeprint.models.network import FlukeNet, build_model
from flukeprint.training import train as training
from flukeprint.training.check import check, split_of
from flukeprint.training.datamodule import FoldData
from flukeprint.training.module import MetricLearningModule
from flukeprint.training.optimizer import build_optimizer
from flukeprint.training.progressive_resizing import resize_batch
from flukeprint.training.train import baselines, train
from flukeprint.training.trainer import lightning_precision

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
train: {{epochs: 3, lr: 0.002, workers: 0, accelerator: cpu}}
runs: {root}/runs
submissions: {root}/submissions
"""


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("training")
    (root / "tiny.yaml").write_text(TINY.format(root=root))
    config = load_config(root / "tiny.yaml")
    write_synthetic(config.data.synthetic, config.data.root, progress=False)
    return root


def tiny(root: Path, *overrides: str) -> Config:
    return load_config(root / "tiny.yaml", list(overrides))


def tensors(run_path: Path) -> dict[str, torch.Tensor]:
    return load_file(run_path / "identifier" / "network.safetensors")


def test_a_run_leaves_what_it_promises(root: Path) -> None:
    run = train(tiny(root))
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
    assert find_run(tiny(root)).path == run.path


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["rank.head=0.3", "losses=[{name: triplet}]"], r"rank\.head=0\.3 needs class centers"),
        (["rank.head=0.3", "infer.mirror=true"], r"turn the mirror off or set rank\.head=0"),
        (["image.mirror_views=[left]"], r"no photograph has the view left; set data\.views"),
    ],
)
def test_what_could_not_be_answered_is_not_trained(
    root: Path, tmp_path: Path, overrides: list[str], said: str
) -> None:
    with pytest.raises(FlukeprintError, match=said):
        train(tiny(root, f"runs={tmp_path}/runs", *overrides))
    assert not (tmp_path / "runs").exists()


def test_the_same_seed_gives_the_same_network_and_another_does_not(root: Path) -> None:
    one, two, other = (
        tensors(train(tiny(root, "train.epochs=1", *extra)).path)
        for extra in ([], [], ["train.seed=1"])
    )
    assert all(torch.equal(one[key], two[key]) for key in one)
    assert any(not torch.equal(one[key], other[key]) for key in one)


def test_workers_change_nothing(root: Path) -> None:
    """They stay for several epochs, and one of them is laid out otherwise than the first."""
    recipe = ["train.epochs=3", "sampler.first_epochs=1", "sampler.first_photos=3"]
    one, two = (
        tensors(train(tiny(root, f"name=workers{n}", f"train.workers={n}", *recipe)).path)
        for n in (0, 2)
    )
    assert all(torch.equal(one[key], two[key]) for key in one)


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


@pytest.mark.parametrize(
    ("name", "options"),
    [("plain", []), ("ema", ["train.ema=0.8"]), ("stateful", STATEFUL)],
)
def test_a_killed_run_resumes_to_the_same_network(
    root: Path, name: str, options: list[str]
) -> None:
    """Killed from outside, in the middle of an epoch, as a power cut would."""
    recipe = [*options, "train.epochs=6", "model.dropout=0.2", f"name=killed_{name}"]
    command = [sys.executable, "train.py", "--config", str(root / "tiny.yaml"), *recipe]
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    folder = root / "runs" / f"killed_{name}"
    deadline = time.monotonic() + 240
    while not list(folder.glob("*/checkpoints/last.ckpt")):
        assert process.poll() is None, "it ended before its first checkpoint"
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    config = tiny(root, *recipe)
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


def test_resuming_with_another_recipe_is_refused(root: Path) -> None:
    config = tiny(root, "name=other")
    run = train(config)
    (run.path / "identifier").rename(run.path / "aside")  # as if it had not finished
    with pytest.raises(FlukeprintError, match=r"model\.backbone"):
        train(tiny(root, "name=other", "model.backbone=test_vit"), resume="last")


def test_a_damaged_checkpoint_is_refused(root: Path) -> None:
    config = tiny(root, "name=damaged", "train.epochs=1")
    run = train(config)
    (run.path / "identifier").rename(run.path / "aside")
    run.last.write_bytes(run.last.read_bytes()[:1000])
    with pytest.raises(FlukeprintError, match="no checkpoint that can be resumed"):
        train(config, resume="last")


def test_two_processes_learn_as_one_does(root: Path) -> None:
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
    results = []
    for devices in (1, 2):
        name = f"ddp{devices}"
        command = [
            sys.executable, "train.py", "--config", str(root / "tiny.yaml"), "--no-untrained",
            *recipe, f"train.devices={devices}", f"name={name}",
        ]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, timeout=280)
        assert done.returncode == 0, done.stderr[-2000:]
        runs = list((root / "runs" / name).iterdir())
        assert len(runs) == 1, "the second process made a run of its own"
        results.append(Embeddings.load(runs[0] / "embeddings.npz").vectors)
    np.testing.assert_allclose(results[0], results[1], atol=2e-3)


def test_a_loss_that_is_no_number_names_the_photos(root: Path) -> None:
    config = tiny(root, "train.lr=1e30", "train.clip=null", "train.warmup=0", "train.epochs=5")
    with pytest.raises(FlukeprintError, match=r"the loss is (nan|inf).*\.jpg"):
        train(config)


def test_early_stopping_keeps_the_best_weights(root: Path) -> None:
    run = train(tiny(root, "train.patience=1", "train.epochs=6", "name=early"))
    best = torch.load(run.checkpoints / "best.ckpt", weights_only=True)
    kept = tensors(run.path)
    for key, tensor in kept.items():
        assert torch.equal(tensor, best["state_dict"][f"net.{key}"])


def test_parameters_are_learnt_at_their_own_rates(root: Path) -> None:
    config = tiny(root, "model.freeze_stages=1", "losses=[{name: arcface}, {name: proxy_anchor}]")
    catalog = read_labelled(config.data)
    data = FoldData(config, catalog, split_of(config, catalog))
    learner = MetricLearningModule(config, build_model(config.model, (32, 48)), data)

    class Alone:
        world_size = 1
        precision = "32-true"

    learner._trainer = Alone()  # type: ignore[assignment]
    optimizer = learner.configure_optimizers()["optimizer"]
    rate = {
        id(p): (group["initial_lr"], group["weight_decay"])
        for group in optimizer.param_groups
        for p in group["params"]
    }
    for name, p in learner.named_parameters():
        if not p.requires_grad:
            assert id(p) not in rate
            continue
        lr, decay = rate[id(p)]
        assert lr == pytest.approx(0.002 if name.startswith("net.backbone") else 0.02), name
        assert decay == (config.train.weight_decay if p.ndim > 1 else 0.0), name


def test_scaled_gradients_are_not_left_to_a_fused_step(root: Path) -> None:
    """Else they would be clipped before they are of their own length."""
    learner = learner_of(tiny(root))
    for precision, fused in (("32-true", True), ("bf16-mixed", True), ("16-mixed", False)):
        learner._trainer = SimpleNamespace(world_size=1, precision=precision)  # type: ignore[assignment]
        assert learner.configure_optimizers()["optimizer"].defaults["fused"] is fused


@pytest.mark.parametrize(
    ("known", "precision"),
    [
        ({}, "32-true"),
        ({"avx512_f": True, "avx512_bf16": False, "amx_bf16": False}, "32-true"),
        ({"avx512_f": True, "avx512_bf16": True}, "bf16-mixed"),
        ({"amx_bf16": True}, "bf16-mixed"),
    ],
)
def test_a_processor_that_multiplies_bf16_trains_in_it(
    root: Path, monkeypatch: pytest.MonkeyPatch, known: dict[str, bool], precision: str
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: known)
    assert lightning_precision(tiny(root)) == precision
    assert lightning_precision(tiny(root, 'train.precision="32"')) == "32-true"


@pytest.mark.parametrize("precision", ["32", "bf16"])
def test_gradients_are_clipped_in_every_precision(
    root: Path, monkeypatch: pytest.MonkeyPatch, precision: str
) -> None:
    norms = []

    class Norms(Callback):
        def on_before_zero_grad(self, trainer: L.Trainer, pl_module: L.LightningModule, _: Any):  # type: ignore[no-untyped-def]
            grads = [p.grad for p in pl_module.parameters() if p.grad is not None]
            if grads:
                norms.append(float(torch.stack([g.norm() for g in grads]).norm()))

    make = training.make_trainer

    def make_trainer(config: Config, run: Run) -> L.Trainer:
        trainer = make(config, run)
        trainer.callbacks.insert(0, Norms())  # type: ignore[attr-defined]
        return trainer

    monkeypatch.setattr(training, "make_trainer", make_trainer)
    train(tiny(root, f'train.precision="{precision}"', "train.clip=0.01", "train.epochs=1"))
    assert norms
    assert max(norms) == pytest.approx(0.01, rel=1e-2)


def test_several_nodes_train_together(root: Path, tmp_path: Path) -> None:
    trainer = training.make_trainer(tiny(root, "train.num_nodes=2"), Run(tmp_path))
    assert trainer.num_nodes == 2
    assert isinstance(trainer.strategy, DDPStrategy)
    alone = training.make_trainer(tiny(root), Run(tmp_path))
    assert not isinstance(alone.strategy, DDPStrategy)


def learner_of(config: Config) -> MetricLearningModule:
    catalog = read_labelled(config.data)
    data = FoldData(config, catalog, split_of(config, catalog))
    size = (config.image.height, config.image.width)
    return MetricLearningModule(config, build_model(config.model, size), data)


def test_earlier_stages_learn_more_slowly(root: Path) -> None:
    learner = learner_of(tiny(root, "train.layer_decay=0.5"))
    optimizer = build_optimizer(learner.net, learner.losses, learner.config.train)
    rate = {id(p): group["lr"] for group in optimizer.param_groups for p in group["params"]}
    stages = ["conv1.", "layer1.", "layer2.", "layer3.", "layer4."]
    for name, p in learner.named_parameters():
        expected = 0.02
        if name.startswith("net.backbone."):
            key = name.removeprefix("net.backbone.").replace("bn1.", "conv1.", 1)
            (stage,) = [i for i, start in enumerate(stages) if key.startswith(start)]
            expected = 0.002 * 0.5 ** (4 - stage)
        assert rate[id(p)] == pytest.approx(expected), name


class Recorder(Callback):
    """What a training did: weights and steps at the end of epochs, sizes of batches, rates."""

    def __init__(self) -> None:
        self.weights: list[dict[str, torch.Tensor]] = []
        self.rates: list[float] = []
        self.sizes: list[set[tuple[int, ...]]] = []

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self.sizes.append(set())

    def on_train_batch_end(self, trainer: L.Trainer, *_: Any) -> None:
        self.rates.append(trainer.optimizers[0].param_groups[0]["lr"])

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self.weights.append({k: v.clone() for k, v in pl_module.state_dict().items()})


def recorded(config: Config, monkeypatch: pytest.MonkeyPatch) -> tuple[Run, Recorder]:
    recorder, make = Recorder(), training.make_trainer

    def make_trainer(config: Config, run: Run) -> L.Trainer:
        trainer = make(config, run)
        trainer.callbacks.insert(0, recorder)  # type: ignore[attr-defined]
        return trainer

    pool = FlukeNet.pool

    def watched(net: FlukeNet, photos: torch.Tensor) -> torch.Tensor:
        if net.training:
            recorder.sizes[-1].add(tuple(photos.shape[2:]))
        elif recorder.sizes:
            assert tuple(photos.shape[2:]) == net.size, "validation sees the full size"
        return pool(net, photos)

    monkeypatch.setattr(training, "make_trainer", make_trainer)
    monkeypatch.setattr(FlukeNet, "pool", watched)
    return train(config), recorder


def test_weights_are_averaged_over_the_last_epochs(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And each epoch sees the size and the identities that it should, at the right rate."""
    config = tiny(
        root,
        "name=averaged",
        "train.swa=0.5",
        "train.epochs=5",
        "train.sizes=[0.5, 0.7, 1]",
        "image.height=64",
        "image.width=96",
        "sampler.first_epochs=2",
        "sampler.first_photos=3",
        "train.accumulate=2",
    )
    steps = learner_of(config).data.steps(1)
    run, seen = recorded(config, monkeypatch)
    kept = tensors(run.path)
    for key, tensor in kept.items():
        parts = [weights[f"net.{key}"].double() for weights in seen.weights[3:]]
        expected = torch.stack(parts).mean(0)
        if tensor.dtype.is_floating_point:
            torch.testing.assert_close(tensor.double(), expected, atol=1e-6, rtol=1e-5)
    saved = torch.load(run.last, weights_only=True)
    for key, tensor in saved["current_model_state"].items():
        assert torch.equal(tensor, seen.weights[-1][key])
    # round(64 * share / 32) * 32 by round(96 * share / 32) * 32; epochs 0 1, 2 3, 4.
    assert seen.sizes == [{(32, 64)}, {(32, 64)}, {(32, 64)}, {(32, 64)}, {(64, 96)}]
    assert saved["global_step"] == steps
    assert seen.rates[-1] == pytest.approx(0.002 * config.train.final_lr_factor, rel=1e-3)


def test_before_the_average_begins_the_network_itself_is_measured(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tiny(root, "name=late", "train.swa=0.9", "train.epochs=2")
    measured: list[dict[str, torch.Tensor]] = []
    end = MetricLearningModule.on_validation_epoch_end

    def watched(learner: MetricLearningModule) -> None:
        measured.append({k: v.clone() for k, v in learner.state_dict().items()})
        end(learner)

    monkeypatch.setattr(MetricLearningModule, "on_validation_epoch_end", watched)
    _, seen = recorded(config, monkeypatch)
    for weights, shown in zip(seen.weights, measured, strict=True):
        assert all(torch.equal(weights[key], shown[key]) for key in weights)


def test_a_student_learns_from_its_teachers(root: Path) -> None:
    teacher = train(tiny(root, "name=teacher", "train.epochs=1"))
    last = []
    for weight in (100, 0.001):
        options = [f"train.teachers=[{teacher.path}]", f"train.teacher_weight={weight}"]
        run = train(tiny(root, f"name=student{weight}", *options))
        (log,) = run.path.glob("log/csv-0/metrics.csv")
        shown = [line["train/teachers"] for line in csv.DictReader(log.open())]
        costs = [float(cost) for cost in shown if cost]
        assert len(costs) == 3
        last.append(costs[-1])
    assert last[0] < 0.95 * last[1]
    with pytest.raises(FlukeprintError, match="another fold"):
        learner_of(tiny(root, "split.fold=1", f"train.teachers=[{teacher.path}]"))


def test_photos_are_made_smaller_as_pillow_does() -> None:
    rng = np.random.default_rng(0)
    photo = cv2.GaussianBlur(rng.integers(0, 256, (96, 160, 3), dtype=np.uint8), (0, 0), 2)
    wanted = np.asarray(Image.fromarray(photo).resize((64, 32), Image.Resampling.BILINEAR))
    batch = torch.from_numpy(photo.transpose(2, 0, 1)[None].copy())
    small = resize_batch(batch, (32, 64))
    assert small.dtype == torch.uint8
    gap = small[0].permute(1, 2, 0).numpy().astype(int) - wanted
    assert np.abs(gap).max() <= 1
    assert resize_batch(batch, (96, 160)) is batch


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
def test_what_cannot_be_is_refused(root: Path, options: list[str], words: str) -> None:
    with pytest.raises(FlukeprintError, match=words) as error:
        check(tiny(root, *options))
    assert "\n" not in str(error.value)


def test_new_individuals_are_no_class(root: Path) -> None:
    config = tiny(root)
    catalog = read_labelled(config.data)
    data = FoldData(config, catalog, split_of(config, catalog))
    for label, identity in zip(data.labels, data.train_catalog.identities, strict=True):
        assert (label == -1) == (identity is None)
        if identity is not None:
            assert data.classes[label] == (identity, None)


def test_the_baselines_are_measured_on_the_same_queries(root: Path) -> None:
    figures = baselines(tiny(root))
    queries = {scores.queries for scores in figures.values()}
    assert set(figures) == {"untrained network", "five commonest labels"}
    assert len(queries) == 1


RECIPES = ["whales", "whales_resnet50", "whales_playground", "lions", "nyala", "spiders", "demo"]


@pytest.mark.parametrize("name", RECIPES)
@pytest.mark.usefixtures("at_repository")
def test_every_recipe_runs_one_tiny_epoch(root: Path, name: str) -> None:
    """The recipe's own losses, sampler, neck and schedule; two steps on small shapes."""
    small = {
        "whales": "tf_efficientnet_b0",
        "whales_playground": "vgg11",
        "whales_resnet50": "resnet18",
    }
    config = load_config(
        f"{name}.yaml",
        [
            "data.reader=synthetic",
            f"data.root={root}/shapes",
            "data.new_label=new_whale",
            "data.views=null",
            "data.synthetic={kind: shapes, identities: 10, long_side: 48, test_photos: 10}",
            "image.height=64",
            "image.width=64",
            f"image.cache={root}/cache",
            f"model.backbone={small.get(name, 'tf_efficientnet_lite0')}",
            "model.weights=none",
            "split.folds=2",
            "sampler.batch_size=8",
            "train.epochs=1",
            "train.sizes=[]",
            "train.max_steps=2",
            "train.workers=0",
            "train.accelerator=cpu",
            "cards=null",  # of other classes than these shapes
            "taxonomy=null",
            f"runs={root}/runs",
        ],
    )
    run = train(config)
    assert run.finished
    assert np.isfinite(run.figures()["map5"]["mean"])
