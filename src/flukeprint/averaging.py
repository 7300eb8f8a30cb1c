"""Averages of the weights over training: a configuration enters, Lightning callbacks leave.

Validation and the checkpoint's `state_dict` hold the averaged network, the checkpoint's
`current_model_state` the one that goes on learning.
"""

import math

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback, EMAWeightAveraging, WeightAveraging
from torch import Tensor

from flukeprint.config import TrainConfig
from flukeprint.embedding import pick_device
from flukeprint.errors import FlukeprintError


class EpochAveraging(WeightAveraging):
    """Mean of the weights at the ends of the epochs from `first` (from 0) on.

    Stochastic weight averaging (Izmailov et al. 2018, algorithm 1) at the ordinary learning
    rate; up to `first` the average is the latest weights themselves.  Statistics of batch norm
    are averaged as the weights are, not computed anew: so every checkpoint is complete.
    """

    def __init__(self, first: int, device: torch.device) -> None:
        def mean(average: Tensor, current: Tensor, epoch: Tensor | int) -> Tensor:
            """`epoch`: number of this epoch; all before it were taken in."""
            before = int(epoch) - first
            return current if before <= 0 else average + (current - average) / (before + 1)

        super().__init__(device=device, use_buffers=True, avg_fn=mean)

    def should_update(self, step_idx: int | None = None, epoch_idx: int | None = None) -> bool:
        return epoch_idx is not None

    def on_validation_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        # Lightning validates before it ends the epoch: take the epoch in first, once.
        self.on_train_epoch_end(trainer, pl_module)
        super().on_validation_epoch_start(trainer, pl_module)


def averaging(config: TrainConfig) -> list[Callback]:
    """The callback that `train.ema` or `train.swa` asks for; none, where neither does."""
    check_averaging(config)
    device = pick_device(config.accelerator)
    if config.ema is not None:
        return [EMAWeightAveraging(device=device, decay=config.ema)]
    if config.swa is not None:
        first = math.ceil(round(config.swa * config.epochs, 6))
        return [EpochAveraging(min(first, config.epochs - 1), device)]
    return []


def check_averaging(config: TrainConfig) -> None:
    """Refuse two averages at once."""
    if config.ema is not None and config.swa is not None:
        raise FlukeprintError(
            f"train.ema={config.ema:g} and train.swa={config.swa:g} both average the weights; "
            "set one of them to null"
        )
