"""Section `pretrain`: self-supervised training of the backbone before it learns identities."""

from typing import Literal

from pydantic import Field, PositiveInt

from flukeprint.config.base import Section, Share


class PretrainConfig(Section):
    """Self-supervised training of the backbone, without labels, before the training with them."""

    # Without a default: digests leave defaults out, and this section must not be left out whole.
    method: Literal["simclr"] = Field(
        description="simclr: two augmented views of a photograph attract each other, views of "
        "different photographs repel (NT-Xent loss)."
    )
    photos: Literal["all", "train"] = Field(
        "all",
        description="all: labelled and test photographs, the fold's queries among them, all "
        "without their labels. train: only those that the fold trains on.",
    )
    epochs: int = Field(50, ge=1, description="Number of epochs.")
    batch_size: int = Field(
        64, ge=2, description="Photographs of a batch, two views each, over all processes."
    )
    lr: float = Field(1e-3, gt=0, description="Learning rate of backbone and projection head.")
    temperature: float = Field(0.2, gt=0, description="Temperature of the NT-Xent loss.")
    hidden_dim: PositiveInt = Field(512, description="Length of the hidden layer of the head.")
    projection_dim: int = Field(
        128, ge=2, description="Length of a projection; the head is thrown away afterwards."
    )
    queue: int = Field(
        0,
        ge=0,
        description="Projections of past batches that serve as further negatives, where batches "
        "are small.",
    )
    crop: Share = Field(0.3, description="Least share of the area in a view's random crop.")
    colour: float = Field(
        0.5, ge=0, le=1, description="Strength of a view's changes of light and colour."
    )
    grey: float = Field(0.2, ge=0, le=1, description="Probability that a view is grey.")
    blur: float = Field(0.5, ge=0, le=1, description="Probability that a view is blurred.")
