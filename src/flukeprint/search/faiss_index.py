"""What all FAISS indexes of a gallery have in common: adding, removing, searching, saving.

The kinds are in `faiss_kinds.py`.  FAISS cannot take a vector out of a graph, so removed ones are
skipped while searching.  An index that is mapped from its file cannot grow: vectors added later are
kept in a list beside it, which is searched exhaustively and merged when it has become long.
"""

import json
from abc import ABC, abstractmethod
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np

from flukeprint.data.embeddings import Embeddings, Floats, GrowingArray, Ints
from flukeprint.errors import FlukeprintError, needs
from flukeprint.search.index import NOTHING, Matches

_INDEX, _ROWS, _FACTS, _AXES = "index.faiss", "rows.npy", "index.json", "axes.npy"
_MOST_GONE = 0.3  # share of removed vectors above which an index is built again without them
_MOST_LATE = 10_000  # vectors that are kept beside a mapped index


class FaissIndex(ABC):
    """An `Index` in FAISS; `effort` is how thorough a search is, in a unit of each kind."""

    name: str
    exact, shared = False, False
    mapped = False  # whether `load` leaves the vectors in the file until a search needs them
    # (effort, candidates that the gallery scores), from quick to thorough; see `recall.tune`.
    EFFORTS: tuple[tuple[int, int], ...] = ((0, 0),)

    def __init__(self, vectors: Floats) -> None:
        """An empty index, trained on `vectors` (n, d), which are like those to be added."""
        with needs("search"):
            import faiss
        self._faiss = faiss
        self._scale, self._axes = 1.0, np.empty((0, 0), np.float32)
        self._index: Any = self._empty(np.ascontiguousarray(vectors))
        self._rows = GrowingArray(np.empty(0, np.int64))
        self._gone = GrowingArray(np.empty(0, np.int64))  # positions, not rows
        self._turn = Lock()  # FAISS does not search while it adds
        self._selector: Any = None
        self._is_mapped = False
        self._late = GrowingArray(np.empty((0, self._index.d), np.float32))
        self.effort, self.candidates = self.EFFORTS[len(self.EFFORTS) // 2]

    @abstractmethod
    def _empty(self, vectors: Floats) -> Any:
        """An empty index of FAISS for vectors like these (n, d)."""

    @abstractmethod
    def _params(self, selector: Any) -> Any:
        """Parameters of a search with the index's effort among the vectors of `selector`."""

    def _stored(self, vectors: Floats) -> Floats:
        """Transform (n, d) unit vectors for adding them to FAISS's index."""
        return self._projected(vectors)

    def _projected(self, queries: Floats) -> Floats:
        """Transform (q, d) queries for FAISS's index; its scores are `_scale` times the cosines."""
        return np.ascontiguousarray(queries)

    def __len__(self) -> int:
        """Number of vectors that can be found."""
        return len(self._rows) - len(self._gone)

    @property
    def last_row(self) -> int:
        """The highest row that was ever added; -1 for none."""
        return int(self._rows.all[-1]) if len(self._rows) else -1

    def add(self, photos: Embeddings, rows: Ints) -> None:
        """Add photographs under `rows` (n,), ascending and above all earlier ones."""
        if len(rows) != len(photos):
            raise ValueError(f"{len(rows)} rows for {len(photos)} photos")
        if len(rows) and (np.any(np.diff(rows) <= 0) or rows[0] <= self.last_row):
            raise ValueError("rows of an index must ascend, and none may come twice")
        with self._turn:
            vectors = self._stored(photos.vectors)
            if self._is_mapped:
                self._late.extend(vectors)
            else:
                self._index.add(vectors)
            self._rows.extend(rows)
            self._selector = None
            if len(self._late) > _MOST_LATE:
                self._merge_late()

    def _merge_late(self) -> None:
        """Merge the late vectors into FAISS's index, which is copied into memory for that."""
        if not len(self._late):
            return
        # Only a mapped index has late vectors, and FAISS ends the process if one is added to it.
        self._index = self._faiss.deserialize_index(self._faiss.serialize_index(self._index))
        self._is_mapped = False
        self._index.add(self._late.all)
        self._late.clear()

    def remove(self, rows: Ints) -> None:
        """Remove the photographs of `rows`; KeyError for a row that is not there."""
        wanted = np.unique(np.asarray(rows, dtype=np.int64))
        places = np.searchsorted(self._rows.all, wanted)
        there = places < len(self._rows)
        there[there] = self._rows.all[places[there]] == wanted[there]
        there &= ~np.isin(places, self._gone.all)
        if not there.all():
            raise KeyError(f"no photograph in row {int(wanted[~there][0])}")
        with self._turn:
            self._gone.extend(places)
            self._selector = None
            if len(self._gone) > _MOST_GONE * len(self._rows):
                self._merge_late()
                self._compact()

    def _compact(self) -> None:  # noqa: B027  kinds that gain nothing by it inherit this
        """Build the index again without the removed vectors, where it can give the others back."""

    def _present(self) -> Any:
        """FAISS's selector of the vectors that are not removed, cached; None: all."""
        if self._selector is None and len(self._gone):
            faiss: Any = self._faiss  # its stubs do not know that it accepts arrays
            there = self._flags()[: self._index.ntotal] == 0
            bits = np.packbits(there, bitorder="little")
            self._selector = faiss.IDSelectorBitmap(bits)
        return self._selector

    def search(self, queries: Floats, k: int) -> Matches:
        """The nearest of (q, d) unit vectors: (q, min(k, len)), NOTHING where fewer were found."""
        k = min(k, len(self))
        if k == 0 or not len(queries):
            empty = (len(queries), k)
            return Matches(np.empty(empty, np.float32), np.empty(empty, np.int64))
        with self._turn:
            scores, rows = self._found(self._projected(queries), k)
        # Equal scores come by row; FAISS gives them in any order.
        order = np.lexsort((rows, -scores))[:, :k]
        return Matches(np.take_along_axis(scores, order, 1), np.take_along_axis(rows, order, 1))

    def _found(self, projected: Floats, k: int) -> tuple[Floats, Ints]:
        """(q, m) float32 scores and rows of m >= k vectors, in any order; NOTHING for none.

        Of scores that share the k-th place FAISS finds any, unless a kind sees to the lowest rows.
        """
        scores, places = self._index.search(projected, k, params=self._params(self._present()))
        # FAISS scores product codes of identical vectors as not finite: they have no spread.
        there = (places >= 0) & np.isfinite(scores)
        rows = np.where(there, self._rows.all[np.where(there, places, 0)], NOTHING)
        scores = np.where(there, scores, -np.inf)
        if len(self._late):
            late = self._search_late(projected)
            scores, rows = np.hstack([scores, late[0]]), np.hstack([rows, late[1]])
        return (scores / self._scale).astype(np.float32), rows

    def _search_late(self, projected: Floats) -> tuple[Floats, Ints]:
        """(q, m) scores, scaled as FAISS's, and rows of the m late vectors."""
        first = len(self._rows) - len(self._late)
        gone = np.zeros(len(self._late), dtype=np.bool_)
        gone[self._gone.all[self._gone.all >= first] - first] = True
        scores = np.where(gone, -np.inf, projected @ self._late.all.T)
        rows = np.where(gone, NOTHING, self._rows.all[first:])
        return scores, np.broadcast_to(rows, scores.shape)

    def memory(self) -> int:
        """Bytes of main memory that the index needs."""
        lists = self._rows.nbytes + self._gone.nbytes
        beside = self._late.nbytes + self._axes.nbytes + lists
        return self._bytes_each() * int(self._index.ntotal) + beside

    @abstractmethod
    def _bytes_each(self) -> int:
        """Of a vector with its row and links."""

    def save(self, folder: Path) -> None:
        """Write into an empty folder the files that `load` reads."""
        with self._turn:
            self._merge_late()
        try:
            self._faiss.write_index(self._index, str(folder / _INDEX))
        except RuntimeError as error:  # how FAISS reports a full disk
            raise OSError(str(error).splitlines()[-1]) from None
        np.save(folder / _ROWS, np.stack([self._rows.all, self._flags()]))
        np.save(folder / _AXES, self._axes)
        facts = {
            "name": self.name, "effort": self.effort, "candidates": self.candidates,
            "scale": self._scale,
        }  # fmt: skip
        (folder / _FACTS).write_text(json.dumps(facts) + "\n")

    def _flags(self) -> Ints:
        flags = np.zeros(len(self._rows), dtype=np.int64)
        flags[self._gone.all] = 1
        return flags

    @classmethod
    def load(cls, folder: Path) -> "FaissIndex":
        """Read the index that `save` wrote.

        Raises:
            FlukeprintError: there is none, it is damaged or of another kind.
        """
        with needs("search"):
            import faiss
        self = cls.__new__(cls)
        self._faiss, self._turn = faiss, Lock()
        try:
            facts = json.loads((folder / _FACTS).read_text())
            if facts["name"] != cls.name:
                raise ValueError(f"it is {facts['name']}, not {cls.name}")
            self.effort, self.candidates = int(facts["effort"]), int(facts["candidates"])
            self._scale = float(facts["scale"])
            self._axes = np.load(folder / _AXES, allow_pickle=False)
            how = faiss.IO_FLAG_MMAP_IFC if cls.mapped else 0
            self._index = faiss.read_index(str(folder / _INDEX), how)
            self._is_mapped, self._selector = cls.mapped, None
            self._late = GrowingArray(np.empty((0, self._index.d), np.float32))
            rows, gone = np.load(folder / _ROWS, allow_pickle=False)
            if self._index.ntotal != len(rows):
                raise ValueError(f"{self._index.ntotal} vectors under {len(rows)} rows")
        except (OSError, ValueError, KeyError, TypeError, RuntimeError) as error:
            reason = " ".join(str(error).split())[-160:]
            raise FlukeprintError(
                f"{folder} holds no whole index ({reason}); build it again with flukeprint index"
            ) from None
        self._rows, self._gone = GrowingArray(rows), GrowingArray(np.flatnonzero(gone))
        return self
