"""Compare an engine's embeddings with PyTorch's, and refuse an engine whose answers differ.

Embeddings of n photographs by an engine are compared with those by PyTorch in float32.  What
decides an answer is which photograph is nearest: each photograph as a query must have the same
nearest among the others, unless float32 itself hardly tells the two apart (a tie).  Among the five
nearest a photograph may take the place of another that is nearer by no more than SWAP, and the
least cosine between the two embeddings of one photograph is bounded.
"""

from dataclasses import dataclass

import numpy as np

from flukeprint.data.embeddings import Floats, Precision
from flukeprint.errors import counted

LEAST_COSINE: dict[Precision, float] = {
    "fp32": 0.9999, "bf16": 0.999, "fp16": 0.999, "int8": 0.99,
}  # fmt: skip

# Photographs whose scores differ by no more than this may swap places in a ranking.
SWAP: dict[Precision, float] = {"fp32": 1e-4, "bf16": 0.005, "fp16": 0.005, "int8": 0.01}
NEIGHBOURS_COMPARED = 5

# Least share of the photographs with the same nearest one, ties excepted.
LEAST_FIRST: dict[Precision, float] = {"fp32": 1.0, "bf16": 0.98, "fp16": 0.98, "int8": 0.98}
# Scores tie that differ by less than this share of what tells photographs apart: the median
# difference between the nearest and a middling photograph.
TIE = 0.02
_ROUNDING = 5e-6  # of cosines in float32; scores this near always tie


@dataclass(frozen=True)
class Parity:
    """How close an engine is to PyTorch in float32, measured on `photos` photographs.

    least_cosine: over the photographs.
    same_first: share of them with the same nearest other, or one that ties with it in float32.
    same_five: mean share of the five nearest others that are the same, in whatever order.
    same_lists: share of them whose five nearest others are the same in the same order.
    worst_swap: the most by which a photograph in one of the five places is less similar, in
        float32, than the one that belongs there; 0 where all lists are the same.
    """

    photos: int
    least_cosine: float
    same_first: float
    same_five: float
    same_lists: float
    worst_swap: float

    def text(self) -> str:
        """What is the same, for people."""
        return (
            f"{self.same_first:.0%} of {counted(self.photos, 'photograph')} have the same nearest "
            f"one as with torch fp32 (near ties aside), {self.same_five:.0%} of their five nearest "
            f"are the same, least cosine {self.least_cosine:.5f}"
        )

    def refusal(self, precision: Precision) -> str | None:
        """Why an engine of this precision must not be used; None where it may be."""
        if not self.least_cosine >= LEAST_COSINE[precision]:
            return (
                f"the cosine to float32 falls to {self.least_cosine:.5f} on {self.photos} "
                f"photographs, and {precision} must keep {LEAST_COSINE[precision]}"
            )
        if self.same_first < LEAST_FIRST[precision]:
            return (
                f"only {self.same_first:.1%} of {self.photos} photographs have the same nearest "
                f"one as in float32, and {precision} must keep {LEAST_FIRST[precision]:.0%}"
            )
        if self.worst_swap > SWAP[precision]:
            return (
                f"a photograph that is less similar by {self.worst_swap:.4f} takes a place among "
                f"the five nearest, and {precision} may take {SWAP[precision]}"
            )
        return None


def measure_parity(reference: Floats, other: Floats) -> Parity:
    """Compare embeddings (n, d) of the same photographs: PyTorch's in float32, an engine's."""
    if reference.shape != other.shape or not len(reference):
        raise ValueError(f"embeddings {reference.shape} and {other.shape} do not compare")
    exact, near = reference.astype(np.float64), other.astype(np.float64)
    cosines = (exact * near).sum(axis=1)
    if not np.isfinite(near).all():
        return Parity(len(exact), -1.0, 0.0, 0.0, 0.0, 2.0)
    right, found = exact @ exact.T, near @ near.T
    np.fill_diagonal(right, -np.inf)
    np.fill_diagonal(found, -np.inf)
    top = min(NEIGHBOURS_COMPARED, len(exact) - 1)
    if not top:
        return Parity(1, float(cosines.min()), 1.0, 1.0, 1.0, 0.0)
    wanted = np.argsort(-right, axis=1, kind="stable")[:, :top]
    given = np.argsort(-found, axis=1, kind="stable")[:, :top]
    lost = np.take_along_axis(right, wanted, 1) - np.take_along_axis(right, given, 1)
    middling = np.median(np.sort(right, axis=1)[:, 1:], axis=1)  # without the photograph itself
    tie = max(TIE * float(np.median(right.max(axis=1) - middling)), _ROUNDING)
    kept = (given[:, :, None] == wanted[:, None, :]).any(axis=2)
    return Parity(
        photos=len(exact),
        least_cosine=float(cosines.min()),
        same_first=float((lost[:, 0] <= tie).mean()),
        same_five=float(kept.mean()),
        same_lists=float((wanted == given).all(axis=1).mean()),
        worst_swap=float(max(0.0, lost.max())),
    )
