"""Pairs of a query and a gallery photograph: scoring them exactly and sorting them.

An exact score is a cosine summed in float64 and rounded to float32.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from flukeprint.data.embeddings import Floats, Ints
from flukeprint.search.products import LENGTHS

_CACHED = 1 << 20  # bytes

# Pairs of vectors that are converted to float64 at once.
_PAIRS_AT_ONCE = 1 << 9


@dataclass(frozen=True)
class Candidates:
    """Pairs of a query and a gallery row with their scores, (m,) each."""

    queries: Ints
    rows: Ints
    scores: Floats

    @classmethod
    def joined(cls, parts: Sequence["Candidates"]) -> "Candidates":
        """All parts, one after the other."""
        none = np.empty(0, dtype=np.int64)
        return cls(
            np.concatenate([none, *(part.queries for part in parts)]),
            np.concatenate([none, *(part.rows for part in parts)]),
            np.concatenate([none.astype(np.float32), *(part.scores for part in parts)]),
        )

    def take(self, places: Ints | npt.NDArray[np.bool_]) -> "Candidates":
        """A selection of the pairs, by index or mask."""
        return Candidates(self.queries[places], self.rows[places], self.scores[places])


def exact_scores(queries: Floats, vectors: Floats, query_rows: Ints, rows: Ints) -> Floats:
    """(m,) cosines of pairs, summed in float64 and rounded to float32."""
    scores = np.empty(len(rows), dtype=np.float32)
    for start in range(0, len(rows), _PAIRS_AT_ONCE):
        part = slice(start, start + _PAIRS_AT_ONCE)
        left = queries[query_rows[part]].astype(np.float64)
        scores[part] = np.einsum("md,md->m", left, vectors[rows[part]].astype(np.float64))
    return scores


def exact_block(queries: Floats, vectors: Floats) -> Floats:
    """(b, m) what `exact_scores` gives for all pairs of (b, d) and (m, d), to the bit.

    BLAS sums in another order; a pair for which that might round differently is summed again.
    """
    left, vectors = queries.astype(np.float64), np.asarray(vectors)
    # Two sums in different orders, each off by d * 2**-53 at most, and a little for this sum.
    off = 2.1 * LENGTHS * (queries.shape[1] + 2) * 2.0**-53
    scores = np.empty((len(queries), len(vectors)), dtype=np.float32)
    # As many rows at once as stay in the processor's cache in float64.
    rows = max(1, _CACHED // (8 * queries.shape[1]))
    for start in range(0, len(vectors), rows):
        part = slice(start, start + rows)
        wide = left @ vectors[part].astype(np.float64).T
        found: Floats = (wide - off).astype(np.float32)
        unsure = np.nonzero(found != (wide + off).astype(np.float32))
        if len(unsure[0]):
            found[unsure] = exact_scores(queries, vectors[part], *unsure)
        scores[:, part] = found
    return scores


def nearest_first(found: Candidates, groups: Ints | None = None) -> Candidates:
    """Candidates sorted by query, then by descending score, then by ascending row.

    groups: (n,) identity of each gallery row; of each query and identity only the first is kept.
    """
    order = np.lexsort((found.rows, -found.scores, found.queries))
    if groups is not None:
        kinds = groups[found.rows[order]]
        pairs = found.queries[order] * (int(groups.max()) + 1) + kinds
        _, first = np.unique(pairs, return_index=True)
        order = order[np.sort(first)]
    return found.take(order)


def with_ranks(found: Candidates, groups: Ints | None) -> tuple[Candidates, Ints]:
    """`nearest_first`, and the rank of each candidate among those of its query, from 0."""
    ordered = nearest_first(found, groups)
    rank = np.arange(len(ordered.rows)) - np.searchsorted(ordered.queries, ordered.queries)
    return ordered, rank


def leading(
    found: Candidates, queries: int, k: int, groups: Ints | None = None
) -> tuple[Floats, Ints]:
    """(queries, k) scores and rows of the first k candidates of each query.

    Where a query has fewer, scores of minus infinity follow, with row 0.
    """
    ordered, rank = with_ranks(found, groups)
    scores = np.full((queries, k), -np.inf, dtype=np.float32)
    rows = np.zeros((queries, k), dtype=np.int64)
    there = rank < k
    scores[ordered.queries[there], rank[there]] = ordered.scores[there]
    rows[ordered.queries[there], rank[there]] = ordered.rows[there]
    return scores, rows
