"""The kinds of FAISS index for a gallery.

    faiss_flat   all vectors as they are; nothing is missed
    hnsw         a graph of neighbours over vectors of 8 bits a number (Malkov and Yashunin 2018)
    ivf_pq       lists around k-means centers, vectors as 4-bit product codes (Jegou et al. 2011)

The last two are approximate: they propose candidates, which the gallery scores exactly.
"""

import math
from typing import Any

import numpy as np

from flukeprint.data.embeddings import Floats, GrowingArray, Ints
from flukeprint.errors import FlukeprintError
from flukeprint.search.candidates import exact_scores
from flukeprint.search.exact import nearest_rows
from flukeprint.search.faiss_index import FaissIndex
from flukeprint.search.products import FloatProduct, float_error

_SEED = 1234
GRAPH_NEIGHBOURS = 32
GRAPH_EFFORT = 80  # neighbours considered while a vector is added to the graph
_HELD = 0.8  # share of the squared lengths that a graph's vectors keep
_SPARE = 8  # vectors that an exhaustive search asks for beyond k, to see ties at the k-th place
_STEP = 16  # their dimension is a multiple of this, as many numbers as a register compares
_TRAINED_EACH = 40  # training vectors per k-means center, at most
_ITERATIONS = 10
FEWEST_TRAINED = 16  # photographs to train product codes: as many as 4 bits tell apart


class FaissFlat(FaissIndex):
    """Exhaustive search of all vectors; of equally near ones the lower rows are found."""

    name = "faiss_flat"
    exact = True

    def _empty(self, vectors: Floats) -> Any:
        return self._faiss.IndexFlatIP(vectors.shape[1])

    def _params(self, selector: Any) -> Any:
        return None if selector is None else self._faiss.SearchParameters(sel=selector)

    def _found(self, projected: Floats, k: int) -> tuple[Floats, Ints]:
        """As in `FaissIndex`; scores that float32 may have confused are exact.

        A few more than k are asked for.  Where even the last of them may equal the k-th, FAISS has
        chosen among equals, and `nearest_rows` searches all vectors for the lower rows.
        """
        scores, rows = super()._found(projected, min(k + _SPARE, len(self)))
        slack = 2 * float_error(projected.shape[1])
        gaps = scores[:, :-1] - scores[:, 1:] <= slack
        if not gaps[:, :k].any():
            return scores, rows
        size = int(self._index.ntotal), int(self._index.d)
        vectors = self._faiss.rev_swig_ptr(self._index.get_xb(), size[0] * size[1]).reshape(size)
        alike = np.zeros(scores.shape, dtype=np.bool_)
        alike[:, :-1] |= gaps
        alike[:, 1:] |= gaps
        places = np.searchsorted(self._rows.all, rows[alike])
        crowded = scores[:, k - 1] - scores[:, -1] <= slack
        scores[alike] = exact_scores(projected, vectors, np.nonzero(alike)[0], places)
        if scores.shape[1] < len(self) and crowded.any():
            who = np.flatnonzero(crowded)
            gone = np.ones(len(who), np.int64), self._flags()  # 1 for what is removed
            nearest = nearest_rows(projected[who], vectors, k, FloatProduct(vectors), barred=gone)
            scores[who] = -np.inf
            scores[who, :k], rows[who, :k] = nearest[0], self._rows.all[nearest[1]]
        return scores, rows

    def _bytes_each(self) -> int:
        return 4 * int(self._index.d)


class Hnsw(FaissIndex):
    """A graph of neighbours; effort is the number of neighbours considered at once (efSearch).

    Vectors are projected on those principal axes that hold most of their squared lengths, and
    rotated at random; each number is then rounded to a whole one of -127..127, which FAISS compares
    three times as fast as its trained 8 bits.  In few dimensions a graph is quick to build, so that
    it can be built with care, and the gallery scores its candidates again.
    """

    name = "hnsw"
    mapped = True
    EFFORTS = (
        (16, 32), (24, 48), (32, 64), (48, 96), (64, 128), (96, 128), (128, 128), (256, 128),
        (512, 128), (1024, 128), (2048, 192),
    )  # fmt: skip

    def _empty(self, vectors: Floats) -> Any:
        sample = _sample(vectors, 20_000)
        self._axes = _axes(sample, _HELD)
        greatest = float(np.abs(sample @ self._axes).max(initial=0.0)) or 1.0
        self._scale = (127 / greatest) ** 2
        return self._graph(self._axes.shape[1])

    def _graph(self, dimension: int) -> Any:
        faiss = self._faiss
        index = faiss.IndexHNSWSQ(
            dimension, faiss.ScalarQuantizer.QT_8bit_direct_signed, GRAPH_NEIGHBOURS,
            faiss.METRIC_INNER_PRODUCT,
        )  # fmt: skip
        index.hnsw.efConstruction = GRAPH_EFFORT
        # Otherwise photographs of one animal, which are near each other, have few links.
        index.keep_max_size_level0 = True
        index.is_trained = True
        return index

    def _stored(self, vectors: Floats) -> Floats:
        projected = self._projected(vectors)
        projected = projected + _unlike(len(self._rows), *projected.shape)
        return np.clip(np.rint(projected), -127, 127)

    def _projected(self, queries: Floats) -> Floats:
        return (queries @ self._axes) * np.float32(math.sqrt(self._scale))

    def _params(self, selector: Any) -> Any:
        # Removed vectors are among the neighbours that are considered.
        effort = math.ceil(self.effort * len(self._rows) / max(1, len(self)))
        return self._faiss.SearchParametersHNSW(sel=selector, efSearch=effort)

    def _compact(self) -> None:
        there = np.flatnonzero(self._flags() == 0)
        codes, index = self._index.storage, self._graph(int(self._index.d))
        for start in range(0, len(there), 1 << 16):
            index.add(codes.reconstruct_batch(there[start : start + (1 << 16)]))
        self._index, self._rows = index, GrowingArray(self._rows.all[there])
        self._gone.clear()
        self._is_mapped = False

    def _bytes_each(self) -> int:
        return int(self._index.d) + 2 * 4 * GRAPH_NEIGHBOURS + 4 + 8


class IvfPq(FaissIndex):
    """Inverted lists of product codes; effort is the number of lists searched (nprobe).

    Vectors are projected on the first half of their principal axes, and rotated at random, so that
    all codes carry as much information.  The difference between a vector and the center of its list
    is coded, two numbers in 4 bits: an eighth of a byte for each number of the vector.
    """

    name = "ivf_pq"
    EFFORTS = (
        (2, 32), (4, 32), (8, 64), (16, 64), (32, 96), (64, 128), (128, 192), (256, 256),
        (512, 384),
    )  # fmt: skip

    def _empty(self, vectors: Floats) -> Any:
        faiss = self._faiss
        n = len(vectors)
        if n < FEWEST_TRAINED:
            raise FlukeprintError(
                f"gallery.backend=ivf_pq is trained on at least {FEWEST_TRAINED} photographs, and "
                f"the gallery has {n}; set gallery.backend=exact"
            )
        # The usual 4 to 8 times the root, lists of about as many entries as there are lists.
        lists = int(min(max(1, n // 8), 2 ** round(math.log2(4 * math.sqrt(n)))))
        sample = _sample(vectors, max(_TRAINED_EACH * lists, 20_000))
        self._axes = _axes(sample)
        m = self._axes.shape[1]
        center = faiss.IndexFlatIP(m)
        index = faiss.IndexIVFPQFastScan(center, m, lists, m // 2, 4, faiss.METRIC_INNER_PRODUCT)
        index.by_residual = True
        index.cp.niter, index.cp.seed, index.cp.spherical = _ITERATIONS, _SEED, True
        index.pq.cp.niter, index.pq.cp.seed = _ITERATIONS, _SEED
        for training in (index.cp, index.pq.cp):
            training.min_points_per_centroid = 1  # otherwise FAISS warns, and trains all the same
        index.cp.max_points_per_centroid = _TRAINED_EACH
        index.own_fields = True
        center.this.disown()
        index.train(self._stored(sample))
        return index

    def _projected(self, queries: Floats) -> Floats:
        return np.ascontiguousarray(queries @ self._axes)

    def _params(self, selector: Any) -> Any:
        # With more lists than there are, FAISS gives scores of vectors that do not exist.
        lists = min(self.effort, int(self._index.nlist))
        return self._faiss.SearchParametersIVF(sel=selector, nprobe=lists)

    def _bytes_each(self) -> int:
        return int(self._index.pq.M) // 2 + 8

    def memory(self) -> int:
        """Bytes of main memory that the index needs."""
        centers = 4 * int(self._index.nlist) * int(self._index.d)
        return super().memory() + centers


def _unlike(start: int, n: int, d: int) -> Floats:
    """Numbers (n, d) of -0.25..0.25 by the place of a vector, from `start` on, and of a number."""
    rows = np.arange(start, start + n, dtype=np.uint64)[:, None] * np.uint64(0x9E3779B97F4A7C15)
    mixed = rows + np.arange(1, d + 1, dtype=np.uint64) * np.uint64(0xBF58476D1CE4E5B9)
    mixed ^= mixed >> np.uint64(31)
    mixed *= np.uint64(0x94D049BB133111EB)  # splitmix64, Steele et al. 2014
    shares = (mixed >> np.uint64(40)).astype(np.float32) / np.float32(2**24)
    return np.asarray((shares - np.float32(0.5)) * np.float32(0.5), dtype=np.float32)


def _axes(vectors: Floats, held: float | None = None) -> Floats:
    """(d, m) orthonormal columns: the first m principal axes of (n, d), rotated at random.

    The vectors are not centered.  m is half of d; or the least that holds the share `held` of the
    squared lengths.
    """
    d = vectors.shape[1]
    if d < 128:  # all of so few dimensions are needed; zeros fill the last code
        return np.eye(d, 4 * math.ceil(d / 4), dtype=np.float32)
    spread, axes = np.linalg.eigh(vectors.T @ vectors)
    m = 4 * math.ceil(d / 8)
    if held is not None:
        share = np.cumsum(spread[::-1]) / max(float(spread.sum()), 1e-12)
        m = min(d, _STEP * math.ceil((int(np.searchsorted(share, held)) + 1) / _STEP))
    turn, _ = np.linalg.qr(np.random.default_rng(_SEED).standard_normal((m, m)))
    return np.ascontiguousarray(axes[:, ::-1][:, :m] @ turn, dtype=np.float32)


def _sample(vectors: Floats, most: int) -> Floats:
    """A random sample of at most `most` vectors, always the same."""
    if len(vectors) <= most:
        return vectors
    rows = np.random.default_rng(_SEED).choice(len(vectors), most, replace=False)
    return np.ascontiguousarray(vectors[np.sort(rows)])
