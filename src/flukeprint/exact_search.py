"""The nearest of a gallery, exactly: queries (q, d) and photographs (n, d) enter, rows leave.

A product in float32 (or in bfloat16, `half_product.py`) is off by less than a known bound.  So a
photograph whose rough score lies more than two bounds below the k-th best cannot be among the k
nearest.  Those that may be, a handful for each query, are scored again in float64 and rounded to
float32: answers are those of scoring all of them so, whatever made the rough scores, and a query's
answer does not depend on its companions.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]

# Gallery rows and queries of one product: 4 MiB of scores, which stay in the cache while looked at.
ROWS_AT_ONCE = 4096
QUERIES_AT_ONCE = 256
# More candidates than these are scored exactly at once, so that only the nearest are kept.
_MOST_WAITING = 1 << 21
# Vectors that are widened to float64 at once.
_WIDENED = 1 << 12
# Photographs among which so many identities as are asked for are looked for at first.
_FIRST_LOOK = 64
_EPSILON = float(np.finfo(np.float32).eps)


class Product(Protocol):
    """Rough scores of queries and a stretch of the gallery, off by at most `bound`."""

    def prepare(self, queries: Floats) -> None:
        """Take in the queries (b, d) of the next calls."""

    def bound(self) -> Floats:
        """(b,) most that a score of each query may differ from the true one."""

    def __call__(self, start: int, stop: int) -> Floats:
        """(b, stop - start) scores of gallery rows start..stop, valid until the next call."""


class FloatProduct:
    """By BLAS in float32.

    Each of d products and sums rounds by half an epsilon at most, so for vectors of length 1 the
    error is below d * eps / 2 / (1 - d * eps / 2) (Higham 2002, section 3.1, with Cauchy-Schwarz);
    a thousandth is added for vectors whose own length is rounded.
    """

    def __init__(self, vectors: Floats) -> None:
        self._vectors = vectors
        half = vectors.shape[1] * _EPSILON / 2
        self._error = np.float32(1.001 * half / (1 - half)) + np.float32(_EPSILON)
        self._queries = vectors[:0]
        self._room = np.empty(0, dtype=np.float32)

    def prepare(self, queries: Floats) -> None:
        """See `Product`."""
        self._queries = queries

    def bound(self) -> Floats:
        """See `Product`."""
        return np.full(len(self._queries), self._error, dtype=np.float32)

    def __call__(self, start: int, stop: int) -> Floats:
        """See `Product`."""
        shape = (len(self._queries), stop - start)
        if self._room.size < shape[0] * shape[1]:
            self._room = np.empty(shape[0] * shape[1], dtype=np.float32)
        room = self._room[: shape[0] * shape[1]].reshape(shape)
        return np.matmul(self._queries, self._vectors[start:stop].T, out=room)


@dataclass(frozen=True)
class Candidates:
    """Pairs of a query and a gallery row, by ascending query; scores (m,) are exact."""

    queries: Ints
    rows: Ints
    scores: Floats


def exact_scores(queries: Floats, vectors: Floats, query_rows: Ints, rows: Ints) -> Floats:
    """(m,) cosines of pairs, summed in float64 and rounded to float32."""
    scores = np.empty(len(rows), dtype=np.float32)
    for start in range(0, len(rows), _WIDENED):
        part = slice(start, start + _WIDENED)
        left = queries[query_rows[part]].astype(np.float64)
        scores[part] = np.einsum("md,md->m", left, vectors[rows[part]].astype(np.float64))
    return scores


def candidates(
    queries: Floats,
    vectors: Floats,
    k: int,
    product: Product,
    groups: Ints | None = None,
) -> Iterator[tuple[slice, Candidates]]:
    """For block after block of queries, all photographs that may be among the k nearest.

    Args:
        queries, vectors: (q, d), (n, d) rows of length 1.
        k: at least 1.
        product: of `vectors`.
        groups: (n,) identity of each photograph, a number below n; then the k nearest identities,
            each by its nearest photograph, are looked for instead.

    Yields:
        The block, and its candidates; `queries` counts within the block.
    """
    n = len(vectors)
    for start in range(0, len(queries), QUERIES_AT_ONCE):
        block = slice(start, min(start + QUERIES_AT_ONCE, len(queries)))
        asked = queries[block]
        product.prepare(asked)
        waiting = _Waiting(asked, vectors, k, 2 * product.bound(), groups)
        for left in range(0, n, ROWS_AT_ONCE):
            waiting.look_at(left, product(left, min(left + ROWS_AT_ONCE, n)))
        who, rows = waiting.kept()
        yield block, Candidates(who, rows, exact_scores(asked, vectors, who, rows))


def nearest_first(found: Candidates, groups: Ints | None = None) -> Candidates:
    """Sorted by query, then by descending score, then by ascending row.

    groups: (n,) identity of each gallery row; of each query and identity only the first stays.
    """
    order = np.lexsort((found.rows, -found.scores, found.queries))
    if groups is not None:
        kinds = groups[found.rows[order]]
        pairs = found.queries[order] * (int(groups.max()) + 1) + kinds
        _, first = np.unique(pairs, return_index=True)
        order = order[np.sort(first)]
    return Candidates(found.queries[order], found.rows[order], found.scores[order])


class _Waiting:
    """Photographs that may be among the nearest of b queries, as far as the gallery was seen.

    floor (b,): k photographs (or identities) were seen with at least this rough score, so what
    lies below it by more than the slack, two bounds, is out.
    """

    def __init__(
        self, queries: Floats, vectors: Floats, k: int, slack: Floats, groups: Ints | None
    ) -> None:
        self._queries, self._vectors = queries, vectors
        self._k, self._slack, self._groups = k, slack, groups
        self._floor = np.full(len(queries), -np.inf, dtype=np.float32)
        self._parts: list[Candidates] = []
        self._count, self._tidy = 0, 0

    def look_at(self, left: int, scores: Floats) -> None:
        """Rough scores (b, m) of gallery rows left..left + m."""
        if left == 0:
            self._first_floor(scores)
        flat = np.flatnonzero(scores >= (self._floor - self._slack)[:, None])
        if not len(flat):
            return
        who, column = np.divmod(flat, scores.shape[1])
        self._parts.append(Candidates(who, column + left, scores.ravel()[flat]))
        self._count += len(flat)
        if self._count > max(2 * self._tidy, 64 * len(scores)):
            self._tidy_up()

    def _first_floor(self, scores: Floats) -> None:
        """Of the first stretch, so that few photographs are taken in from the start."""
        k, m = self._k, scores.shape[1]
        if self._groups is None:
            if m > k:
                self._floor = np.partition(scores, m - k, axis=1)[:, m - k]
            return
        look = max(_FIRST_LOOK, 4 * k)
        if m <= look:
            return
        near = np.argpartition(scores, m - look, axis=1)[:, m - look :]
        best = np.take_along_axis(scores, near, axis=1)
        order = np.argsort(-best, axis=1)
        best = np.take_along_axis(best, order, axis=1)
        kinds = self._groups[np.take_along_axis(near, order, axis=1)]
        for query, kind in enumerate(kinds):
            _, first = np.unique(kind, return_index=True)
            if len(first) >= k:
                self._floor[query] = best[query, np.sort(first)[k - 1]]

    def _tidy_up(self) -> None:
        """Raise the floors and drop what lies below."""
        waiting = self._all()
        if len(waiting.rows) > _MOST_WAITING:
            # Copies by the thousand: only exact scores and rows tell which of them are first.
            exact = exact_scores(self._queries, self._vectors, waiting.queries, waiting.rows)
            waiting = self._leading(Candidates(waiting.queries, waiting.rows, exact))
        leading = self._leading(waiting)
        starts, counts = self._runs(leading.queries)
        enough = counts >= self._k
        kth = leading.scores[starts[enough] + self._k - 1]
        self._floor[enough] = np.maximum(self._floor[enough], kth)
        stay = waiting.scores >= (self._floor - self._slack)[waiting.queries]
        self._parts = [Candidates(waiting.queries[stay], waiting.rows[stay], waiting.scores[stay])]
        self._count = self._tidy = int(np.count_nonzero(stay))

    def _leading(self, waiting: Candidates) -> Candidates:
        """The k nearest of each query, by the scores that are there; or fewer."""
        ordered = nearest_first(waiting, self._groups)
        starts, _ = self._runs(ordered.queries)
        place = np.arange(len(ordered.rows)) - starts[ordered.queries]
        stay = place < self._k
        return Candidates(ordered.queries[stay], ordered.rows[stay], ordered.scores[stay])

    def _runs(self, who: Ints) -> tuple[Ints, Ints]:
        """Where each query's candidates start among ascending queries, and how many they are."""
        starts = np.searchsorted(who, np.arange(len(self._floor)))
        return starts, np.diff(starts, append=len(who))

    def _all(self) -> Candidates:
        if not self._parts:
            nothing = np.empty(0, dtype=np.int64)
            return Candidates(nothing, nothing, np.empty(0, dtype=np.float32))
        return Candidates(
            np.concatenate([part.queries for part in self._parts]),
            np.concatenate([part.rows for part in self._parts]),
            np.concatenate([part.scores for part in self._parts]),
        )

    def kept(self) -> tuple[Ints, Ints]:
        """Queries and gallery rows that are left."""
        self._tidy_up()
        left = self._all()
        return left.queries, left.rows
