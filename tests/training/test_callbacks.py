"""What callbacks keep: the best weights, the average of the last epochs."""

from typing import Any

import lightning as L
import pytest
import torch
from lightning.pytorch.callbacks import Callback

from flukeprint.config.schema import Config
from flukeprint.identifier.runs import Run
from flukeprint.models.network import FlukeNet
from flukeprint.training import train as training
from flukeprint.training.module import MetricLearningModule
from flukeprint.training.train import train
from tests.tiny import TinyConfig
from tests.training.learner import learner_of, tensors


def test_early_stopping_keeps_the_best_weights(tiny: TinyConfig) -> None:
    run = train(tiny("train.patience=1", "train.epochs=6", "name=early"))
    best = torch.load(run.checkpoints / "best.ckpt", weights_only=True)
    kept = tensors(run.path)
    for key, tensor in kept.items():
        assert torch.equal(tensor, best["state_dict"][f"net.{key}"])


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
    tiny: TinyConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And each epoch sees the size and the identities that it should, at the right rate."""
    config = tiny(
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
    tiny: TinyConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tiny("name=late", "train.swa=0.9", "train.epochs=2")
    measured: list[dict[str, torch.Tensor]] = []
    end = MetricLearningModule.on_validation_epoch_end

    def watched(learner: MetricLearningModule) -> None:
        measured.append({k: v.clone() for k, v in learner.state_dict().items()})
        end(learner)

    monkeypatch.setattr(MetricLearningModule, "on_validation_epoch_end", watched)
    _, seen = recorded(config, monkeypatch)
    for weights, shown in zip(seen.weights, measured, strict=True):
        assert all(torch.equal(weights[key], shown[key]) for key in weights)
