"""Losses on the pairs and triplets of a batch: triplet, contrastive, margin, circle and kin.

Each function makes one loss: pytorch-metric-learning's or one of `pair_costs`, on the pairs that
`miners` selects.  Its parameters are those of the configuration.

pairs, where a loss has it: all pairs of the batch, or only those that the sampler `pairs` drew.
"""

from collections.abc import Callable
from functools import partial
from typing import Annotated, Any, Literal, TypeAlias

import torch
from pydantic import Field
from pytorch_metric_learning import distances, reducers
from pytorch_metric_learning import losses as pml
from torch import Tensor, nn

from flukeprint.models.miners import (
    Miner,
    all_pairs,
    batch_all,
    batch_easy,
    batch_hard,
    drawn_pairs,
    multi_similarity_pairs,
    pair_masks,
    semi_hard,
)
from flukeprint.models.pair_costs import (
    BoundaryCost,
    ConcatenationHead,
    DifferenceHead,
    DistanceCost,
    PairHead,
)
from flukeprint.models.task import Count, NotNegative, Positive, Task

Loss: TypeAlias = pml.BaseMetricLossFunction | DistanceCost | PairHead
Chosen = Literal["all", "drawn"]
CHOSEN: dict[Chosen, Miner] = {"all": all_pairs, "drawn": drawn_pairs}
Cosine = Annotated[float, Field(ge=-1, le=1)]


class PairLoss(nn.Module):
    """A pair or triplet loss on the pairs or triplets that `miner` chooses.

    The loss normalises embeddings itself, by its own distance.
    """

    def __init__(self, loss: Loss, miner: Miner, individuals: int | None) -> None:
        super().__init__()
        self.loss = loss
        self.miner = miner
        self.individuals = individuals

    @property
    def drawn_only(self) -> bool:
        """Whether it sees only pairs that the sampler `pairs` drew, and no past batches."""
        return self.miner is drawn_pairs

    def forward(
        self, embeddings: Tensor, labels: Tensor, past: tuple[Tensor, Tensor] | None = None
    ) -> Tensor:
        """Embeddings (b, dim), labels (b,) -> scalar; 0 where the batch has no such pair.

        past: embeddings (m, dim) and labels (m,) of a `CrossBatchMemory`, which the batch's
            anchors are compared with as well.
        """
        every = (embeddings, labels)
        if past is not None:
            every = (torch.cat([embeddings, past[0]]), torch.cat([labels, past[1]]))
        positive, negative = pair_masks(labels, self.individuals, every[1][len(labels) :])
        with torch.no_grad():
            far = self.loss.distance(embeddings, every[0])
            if self.loss.distance.is_inverted:
                far = -far
            indices = self.miner(far, positive, negative)
        value: Tensor = self.loss(embeddings, labels, indices, *every)
        # A learned boundary must stay in the graph: other processes wait for its gradient.
        for parameter in self.loss.parameters():
            value = value + 0 * parameter.sum()
        return value


def triplet(
    task: Task,
    *,
    mining: Literal["batch_hard", "semi_hard", "batch_all", "batch_easy"] = "batch_hard",
    margin: NotNegative = 0.3,
    soft: bool = False,
    distance: Literal["euclidean", "squared", "cosine"] = "euclidean",
) -> nn.Module:
    """max(0, d_ap - d_an + margin), or softplus of the same where `soft`, on unit embeddings.

    Hermans et al. 2017, whose soft margin is soft: true with margin: 0.  batch_hard and batch_easy
    are the mean over anchors, the others over the triplets that cost anything.
    """
    measures: dict[str, Callable[[], Any]] = {
        "euclidean": partial(distances.LpDistance, p=2),
        "squared": partial(distances.LpDistance, p=2, power=2),
        "cosine": distances.CosineSimilarity,
    }
    miners: dict[str, Miner] = {
        "batch_hard": batch_hard,
        "semi_hard": partial(semi_hard, margin=margin),
        "batch_all": batch_all,
        "batch_easy": batch_easy,
    }
    each = mining in ("batch_hard", "batch_easy")  # one triplet an anchor
    mean = reducers.MeanReducer if each else reducers.AvgNonZeroReducer
    loss = pml.TripletMarginLoss(
        margin=margin, smooth_loss=soft, distance=measures[distance](), reducer=mean()
    )
    return PairLoss(loss, miners[mining], task.individuals)


def contrastive(
    task: Task,
    *,
    pos_margin: NotNegative = 0.0,
    neg_margin: Positive = 1.0,
    squared: bool = False,
    pairs: Chosen = "all",
) -> nn.Module:
    """Mean max(0, d - pos_margin) of positives plus mean max(0, neg_margin - d) of negatives.

    Euclidean distance of unit embeddings, 0 to 2; means over the pairs that cost anything.
    `squared` is Hadsell et al. 2006, eq. 4: half the square of each cost, means over all pairs.
    """

    def cost(over: Tensor) -> Tensor:
        over = over.clamp(min=0)
        return 0.5 * over.square() if squared else over

    loss = DistanceCost(
        distances.LpDistance(p=2),
        lambda far: cost(far - pos_margin),
        lambda far: cost(neg_margin - far),
        active_only=not squared,
    )
    return PairLoss(loss, CHOSEN[pairs], task.individuals)


def pair_regression(task: Task, *, pairs: Chosen = "all") -> nn.Module:
    """Mean (1 - s)^2 of positives plus mean s^2 of negatives, s the dot product of unit embeddings.

    Least squares on the similarity, whose targets are 1 and 0 (as Bromley et al. 1993, section 4,
    trained the cosine of two signatures towards 1 and -1).
    """
    loss = DistanceCost(
        distances.CosineSimilarity(),
        lambda cosine: (1 - cosine).square(),
        torch.square,
        active_only=False,
    )
    return PairLoss(loss, CHOSEN[pairs], task.individuals)


def hinge(
    task: Task, *, threshold: Cosine = 0.5, margin: Positive = 0.3, pairs: Chosen = "all"
) -> nn.Module:
    """Mean max(0, margin - y (s - threshold)), y = 1 of positives, plus the mean with -1 of others.

    s is the cosine.  Shalev-Shwartz et al. 2004 (POLA, eq. 2) for unit vectors: theirs, on squared
    distances, is twice this with margin 0.5 and threshold 1 - b / 2.
    """
    loss = DistanceCost(
        distances.CosineSimilarity(),
        lambda cosine: (margin - (cosine - threshold)).clamp(min=0),
        lambda cosine: (margin + (cosine - threshold)).clamp(min=0),
        active_only=False,
    )
    return PairLoss(loss, CHOSEN[pairs], task.individuals)


def difference_head(task: Task, *, pairs: Chosen = "all") -> nn.Module:
    """Binary cross-entropy of logistic regression on |a - b|, a and b a pair's unit embeddings.

    Koch et al. 2015, section 3.1.  Mean over positives plus mean over negatives.
    """
    return PairLoss(DifferenceHead(task.dim), CHOSEN[pairs], task.individuals)


def concatenation_head(task: Task, *, hidden: Count = 64, pairs: Chosen = "all") -> nn.Module:
    """Binary cross-entropy of two dense layers on [a, b], `hidden` units with ReLU between them.

    Zagoruyko & Komodakis 2015, section 3.1; it may answer otherwise for [b, a].  Mean over
    positives plus mean over negatives.
    """
    return PairLoss(ConcatenationHead(task.dim, hidden), CHOSEN[pairs], task.individuals)


def margin_loss(
    task: Task,
    *,
    margin: NotNegative = 0.2,
    beta: Positive = 1.2,
    learn_beta: bool = False,
    nu: NotNegative = 0.0,
    pairs: Chosen = "all",
) -> nn.Module:
    """Positives nearer than beta - margin, negatives further than beta + margin.

    Wu et al. 2017, eq. 5 and 6; euclidean distance of unit embeddings.  With `learn_beta` the
    boundary is a parameter, drawn down by nu.  Of all pairs those with an anchor in common, one
    mean over those that cost anything; of drawn ones the mean of positives plus that of negatives.
    """
    if pairs == "drawn":
        drawn = BoundaryCost(margin, beta, learn_beta=learn_beta, nu=nu)
        return PairLoss(drawn, drawn_pairs, task.individuals)
    loss = pml.MarginLoss(margin=margin, nu=nu, beta=beta, learn_beta=learn_beta)
    return PairLoss(loss, all_pairs, task.individuals)


def multi_similarity(
    task: Task,
    *,
    alpha: Positive = 2.0,
    beta: Positive = 50.0,
    base: Cosine = 0.5,
    epsilon: NotNegative = 0.1,
) -> nn.Module:
    """Multi-similarity loss with its mining (Wang et al. 2019, eq. 7, 8 and 10)."""
    loss = pml.MultiSimilarityLoss(alpha=alpha, beta=beta, base=base)
    return PairLoss(loss, partial(multi_similarity_pairs, epsilon=epsilon), task.individuals)


def circle(task: Task, *, m: NotNegative = 0.4, gamma: Positive = 80.0) -> nn.Module:
    """Circle loss on pairs (Sun et al. 2020, eq. 6 to 8; constants for fine-grained retrieval)."""
    return PairLoss(pml.CircleLoss(m=m, gamma=gamma), all_pairs, task.individuals)


def supcon(task: Task, *, temperature: Positive = 0.1) -> nn.Module:
    """Supervised contrastive loss (Khosla et al. 2020, eq. 2)."""
    return PairLoss(pml.SupConLoss(temperature=temperature), all_pairs, task.individuals)
