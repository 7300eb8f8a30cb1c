"""Search a gallery of labelled embeddings for the photographs or identities nearest to queries.

`Gallery.search` gives `Matches` (q, k) by photograph, `Gallery.search_identities` gives
`IdentityMatches` (q, t) by identity.  A score is a cosine similarity: higher is nearer.
"""

from collections.abc import Callable, Iterator
from functools import cached_property
from typing import cast

import numpy as np

from flukeprint.data.embeddings import Embeddings, Floats, Ints, check_stamp
from flukeprint.errors import FlukeprintError, listed
from flukeprint.search.bf16 import fastest_product
from flukeprint.search.candidates import Candidates, exact_scores, leading
from flukeprint.search.exact import QUERIES_AT_ONCE, find_candidates, nearest_rows
from flukeprint.search.index import NOTHING, IdentityMatches, Index, Matches
from flukeprint.search.products import Product


class Gallery:
    """Cosine search among labelled photographs, exact or with an index that proposes candidates.

    Scores are summed in float64 and rounded to float32.  So copies of a photograph tie exactly (the
    lower row comes first), and a query's answer does not depend on its companions.  Candidates of
    an index are scored in the same way.  Queries are searched in blocks: memory does not grow with
    their number.
    """

    def __init__(
        self,
        embeddings: Embeddings,
        *,
        index: Index | None = None,
        indexed: int | None = None,
        product: Callable[[Floats], Product] | None = None,
    ) -> None:
        """
        Args:
            embeddings: of the gallery's photographs, all with an identity.
            index: of the first `indexed` photographs, whose row numbers are their positions;
                further ones that it holds are ignored.  The photographs after them are searched
                exactly.  None: all are searched exactly.
            indexed: all photographs by default.
            product: prepares vectors for approximate scoring; changes speed, not results.  None:
                the fastest on this machine.

        Raises:
            FlukeprintError: an empty gallery, photographs without an identity, or an index of
                fewer photographs.
        """
        if len(embeddings) == 0:
            raise FlukeprintError("the gallery is empty; give it photos with identities")
        if None in embeddings.identities:
            both = zip(embeddings.images, embeddings.identities, strict=True)
            nameless = [image for image, identity in both if identity is None]
            raise FlukeprintError(
                f"gallery photos without an identity: {listed(nameless)}; name or remove them"
            )
        self.indexed = len(embeddings) if indexed is None else indexed
        if index is not None and len(index) < self.indexed:
            raise FlukeprintError(
                f"the index holds {len(index)} photographs and the gallery {self.indexed}; "
                "build the index again"
            )
        self.embeddings, self.index = embeddings, index
        self.product = product or fastest_product
        self.identities = cast(tuple[str, ...], embeddings.identities)
        self.vocabulary: tuple[str, ...] = tuple(sorted(set(self.identities)))
        # Positions in the vocabulary: of each identity, and (n,) of each photo's.
        self.number = {name: i for i, name in enumerate(self.vocabulary)}
        self.labels: Ints = np.fromiter(
            map(self.number.__getitem__, self.identities), np.int64, len(self.identities)
        )

    @cached_property
    def _product(self) -> Product:
        """Made when it is first needed: searches with an index or whitened vectors do without."""
        return self.product(self.embeddings.vectors)

    @cached_property
    def _indexed_product(self) -> Product:
        """Of the photographs that the index holds, for what it misses."""
        return self.product(self.embeddings.vectors[: self.indexed])

    @cached_property
    def _later_product(self) -> Product:
        """Of the photographs that came after the index."""
        return self.product(self.embeddings.vectors[self.indexed :])

    def __len__(self) -> int:
        return len(self.embeddings)

    def rows_of(self, identity: str) -> list[int]:
        """The rows of an identity's photographs, ascending; empty for an unknown identity."""
        rows: list[int] = np.flatnonzero(self.labels == self.number.get(identity, -1)).tolist()
        return rows

    def search(self, queries: Embeddings, k: int) -> Matches:
        """The min(k, n) nearest photographs of every query.

        Raises:
            FlukeprintError: another network embedded the queries.
        """
        scores, rows = self._first(queries, k, len(self), None)
        return Matches(scores, rows)

    def search_identities(self, queries: Embeddings, top: int) -> IdentityMatches:
        """The `top` nearest identities of every query (or all, if fewer).

        An identity that fills the first hundred places of a search by photograph does not hide the
        others: without an index all photographs are searched, and an index is searched deeper
        until there are enough identities.

        Raises:
            FlukeprintError: another network embedded the queries.
        """
        scores, rows = self._first(queries, top, len(self.vocabulary), self.labels)
        return IdentityMatches(scores, self.labels[rows], rows, self.vocabulary)

    def _first(
        self, queries: Embeddings, wanted: int, most: int, groups: Ints | None
    ) -> tuple[Floats, Ints]:
        """(q, min(wanted, most)) scores and rows of the nearest, or of the best of each group."""
        if wanted < 1:
            raise ValueError(f"at least one match must be asked for, not {wanted}")
        check_stamp(self.embeddings, queries, second="the queries")
        k = min(wanted, most)
        if self.index is None:
            vectors = self.embeddings.vectors
            return nearest_rows(queries.vectors, vectors, k, self._product, groups)
        scores = np.empty((len(queries), k), dtype=np.float32)
        rows = np.empty((len(queries), k), dtype=np.int64)
        for start in range(0, len(queries), QUERIES_AT_ONCE):
            block = slice(start, min(start + QUERIES_AT_ONCE, len(queries)))
            found = self._from_index(self.index, queries.vectors[block], k, groups)
            scores[block], rows[block] = leading(found, block.stop - block.start, k, groups)
        return scores, rows

    def _from_index(self, index: Index, queries: Floats, k: int, groups: Ints | None) -> Candidates:
        """Candidates from the index, ever more until each query has k photographs or groups.

        These must be nearer than the last candidate, so that equals of it are not missed.
        """
        vectors, n = self.embeddings.vectors, self.indexed
        depth = max(index.candidates, 2 * k if groups is None else 8 * k)
        left = np.arange(len(queries))  # queries that have not enough yet
        parts = [*self._later(queries, k, groups)]
        while len(left):
            if depth >= n:  # the index may still miss some: search exactly
                first = None if groups is None else groups[:n]
                for block, found in find_candidates(
                    queries[left], vectors[:n], k, self._indexed_product, first
                ):
                    parts.append(Candidates(left[block][found.queries], found.rows, found.scores))
                break
            rows = index.search(queries[left], depth).rows
            there = (rows != NOTHING) & (rows < n)  # it may hold more
            place, found_rows = np.nonzero(there)[0], rows[there]
            scores = exact_scores(queries, vectors, left[place], found_rows)
            # What was not found may equal the worst of a full list, with a lower row.
            worst = np.full(len(left), np.inf, dtype=np.float32)
            np.minimum.at(worst, place, scores)
            best = np.full(len(left), -np.inf, dtype=np.float32)
            np.maximum.at(best, place, scores)
            # A list that is not full is all that there is, unless it holds copies of one only: then
            # an approximate index may not have come to the others.
            ended = (rows == NOTHING).any(axis=1) & ((best > worst) | (there.sum(axis=1) == n))
            worst[ended] = -np.inf
            kinds = found_rows if groups is None else groups[found_rows]
            above = scores > worst[place]
            distinct = np.unique(place[above] * len(self) + kinds[above]) // len(self)
            enough = np.bincount(distinct, minlength=len(left)) >= k
            done = enough[place]
            parts.append(Candidates(left[place[done]], found_rows[done], scores[done]))
            left, depth = left[~enough], 4 * depth
        return Candidates.joined(parts)

    def _later(self, queries: Floats, k: int, groups: Ints | None) -> Iterator[Candidates]:
        """Candidates among the photographs that came after the index."""
        n = self.indexed
        if n == len(self):
            return
        last = None if groups is None else groups[n:]
        for block, found in find_candidates(
            queries, self.embeddings.vectors[n:], k, self._later_product, last
        ):
            who = np.arange(block.start, block.stop)[found.queries]
            yield Candidates(who, found.rows + n, found.scores)
