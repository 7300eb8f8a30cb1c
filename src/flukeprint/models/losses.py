"""The loss by name: embeddings (b, dim) and labels (b,) enter, a weighted sum of terms leaves.

Embeddings come from the neck, not normalised; each term normalises where its paper does.
Label -1 is a new individual: never a positive, never a class, but a negative of all others in
the pair losses.  With mirrored identities there are twice the classes, class c + classes is
the mirror image of c, and neither of the two is ever the other's negative.

`LOSSES` shows every loss; its function shows its parameters and their defaults.  Pairs and
triplets stand in `mining.py`, the classes of the heads in `margins.py`.
"""

import inspect
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, get_type_hints

import numpy as np
import numpy.typing as npt
import torch
from pydantic import Field, TypeAdapter, ValidationError
from pytorch_metric_learning import losses as pml
from torch import Tensor, nn

from flukeprint.config.schema import LossConfig
from flukeprint.errors import FlukeprintError, nearest
from flukeprint.models.heads import (
    Center,
    CosineHead,
    DynamicMargin,
    FixedMargin,
    ProxyAnchor,
    Softmax,
    unit_vectors,
)
from flukeprint.models.miners import CrossBatchMemory, NotNegative, Positive, Task
from flukeprint.models.pair_losses import (
    PairLoss,
    circle,
    contrastive,
    margin_loss,
    multi_similarity,
    supcon,
    triplet,
)

Angle = Annotated[float, Field(ge=0, lt=math.pi / 2)]  # radians
Count = Annotated[int, Field(ge=1)]
Smoothing = Annotated[float, Field(ge=0, lt=1)]  # share of the target spread over all classes


def proxy_anchor(task: Task, *, margin: NotNegative = 0.1, alpha: Positive = 32.0) -> nn.Module:
    """Proxy-anchor loss (Kim et al. 2020, eq. 4)."""
    return ProxyAnchor(
        task.classes, task.dim, margin=margin, alpha=alpha, individuals=task.individuals
    )


def center(task: Task) -> nn.Module:
    """Center loss, to be added to softmax with a small weight (Wen et al. 2016: 0.003)."""
    return Center(task.classes, task.dim)


def softmax(task: Task, *, label_smoothing: Smoothing = 0.0) -> nn.Module:
    """Cross-entropy of a linear layer with bias."""
    return Softmax(
        task.classes, task.dim, label_smoothing=label_smoothing, individuals=task.individuals
    )


def _fixed_margin(
    head: Any, task: Task, margin: float, scale: float, label_smoothing: float = 0.0
) -> nn.Module:
    """One of the package's heads with a margin in the head's own unit."""
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
    """norm * ((-1)^k cos(margin * theta) - 2 k), a whole number (Liu et al. 2017, eq. 7)."""
    return _fixed_margin(pml.SphereFaceLoss, task, margin, scale)


def subcenter_arcface(
    task: Task,
    *,
    margin: Angle = 0.5,
    scale: Positive = 30.0,
    sub_centers: Count = 3,
    label_smoothing: Smoothing = 0.0,
) -> nn.Module:
    """ArcFace with the nearest of some centers for each class (Deng et al. 2020); radians."""
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


LOSSES: dict[str, Callable[..., nn.Module]] = {
    "triplet": triplet,
    "contrastive": contrastive,
    "margin": margin_loss,
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
    """`total` to descend on, and what each term was before its weight (detached scalars)."""

    total: Tensor
    parts: dict[str, Tensor]


class SummedLoss(nn.Module):
    """Weighted sum of losses, in float32 also under autocast.

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

        A number that is not finite in the embeddings makes the total NaN.
        """
        if embeddings.shape != (len(labels), self.dim):
            raise ValueError(f"embeddings {tuple(embeddings.shape)} are not (b, {self.dim})")
        if len(labels) and not -1 <= int(labels.min()) <= int(labels.max()) < self.classes:
            raise ValueError(f"labels must be from -1 to {self.classes - 1}")
        with torch.autocast(embeddings.device.type, enabled=False):
            embeddings = embeddings.float()
            # Means over what costs anything would drop a NaN; this keeps it, and the graph.
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
        """(classes, centers of a class, dim) unit vectors of the first head that has cosines."""
        for term in self.terms:
            if isinstance(term, CosineHead):
                return torch.nn.functional.normalize(term.centers().detach().float(), dim=2)
        return None

    def similarities(self, embeddings: Tensor) -> Tensor | None:
        """(b, dim) -> (b, classes) cosine with each class of the first head that has cosines.

        With mirrored identities the second half of the columns are the mirror images.  None
        where no loss has such a head.
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
    """The sum that `configs` means.

    classes: known individuals.  With `mirrored_classes` heads have twice as many.
    dim: of the embeddings.
    class_counts: (classes,) training photos of each individual.
    memory: past embeddings that pair losses look at as well.

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
    return SummedLoss(names, [config.weight for config in configs], terms, task, memory)


def _checked(config: LossConfig) -> dict[str, Any]:
    """The parameters of one loss, held against the signature of its function."""
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
