"""What every gallery index can do: unit vectors (n, d) under row numbers enter, the nearest leave.

An index knows rows, not names: `Gallery` turns its answers into identities and, where the index
is approximate, scores what it found again, exactly.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from flukeprint.data.embeddings import Embeddings, Floats, Ints

NOTHING = -1  # the row where an index found fewer than it was asked for; its score is -inf


@dataclass(frozen=True)
class Matches:
    """The k nearest gallery photos of q queries, k at most the size of the gallery.

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


class Index(Protocol):
    """Nearest neighbours by cosine among vectors that may be added and removed at any time."""

    name: str  # as `gallery.backend` has it
    exact: bool  # whether nothing that is near can be missed
    candidates: int  # photographs that a gallery should ask for at least, and score exactly

    def __len__(self) -> int:
        """Vectors that can be found."""

    def add(self, photos: Embeddings, rows: Ints) -> None:
        """Take in photographs under `rows` (n,), none of which is there yet."""

    def remove(self, rows: Ints) -> None:
        """Never find the photographs of `rows` again; KeyError for one that is not there."""

    def search(self, queries: Floats, k: int) -> Matches:
        """(q, d) unit vectors -> (q, min(k, len)) the nearest, NOTHING where fewer were found."""

    def memory(self) -> int:
        """Bytes of main memory that the index needs."""

    def save(self, folder: Path) -> None:
        """Write to an empty folder what its class's `load(folder)` reads."""
