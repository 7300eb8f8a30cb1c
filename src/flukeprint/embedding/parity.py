"""Compare an engine's embeddings with PyTorch's, and refuse an engine whose results differ.

Embeddings of n photographs by an engine are compared with those by PyTorch in float32: the least
cosine between the two of one photograph, and whether each photograph as a query has the same five
nearest among the others.  A photograph may take the place of another only where float32 itself
hardly tells them apart: by no more than SWAP in the cosine.
"""

from dataclasses import dataclass

import numpy as np

from flukeprint.data.embeddings import Floats, Precision

LEAST_COSINE: dict[Precision, float] = {
    "fp32": 0.9999, "bf16": 0.999, "fp16": 0.999, "int8": 0.99,
}  # fmt: skip

# Photographs whose scores differ by no more than this may swap places in a ranking.
SWAP: dict[Precision, float] = {"fp32": 1e-4, "bf16": 0.005, "fp16": 0.005, "int8": 0.01}
NEIGHBOURS_COMPARED = 5


@dataclass(frozen=True)
class Parity:
    """How close an engine is to PyTorch in float32, measured on `photos` photographs.

    least_cosine: over the photographs.
    same_lists: share of them whose five nearest others are the same in the same order.
    worst_swap: the most by which a photograph in one of the five places is less similar, in
        float32, than the one that belongs there; 0 where all lists are the same.
    """

    photos: int
    least_cosine: float
    same_lists: float
    worst_swap: float

    def refusal(self, precision: Precision) -> str | None:
        """Why an engine of this precision must not be used; None where it may be."""
        if not self.least_cosine >= LEAST_COSINE[precision]:
            return (
                f"the cosine to float32 falls to {self.least_cosine:.5f} on {self.photos} "
                f"photographs, and {precision} must keep {LEAST_COSINE[precision]}"
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
        return Parity(len(exact), -1.0, 0.0, 2.0)
    right, found = exact @ exact.T, near @ near.T
    np.fill_diagonal(right, -np.inf)
    np.fill_diagonal(found, -np.inf)
    top = min(NEIGHBOURS_COMPARED, len(exact) - 1)
    if not top:
        return Parity(1, float(cosines.min()), 1.0, 0.0)
    wanted = np.argsort(-right, axis=1, kind="stable")[:, :top]
    given = np.argsort(-found, axis=1, kind="stable")[:, :top]
    lost = np.take_along_axis(right, wanted, 1) - np.take_along_axis(right, given, 1)
    return Parity(
        photos=len(exact),
        least_cosine=float(cosines.min()),
        same_lists=float((wanted == given).all(axis=1).mean()),
        worst_swap=float(max(0.0, lost.max())),
    )
