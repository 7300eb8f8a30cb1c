"""Confidence interval of a proportion."""

import numpy as np
import numpy.typing as npt


def wilson(
    share: npt.ArrayLike, n: npt.ArrayLike, z: float = 1.96
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Wilson's score interval of a share of n draws; of each share, for arrays.

    z: quantile of the normal distribution, by default for 95 %.

    Returns:
        (low, high) within 0..1, around the share (Wilson, JASA 22:209, 1927).
    """
    p, n = np.asarray(share, dtype=np.float64), np.asarray(n, dtype=np.float64)
    middle = (p + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * np.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    low, high = np.minimum(p, middle - half), np.maximum(p, middle + half)
    return np.maximum(low, 0.0), np.minimum(high, 1.0)
