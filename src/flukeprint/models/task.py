"""What every loss is built from: the classes of the training set, and types of its parameters."""

import math
from dataclasses import dataclass
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Angle = Annotated[float, Field(ge=0, lt=math.pi / 2)]  # radians
Count = Annotated[int, Field(ge=1)]
Smoothing = Annotated[float, Field(ge=0, lt=1)]  # share of the target spread over all classes


@dataclass(frozen=True)
class Task:
    """The training set as a loss sees it.

    classes: number of classes, mirror images included.
    dim: of the embeddings.
    counts: (classes,) photos of each class.
    individuals: classes / 2 with mirrored identities, else None.
    """

    classes: int
    dim: int
    counts: Tensor
    individuals: int | None


def twins(labels: Tensor, individuals: int) -> Tensor:
    """(b,) class of each photo's mirror image, of 2 * individuals classes; -1 stays -1."""
    mirrored = (labels + individuals) % (2 * individuals)
    return torch.where(labels < 0, labels, mirrored)
