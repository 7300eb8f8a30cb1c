"""What a pair of photographs costs a loss: by its distance, or by a head that judges the pair.

They are the losses that `PairLoss` computes on the pairs of its miner.  The cost of a batch is the
mean over its positive pairs plus the mean over its negative ones, so that the two kinds weigh the
same, however many there are of each.
"""

from abc import abstractmethod
from collections.abc import Callable
from typing import Any

import torch
from pytorch_metric_learning import distances
from torch import Tensor, nn
from torch.nn import functional as F

from flukeprint.models.miners import Indices

Cost = Callable[[Tensor], Tensor]  # distances or similarities (n,) of pairs -> costs (n,)


class DistanceCost(nn.Module):
    """Costs by the distance of a pair: `same` of positive pairs, `other` of negative ones.

    distance: of pytorch-metric-learning; it normalises embeddings.
    active_only: means are over the pairs that cost anything.
    """

    def __init__(self, distance: Any, same: Cost, other: Cost, *, active_only: bool) -> None:
        super().__init__()
        self.distance = distance
        self.same, self.other = same, other
        self.active_only = active_only

    def forward(
        self,
        embeddings: Tensor,
        labels: Tensor,
        pairs: Indices,
        every: Tensor,
        every_labels: Tensor,
    ) -> Tensor:
        """Embeddings (b, dim) against `every` (b + m, dim) at `pairs` -> scalar."""
        first, positive, second, negative = pairs
        far = self.distance(embeddings, every)
        near = self._mean(self.same(far[first, positive]))
        return near + self._mean(self.other(far[second, negative]))

    def _mean(self, costs: Tensor) -> Tensor:
        if self.active_only:
            costs = costs[costs > 0]
        return costs.mean() if len(costs) else costs.sum()


class BoundaryCost(DistanceCost):
    """Costs beside a boundary: max(0, d - beta + margin) of positives, max(0, beta - d + margin).

    Euclidean distance of unit embeddings; means over the pairs that cost anything.
    learn_beta: the boundary is a parameter, and nu times it is added to the loss.
    """

    beta: nn.Parameter | float

    def __init__(self, margin: float, beta: float, *, learn_beta: bool, nu: float) -> None:
        super().__init__(distances.LpDistance(p=2), self._near, self._away, active_only=True)
        self.beta = nn.Parameter(torch.tensor(beta)) if learn_beta else beta
        self.margin, self.nu = margin, nu

    def _near(self, far: Tensor) -> Tensor:
        return (far - self.beta + self.margin).clamp(min=0)

    def _away(self, far: Tensor) -> Tensor:
        return (self.beta - far + self.margin).clamp(min=0)

    def forward(
        self,
        embeddings: Tensor,
        labels: Tensor,
        pairs: Indices,
        every: Tensor,
        every_labels: Tensor,
    ) -> Tensor:
        """Embeddings (b, dim) against `every` (b + m, dim) at `pairs` -> scalar."""
        costs = super().forward(embeddings, labels, pairs, every, every_labels)
        return costs + self.nu * self.beta if isinstance(self.beta, nn.Parameter) else costs


class PairHead(nn.Module):
    """Base of the heads with learned weights that judge whether a pair is of one individual.

    Trained by binary cross-entropy.  Such a head is no part of an identifier, which compares
    embeddings by their cosine.
    """

    def __init__(self) -> None:
        super().__init__()
        self.distance = distances.LpDistance(p=2)  # what miners choose by

    @abstractmethod
    def judge(self, first: Tensor, second: Tensor) -> Tensor:
        """Unit embeddings (n, dim) and (n, dim) -> logits (n,) that both are of one individual."""

    def logits(self, first: Tensor, second: Tensor) -> Tensor:
        """Embeddings (n, dim) and (n, dim), not normalised, -> logits (n,)."""
        return self.judge(F.normalize(first, dim=1), F.normalize(second, dim=1))

    def forward(
        self,
        embeddings: Tensor,
        labels: Tensor,
        pairs: Indices,
        every: Tensor,
        every_labels: Tensor,
    ) -> Tensor:
        """Embeddings (b, dim) against `every` (b + m, dim) at `pairs` -> scalar."""
        first, positive, second, negative = pairs
        one, other = F.normalize(embeddings, dim=1), F.normalize(every, dim=1)
        total = embeddings.new_zeros(())
        for rows, columns, sign in ((first, positive, -1), (second, negative, 1)):
            if len(rows):  # -log p of what the pair is
                total = total + F.softplus(sign * self.judge(one[rows], other[columns])).mean()
        return total


class DifferenceHead(PairHead):
    """Logistic regression on |a - b| (Koch et al. 2015, section 3.1); the same in either order."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.linear = nn.Linear(dim, 1)

    def judge(self, first: Tensor, second: Tensor) -> Tensor:
        score: Tensor = self.linear((first - second).abs())
        return score.squeeze(1)


class ConcatenationHead(PairHead):
    """Two dense layers on [a, b] (Zagoruyko & Komodakis 2015, section 3.1).

    Nothing makes it give [b, a] the answer of [a, b].
    """

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(2 * dim, hidden), nn.ReLU(), nn.Linear(hidden, 1))

    def judge(self, first: Tensor, second: Tensor) -> Tensor:
        score: Tensor = self.layers(torch.cat([first, second], dim=1))
        return score.squeeze(1)
