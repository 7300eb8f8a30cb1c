"""The interface of a nearest-neighbour index of a gallery, and the results of a search.

An index holds unit vectors (n, d) under row numbers and knows no names: `Gallery` turns rows into
identities, and scores the candidates of an approximate index again, exactly.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np

from flukeprint.data.embeddings import Embeddings, Floats, Ints

NOTHING = -1  # the row where an index found fewer than k; its score is -inf


@dataclass(frozen=True)
class Matches:
    """The k nearest gallery photographs of q queries, k at most the size of the gallery.

    scores: (q, k) float32, descending; equal ones by ascending row.
    rows: (q, k) int64, positions in the gallery's embeddings.
    """

    scores: Floats
    rows: Ints

    def __post_init__(self) -> None:
        check_descending(self.scores, self.rows)


def check_descending(scores: Floats, rows: Ints) -> None:
    """Raise ValueError unless both are (q, k) and each row of scores descends."""
    if scores.ndim != 2 or scores.shape != rows.shape:
        raise ValueError("scores and rows must both be (q, k)")
    if not np.all(scores[:, 1:] <= scores[:, :-1]):
        raise ValueError("scores must descend")


@dataclass(frozen=True)
class IdentityMatches:
    """The t nearest identities of q queries, each once, scored by its nearest photograph.

    scores: (q, t) float32, descending; t = min(top, identities in the gallery).
    labels: (q, t) int64, positions in `vocabulary`.
    rows: (q, t) int64, the identity's nearest photograph, a position in the gallery's embeddings.
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


class Index(Protocol):
    """Nearest-neighbour search by cosine; vectors may be added and removed at any time.

    Of equal scores an exact index finds the lower rows, also where they share the k-th place; an
    approximate one orders what it happens to find, and the gallery asks it for more.
    """

    name: str  # as in `gallery.backend`
    exact: bool  # whether it never misses a neighbour
    candidates: int  # a gallery asks for at least this many, and scores them exactly
    shared: bool  # whether other processes find at once what is added

    def __len__(self) -> int:
        """Number of vectors that can be found."""

    def add(self, photos: Embeddings, rows: Ints) -> None:
        """Add photographs under `rows` (n,), none of which is in use yet."""

    def remove(self, rows: Ints) -> None:
        """Remove the photographs of `rows`; KeyError for a row that is not there."""

    def search(self, queries: Floats, k: int) -> Matches:
        """The nearest of (q, d) unit vectors: (q, min(k, len)), NOTHING where fewer were found."""

    def memory(self) -> int:
        """Bytes of main memory that the index needs."""

    def save(self, folder: Path) -> None:
        """Write into an empty folder the files that the class's `load(folder)` reads."""


@runtime_checkable
class TunableIndex(Index, Protocol):
    """An approximate index, whose searches can be more thorough: see `recall.tune`."""

    # (effort, candidates that the gallery scores), from quick to thorough.
    EFFORTS: tuple[tuple[int, int], ...]
    effort: int  # how thorough a search is, in a unit of each kind


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
