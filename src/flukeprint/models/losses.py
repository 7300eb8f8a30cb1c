"""Builds the training loss from the configuration: a weighted sum of losses chosen by name.

`LOSSES` lists every loss; the function of a loss has its parameters and their defaults.  Losses
on pairs and triplets are in `pair_losses`, losses on classes in `class_losses`.

Embeddings (b, dim) come from the neck, not normalised; each loss normalises where its paper does.
Label -1 is a new individual: never a positive, never a class, but a negative of all others in
the pair losses.  With mirrored identities there are twice the classes, class c + classes is
the mirror image of c, and neither of the two is ever the other's negative.
"""

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, get_type_hints

import numpy as np
import numpy.typing as npt
import torch
from pydantic import TypeAdapter, ValidationError
from torch import Tensor, nn

from flukeprint.config.training import LossConfig
from flukeprint.errors import FlukeprintError, nearest
from flukeprint.models.class_losses import (
    arcface,
    center,
    cosface,
    dynamic_arcface,
    proxy_anchor,
    softmax,
    sphereface,
    subcenter_arcface,
)
from flukeprint.models.heads import CosineHead
from flukeprint.models.miners import CrossBatchMemory
from flukeprint.models.pair_losses import (
    PairLoss,
    circle,
    concatenation_head,
    contrastive,
    difference_head,
    hinge,
    margin_loss,
    multi_similarity,
    pair_regression,
    supcon,
    triplet,
)
from flukeprint.models.task import Task

LOSSES: dict[str, Callable[..., nn.Module]] = {
    "triplet": triplet,
    "contrastive": contrastive,
    "pair_regression": pair_regression,
    "hinge": hinge,
    "margin": margin_loss,
    "difference_head": difference_head,
    "concatenation_head": concatenation_head,
    "multi_similarity": multi_similarity,
    "circle": circle,
    "supcon": supcon,
    "proxy_anchor": proxy_anchor,
    "center": center,
    "softmax": softmax,
    "arcface": arcface,
    "cosface": cosface,
    "sphereface": sphereface,
    "subcenter_arcface": subcenter_arcface,
    "dynamic_arcface": dynamic_arcface,
}


@dataclass(frozen=True)
class LossOutput:
    """`total` to minimise, and each term before it is weighted (`parts`, detached scalars)."""

    total: Tensor
    parts: dict[str, Tensor]


class SummedLoss(nn.Module):
    """Weighted sum of losses, computed in float32 even under autocast.

    Class weights, proxies and centers are its parameters.
    """

    def __init__(
        self,
        names: Sequence[str],
        weights: Sequence[float],
        terms: Sequence[nn.Module],
        task: Task,
        memory: int,
    ) -> None:
        super().__init__()
        self.names = tuple(names)
        self.weights = tuple(weights)
        self.terms = nn.ModuleList(terms)
        self.classes = task.classes
        self.dim = task.dim
        self.memory = CrossBatchMemory(memory, task.dim) if memory else None

    def forward(self, embeddings: Tensor, labels: Tensor) -> LossOutput:
        """Embeddings (b, dim), labels (b,) int64 from -1 to classes - 1.

        A number in the embeddings that is not finite makes the total NaN.
        """
        if embeddings.shape != (len(labels), self.dim):
            raise ValueError(f"embeddings {tuple(embeddings.shape)} are not (b, {self.dim})")
        if len(labels) and not -1 <= int(labels.min()) <= int(labels.max()) < self.classes:
            raise ValueError(f"labels must be from -1 to {self.classes - 1}")
        with torch.autocast(embeddings.device.type, enabled=False):
            embeddings = embeddings.float()
            # Means over non-zero costs would drop a NaN; this keeps it, and the graph.
            total = 0 * embeddings.sum()
            parts = {}
            past = None if self.memory is None else self.memory.past()
            for name, weight, term in zip(self.names, self.weights, self.terms, strict=True):
                others = (past,) if isinstance(term, PairLoss) else ()
                part = term(embeddings, labels, *others)
                parts[name] = part.detach()
                total = total + weight * part
            if self.memory is not None and self.training:
                self.memory.add(embeddings, labels)
        return LossOutput(total, parts)

    def centers(self) -> Tensor | None:
        """Class centres as unit vectors (classes, centers of a class, dim), or None.

        They are the weights of the first loss with a cosine head.
        """
        for term in self.terms:
            if isinstance(term, CosineHead):
                return torch.nn.functional.normalize(term.centers().detach().float(), dim=2)
        return None

    def similarities(self, embeddings: Tensor) -> Tensor | None:
        """Cosines (b, classes) of embeddings (b, dim) with the classes, by the first cosine head.

        With mirrored identities the second half of the columns are the mirror images.  None
        where no loss has a cosine head.
        """
        for term in self.terms:
            if isinstance(term, CosineHead):
                with torch.autocast(embeddings.device.type, enabled=False):
                    return term.cosine(embeddings.float())
        return None


def build_losses(
    configs: Sequence[LossConfig],
    *,
    classes: int,
    dim: int,
    class_counts: npt.NDArray[np.int64],
    mirrored_classes: bool,
    memory: int = 0,
) -> SummedLoss:
    """Build the weighted sum of the configured losses.

    classes: number of known individuals; with `mirrored_classes` heads have twice as many.
    dim: of the embeddings.
    class_counts: (classes,) training photos of each individual.
    memory: number of past embeddings that pair losses compare with as well.

    Weights of the heads are drawn from torch's global generator: seed it before.  Raises
    FlukeprintError for unknown names of losses and parameters and for values out of range.
    """
    counts = torch.from_numpy(np.array(class_counts, dtype=np.int64))
    if counts.shape != (classes,) or classes < 1 or bool((counts < 0).any()):
        raise ValueError(f"class_counts {tuple(counts.shape)} must count photos of {classes} >= 1")
    if not configs:
        raise FlukeprintError(f"losses: the list is empty; {nearest('', LOSSES)}")
    task = Task(classes, dim, counts, None)
    if mirrored_classes:
        task = Task(2 * classes, dim, counts.repeat(2), classes)
    names: list[str] = []
    terms = []
    for config in configs:
        if config.name not in LOSSES:
            raise FlukeprintError(
                f"losses: unknown loss {config.name!r}; {nearest(config.name, LOSSES)}"
            )
        terms.append(LOSSES[config.name](task, **_checked(config)))
        times = sum(other.name == config.name for other in configs[: len(terms)])
        names.append(config.name if times == 1 else f"{config.name}_{times}")
    if memory and not any(isinstance(term, PairLoss) for term in terms):
        raise FlukeprintError(
            f"train.memory is {memory}, but no loss compares pairs ({', '.join(names)}); set it to "
            "0 or add one such as triplet or multi_similarity"
        )
    if memory and all(term.drawn_only for term in terms if isinstance(term, PairLoss)):
        raise FlukeprintError(
            f"train.memory is {memory}, but {', '.join(names)} with pairs: drawn compares nothing "
            "with past batches; set it to 0 or pairs to all"
        )
    return SummedLoss(names, [config.weight for config in configs], terms, task, memory)


def check_losses(configs: Sequence[LossConfig], *, mirrored: bool, memory: int) -> None:
    """Refuse losses that cannot be built, whatever the photographs are; as `build_losses`."""
    with torch.random.fork_rng(devices=[]):  # weights are drawn
        build_losses(
            configs, classes=2, dim=2, class_counts=np.ones(2, dtype=np.int64),
            mirrored_classes=mirrored, memory=memory,
        )  # fmt: skip


def _checked(config: LossConfig) -> dict[str, Any]:
    """The parameters of one loss, checked against the signature of its function."""
    builder = LOSSES[config.name]
    known = [name for name in inspect.signature(builder).parameters if name != "task"]
    hints = get_type_hints(builder, include_extras=True)
    for name, value in config.params.items():
        if name not in known:
            names = nearest(name, known) if known else "it has no parameters"
            raise FlukeprintError(f"losses: {config.name}: unknown parameter {name!r}; {names}")
        try:
            TypeAdapter(hints[name]).validate_python(value, strict=True)
        except ValidationError as error:
            problem = error.errors()[0]["msg"]
            raise FlukeprintError(
                f"losses: {config.name}: {name} is {value!r}: {problem[0].lower()}{problem[1:]}"
            ) from None
    return dict(config.params)
