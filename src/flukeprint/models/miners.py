"""Selects the pairs and triplets of a batch that a loss is computed on.

Miners take `far` (b, b), the distance of two photographs in any unit (larger is further), and the
masks of positive and negative pairs, (b, b) bool, a row for each anchor.  A pair is positive when
both show the same known individual, and negative otherwise, but for two exceptions that are
neither: a photograph with itself, and an individual with its own mirror image (twin masking).  A
new individual (-1) is a negative of everybody, including other new individuals.

With a `CrossBatchMemory` there are m more columns for embeddings of past batches; anchors are
those of the batch alone.  Two new individuals, one of the batch and one of a past batch, are
neither: they may be the same photograph.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from flukeprint.models.task import twins

Indices = tuple[Tensor, ...]  # (anchors, positives, negatives) or (a1, positives, a2, negatives)
Miner = Callable[[Tensor, Tensor, Tensor], Indices]  # (far, positive, negative) -> Indices
_EMPTY = -2  # label of an unused row of the memory


class CrossBatchMemory(nn.Module):
    """Cross-batch memory (Wang et al. 2020, section 3.3) of past embeddings and their labels.

    It holds the last `size` embeddings of training, oldest first, and is used once it is full, or
    as soon as `open` is set.
    """

    vectors: Tensor
    labels: Tensor

    def __init__(self, size: int, dim: int) -> None:
        super().__init__()
        self.open = False
        # Buffers are in the checkpoint, so that a resumed run has the same memory.
        self.register_buffer("vectors", torch.zeros(size, dim))
        self.register_buffer("labels", torch.full((size,), _EMPTY))

    def past(self) -> tuple[Tensor, Tensor]:
        """Embeddings (m, dim) without gradient and labels (m,) of past batches; m may be 0."""
        filled = self.labels != _EMPTY
        if not self.open and not bool(filled.all()):
            filled = torch.zeros_like(filled)
        return self.vectors[filled], self.labels[filled]

    @torch.no_grad()
    def add(self, embeddings: Tensor, labels: Tensor) -> None:
        """Store a batch in place of the oldest embeddings."""
        size = len(self.labels)
        self.vectors.copy_(torch.cat([self.vectors, embeddings.detach()])[-size:])
        self.labels.copy_(torch.cat([self.labels, labels])[-size:])


def pair_masks(
    labels: Tensor, individuals: int | None, past: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Masks of the positive and of the negative pairs, (b, b + m) bool each.

    individuals: as in `Task`.
    past: (m,) labels of past batches.
    """
    every = labels if past is None else torch.cat([labels, past])
    both_known = (labels >= 0)[:, None] & (every >= 0)[None, :]
    same = (labels[:, None] == every[None, :]) & both_known
    neither = torch.zeros_like(same)
    neither.fill_diagonal_(True)
    if individuals is not None:
        neither |= (labels[:, None] == twins(every, individuals)[None, :]) & both_known
    negative = ~same & ~neither
    negative[:, len(labels) :] &= (labels >= 0)[:, None] | (every[len(labels) :] >= 0)[None, :]
    return same & ~neither, negative


def all_pairs(far: Tensor, positive: Tensor, negative: Tensor) -> Indices:
    """Every positive and every negative pair."""
    return (*torch.where(positive), *torch.where(negative))


def drawn_pairs(far: Tensor, positive: Tensor, negative: Tensor) -> Indices:
    """The pairs that the sampler `pairs` drew: photographs 2i and 2i + 1, in that order.

    None of a past batch.
    """
    first = torch.arange(0, len(far) - 1, 2, device=far.device)
    drawn = torch.zeros_like(positive)
    drawn[first, first + 1] = True
    return all_pairs(far, positive & drawn, negative & drawn)


def batch_all(far: Tensor, positive: Tensor, negative: Tensor) -> Indices:
    """Every triplet (Hermans et al. 2017, eq. 6)."""
    return torch.where(positive[:, :, None] & negative[:, None, :])


def batch_hard(far: Tensor, positive: Tensor, negative: Tensor) -> Indices:
    """Each anchor with its furthest positive and nearest negative (Hermans et al. 2017, eq. 5)."""
    (anchors,) = torch.where(positive.any(1) & negative.any(1))
    furthest = far.masked_fill(~positive, -torch.inf).argmax(1)
    nearest = far.masked_fill(~negative, torch.inf).argmin(1)
    return anchors, furthest[anchors], nearest[anchors]


def batch_easy(far: Tensor, positive: Tensor, negative: Tensor) -> Indices:
    """Each anchor with its nearest positive and furthest negative, the triplet it learns least of.

    With a margin such triplets soon cost nothing: it shows what mining is for (Xuan et al. 2020
    name the four corners of easy and hard pairs).
    """
    (anchors,) = torch.where(positive.any(1) & negative.any(1))
    nearest = far.masked_fill(~positive, torch.inf).argmin(1)
    furthest = far.masked_fill(~negative, -torch.inf).argmax(1)
    return anchors, nearest[anchors], furthest[anchors]


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
