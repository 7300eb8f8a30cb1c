"""The gallery.  `Embeddings` enter, the nearest photos or identities of each query leave.

`Gallery.search` gives `Matches` (q, k) by photo, `Gallery.search_identities` gives
`IdentityMatches` (q, t) by identity.  A score is a cosine similarity: higher is nearer.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from flukeprint.embeddings import (
    PRECISIONS,
    Embeddings,
    Matches,
    Precision,
    check_descending,
    check_stamp,
    unit_rows,
)
from flukeprint.errors import FlukeprintError, listed
from flukeprint.exact_search import (
    QUERIES_AT_ONCE,
    Candidates,
    FloatProduct,
    Floats,
    Ints,
    Product,
    candidates,
    exact_scores,
    nearest_first,
)
from flukeprint.index import Index

__all__ = [
    "PRECISIONS",
    "Embeddings",
    "Floats",
    "Gallery",
    "IdentityMatches",
    "Ints",
    "Matches",
    "Precision",
    "unit_rows",
]


@dataclass(frozen=True)
class IdentityMatches:
    """The t nearest identities of q queries, each once, scored by its nearest photo.

    scores: (q, t) float32, descending; t = min(asked for, identities in the gallery).
    labels: (q, t) int64, positions in `vocabulary`.
    rows: (q, t) int64, the identity's nearest photo, a position in the gallery's embeddings.
    vocabulary: the gallery's identities, sorted.
    """

    scores: Floats
    labels: Ints
    rows: Ints
    vocabulary: tuple[str, ...]

    def __post_init__(self) -> None:
        check_descending(self.scores, self.rows)
        if self.labels.shape != self.scores.shape:
            raise ValueError("scores and labels differ in shape")


class Gallery:
    """Exact cosine search in labelled photos, in blocks: memory does not grow with the queries.

    Scores are summed in float64 and rounded to float32.  So copies of a photo tie exactly (the
    lower row comes first), and a query's answer does not depend on its companions.  An index that
    may miss some takes the place of looking at all; what it finds is scored in the same way.
    """

    def __init__(
        self,
        embeddings: Embeddings,
        *,
        index: Index | None = None,
        product: Product | None = None,
    ) -> None:
        """
        Args:
            index: of the same photographs, whose row numbers are their places.
            product: gives rough scores of `embeddings.vectors`; by BLAS in float32 without.

        Raises:
            FlukeprintError: an empty gallery or photos without an identity.
        """
        if len(embeddings) == 0:
            raise FlukeprintError("the gallery is empty; give it photos with identities")
        nameless = [
            image
            for image, identity in zip(embeddings.images, embeddings.identities, strict=True)
            if identity is None
        ]
        if nameless:
            raise FlukeprintError(
                f"gallery photos without an identity: {listed(nameless)}; name or remove them"
            )
        if index is not None and len(index) != len(embeddings):
            raise FlukeprintError(
                f"the index holds {len(index)} photographs and the gallery {len(embeddings)}; "
                "build the index again"
            )
        self.embeddings, self.index = embeddings, index
        self.identities: tuple[str, ...] = tuple(str(name) for name in embeddings.identities)
        self.vocabulary: tuple[str, ...] = tuple(sorted(set(self.identities)))
        self._number = {name: i for i, name in enumerate(self.vocabulary)}
        self._labels: Ints = np.fromiter(
            map(self._number.__getitem__, self.identities), np.int64, len(self.identities)
        )
        self._product = product or FloatProduct(embeddings.vectors)

    def __len__(self) -> int:
        return len(self.embeddings)

    def rows_of(self, identity: str) -> list[int]:
        """The rows of an identity's photos, ascending; empty for one that is not there."""
        rows: list[int] = np.flatnonzero(self._labels == self._number.get(identity, -1)).tolist()
        return rows

    def search(self, queries: Embeddings, k: int) -> Matches:
        """The min(k, n) nearest photos of every query.

        Raises FlukeprintError when another network embedded the queries.
        """
        scores, rows = self._first(queries, k, len(self), None)
        return Matches(scores, rows)

    def search_identities(self, queries: Embeddings, top: int) -> IdentityMatches:
        """The `top` nearest identities of every query (or all, if fewer).

        Without an index that misses some all photos are searched, so an identity that fills the
        first hundred places of a search by photo does not hide the others.  Raises
        FlukeprintError as `search` does.
        """
        scores, rows = self._first(queries, top, len(self.vocabulary), self._labels)
        return IdentityMatches(scores, self._labels[rows], rows, self.vocabulary)

    def _first(
        self, queries: Embeddings, asked: int, most: int, groups: Ints | None
    ) -> tuple[Floats, Ints]:
        """(q, min(asked, most)) scores and rows of the nearest, or of the nearest of each group."""
        if asked < 1:
            raise ValueError(f"at least one match must be asked for, not {asked}")
        check_stamp(self.embeddings, queries)
        k = min(asked, most)
        scores = np.empty((len(queries), k), dtype=np.float32)
        rows = np.empty((len(queries), k), dtype=np.int64)
        for block, found in self._candidates(queries.vectors, k, groups):
            ordered = nearest_first(found, groups)
            starts = np.searchsorted(ordered.queries, np.arange(block.stop - block.start))
            places = starts[:, None] + np.arange(k)
            scores[block], rows[block] = ordered.scores[places], ordered.rows[places]
        return scores, rows

    def _candidates(
        self, queries: Floats, k: int, groups: Ints | None
    ) -> Iterator[tuple[slice, Candidates]]:
        """Block after block of queries with at least k candidates (or groups) each."""
        vectors = self.embeddings.vectors
        if self.index is None:
            yield from candidates(queries, vectors, k, self._product, groups)
            return
        for start in range(0, len(queries), QUERIES_AT_ONCE):
            block = slice(start, min(start + QUERIES_AT_ONCE, len(queries)))
            yield block, self._from_index(self.index, queries[block], k, groups)

    def _from_index(self, index: Index, queries: Floats, k: int, groups: Ints | None) -> Candidates:
        """What the index finds, as much as it takes for k photographs or groups of each query."""
        n, ask = len(self), min(len(self), 2 * k if groups is None else 8 * k)
        left = np.arange(len(queries))  # queries that have not enough yet
        parts: list[Candidates] = []
        while len(left):
            if ask >= n:  # the index may still keep some back: look at all
                every = candidates(queries[left], self.embeddings.vectors, k, self._product, groups)
                parts += [
                    Candidates(left[block][found.queries], found.rows, found.scores)
                    for block, found in every
                ]
                break
            rows = index.search(queries[left], ask).rows
            there = rows >= 0
            who, found = left[np.nonzero(there)[0]], rows[there]
            kinds = found if groups is None else groups[found]
            pairs = np.unique(np.stack([who, kinds], axis=1), axis=0)
            enough = np.bincount(pairs[:, 0], minlength=len(queries)) >= k
            done = enough[who]
            scores = exact_scores(queries, self.embeddings.vectors, who[done], found[done])
            parts.append(Candidates(who[done], found[done], scores))
            left, ask = left[~enough[left]], min(n, 4 * ask)
        return Candidates(
            np.concatenate([part.queries for part in parts]),
            np.concatenate([part.rows for part in parts]),
            np.concatenate([part.scores for part in parts]),
        )
