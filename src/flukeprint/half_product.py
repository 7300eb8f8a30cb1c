"""Rough scores in bfloat16, for processors that multiply it fast; `exact_search` makes them exact.

A gallery (n, d) enters once, scores (b, m) of its stretches leave, with the bound on their error.
"""

import numpy as np
import torch

from flukeprint.exact_search import LENGTHS, FloatProduct, Floats, Product, Rough

# Below so many numbers in the gallery there is nothing to gain.
WORTH_IT = 1 << 22
_WIDENED = 1 << 11
_EPSILON = float(np.finfo(np.float32).eps)
_HALF = 2.0**-8  # unit roundoff of bfloat16


class HalfProduct:
    """x . y from x' = bf16(x), y' = bf16(y), products summed in float32.

    x.y - x'.y' = (x - x').y + x'.(y - y'), so by Cauchy-Schwarz the error is at most
    |x - x'| |y| + |x'| |y - y'|.  The lengths are those of these very vectors: |x - x'| of each
    query, |y - y'| the greatest of the gallery.  Products of bf16 numbers are exact in float32,
    and their d sums err by at most d * eps / (1 - d * eps) (Higham 2002, section 3.1).  The score
    itself comes back as bf16, of 8 binary digits, so it is off by another 2**-8 of its size.
    """

    def __init__(self, vectors: Floats) -> None:
        n, d = vectors.shape
        self._gallery = torch.empty((n, d), dtype=torch.bfloat16)
        worst = longest = 0.0
        for start in range(0, n, _WIDENED):
            exact = torch.from_numpy(np.ascontiguousarray(vectors[start : start + _WIDENED]))
            rounded = exact.bfloat16()
            self._gallery[start : start + _WIDENED] = rounded
            worst = max(worst, float((exact - rounded.float()).norm(dim=1).max()))
            longest = max(longest, float(rounded.float().norm(dim=1).max()))
        self._lost, self._longest = worst, longest
        self._sums = d * _EPSILON / (1 - d * _EPSILON)

    def __call__(self, queries: Floats) -> Rough:
        """See `Product`."""
        exact = torch.from_numpy(np.ascontiguousarray(queries))
        halved = exact.bfloat16()
        rounded = halved.float()
        lost, length = (exact - rounded).norm(dim=1), rounded.norm(dim=1)
        # |y| is 1 but for a thousandth; the rest of the factor covers the norms' own errors.
        error = lost + length * self._lost + (self._sums + _HALF) * length * self._longest
        return _HalfScores(halved, self._gallery, (LENGTHS * error + _EPSILON).numpy())


class _HalfScores:
    def __init__(self, queries: torch.Tensor, gallery: torch.Tensor, bound: Floats) -> None:
        self.bound = bound
        self._queries, self._gallery = queries, gallery

    def __call__(self, start: int, stop: int) -> Floats:
        """See `Rough`."""
        scores = self._queries @ self._gallery[start:stop].T
        return scores.float().numpy()


def has_bf16() -> bool:
    """Whether the processor multiplies bfloat16 numbers itself."""
    known = torch.cpu.get_capabilities()
    return bool(known.get("avx512_bf16") or known.get("amx_bf16") or known.get("bf16"))


def fastest_product(vectors: Floats) -> Product:
    """What gives rough scores of a gallery (n, d) fastest on this machine."""
    if has_bf16() and vectors.size >= WORTH_IT:
        return HalfProduct(vectors)
    return FloatProduct(vectors)
