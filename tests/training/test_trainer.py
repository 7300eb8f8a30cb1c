"""Precision, clipping and nodes of the trainer."""

from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.strategies import DDPStrategy

from flukeprint.config.schema import Config
from flukeprint.identifier.runs import Run
from flukeprint.training import train as training
from flukeprint.training.train import train
from flukeprint.training.trainer import first_process, lightning_precision
from tests.tiny import TinyConfig


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
    tiny: TinyConfig, monkeypatch: pytest.MonkeyPatch, known: dict[str, bool], precision: str
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: known)
    assert lightning_precision(tiny()) == precision
    assert lightning_precision(tiny('train.precision="32"')) == "32-true"


@pytest.mark.parametrize("precision", ["32", "bf16"])
def test_gradients_are_clipped_in_every_precision(
    tiny: TinyConfig, monkeypatch: pytest.MonkeyPatch, precision: str
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
    train(tiny(f'train.precision="{precision}"', "train.clip=0.01", "train.epochs=1"))
    assert norms
    assert max(norms) == pytest.approx(0.01, rel=1e-2)


def test_several_nodes_train_together(tiny: TinyConfig, tmp_path: Path) -> None:
    trainer = training.make_trainer(tiny("train.num_nodes=2"), Run(tmp_path))
    assert trainer.num_nodes == 2
    assert isinstance(trainer.strategy, DDPStrategy)
    alone = training.make_trainer(tiny(), Run(tmp_path))
    assert not isinstance(alone.strategy, DDPStrategy)


@pytest.mark.parametrize(
    ("variables", "first"),
    [
        ({}, True),
        ({"LOCAL_RANK": "0", "NODE_RANK": "0", "WORLD_SIZE": "2"}, True),
        ({"LOCAL_RANK": "1", "NODE_RANK": "0"}, False),  # Lightning, one node
        ({"NODE_RANK": "1"}, False),  # Lightning, the first process of another node
        ({"RANK": "4", "LOCAL_RANK": "0", "GROUP_RANK": "1"}, False),  # torchrun
        ({"SLURM_PROCID": "3"}, False),
    ],
)
def test_one_process_is_the_first(
    variables: dict[str, str], first: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("RANK", "SLURM_PROCID", "NODE_RANK", "GROUP_RANK", "LOCAL_RANK"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert first_process() is first
