"""Losses on pairs and triplets: embeddings (b, dim) and labels (b,) enter, a scalar leaves.

First which pairs of a batch count.  `far` (b, b) is how far apart two photos are, larger is
further, in any unit; masks are (b, b) bool, a row for each anchor.  A pair is positive when
both show the same known individual, and negative otherwise, but for two exceptions that are
neither: a photo with itself, and an individual with its own mirror image.  A new individual
(-1) is a negative of everybody, of other new individuals too.

Then the losses of pytorch-metric-learning on those pairs, each function with its parameters.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, Literal

import torch
from pydantic import Field
from pytorch_metric_learning import distances, reducers
from pytorch_metric_learning import losses as pml
from torch import Tensor, nn

Indices = tuple[Tensor, ...]  # (anchors, positives, negatives) or (a1, positives, a2, negatives)
Miner = Callable[[Tensor, Tensor, Tensor], Indices]  # (far, positive, negative) -> Indices

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]


@dataclass(frozen=True)
class Task:
    """What a loss must know of the training set."""

    classes: int  # with mirror images
    dim: int
    counts: Tensor  # (classes,) photos of each class
    individuals: int | None  # classes / 2 where there are mirror images, else None


def twins(labels: Tensor, individuals: int) -> Tensor:
    """(b,) class of each photo's mirror image, of 2 * individuals classes; -1 stays -1."""
    mirrored = (labels + individuals) % (2 * individuals)
    return torch.where(labels < 0, labels, mirrored)


def pair_masks(labels: Tensor, individuals: int | None) -> tuple[Tensor, Tensor]:
    """Positive and negative pairs, (b, b) bool each; `individuals` as in `Task`."""
    known = labels >= 0
    equal = labels[:, None] == labels[None, :]
    both_known = known[:, None] & known[None, :]
    itself = torch.eye(len(labels), dtype=torch.bool, device=labels.device)
    positive = equal & both_known & ~itself
    negative = ~(equal & both_known) & ~itself
    if individuals is not None:
        twin = labels[:, None] == twins(labels, individuals)[None, :]
        negative &= ~(twin & both_known)
    return positive, negative


def all_pairs(far: Tensor, positive: Tensor, negative: Tensor) -> Indices:
    """Every positive and every negative pair."""
    return (*torch.where(positive), *torch.where(negative))


def batch_all(far: Tensor, positive: Tensor, negative: Tensor) -> Indices:
    """Every triplet (Hermans et al. 2017, eq. 6)."""
    return torch.where(positive[:, :, None] & negative[:, None, :])


def batch_hard(far: Tensor, positive: Tensor, negative: Tensor) -> Indices:
    """Each anchor with its furthest positive and nearest negative (Hermans et al. 2017, eq. 5)."""
    (anchors,) = torch.where(positive.any(1) & negative.any(1))
    furthest = far.masked_fill(~positive, -torch.inf).argmax(1)
    nearest = far.masked_fill(~negative, torch.inf).argmin(1)
    return anchors, furthest[anchors], nearest[anchors]


def semi_hard(far: Tensor, positive: Tensor, negative: Tensor, *, margin: float) -> Indices:
    """Triplets whose negative is further than the positive, by `margin` at most.

    Schroff et al. 2015 (FaceNet), section 3.2; all of them, not one for each pair.
    """
    anchors, positives, negatives = batch_all(far, positive, negative)
    gap = far[anchors, negatives] - far[anchors, positives]
    kept = (gap > 0) & (gap <= margin)
    return anchors[kept], positives[kept], negatives[kept]


def multi_similarity_pairs(
    far: Tensor, positive: Tensor, negative: Tensor, *, epsilon: float
) -> Indices:
    """Pairs that are informative within `epsilon` (Wang et al. 2019, eq. 7 and 8)."""
    nearest = far.masked_fill(~negative, torch.inf).amin(1, keepdim=True)
    furthest = far.masked_fill(~positive, -torch.inf).amax(1, keepdim=True)
    return all_pairs(
        far, positive & (far + epsilon > nearest), negative & (far - epsilon < furthest)
    )


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

    def forward(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """Embeddings (b, dim), labels (b,) -> scalar; 0 where the batch has no such pair."""
        positive, negative = pair_masks(labels, self.individuals)
        with torch.no_grad():
            far = self.loss.distance(embeddings)
            if self.loss.distance.is_inverted:
                far = -far
            indices = self.miner(far, positive, negative)
        value: Tensor = self.loss(embeddings, labels, indices)
        # A learned boundary must stay in the graph, or other processes wait for its gradient.
        for parameter in self.loss.parameters():
            value = value + 0 * parameter.sum()
        return value


def triplet(
    task: Task,
    *,
    mining: Literal["batch_hard", "semi_hard", "batch_all"] = "batch_hard",
    margin: NotNegative = 0.3,
    soft: bool = False,
    distance: Literal["euclidean", "squared", "cosine"] = "euclidean",
) -> nn.Module:
    """max(0, d_ap - d_an + margin), or softplus of the same where `soft`, on unit embeddings.

    Hermans et al. 2017, whose soft margin is soft: true with margin: 0.  batch_hard is the
    mean over anchors, the others over the triplets that cost anything.
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
    }
    mean = reducers.MeanReducer if mining == "batch_hard" else reducers.AvgNonZeroReducer
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


def margin(
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
