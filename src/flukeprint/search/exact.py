"""Exact nearest-neighbour search in a gallery: (q, d) queries against (n, d) photographs.

Approximate scores (`products.py`) are off by less than a known bound.  So a photograph whose
approximate score lies more than two bounds below the k-th best cannot be among the k nearest.
Those that may be, a handful for each query, are scored again in float64 and rounded to float32:
answers are those of scoring all of them so, whatever made the approximate scores, and a query's
answer does not depend on its companions.
"""

from collections.abc import Iterator

import numpy as np

from flukeprint.data.embeddings import Floats, Ints
from flukeprint.search.candidates import (
    Candidates,
    exact_block,
    exact_scores,
    leading,
    with_ranks,
)
from flukeprint.search.products import Product

# Gallery rows and queries of one product: 4 MiB of scores, which stay in the processor's cache.
# Fewer queries are compared with more rows at once.
ROWS_AT_ONCE = 4096
QUERIES_AT_ONCE = 256

# A block of the gallery of which more than this share may be near is scored exactly as a whole.
_DENSE = 1 / 32

# More candidates than these are scored exactly at once, so that only the nearest are kept.
_MOST_WAITING = 1 << 19

# Scores of all photographs that are in memory at once, where all are needed.
_MOST_SCORES = 1 << 24

# Photographs among which the first k identities are sought, for an initial floor.
_FIRST_LOOK = 64
_LOWEST = np.finfo(np.float32).min  # below every score, above minus infinity


def find_candidates(
    queries: Floats,
    vectors: Floats,
    k: int,
    product: Product,
    groups: Ints | None = None,
    barred: tuple[Ints, Ints] | None = None,
) -> Iterator[tuple[slice, Candidates]]:
    """All photographs that may be among the k nearest, one block of queries at a time.

    Args:
        queries, vectors: (q, d), (n, d) rows of length 1, or of zeros.
        k: at least 1.
        product: of `vectors`.
        groups: (n,) identity of each photograph, a number below n; the k nearest identities, each
            by its nearest photograph, are then found instead.
        barred: (q,), (n,) numbers; a photograph with the number of a query is not its candidate.

    Yields:
        The block, and its candidates with exact scores; their `queries` count from its start.
    """
    n = len(vectors)
    for start in range(0, len(queries), QUERIES_AT_ONCE):
        block = slice(start, min(start + QUERIES_AT_ONCE, len(queries)))
        rough = product(queries[block])
        mine = None if barred is None else (barred[0][block], barred[1])
        pool = _CandidatePool(queries[block], vectors, k, 2 * rough.bound, groups, mine)
        step = ROWS_AT_ONCE * max(1, QUERIES_AT_ONCE // (block.stop - block.start))
        for left in range(0, n, step):
            pool.take_block(left, rough(left, min(left + step, n)))
        yield block, pool.kept()


def nearest_rows(
    queries: Floats,
    vectors: Floats,
    k: int,
    product: Product,
    groups: Ints | None = None,
    barred: tuple[Ints, Ints] | None = None,
) -> tuple[Floats, Ints]:
    """The k nearest photographs, or of each of the k nearest groups its nearest photograph.

    Arguments as in `find_candidates`.

    Returns:
        (q, k) scores and rows.  Where a query has fewer than k candidates, scores of minus infinity
        follow, with row 0.
    """
    if groups is not None and barred is None and k >= np.count_nonzero(np.bincount(groups)):
        return _of_all_groups(queries, vectors, k, groups)
    scores = np.empty((len(queries), k), dtype=np.float32)
    rows = np.empty((len(queries), k), dtype=np.int64)
    for block, found in find_candidates(queries, vectors, k, product, groups, barred):
        scores[block], rows[block] = leading(found, block.stop - block.start, k, groups)
    return scores, rows


def _of_all_groups(queries: Floats, vectors: Floats, k: int, groups: Ints) -> tuple[Floats, Ints]:
    """What `nearest_rows` returns where every group is asked for: no approximate score helps."""
    scores = np.full((len(queries), k), -np.inf, dtype=np.float32)
    rows = np.zeros((len(queries), k), dtype=np.int64)
    step = min(QUERIES_AT_ONCE, max(1, _MOST_SCORES // len(vectors)))
    for start in range(0, len(queries), step):
        block = slice(start, start + step)
        every = exact_block(queries[block], vectors)
        best = _best_of_groups(every, groups)
        found = np.take_along_axis(every, best, axis=1)
        order = np.lexsort((best, -found), axis=1)[:, :k]
        scores[block, : order.shape[1]] = np.take_along_axis(found, order, axis=1)
        rows[block, : order.shape[1]] = np.take_along_axis(best, order, axis=1)
    return scores, rows


class _CandidatePool:
    """Photographs that may be among the nearest of b queries, as far as the gallery was scored.

    floor (b,): k photographs (or identities) have at least this score, so a photograph below it by
    more than the slack, two bounds, is none of the nearest.  Scores are approximate until too many
    candidates wait.  Then they are made exact, and from there on only k of each query are kept.
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
        self._count, self._kept = 0, 0
        self._exact = False

    def take_block(self, left: int, scores: Floats) -> None:
        """Take in approximate scores (b, m) of gallery rows left..left + m."""
        self._bar(left, scores)
        if left == 0:
            self._first_floor(scores)
        near = scores >= (self._floor - self._slack)[:, None]
        count = np.count_nonzero(near)
        usual = max(_DENSE * near.size, 2 * self._k * len(near))
        if count > min(usual, near.size / 2):
            self._take_block_exactly(left, scores.shape[1])
        elif count:
            flat = np.flatnonzero(near)
            who, column = np.divmod(flat, scores.shape[1])
            found = Candidates(who, column + left, scores.ravel()[flat])
            self._add(self._scored(found) if self._exact else found)

    def _take_block_exactly(self, left: int, m: int) -> None:
        """Score a whole block exactly, where many are near: copies, or nearly so."""
        self._make_exact()
        scores = exact_block(self._queries, self._vectors[left : left + m])
        self._bar(left, scores)
        columns = np.broadcast_to(np.arange(m), scores.shape)
        if self._groups is not None:
            columns = _best_of_groups(scores, self._groups[left : left + m])
            scores = np.take_along_axis(scores, columns, axis=1)
        near = scores > self._floor[:, None]  # rows ascend: of equal scores earlier ones win
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
        """Set the floor by the first block, so that few candidates wait from the start."""
        k, m = self._k, scores.shape[1]
        if self._groups is None:
            if m > k:
                kth = np.partition(scores, m - k, axis=1)[:, m - k]
                self._floor = np.maximum(kth, _LOWEST)
            return
        few = max(_FIRST_LOOK, 4 * k)
        if m <= few:
            return
        near = np.argpartition(scores, m - few, axis=1)[:, m - few :]
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
        if self._count > max(2 * self._kept, 64 * len(self._queries)):
            self._prune()

    def _prune(self) -> None:
        """Raise the floors and drop the candidates below them."""
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
        self._kept = self._count
        if self._count > _MOST_WAITING:
            self._make_exact()

    def _make_exact(self) -> None:
        if self._exact:
            return
        self._exact = True
        self._floor = np.full_like(self._floor, _LOWEST)  # the approximate one may be too high
        self._parts = [self._scored(Candidates.joined(self._parts))]
        self._prune()

    def _scored(self, found: Candidates) -> Candidates:
        """Exact scores; candidates that are barred, or no nearer than k others, are dropped."""
        scores = exact_scores(self._queries, self._vectors, found.queries, found.rows)
        above = scores > self._floor[found.queries]
        return Candidates(found.queries[above], found.rows[above], scores[above])

    def _first(self, waiting: Candidates) -> Candidates:
        """The first k candidates of each query (or identities, each once), as scored so far."""
        ordered, rank = with_ranks(waiting, self._groups)
        return ordered.take(rank < self._k)

    def kept(self) -> Candidates:
        """The remaining candidates, with exact scores."""
        self._prune()
        waiting = Candidates.joined(self._parts)
        if self._exact:
            return waiting
        scores = exact_scores(self._queries, self._vectors, waiting.queries, waiting.rows)
        return Candidates(waiting.queries, waiting.rows, scores)


def _best_of_groups(scores: Floats, groups: Ints) -> Ints:
    """Best column of each of the g groups that occur in (m,): scores (b, m) -> columns (b, g)."""
    m = len(groups)
    order = np.argsort(groups, kind="stable")
    starts = np.flatnonzero(np.diff(groups[order], prepend=-1))
    sizes = np.diff(starts, append=m)
    ordered = scores[:, order]
    best = np.repeat(np.maximum.reduceat(ordered, starts, axis=1), sizes, axis=1)
    places = np.where(ordered == best, np.arange(m, dtype=np.int32), np.int32(m))
    columns: Ints = order[np.minimum.reduceat(places, starts, axis=1)]
    return columns
