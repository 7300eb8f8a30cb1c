"""At which place a query's own identity comes, when identities are ranked by nearest photograph."""

import numpy as np

from flukeprint.data.embeddings import Ints, Values


class NearestPhotograph:
    """Ranks the identities of a gallery by the nearest photograph of each."""

    def __init__(self, labels: Ints) -> None:
        """Prepare for a gallery whose photographs have these labels (n,), numbers from 0 on."""
        self._labels = labels
        self._order = np.argsort(labels, kind="stable")
        self._names, self._starts = np.unique(labels[self._order], return_index=True)

    def own(self, similarities: Values, truths: Ints) -> Values:
        """Similarity (b,) of the nearest photograph of the query's own identity.

        similarities: (b, n).  truths: (b,) labels, each in the gallery.
        """
        return self._best(similarities)[np.arange(len(truths)), self._column(truths)]

    def places(self, similarities: Values, truths: Ints) -> Ints:
        """Places (b,) of the own identities, from 1; equally near ones in the order of rows."""
        best = self._best(similarities)
        column = self._column(truths)
        own = best[np.arange(len(truths)), column]
        found = 1 + (best > own[:, None]).sum(axis=1)
        tied = best == own[:, None]
        for query in np.flatnonzero(tied.sum(axis=1) > 1):
            equal = similarities[query] == own[query]
            rows = np.flatnonzero(equal & np.isin(self._labels, self._names[tied[query]]))
            labels, first = np.unique(self._labels[rows], return_index=True)
            mine = first[labels == truths[query]][0]
            found[query] += int((first < mine).sum())
        return np.asarray(found, dtype=np.int64)

    def _best(self, similarities: Values) -> Values:
        return np.maximum.reduceat(similarities[:, self._order], self._starts, axis=1)

    def _column(self, truths: Ints) -> Ints:
        column = np.searchsorted(self._names, truths)
        if np.any(column >= len(self._names)) or np.any(
            self._names[np.minimum(column, len(self._names) - 1)] != truths
        ):
            raise ValueError("a query's identity is not in the gallery")
        return column
