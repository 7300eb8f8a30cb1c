"""Lightning plug-ins of training: weight averaging, safe checkpoints, progress bar, stopwatch.

Where weights are averaged, validation uses the averaged network, and so does the `state_dict` of a
checkpoint; its `current_model_state` is the network that is trained further.
"""

import contextlib
import json
import math
import pickle
import sys
import time
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.fabric.plugins import TorchCheckpointIO
from lightning.pytorch.callbacks import (
    Callback,
    EMAWeightAveraging,
    TQDMProgressBar,
    WeightAveraging,
)
from torch import Tensor

from flukeprint.config.training import TrainConfig
from flukeprint.disks import full_disk
from flukeprint.embedding.embed import pick_device
from flukeprint.errors import FlukeprintError
from flukeprint.files import written_whole
from flukeprint.output import on_terminal, say

Figures = tuple[tuple[str, str], ...]
FIGURES: Figures = (("loss", "train/loss"), ("MAP@5", "val/map5"))


class EpochAveraging(WeightAveraging):
    """Stochastic weight averaging: the mean of the weights after each epoch from `first` on.

    Epochs count from 0; before `first` the average is the latest weights.  Izmailov et al. 2018,
    algorithm 1, at the ordinary learning rate.  The statistics of batch norm are averaged like the
    weights, not computed again, so that every checkpoint is complete.
    """

    # Lightning finds the state in a checkpoint by the name of this class: do not rename it.

    def __init__(self, first: int, device: torch.device) -> None:
        def mean(average: Tensor, current: Tensor, epoch: Tensor | int) -> Tensor:
            """The average after `epoch`; all epochs before it are in `average`."""
            before = int(epoch) - first
            return current if before <= 0 else average + (current - average) / (before + 1)

        super().__init__(device=device, use_buffers=True, avg_fn=mean)

    def should_update(self, step_idx: int | None = None, epoch_idx: int | None = None) -> bool:
        return epoch_idx is not None

    def on_validation_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        # Lightning validates before the epoch's end: average first, so that this epoch counts.
        self.on_train_epoch_end(trainer, pl_module)
        super().on_validation_epoch_start(trainer, pl_module)


def averaging(config: TrainConfig) -> list[Callback]:
    """Make the callback for `train.ema` or `train.swa`; an empty list without both."""
    device = pick_device(config.accelerator)
    if config.ema is not None:
        return [EMAWeightAveraging(device=device, decay=config.ema)]
    if config.swa is not None:
        first = math.ceil(round(config.swa * config.epochs, 6))
        return [EpochAveraging(min(first, config.epochs - 1), device)]
    return []


def check_averaging(config: TrainConfig) -> None:
    """Refuse `train.ema` together with `train.swa`."""
    if config.ema is not None and config.swa is not None:
        raise FlukeprintError(
            f"train.ema={config.ema:g} and train.swa={config.swa:g} both average the weights; "
            "set one of them to null"
        )


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes checkpoints atomically, and reads them without running pickled code."""

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any | None = None
    ) -> None:
        with written_whole(Path(path)) as partial:
            try:
                # Through a file of Python's: torch's own writer hides why it could not write.
                with partial.open("wb") as file:
                    torch.save(checkpoint, file)
            except RuntimeError as error:
                full = full_disk(error)
                raise OSError(str(error)) if full is None else full from None

    def load_checkpoint(
        self, path: str | Path, map_location: Any = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        try:
            loaded: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        except (pickle.UnpicklingError, RuntimeError, EOFError, OSError) as error:
            reason = " ".join(str(error).split())[:120]
            raise FlukeprintError(
                f"{path} is no checkpoint that can be resumed ({reason})"
            ) from None
        return loaded


class ProgressBar(TQDMProgressBar):
    """Lightning's progress bar, on standard error, without the version number of the logs."""

    def init_train_tqdm(self) -> Any:
        with contextlib.redirect_stdout(sys.stderr):  # standard output is kept for results
            return super().init_train_tqdm()

    def init_validation_tqdm(self) -> Any:
        with contextlib.redirect_stdout(sys.stderr):
            return super().init_validation_tqdm()

    def get_metrics(self, trainer: L.Trainer, pl_module: L.LightningModule) -> dict[str, Any]:
        metrics: dict[str, Any] = super().get_metrics(trainer, pl_module)
        metrics.pop("v_num", None)
        return metrics


class ProgressLines(Callback):
    """The progress of a training without a terminal: some lines, each of a whole epoch."""

    LINES = 20  # of a whole training, about

    def __init__(self, what: str = "epoch", figures: Figures = FIGURES) -> None:
        """`what` begins each line; `figures`: names of logged figures, and what they are called."""
        self._what, self._figures = what, figures

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._begun = time.monotonic()

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        epochs, done = trainer.max_epochs or 1, trainer.current_epoch + 1
        if not trainer.is_global_zero or (done < epochs and done % -(-epochs // self.LINES)):
            return
        known = dict(trainer.callback_metrics)
        if done % (trainer.check_val_every_n_epoch or 1):
            known.pop("val/map5", None)  # of an earlier epoch
        parts = [f"{name} {float(known[key]):.3f}" for name, key in self._figures if key in known]
        elapsed = f"{time.monotonic() - self._begun:.0f} s"
        say(f"{self._what} {done} of {epochs}: {', '.join([*parts, elapsed])}")


def progress_callback(what: str = "epoch", figures: Figures = FIGURES) -> Callback:
    """A bar on a terminal, else lines, as `ProgressLines` takes them."""
    return ProgressBar(refresh_rate=5) if on_terminal() else ProgressLines(what, figures)


def peak_memory() -> float:
    """Peak memory in MB of this process and its largest ended child together; 0 on Windows."""
    if sys.platform == "win32":
        return 0.0
    import resource

    kilo = 1024 if sys.platform == "darwin" else 1  # Linux counts in KB, macOS in bytes
    who = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    return sum(resource.getrusage(one).ru_maxrss for one in who) / kilo / 1024


class Stopwatch(Callback):
    """Measures the minutes of training with its validations, and the peak memory.

    Both are written to `path` at the end, and kept in checkpoints.
    """

    # Lightning finds the state in a checkpoint by the name of this class: do not rename it.

    def __init__(self, path: Path) -> None:
        self.path = path
        self.before = 0.0  # minutes until the checkpoint that was resumed
        self.peak = 0.0  # MB
        self.start: float | None = None

    @property
    def minutes(self) -> float:
        """Minutes so far, with those before the run was resumed."""
        now = 0.0 if self.start is None else (time.monotonic() - self.start) / 60
        return self.before + now

    def on_fit_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self.start = time.monotonic()

    def on_fit_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if trainer.is_global_zero:
            with written_whole(self.path) as partial:
                partial.write_text(json.dumps(self.state_dict()) + "\n")

    def state_dict(self) -> dict[str, Any]:
        self.peak = max(self.peak, peak_memory())
        return {"minutes": round(self.minutes, 4), "peak_mb": round(self.peak, 1)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.before, self.peak = float(state_dict["minutes"]), float(state_dict["peak_mb"])
