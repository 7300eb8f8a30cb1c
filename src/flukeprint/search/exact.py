"""The nearest of a gallery, exactly: queries (q, d) and photographs (n, d) enter, rows leave.

A product in float32 (or in bfloat16, `half_product.py`) is off by less than a known bound.  So a
photograph whose rough score lies more than two bounds below the k-th best cannot be among the k
nearest.  Those that may be, a handful for each query, are scored again in float64 and rounded to
float32: answers are those of scoring all of them so, whatever made the rough scores, and a query's
answer does not depend on its companions.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from flukeprint.data.embeddings import Floats, Ints

# Gallery rows and queries of one product: 4 MiB of scores, which stay in the cache while looked at.
# Fewer queries look at more rows at once.
ROWS_AT_ONCE = 4096
QUERIES_AT_ONCE = 256

# A stretch of the gallery of which more than this share may be near is scored exactly as a whole.
_DENSE = 1 / 32

# More candidates than these are scored exactly at once, so that only the nearest are kept.
_MOST_WAITING = 1 << 19

# Pairs of vectors that are widened to float64 at once.
_WIDENED = 1 << 9

# Photographs among which so many identities as are asked for are looked for at first.
_FIRST_LOOK = 64
_EPSILON = float(np.finfo(np.float32).eps)
_LOWEST = np.finfo(np.float32).min  # below every score, above minus infinity

# Product of two lengths, each at most a thousandth above 1 as `Embeddings` has them.
LENGTHS = 1.0021


class Rough(Protocol):
    """Rough scores of b queries."""

    bound: Floats  # (b,) the most that a score of each query may differ from the true one

    def __call__(self, start: int, stop: int) -> Floats:
        """(b, stop - start) scores of gallery rows start..stop."""


class Product(Protocol):
    """A gallery that gives rough scores; threads may share it."""

    def __call__(self, queries: Floats) -> Rough:
        """Of queries (b, d)."""


class FloatProduct:
    """By BLAS in float32.

    Each of d products and sums rounds by half an epsilon at most.  So the error is below |x| |y| *
    d * eps / 2 / (1 - d * eps / 2) (Higham 2002, section 3.1, with Cauchy-Schwarz), whatever the
    order of the sum; another epsilon is for rounding the true score and the threshold.
    """

    def __init__(self, vectors: Floats) -> None:
        self._vectors = vectors
        half = vectors.shape[1] * _EPSILON / 2
        self._error = np.float32(LENGTHS * half / (1 - half) + _EPSILON)

    def __call__(self, queries: Floats) -> Rough:
        """See `Product`."""
        return _FloatScores(queries, self._vectors, np.full(len(queries), self._error))


class _FloatScores:
    def __init__(self, queries: Floats, vectors: Floats, bound: Floats) -> None:
        self.bound = bound
        self._queries, self._vectors = queries, vectors
        self._room = np.empty(0, dtype=np.float32)

    def __call__(self, start: int, stop: int) -> Floats:
        """See `Rough`; valid until the next call."""
        shape = (len(self._queries), stop - start)
        if self._room.size < shape[0] * shape[1]:
            self._room = np.empty(shape[0] * shape[1], dtype=np.float32)
        room = self._room[: shape[0] * shape[1]].reshape(shape)
        np.matmul(self._queries, self._vectors[start:stop].T, out=room)
        return room


@dataclass(frozen=True)
class Candidates:
    """Pairs of a query and a gallery row with their scores, (m,) each."""

    queries: Ints
    rows: Ints
    scores: Floats

    @classmethod
    def joined(cls, parts: Sequence["Candidates"]) -> "Candidates":
        """One after the other."""
        none = np.empty(0, dtype=np.int64)
        return cls(
            np.concatenate([none, *(part.queries for part in parts)]),
            np.concatenate([none, *(part.rows for part in parts)]),
            np.concatenate([none.astype(np.float32), *(part.scores for part in parts)]),
        )

    def take(self, places: Ints | npt.NDArray[np.bool_]) -> "Candidates":
        """Some of them."""
        return Candidates(self.queries[places], self.rows[places], self.scores[places])


def exact_scores(queries: Floats, vectors: Floats, query_rows: Ints, rows: Ints) -> Floats:
    """(m,) cosines of pairs, summed in float64 and rounded to float32."""
    scores = np.empty(len(rows), dtype=np.float32)
    for start in range(0, len(rows), _WIDENED):
        part = slice(start, start + _WIDENED)
        left = queries[query_rows[part]].astype(np.float64)
        scores[part] = np.einsum("md,md->m", left, vectors[rows[part]].astype(np.float64))
    return scores


def exact_block(queries: Floats, vectors: Floats) -> Floats:
    """(b, m) what `exact_scores` gives for all pairs of (b, d) and (m, d), to the bit.

    BLAS sums in another order; a pair for which that might round differently is summed again.
    """
    wide = queries.astype(np.float64) @ vectors.T.astype(np.float64)
    # Two sums in different orders, each off by d * 2**-53 at most, and a little for this sum.
    off = 2.1 * LENGTHS * (queries.shape[1] + 2) * 2.0**-53
    scores: Floats = (wide - off).astype(np.float32)
    unsure = np.nonzero(scores != (wide + off).astype(np.float32))
    scores[unsure] = exact_scores(queries, vectors, *unsure)
    return scores


def candidates(
    queries: Floats,
    vectors: Floats,
    k: int,
    product: Product,
    groups: Ints | None = None,
    barred: tuple[Ints, Ints] | None = None,
) -> Iterator[tuple[slice, Candidates]]:
    """For block after block of queries, all photographs that may be among the k nearest.

    Args:
        queries, vectors: (q, d), (n, d) rows of length 1, or of zeros.
        k: at least 1.
        product: of `vectors`.
        groups: (n,) identity of each photograph, a number below n; then the k nearest identities,
            each by its nearest photograph, are looked for instead.
        barred: (q,), (n,) numbers; no query has a photograph of its own number for a candidate.

    Yields:
        The block, and its candidates with exact scores; their `queries` count within the block.
    """
    n = len(vectors)
    for start in range(0, len(queries), QUERIES_AT_ONCE):
        block = slice(start, min(start + QUERIES_AT_ONCE, len(queries)))
        rough = product(queries[block])
        mine = None if barred is None else (barred[0][block], barred[1])
        waiting = _Waiting(queries[block], vectors, k, 2 * rough.bound, groups, mine)
        step = ROWS_AT_ONCE * max(1, QUERIES_AT_ONCE // (block.stop - block.start))
        for left in range(0, n, step):
            waiting.look_at(left, rough(left, min(left + step, n)))
        yield block, waiting.kept()


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
    return found.take(order)


def nearest_rows(
    queries: Floats,
    vectors: Floats,
    k: int,
    product: Product,
    groups: Ints | None = None,
    barred: tuple[Ints, Ints] | None = None,
) -> tuple[Floats, Ints]:
    """(q, k) scores and rows of the nearest, or of the nearest of the k nearest groups.

    Arguments as `candidates` has them.  Where a query has fewer than k candidates, scores of minus
    infinity follow, with row 0.
    """
    scores = np.empty((len(queries), k), dtype=np.float32)
    rows = np.empty((len(queries), k), dtype=np.int64)
    for block, found in candidates(queries, vectors, k, product, groups, barred):
        scores[block], rows[block] = leading(found, block.stop - block.start, k, groups)
    return scores, rows


def leading(
    found: Candidates, queries: int, k: int, groups: Ints | None = None
) -> tuple[Floats, Ints]:
    """(queries, k) scores and rows of the first k of each query; filled up as in `nearest_rows`."""
    ordered, place = _placed(found, groups)
    scores = np.full((queries, k), -np.inf, dtype=np.float32)
    rows = np.zeros((queries, k), dtype=np.int64)
    there = place < k
    scores[ordered.queries[there], place[there]] = ordered.scores[there]
    rows[ordered.queries[there], place[there]] = ordered.rows[there]
    return scores, rows


def _placed(found: Candidates, groups: Ints | None) -> tuple[Candidates, Ints]:
    """`nearest_first`, and the place of each among those of its query, from 0."""
    ordered = nearest_first(found, groups)
    place = np.arange(len(ordered.rows)) - np.searchsorted(ordered.queries, ordered.queries)
    return ordered, place


class _Waiting:
    """Photographs that may be among the nearest of b queries, as far as the gallery was seen.

    floor (b,): k photographs (or identities) were seen with at least this score, so what lies
    below it by more than the slack, two bounds, is out.  Scores are rough until too many wait.
    Then they are made exact, and from there on only k of each query wait with exact scores.
    """

    def __init__(
        self,
        queries: Floats,
        vectors: Floats,
        k: int,
        slack: Floats,
        groups: Ints | None,
        barred: tuple[Ints, Ints] | None,
    ) -> None:
        self._queries, self._vectors = queries, vectors
        self._k, self._slack, self._groups, self._barred = k, slack, groups, barred
        self._floor = np.full(len(queries), _LOWEST)
        self._parts: list[Candidates] = []
        self._count, self._tidy = 0, 0
        self._exact = False

    def look_at(self, left: int, scores: Floats) -> None:
        """Rough scores (b, m) of gallery rows left..left + m."""
        self._bar(left, scores)
        if left == 0:
            self._first_floor(scores)
        near = scores >= (self._floor - self._slack)[:, None]
        count = np.count_nonzero(near)
        usual = max(_DENSE * near.size, 2 * self._k * len(near))
        if count > min(usual, near.size / 2):
            self._look_closely(left, scores.shape[1])
        elif count:
            flat = np.flatnonzero(near)
            who, column = np.divmod(flat, scores.shape[1])
            found = Candidates(who, column + left, scores.ravel()[flat])
            self._add(self._scored(found) if self._exact else found)

    def _look_closely(self, left: int, m: int) -> None:
        """Many are near, for they are copies, or hardly differ: scores of all, but exact."""
        self._make_exact()
        scores = exact_block(self._queries, self._vectors[left : left + m])
        self._bar(left, scores)
        columns = np.broadcast_to(np.arange(m), scores.shape)
        if self._groups is not None:
            columns = _best_of_groups(scores, self._groups[left : left + m])
            scores = np.take_along_axis(scores, columns, axis=1)
        near = scores > self._floor[:, None]  # rows ascend: of equal scores those seen come first
        beyond = scores.shape[1] - self._k
        if beyond > 0:
            near &= scores >= np.partition(scores, beyond, axis=1)[:, beyond, None]
        who = np.nonzero(near)[0]
        self._add(Candidates(who, columns[near] + left, scores[near]))

    def _bar(self, left: int, scores: Floats) -> None:
        if self._barred is not None:
            mine, theirs = self._barred
            scores[mine[:, None] == theirs[left : left + scores.shape[1]]] = -np.inf

    def _first_floor(self, scores: Floats) -> None:
        """Of the first stretch, so that few photographs are taken in from the start."""
        k, m = self._k, scores.shape[1]
        if self._groups is None:
            if m > k:
                kth = np.partition(scores, m - k, axis=1)[:, m - k]
                self._floor = np.maximum(kth, _LOWEST)
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
                self._floor[query] = max(best[query, np.sort(first)[k - 1]], _LOWEST)

    def _add(self, found: Candidates) -> None:
        self._parts.append(found)
        self._count += len(found.rows)
        if self._count > max(2 * self._tidy, 64 * len(self._queries)):
            self._tidy_up()

    def _tidy_up(self) -> None:
        """Raise the floors and drop what lies below."""
        waiting = Candidates.joined(self._parts)
        first = self._first(waiting)
        starts = np.searchsorted(first.queries, np.arange(len(self._floor)))
        enough = np.diff(starts, append=len(first.queries)) >= self._k
        kth = first.scores[starts[enough] + self._k - 1]
        self._floor[enough] = np.maximum(self._floor[enough], kth)
        if self._exact:
            waiting = first
        else:
            floor = self._floor - self._slack
            waiting = waiting.take(waiting.scores >= floor[waiting.queries])
        self._parts, self._count = [waiting], len(waiting.rows)
        self._tidy = self._count
        if self._count > _MOST_WAITING:
            self._make_exact()

    def _make_exact(self) -> None:
        if self._exact:
            return
        self._exact = True
        self._floor = np.full_like(self._floor, _LOWEST)  # the rough one may be too high
        self._parts = [self._scored(Candidates.joined(self._parts))]
        self._tidy_up()

    def _scored(self, found: Candidates) -> Candidates:
        """With exact scores; without what is no nearer than k that wait, or is barred."""
        scores = exact_scores(self._queries, self._vectors, found.queries, found.rows)
        above = scores > self._floor[found.queries]
        return Candidates(found.queries[above], found.rows[above], scores[above])

    def _first(self, waiting: Candidates) -> Candidates:
        """The first k of each query (or identities, each once), by the scores that are there."""
        ordered, place = _placed(waiting, self._groups)
        return ordered.take(place < self._k)

    def kept(self) -> Candidates:
        """Those that are left, with exact scores."""
        self._tidy_up()
        waiting = Candidates.joined(self._parts)
        if self._exact:
            return waiting
        scores = exact_scores(self._queries, self._vectors, waiting.queries, waiting.rows)
        return Candidates(waiting.queries, waiting.rows, scores)


def _best_of_groups(scores: Floats, groups: Ints) -> Ints:
    """(b, m) scores -> (b, g) the best column of each of the g groups that are among (m,)."""
    m = len(groups)
    order = np.argsort(groups, kind="stable")
    starts = np.flatnonzero(np.diff(groups[order], prepend=-1))
    sizes = np.diff(starts, append=m)
    ordered = scores[:, order]
    best = np.repeat(np.maximum.reduceat(ordered, starts, axis=1), sizes, axis=1)
    places = np.where(ordered == best, np.arange(m, dtype=np.int32), np.int32(m))
    columns: Ints = order[np.minimum.reduceat(places, starts, axis=1)]
    return columns
