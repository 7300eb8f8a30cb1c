"""Losses on the pairs and triplets of a batch: triplet, contrastive, margin, circle and kin.

Each function makes one loss: pytorch-metric-learning's, on the pairs that `miners` selects.  Its
parameters are those of the configuration.
"""

from collections.abc import Callable
from functools import partial
from typing import Annotated, Any, Literal

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
    multi_similarity_pairs,
    pair_masks,
    semi_hard,
)
from flukeprint.models.task import NotNegative, Positive, Task


class PairLoss(nn.Module):
    """A pair or triplet loss of pytorch-metric-learning on the pairs that `miner` chooses.

    The loss normalises embeddings itself, by its own distance.
    """

    def __init__(
        self, loss: pml.BaseMetricLossFunction, miner: Miner, individuals: int | None
    ) -> None:
        super().__init__()
        self.loss = loss
        self.miner = miner
        self.individuals = individuals

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
    task: Task, *, pos_margin: NotNegative = 0.0, neg_margin: Positive = 1.0
) -> nn.Module:
    """Mean max(0, d - pos_margin) of positives plus mean max(0, neg_margin - d) of negatives.

    Euclidean distance of unit embeddings, 0 to 2; means over the pairs that cost anything.
    After Hadsell et al. 2006, eq. 4, without the squares.
    """
    loss = pml.ContrastiveLoss(pos_margin=pos_margin, neg_margin=neg_margin)
    return PairLoss(loss, all_pairs, task.individuals)


def margin_loss(
    task: Task,
    *,
    margin: NotNegative = 0.2,
    beta: Positive = 1.2,
    learn_beta: bool = False,
    nu: NotNegative = 0.0,
) -> nn.Module:
    """Positives nearer than beta - margin, negatives further than beta + margin.

    Wu et al. 2017, eq. 5 and 6; euclidean distance of unit embeddings.  With `learn_beta` the
    boundary is a parameter, drawn down by nu.
    """
    loss = pml.MarginLoss(margin=margin, nu=nu, beta=beta, learn_beta=learn_beta)
    return PairLoss(loss, all_pairs, task.individuals)


def multi_similarity(
    task: Task,
    *,
    alpha: Positive = 2.0,
    beta: Positive = 50.0,
    base: Annotated[float, Field(ge=-1, le=1)] = 0.5,
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
