"""Classification heads: losses with a learned vector for each class.

They take embeddings (b, dim) and labels (b,), and return a scalar.  A new individual (-1) is no
class: its photos are left out of the mean.  With mirrored identities class c + individuals is the
mirror image of c, and the two are never each other's negative: the twin's logit is taken out of
the softmax.  Weights, cosines and margins are those of pytorch-metric-learning's heads; the sum
over classes is computed here, because of the twins.

Weights are drawn from torch's global generator when a loss is built: seed it before.
"""

import math
from abc import abstractmethod

import torch
from pytorch_metric_learning import losses as pml
from torch import Tensor, nn
from torch.nn import functional as F

from flukeprint.models.task import twins

# acos and sqrt(1 - cos^2) have infinite slope at +-1; closer than this the gradient is 0.
_EDGE = 1e-7


class ClassLoss(nn.Module):
    """Base of losses on classes, which leave new individuals out.

    individuals: number of classes that are not mirror images; None without mirrored identities.
    """

    def __init__(self, individuals: int | None) -> None:
        super().__init__()
        self.individuals = individuals

    def forward(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """Embeddings (b, dim), labels (b,) -> scalar; 0 in a batch of new individuals only."""
        known = labels >= 0
        if not bool(known.any()):
            # Parameters must stay in the graph: other processes wait for their gradients.
            zero = sum((0 * parameter.sum() for parameter in self.parameters()), embeddings.sum())
            return 0 * zero
        return self.known_loss(embeddings[known], labels[known])

    @abstractmethod
    def known_loss(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """The loss where every label is a class."""

    def blocked(self, labels: Tensor, classes: int) -> Tensor:
        """(b, classes) True at the class of each photo's own mirror image."""
        if self.individuals is None:
            return torch.zeros(len(labels), classes, dtype=torch.bool, device=labels.device)
        return F.one_hot(twins(labels, self.individuals), classes).bool()


class CosineHead(ClassLoss):
    """A class loss whose logits are cosines, so that it can rank identities, too."""

    @abstractmethod
    def cosine(self, embeddings: Tensor) -> Tensor:
        """(b, dim) -> (b, classes) cosine with each class, without margin or scale."""

    @abstractmethod
    def centers(self) -> Tensor:
        """(classes, centers of a class, dim), not normalised; `cosine` is that with the nearest."""


class MarginHead(CosineHead):
    """Softmax over cosines with a margin on the target's, and optional label smoothing."""

    def __init__(self, individuals: int | None, label_smoothing: float) -> None:
        super().__init__(individuals)
        self.label_smoothing = label_smoothing

    def known_loss(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        logits = self.logits(embeddings, labels)
        blocked = self.blocked(labels, logits.shape[1])
        return cross_entropy(logits, labels, blocked, self.label_smoothing)

    def logits(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """(b, classes), scaled, with the margin in the column of the label."""
        cosine = self.cosine(embeddings)
        target = cosine.gather(1, labels[:, None]).squeeze(1).clamp(_EDGE - 1, 1 - _EDGE)
        changed = self.with_margin(target, labels)
        return self.scaled(cosine.scatter(1, labels[:, None], changed[:, None]), embeddings)

    @abstractmethod
    def with_margin(self, target: Tensor, labels: Tensor) -> Tensor:
        """(b,) cosines with the right class -> (b,), reduced by the margin."""

    @abstractmethod
    def scaled(self, logits: Tensor, embeddings: Tensor) -> Tensor:
        """(b, classes) times the scale."""


class FixedMargin(MarginHead):
    """ArcFace, sub-center ArcFace, CosFace or SphereFace of pytorch-metric-learning."""

    def __init__(
        self,
        head: pml.LargeMarginSoftmaxLoss,
        individuals: int | None,
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__(individuals, label_smoothing)
        self.head = head

    def cosine(self, embeddings: Tensor) -> Tensor:
        value: Tensor = self.head.get_cosine(embeddings)
        return value

    def centers(self) -> Tensor:
        weight: Tensor = self.head.W
        return weight.t().reshape(self.head.num_classes, -1, len(weight))

    def with_margin(self, target: Tensor, labels: Tensor) -> Tensor:
        # SphereFace counts in float64.
        value: Tensor = self.head.modify_cosine_of_target_classes(target).to(target.dtype)
        return value

    def scaled(self, logits: Tensor, embeddings: Tensor) -> Tensor:
        value: Tensor = self.head.scale_logits(logits, embeddings)
        return value


class DynamicMargin(MarginHead):
    """Sub-center ArcFace whose margin is wider for individuals with fewer photos.

    m(n) = a * n**-b + c radians, n photos of the class in training (Ha et al. 2020, section
    3.2; the constants of the winner of Happywhale 2022).  The cosine with a class is the
    largest over its sub-centers (Deng et al. 2020, eq. 5).
    """

    margins: Tensor

    def __init__(
        self,
        counts: Tensor,
        dim: int,
        *,
        a: float,
        b: float,
        c: float,
        scale: float,
        sub_centers: int,
        individuals: int | None,
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__(individuals, label_smoothing)
        self.scale = scale
        self.sub_centers = sub_centers
        # A class without training photos is never a target, whatever its margin.
        photos = counts.double().clamp(min=1)
        self.register_buffer("margins", (a * photos**-b + c).float(), persistent=False)
        self.weight = nn.Parameter(torch.empty(len(counts) * sub_centers, dim))
        unit_vectors(self.weight, dim)

    def cosine(self, embeddings: Tensor) -> Tensor:
        cosine = F.normalize(embeddings) @ F.normalize(self.weight).t()
        return cosine.view(len(embeddings), -1, self.sub_centers).amax(2)

    def centers(self) -> Tensor:
        return self.weight.view(-1, self.sub_centers, self.weight.shape[1])

    def with_margin(self, target: Tensor, labels: Tensor) -> Tensor:
        margin = self.margins[labels]
        sine = (1 - target.square()).sqrt()
        moved = target * margin.cos() - sine * margin.sin()
        # Past pi - m the moved cosine would rise again.
        return torch.where(target > -margin.cos(), moved, target - margin * margin.sin())

    def scaled(self, logits: Tensor, embeddings: Tensor) -> Tensor:
        return logits * self.scale


class ProxyAnchor(CosineHead):
    """Proxy-anchor loss (Kim et al. 2020, eq. 4)."""

    def __init__(
        self, classes: int, dim: int, *, margin: float, alpha: float, individuals: int | None
    ) -> None:
        super().__init__(individuals)
        self.head = _MaskedProxyAnchor(
            num_classes=classes, embedding_size=dim, margin=margin, alpha=alpha
        )

    def known_loss(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        self.head.blocked = self.blocked(labels, self.head.num_classes)
        value: Tensor = self.head(embeddings, labels)
        self.head.blocked = None
        return value

    def cosine(self, embeddings: Tensor) -> Tensor:
        value: Tensor = self.head.distance(embeddings, self.head.proxies)
        return value

    def centers(self) -> Tensor:
        proxies: Tensor = self.head.proxies
        return proxies[:, None]


class _MaskedProxyAnchor(pml.ProxyAnchorLoss):  # type: ignore[misc]
    """Proxy-anchor loss without the pairs of photo and class that are `blocked` (b, classes)."""

    blocked: Tensor | None = None

    def get_logits(self, embeddings: Tensor) -> Tensor:
        cosine: Tensor = super().get_logits(embeddings)
        return cosine if self.blocked is None else cosine.masked_fill(self.blocked, -1e4)


class Softmax(ClassLoss):
    """Cross-entropy of a linear layer on the embedding, not normalised, with label smoothing."""

    def __init__(
        self, classes: int, dim: int, *, label_smoothing: float, individuals: int | None
    ) -> None:
        super().__init__(individuals)
        self.linear = nn.Linear(dim, classes)
        self.label_smoothing = label_smoothing

    def known_loss(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        logits = self.linear(embeddings)
        blocked = self.blocked(labels, logits.shape[1])
        return cross_entropy(logits, labels, blocked, self.label_smoothing)


class Center(ClassLoss):
    """Half the squared distance to the centre of the class (Wen et al. 2016, eq. 2), mean over b.

    The embedding is not normalised.  The centres are parameters, learned by the optimiser.
    """

    def __init__(self, classes: int, dim: int) -> None:
        super().__init__(None)
        self.centers = nn.Parameter(torch.randn(classes, dim))

    def known_loss(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        return 0.5 * (embeddings - self.centers[labels]).square().sum(1).mean()


def cross_entropy(
    logits: Tensor, labels: Tensor, blocked: Tensor, label_smoothing: float = 0.0
) -> Tensor:
    """Mean cross-entropy over the classes that are not `blocked` (b, classes).

    The target has the weight 1 - label_smoothing; the rest is spread evenly over all of them, the
    target too (Szegedy et al. 2016, section 7).
    """
    log_p = logits.masked_fill(blocked, -math.inf).log_softmax(1)
    target = log_p.gather(1, labels[:, None]).mean()
    if not label_smoothing:
        return -target
    everywhere = log_p.masked_fill(blocked, 0).sum(1) / (~blocked).sum(1)
    return -(1 - label_smoothing) * target - label_smoothing * everywhere.mean()


def unit_vectors(weight: Tensor, dim: int) -> None:
    """Initialise class vectors of `dim` numbers with random directions and lengths near 1.

    Only the direction matters, but a step of the optimiser turns a shorter vector further.
    """
    nn.init.normal_(weight, std=dim**-0.5)
