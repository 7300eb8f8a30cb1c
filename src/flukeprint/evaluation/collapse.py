"""Measures whether embeddings have collapsed: onto one point, or into few directions.

A network whose photographs all lie together has a small loss under some losses, and identifies
nobody.  A mean cosine near 1 or an effective rank near 1 shows it without any right answers.
"""

from dataclasses import dataclass

import numpy as np

from flukeprint.data.embeddings import Floats


@dataclass(frozen=True)
class Spread:
    """How much of their space embeddings use.

    effective_rank: from 1, all on one line through the origin, to the number of dimensions.
    mean_cosine: of two different photographs; 1 where all are alike.
    """

    effective_rank: float
    mean_cosine: float
    dimensions: int

    def text(self) -> str:
        """One line for people."""
        return (
            f"effective rank {self.effective_rank:.1f} of {self.dimensions} dimensions, mean "
            f"cosine of two photographs {self.mean_cosine:.3f}"
        )


def measure_spread(vectors: Floats) -> Spread:
    """Measure unit vectors (n, d), at least two.

    The effective rank is exp of the entropy of the singular values, divided by their sum, of the
    vectors as they are: not centred, so that one point far from the origin has rank 1 (Roy and
    Vetterli, The effective rank: a measure of effective dimensionality, EUSIPCO 2007, eq. 3 and 4).
    The mean cosine is over all ordered pairs of two photographs.

    Raises:
        ValueError: fewer than two vectors.
    """
    n, d = vectors.shape
    if n < 2:
        raise ValueError(f"{n} photographs have no spread; give two at least")
    rows = vectors.astype(np.float64)
    # Eigenvalues of the smaller of both Gram matrices are the squared singular values.
    gram = rows.T @ rows if d <= n else rows @ rows.T
    singular = np.sqrt(np.clip(np.linalg.eigvalsh(gram), 0, None))
    # What is only rounding would count as dimensions of its own.
    singular[singular < singular.max() * 1e-7] = 0
    shares = singular[singular > 0] / singular.sum()
    entropy = float(-(shares * np.log(shares)).sum())
    total = rows.sum(0)
    cosine = (float(total @ total) - float((rows * rows).sum())) / (n * (n - 1))
    return Spread(effective_rank=float(np.exp(entropy)), mean_cosine=cosine, dimensions=d)
