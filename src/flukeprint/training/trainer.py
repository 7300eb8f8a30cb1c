"""Set up Lightning's trainer: devices, precision, checkpoints, early stopping and logs."""

import logging
import os
import warnings
from collections.abc import Sequence
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
from flukeprint.errors import FlukeprintError
from flukeprint.identifier.runs import Run
from flukeprint.output import on_terminal
from flukeprint.training.callbacks import (
    AtomicCheckpointIO,
    Stopwatch,
    averaging,
    progress_callback,
)


def stopped_early(config: Config, checkpoint: Path) -> bool:
    """Whether early stopping had ended the run already; Lightning itself would train on."""
    if config.train.patience is None:
        return False
    callbacks = AtomicCheckpointIO().load_checkpoint(checkpoint)["callbacks"]
    waits = [state["wait_count"] for state in callbacks.values() if "wait_count" in state]
    return any(wait >= config.train.patience for wait in waits)


def make_trainer(config: Config, run: Run) -> L.Trainer:
    """Make Lightning's trainer with the epochs, precision, callbacks and logs of `config`."""
    t = config.train
    last = ModelCheckpoint(
        run.checkpoints, filename="last", save_top_k=1, enable_version_counter=False,
        every_n_epochs=1, save_on_train_epoch_end=True,
    )  # fmt: skip
    callbacks: list[Callback] = [progress_callback()]
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
    callbacks.append(last)  # after `best`, whose state this checkpoint has to hold
    part = len(list((run.path / "log").glob("csv-*")))  # a resumed run begins a further file
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
        reload_dataloaders_every_n_epochs=1,  # the sampler makes other batches each epoch
        use_distributed_sampler=False,  # our samplers split batches among processes
        plugins=[AtomicCheckpointIO()],
        callbacks=callbacks,
        logger=[
            CSVLogger(run.path, name="log", version=f"csv-{part}"),
            TensorBoardLogger(run.path, name="log", version="tensorboard"),
        ],
        log_every_n_steps=1,
        enable_model_summary=False,
        enable_progress_bar=on_terminal(),  # else Lightning adds one of its own
        benchmark=False,
        deterministic="warn",
        sync_batchnorm=t.devices * t.num_nodes > 1 and pick_device(t.accelerator).type == "cuda",
    )


def make_stage_trainer(
    config: Config,
    checkpoint: Path,
    epochs: int,
    callbacks: Sequence[Callback],
    accumulate: int = 1,
) -> L.Trainer:
    """Make the trainer of a stage beside the fold's training, without validations.

    Its log and `minutes.json` lie beside `checkpoint`; a resumed stage begins a further log.
    """
    t, folder = config.train, checkpoint.parent
    last = ModelCheckpoint(
        folder, filename=checkpoint.stem, save_top_k=1, enable_version_counter=False,
        every_n_epochs=1, save_on_train_epoch_end=True,
    )  # fmt: skip
    several = t.devices * t.num_nodes > 1
    part = len(list((folder / "log").glob("csv-*")))
    return L.Trainer(
        accelerator=t.accelerator,
        devices=t.devices,
        num_nodes=t.num_nodes,
        strategy="ddp" if several else "auto",
        precision=lightning_precision(config),
        max_epochs=epochs,
        max_steps=t.max_steps or -1,
        accumulate_grad_batches=accumulate,
        gradient_clip_val=t.clip,
        limit_val_batches=0,
        num_sanity_val_steps=0,
        reload_dataloaders_every_n_epochs=1,
        use_distributed_sampler=False,
        plugins=[AtomicCheckpointIO()],
        callbacks=[*callbacks, Stopwatch(folder / "minutes.json"), last],
        logger=[
            CSVLogger(folder, name="log", version=f"csv-{part}"),
            TensorBoardLogger(folder, name="log", version="tensorboard"),
        ],
        log_every_n_steps=1,
        enable_model_summary=False,
        enable_progress_bar=on_terminal(),
        benchmark=False,
        deterministic="warn",
        sync_batchnorm=several and pick_device(t.accelerator).type == "cuda",
    )


def fit(
    trainer: L.Trainer,
    module: L.LightningModule,
    data: L.LightningDataModule,
    checkpoint: Path | None,
    backbone: str,
) -> None:
    """Train until the last epoch, from a checkpoint where there is one.

    Raises:
        FlukeprintError: a checkpoint of another architecture than `backbone`.
        KeyboardInterrupt: training was interrupted.
    """
    try:
        trainer.fit(module, data, ckpt_path=checkpoint, weights_only=True)
    except SystemExit:  # Lightning's answer to Ctrl-C
        raise KeyboardInterrupt from None
    except RuntimeError as error:
        if "loading state_dict" not in str(error):
            raise
        raise FlukeprintError(
            f"{checkpoint} is a checkpoint of another architecture than {backbone}"
        ) from None


def lightning_precision(config: Config) -> Any:
    """Choose Lightning's precision for `train.precision`, such as bf16-mixed.

    On a CPU bf16 is faster only with instructions for it: AMX, or AVX-512 with avx512_bf16
    (`benchmarks/reports/training_step.md`).  Elsewhere half the operations
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
    """Silence Lightning's hints about settings that are meant as they are."""
    for name in ("lightning.pytorch", "lightning.fabric", "lightning"):
        logging.getLogger(name).setLevel(logging.ERROR)
    for text in (
        ".*does not have many workers.*", ".*isinstance.treespec.*", ".*ckpt_path.*",
        ".*exists and is not empty.*",
    ):  # fmt: skip
        warnings.filterwarnings("ignore", text)


def first_process() -> bool:
    """Whether this is the first process of all nodes, or the only one.

    It reads the variables of Lightning, torchrun and Slurm, so it works before there is a process
    group.
    """
    ranks = ("RANK", "SLURM_PROCID", "NODE_RANK", "GROUP_RANK", "LOCAL_RANK")
    return all(int(os.environ.get(name) or 0) == 0 for name in ranks)
