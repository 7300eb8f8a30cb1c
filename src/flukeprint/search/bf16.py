"""Approximate scores of a gallery in bfloat16, for processors that multiply it fast.

They come with a bound on their error, as those of `products.py` do; `exact.py` needs no more.
"""

import sys
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from flukeprint.cpu import has_bf16
from flukeprint.data.embeddings import Floats
from flukeprint.search.products import EPSILON, LENGTHS, FloatProduct, Product, Rough

if TYPE_CHECKING:
    import torch

# A gallery of fewer numbers gains nothing.
WORTH_IT = 1 << 22
_AT_ONCE = 1 << 11  # vectors converted at once
_HALF = 2.0**-8  # unit roundoff of bfloat16
Shorts = npt.NDArray[np.int16]


class HalfProduct:
    """Approximate scores x . y from x' = bf16(x), y' = bf16(y), products summed in float32.

    x.y - x'.y' = (x - x').y + x'.(y - y'), so by Cauchy-Schwarz the error is at most
    |x - x'| |y| + |x'| |y - y'|.  The lengths are those of these very vectors: |x - x'| of each
    query, |y - y'| the greatest of the gallery.  Products of bf16 numbers are exact in float32,
    and their d sums err by at most d * eps / (1 - d * eps) (Higham 2002, section 3.1).  The score
    itself comes back as bf16, of 8 binary digits, so it is off by another 2**-8 of its size.
    """

    def __init__(self, vectors: Floats) -> None:
        import torch

        n, d = vectors.shape
        kept = np.empty((n, d), dtype=np.int16)
        worst = longest = 0.0
        for start in range(0, n, _AT_ONCE):
            exact = vectors[start : start + _AT_ONCE]
            kept[start : start + _AT_ONCE] = _halved(exact)
            rounded = _widened(kept[start : start + _AT_ONCE])
            worst = max(worst, float(_lengths(exact - rounded).max()))
            longest = max(longest, float(_lengths(rounded).max()))
        self._gallery = torch.from_numpy(kept).view(torch.bfloat16)
        self._lost, self._longest = worst, longest
        self._sums = d * EPSILON / (1 - d * EPSILON)

    def __call__(self, queries: Floats) -> Rough:
        """See `Product`."""
        import torch

        halved = _halved(queries)
        rounded = _widened(halved)
        lost, length = _lengths(queries - rounded), _lengths(rounded)
        # |y| is 1 but for a thousandth; the rest of the factor covers the lengths' own errors.
        error = lost + length * self._lost + (self._sums + _HALF) * length * self._longest
        bound = np.asarray(LENGTHS * error + EPSILON, dtype=np.float32)
        return _HalfScores(torch.from_numpy(halved).view(torch.bfloat16), self._gallery, bound)


class _HalfScores:
    def __init__(self, queries: "torch.Tensor", gallery: "torch.Tensor", bound: Floats) -> None:
        self.bound = bound
        self._queries, self._gallery = queries, gallery

    def __call__(self, start: int, stop: int) -> Floats:
        """See `Rough`."""
        import torch

        with torch.inference_mode():
            scores = self._queries @ self._gallery[start:stop].T
            return _widened(scores.view(torch.int16).numpy())


# In numpy and one thread: the threads of torch would wait for each other longer than this takes.
def _halved(numbers: Floats) -> Shorts:
    """Round each number to the nearest bfloat16, ties to even; as 16 bits."""
    bits = np.ascontiguousarray(numbers).view(np.uint32)
    halved: Shorts = ((bits + 0x7FFF + (bits >> 16 & 1)) >> 16).astype(np.uint16).view(np.int16)
    return halved


def _widened(bits: Shorts) -> Floats:
    """The bfloat16 numbers of `_halved` in float32, exactly."""
    wide = bits.view(np.uint16).astype(np.uint32)
    wide <<= 16
    numbers: Floats = wide.view(np.float32)
    return numbers


def _lengths(rows: Floats) -> Floats:
    return np.asarray(np.sqrt(np.einsum("nd,nd->n", rows, rows)), dtype=np.float32)


def fastest_product(vectors: Floats) -> Product:
    """The fastest approximate scoring of a gallery (n, d) on this machine.

    That in bfloat16 is by torch, and not worth importing it: a process that answers by another
    engine stays without.
    """
    if vectors.size >= WORTH_IT and "torch" in sys.modules and has_bf16():
        return HalfProduct(vectors)
    return FloatProduct(vectors)
