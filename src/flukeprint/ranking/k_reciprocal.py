"""k-reciprocal re-ranking: compare photographs by the nearest neighbours that they share.

The result is the Jaccard similarity, 0 to 1, of the neighbourhoods of a query and a gallery
photograph.  Neighbourhoods in the gallery are made once, and queries do not change them: so a
query's answer does not depend on the other queries.

Source: Zhong et al., Re-ranking person re-identification with k-reciprocal encoding (2017).
Where the paper leaves a choice open, this follows the authors' program: k/2 neighbours when a
neighbourhood is expanded, encodings of sum 1, and 0.3 k neighbours when they are averaged.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from flukeprint.data.embeddings import Floats, Ints, Values
from flukeprint.ranking.neighbours import neighbours
from flukeprint.search.index import Matches


@dataclass(frozen=True)
class Encoding:
    """A photograph's neighbourhood as ascending gallery rows (m,) with weights (m,)."""

    rows: Ints
    weights: Values

    @classmethod
    def mean(cls, parts: Iterable["Encoding"]) -> "Encoding":
        """Average several encodings (local query expansion: Zhong et al., equation 11)."""
        every = list(parts)
        rows, place = np.unique(np.concatenate([part.rows for part in every]), return_inverse=True)
        weights = np.concatenate([part.weights for part in every])
        return cls(rows, np.bincount(place, weights, minlength=len(rows)) / len(every))


class Reciprocal:
    """Neighbourhoods of a gallery, made once for many queries; memory grows with n * k."""

    def __init__(self, vectors: Floats, k: int, hubs: Floats | None = None) -> None:
        """
        Args:
            vectors: (n, d) of the gallery.
            k: size of the neighbourhoods; smaller galleries have all other photographs in them.
            hubs: (n,) mean similarities for `csls`; None: neighbours by cosine.
        """
        self.k, self._half, self._mean = k, max(1, round(k / 2)), max(1, round(0.3 * k))
        self._vectors, self._hubs = vectors, hubs
        near = neighbours(vectors, k, hubs)
        self._reach = _reach(near, k)
        reach = _reach(near, self._half)
        self._core = [
            frozenset([row, *_mutual(near.scores[row], near.rows[row], reach, self._half)])
            for row in range(len(vectors))
        ]
        self._raw = [self._encode(near, row, row) for row in range(len(vectors))]
        self._index([self._averaged(raw, near.rows[row]) for row, raw in enumerate(self._raw)])

    def common(self, vectors: Floats, near: Matches, hubs: Floats | None = None) -> Floats:
        """Jaccard similarity (b, n) of the neighbourhoods of queries and gallery photographs.

        Args:
            vectors: (b, d) of the queries.
            near: their k nearest gallery photographs (or more, or all there are).
            hubs: (b,) mean similarities of the queries, where the gallery has its own.
        """
        out = np.zeros((len(vectors), len(self._vectors)), dtype=np.float32)
        for query, vector in enumerate(vectors):
            raw = self._encode(near, query, None, vector, None if hubs is None else hubs[query])
            own = self._averaged(raw, near.rows[query])
            both = np.zeros(len(self._vectors))
            for row, weight in zip(own.rows, own.weights, strict=True):
                where = slice(self._starts[row], self._starts[row + 1])
                both[self._who[where]] += np.minimum(self._weights[where], weight)
            # Gallery encodings have sum 1, and min + max = a + b.
            out[query] = both / (own.weights.sum() + 1 - both)
        return out

    def _encode(
        self,
        near: Matches,
        at: int,
        itself: int | None,
        vector: Floats | None = None,
        hub: np.float32 | None = None,
    ) -> Encoding:
        """Encode the expanded mutual neighbours (equations 4, 5) by exp(score - 1), of sum 1.

        at: row of `near`.  itself: row of a gallery photograph; None for a query, of which
        `vector` and `hub` are given.
        """
        mutual = set(_mutual(near.scores[at], near.rows[at], self._reach, self.k))
        if itself is not None:
            mutual.add(itself)
            vector, hub = self._vectors[itself], None if self._hubs is None else self._hubs[itself]
        assert vector is not None
        grown = mutual.union(
            *(
                self._core[row]
                for row in mutual
                if 3 * len(mutual & self._core[row]) >= 2 * len(self._core[row])
            )
        )
        rows = np.array(sorted(grown), dtype=np.int64)
        scores = self._vectors[rows].astype(np.float64) @ vector.astype(np.float64)
        if hub is not None and self._hubs is not None:
            scores -= (hub + self._hubs[rows]) / 2
        weights = np.exp(scores - 1)
        return Encoding(rows, weights / max(float(weights.sum()), 1e-30))

    def _averaged(self, raw: Encoding, near: Ints) -> Encoding:
        return Encoding.mean([raw, *(self._raw[row] for row in near[: self._mean - 1])])

    def _index(self, encodings: list[Encoding]) -> None:
        """Build the inverted index: for every gallery row, the encodings that hold it."""
        rows = np.concatenate([one.rows for one in encodings])
        who = np.repeat(np.arange(len(encodings)), [len(one.rows) for one in encodings])
        order = np.argsort(rows, kind="stable")
        self._starts = np.searchsorted(rows[order], np.arange(len(encodings) + 1))
        self._who = who[order]
        self._weights = np.concatenate([one.weights for one in encodings])[order]


def _reach(near: Matches, k: int) -> Floats:
    """The similarity (n,) from which on something is among a photograph's k nearest."""
    n = len(near.scores)
    if near.scores.shape[1] < k:
        return np.full(n, -np.inf, dtype=np.float32)
    return near.scores[:, k - 1]


def _mutual(scores: Floats, rows: Ints, reach: Floats, k: int) -> list[int]:
    """The k nearest of a photograph that have it among their own k nearest (equation 3)."""
    scores, rows = scores[:k], rows[:k]
    return [int(row) for row in rows[scores >= reach[rows]]]
