"""The optimiser with its parameter groups, and the learning-rate schedule.

The learning rate is `train.lr` for the backbone, less for its earlier stages with
`train.layer_decay`, and `train.head_lr_factor` times `train.lr` for neck, pooling and the losses'
class vectors.
"""

import math

from torch import nn
from torch.optim import AdamW, Optimizer
from torch.optim.lr_scheduler import LambdaLR

from flukeprint.config.training import TrainConfig
from flukeprint.errors import FlukeprintError
from flukeprint.models.backbones import layer_groups
from flukeprint.models.network import FlukeNet


def build_optimizer(
    net: FlukeNet, losses: nn.Module, config: TrainConfig, *, fused: bool = True
) -> AdamW:
    """Make AdamW for all trainable parameters of network and losses.

    Biases, norms and the pooling's exponent have no weight decay.

    fused: one pass over memory per step.  Not with the scaled gradients of float16: the fused step
        unscales them itself, so that their norm could not be clipped before.

    Raises:
        FlukeprintError: layer_decay for a backbone whose stages timm does not know.
    """
    fast = config.lr * config.head_lr_factor
    named = [
        *_backbone_rates(net, config),
        *((p, fast) for p in net.pooling.parameters()),
        *((p, fast) for p in net.neck.parameters()),
        *((p, fast) for p in losses.parameters()),
    ]
    groups: dict[tuple[float, bool], list[nn.Parameter]] = {}
    for parameter, lr in named:
        if parameter.requires_grad:
            groups.setdefault((lr, parameter.ndim > 1), []).append(parameter)
    return AdamW(
        [
            {
                "params": parameters,
                "lr": lr,
                "weight_decay": config.weight_decay if decayed else 0.0,
            }
            for (lr, decayed), parameters in groups.items()
        ],
        fused=fused,
    )


def cosine_schedule(optimizer: Optimizer, config: TrainConfig, steps: int) -> LambdaLR:
    """Linear warm-up, then half a cosine down to `final_lr_factor`, over `steps` optimiser steps.

    Loshchilov & Hutter 2017, eq. 5, without restarts.
    """
    warm = config.warmup * steps
    last = config.final_lr_factor

    def factor(step: int) -> float:
        if step < warm:
            return (step + 1) / (warm + 1)
        done = min(1.0, (step - warm) / max(1.0, steps - warm))
        return last + (1 - last) * (1 + math.cos(math.pi * done)) / 2

    return LambdaLR(optimizer, factor)


def _backbone_rates(net: FlukeNet, config: TrainConfig) -> list[tuple[nn.Parameter, float]]:
    """The learning rate of each backbone parameter: lr * layer_decay**(stages after its own)."""
    backbone = net.backbone
    if config.layer_decay == 1:
        return [(parameter, config.lr) for parameter in backbone.parameters()]
    stages = layer_groups(backbone, coarse=True)
    if not stages:
        raise FlukeprintError(
            f"train.layer_decay: timm does not know the stages of {net.config.backbone}; "
            "set train.layer_decay=1"
        )
    after = {name: len(stages) - 1 - place for place, stage in enumerate(stages) for name in stage}
    return [
        (parameter, config.lr * config.layer_decay ** after[name])
        for name, parameter in backbone.named_parameters()
    ]
