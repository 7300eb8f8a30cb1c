"""What every gallery index can do: unit vectors (n, d) under row numbers enter, the nearest leave.

An index knows rows, not names: `Gallery` turns its answers into identities and, where the index
is approximate, scores what it found again, exactly.
"""

from pathlib import Path
from typing import Protocol

from flukeprint.embeddings import Embeddings, Matches
from flukeprint.exact_search import Floats, Ints

NOTHING = -1  # the row where an index found fewer than it was asked for; its score is -inf


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
