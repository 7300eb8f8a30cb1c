"""Fast approximate scores of a gallery, with a bound on their error.

Here in float32; `bf16.py` has the same in bfloat16.  `exact.py` uses the bound to find the few
photographs that have to be scored exactly.
"""

from typing import Protocol

import numpy as np

from flukeprint.data.embeddings import Floats

EPSILON = float(np.finfo(np.float32).eps)

# Product of two lengths, each at most a thousandth above 1 as `Embeddings` has them.
LENGTHS = 1.0021


class Rough(Protocol):
    """Approximate scores of b queries."""

    bound: Floats  # (b,) the most that a score of each query may differ from the true one

    def __call__(self, start: int, stop: int) -> Floats:
        """(b, stop - start) scores of gallery rows start..stop."""


class Product(Protocol):
    """A gallery prepared for approximate scoring; threads may share it."""

    def __call__(self, queries: Floats) -> Rough:
        """The approximate scores of queries (b, d)."""


def float_error(dimension: int) -> np.float32:
    """The most that a float32 product of two unit vectors (d,) may differ from the true one.

    Each of d products and sums rounds by half an epsilon at most.  So the error is below |x| |y| *
    d * eps / 2 / (1 - d * eps / 2) (Higham 2002, section 3.1, with Cauchy-Schwarz), whatever the
    order of the sum; another epsilon is for rounding the true score and the threshold.
    """
    half = dimension * EPSILON / 2
    return np.float32(LENGTHS * half / (1 - half) + EPSILON)


class FloatProduct:
    """Approximate scores by BLAS in float32."""

    def __init__(self, vectors: Floats) -> None:
        self._vectors = vectors
        self._error = float_error(vectors.shape[1])

    def __call__(self, queries: Floats) -> Rough:
        """See `Product`."""
        return _FloatScores(queries, self._vectors, np.full(len(queries), self._error))


class _FloatScores:
    def __init__(self, queries: Floats, vectors: Floats, bound: Floats) -> None:
        self.bound = bound
        self._queries, self._vectors = queries, vectors
        self._buffer = np.empty(0, dtype=np.float32)

    def __call__(self, start: int, stop: int) -> Floats:
        """See `Rough`; valid until the next call."""
        shape = (len(self._queries), stop - start)
        if self._buffer.size < shape[0] * shape[1]:
            self._buffer = np.empty(shape[0] * shape[1], dtype=np.float32)
        scores = self._buffer[: shape[0] * shape[1]].reshape(shape)
        np.matmul(self._queries, self._vectors[start:stop].T, out=scores)
        return scores
