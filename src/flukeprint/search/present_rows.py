"""An index some of whose photographs are not to be found any more, and may be again."""

from pathlib import Path

import numpy as np

from flukeprint.data.embeddings import Embeddings, Floats, Ints
from flukeprint.search.index import NOTHING, Index, Matches


class PresentRows:
    """An `Index` of a gallery without some photographs: the others are numbered from 0 on.

    It searches as much deeper as there are hidden photographs, and cannot be changed or saved.
    """

    def __init__(self, index: Index, rows: Ints, photos: int) -> None:
        """
        Args:
            index: of `photos` photographs and possibly more.
            rows: (n,) those to be found, ascending; their places here are their numbers.
        """
        self.inner = index
        self.name, self.exact = index.name, index.exact
        self.candidates, self.shared = index.candidates, index.shared
        self._place = np.full(photos, NOTHING, np.int64)
        self._place[rows] = np.arange(len(rows))
        self._rows, self._hidden = rows, photos - len(rows)

    def __len__(self) -> int:
        return len(self._rows)

    def add(self, photos: Embeddings, rows: Ints) -> None:
        """Refuse: the index itself is to be grown."""
        raise ValueError("an index with hidden photographs is not grown")

    def remove(self, rows: Ints) -> None:
        """Refuse, as `add` does."""
        raise ValueError("an index with hidden photographs is not changed")

    def search(self, queries: Floats, k: int) -> Matches:
        """The nearest of (q, d) unit vectors: (q, min(k, len)), NOTHING where fewer were found."""
        found = self.inner.search(queries, k + self._hidden)
        places = np.full(found.rows.shape, NOTHING, np.int64)
        known = (found.rows >= 0) & (found.rows < len(self._place))
        places[known] = self._place[found.rows[known]]
        gone = places == NOTHING
        width = min(k, len(self))
        order = np.argsort(gone, axis=1, kind="stable")[:, :width]  # what is found goes first
        scores = np.where(gone, -np.inf, found.scores).astype(np.float32)
        return Matches(
            np.take_along_axis(scores, order, axis=1), np.take_along_axis(places, order, axis=1)
        )

    def memory(self) -> int:
        """Bytes of main memory that the index needs."""
        return self.inner.memory() + self._place.nbytes

    def save(self, folder: Path) -> None:
        """Refuse, as `add` does."""
        raise ValueError("an index with hidden photographs is not saved")
