"""Losses that compare embeddings with classes: softmax, ArcFace and kin, proxies and centres.

Each function makes one loss, a module of `heads`; its parameters are those of the configuration.
Weights of the classes are drawn from torch's global generator: seed it before.
"""

import math
from functools import partial
from typing import Any

from pytorch_metric_learning import losses as pml
from torch import nn

from flukeprint.errors import FlukeprintError
from flukeprint.models.heads import (
    Center,
    DynamicMargin,
    FixedMargin,
    ProxyAnchor,
    Softmax,
    unit_vectors,
)
from flukeprint.models.task import Angle, Count, NotNegative, Positive, Smoothing, Task


def proxy_anchor(task: Task, *, margin: NotNegative = 0.1, alpha: Positive = 32.0) -> nn.Module:
    """Proxy-anchor loss (Kim et al. 2020, eq. 4)."""
    return ProxyAnchor(
        task.classes, task.dim, margin=margin, alpha=alpha, individuals=task.individuals
    )


def center(task: Task) -> nn.Module:
    """Center loss, to be added to softmax with a small weight (Wen et al. 2016: 0.003)."""
    return Center(task.classes, task.dim)


def softmax(task: Task, *, label_smoothing: Smoothing = 0.0) -> nn.Module:
    """Cross-entropy of a linear layer with bias on the embedding."""
    return Softmax(
        task.classes, task.dim, label_smoothing=label_smoothing, individuals=task.individuals
    )


def _fixed_margin(
    head: Any, task: Task, margin: float, scale: float, label_smoothing: float = 0.0
) -> nn.Module:
    """A head of pytorch-metric-learning, with a margin in that head's own unit."""
    start = partial(unit_vectors, dim=task.dim)
    return FixedMargin(
        head(task.classes, task.dim, margin=margin, scale=scale, weight_init_func=start),
        task.individuals,
        label_smoothing,
    )


def arcface(
    task: Task,
    *,
    margin: Angle = 0.5,
    scale: Positive = 30.0,
    label_smoothing: Smoothing = 0.0,
) -> nn.Module:
    """cos(theta + margin), margin in radians (Deng et al. 2019, eq. 3).

    Their scale of 64 is for millions of faces; catalogues of animals are small.
    """
    return _fixed_margin(pml.ArcFaceLoss, task, math.degrees(margin), scale, label_smoothing)


def cosface(
    task: Task,
    *,
    margin: NotNegative = 0.35,
    scale: Positive = 30.0,
    label_smoothing: Smoothing = 0.0,
) -> nn.Module:
    """cos(theta) - margin (Wang et al. 2018, eq. 4)."""
    return _fixed_margin(pml.CosFaceLoss, task, margin, scale, label_smoothing)


def sphereface(task: Task, *, margin: Count = 4, scale: Positive = 1.0) -> nn.Module:
    """norm * ((-1)^k cos(margin * theta) - 2 k), margin a whole number (Liu et al. 2017, eq. 7)."""
    return _fixed_margin(pml.SphereFaceLoss, task, margin, scale)


def subcenter_arcface(
    task: Task,
    *,
    margin: Angle = 0.5,
    scale: Positive = 30.0,
    sub_centers: Count = 3,
    label_smoothing: Smoothing = 0.0,
) -> nn.Module:
    """ArcFace with the nearest of `sub_centers` for each class (Deng et al. 2020), in radians."""
    head = pml.SubCenterArcFaceLoss(
        num_classes=task.classes,
        embedding_size=task.dim,
        margin=math.degrees(margin),
        scale=scale,
        sub_centers=sub_centers,
        weight_init_func=partial(unit_vectors, dim=task.dim),
    )
    return FixedMargin(head, task.individuals, label_smoothing)


def dynamic_arcface(
    task: Task,
    *,
    a: NotNegative = 0.27126,
    b: NotNegative = 0.364399,
    c: NotNegative = 0.05,
    scale: Positive = 20.96,
    sub_centers: Count = 2,
    label_smoothing: Smoothing = 0.0,
) -> nn.Module:
    """Sub-center ArcFace with margin a * n**-b + c radians for a class of n photos.

    Constants of knshnb, winner of Happywhale 2022.
    """
    if a + c >= math.pi / 2:
        raise FlukeprintError(
            f"losses: dynamic_arcface: a + c is {a + c:g} rad, the margin of one photo; it must "
            "be less than 1.5708"
        )
    return DynamicMargin(
        task.counts,
        task.dim,
        a=a,
        b=b,
        c=c,
        scale=scale,
        sub_centers=sub_centers,
        individuals=task.individuals,
        label_smoothing=label_smoothing,
    )
