"""The method, from top to bottom: a configuration enters, a trained `Run` leaves.

catalogue -> split -> batches of drawn photographs -> network -> losses
-> validation on held-out queries -> identifier (network + gallery + threshold)
"""

import logging
import warnings
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import (
    Callback,
    EarlyStopping,
    ModelCheckpoint,
)
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger

from flukeprint.config.schema import Config
from flukeprint.embedding.embed import pick_device
from flukeprint.identifier.runs import Run
from flukeprint.training.callbacks import AtomicCheckpointIO, Progress, Stopwatch, averaging


def stopped_early(config: Config, checkpoint: Path) -> bool:
    """Whether the run had lost its patience already; Lightning would go on with it."""
    if config.train.patience is None:
        return False
    callbacks = AtomicCheckpointIO().load_checkpoint(checkpoint)["callbacks"]
    waits = [state["wait_count"] for state in callbacks.values() if "wait_count" in state]
    return any(wait >= config.train.patience for wait in waits)


def make_trainer(config: Config, run: Run) -> L.Trainer:
    """Lightning's trainer with the schedule, checkpoints and logs of `config`."""
    t = config.train
    last = ModelCheckpoint(
        run.checkpoints, filename="last", save_top_k=1, enable_version_counter=False,
        every_n_epochs=1, save_on_train_epoch_end=True,
    )  # fmt: skip
    callbacks: list[Callback] = [Progress(refresh_rate=5)]
    if t.patience is not None:
        callbacks += [
            EarlyStopping("val/map5", mode="max", patience=t.patience, strict=False),
            ModelCheckpoint(
                run.checkpoints, filename="best", monitor="val/map5", mode="max",
                enable_version_counter=False,
            ),
        ]  # fmt: skip
    callbacks += averaging(t)
    callbacks.append(Stopwatch(run.path / "minutes.json"))
    callbacks.append(last)  # after `best`, whose state it keeps
    part = len(list((run.path / "log").glob("csv-*")))  # each resumption logs beside the last
    strategy = "auto"
    if t.devices * t.num_nodes > 1:
        strategy = "ddp_find_unused_parameters_true" if t.freeze_epochs else "ddp"
    return L.Trainer(
        accelerator=t.accelerator,
        devices=t.devices,
        num_nodes=t.num_nodes,
        strategy=strategy,
        precision=lightning_precision(config),
        max_epochs=t.epochs,
        max_steps=t.max_steps or -1,
        accumulate_grad_batches=t.accumulate,
        gradient_clip_val=t.clip,
        check_val_every_n_epoch=t.validate_every,
        num_sanity_val_steps=0,
        reload_dataloaders_every_n_epochs=1,  # each epoch draws its own batches
        use_distributed_sampler=False,  # our samplers share batches among processes
        plugins=[AtomicCheckpointIO()],
        callbacks=callbacks,
        logger=[
            CSVLogger(run.path, name="log", version=f"csv-{part}"),
            TensorBoardLogger(run.path, name="log", version="tensorboard"),
        ],
        log_every_n_steps=1,
        enable_model_summary=False,
        benchmark=False,
        deterministic="warn",
        sync_batchnorm=t.devices * t.num_nodes > 1 and pick_device(t.accelerator).type == "cuda",
    )


def lightning_precision(config: Config) -> Any:
    """Lightning's word for `train.precision`.

    On a CPU bf16 pays where it multiplies numbers of 16 bits: by tiles (AMX), or as AVX-512 does
    with avx512_bf16 (`benchmarks/reports/training_step.md`).  Elsewhere half the operations
    convert back.
    """
    named = {"32": "32-true", "bf16": "bf16-mixed", "16": "16-mixed"}
    if config.train.precision != "auto":
        return named[config.train.precision]
    device = pick_device(config.train.accelerator)
    if device.type == "cuda":
        return "bf16-mixed" if torch.cuda.is_bf16_supported() else "16-mixed"
    if device.type == "cpu":
        known = torch.cpu.get_capabilities()
        if known.get("amx_bf16", False) or known.get("avx512_bf16", False):
            return "bf16-mixed"
    return "32-true"


def quieten_lightning() -> None:
    """Lightning tells of things that are as we want them."""
    for name in ("lightning.pytorch", "lightning.fabric", "lightning"):
        logging.getLogger(name).setLevel(logging.ERROR)
    for text in (".*does not have many workers.*", ".*isinstance.treespec.*", ".*ckpt_path.*"):
        warnings.filterwarnings("ignore", text)
