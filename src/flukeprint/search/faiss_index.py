"""FAISS behind `Index`: photographs enter under rows, the nearest rows leave.

The kinds are in `faiss_kinds.py`.  FAISS cannot take a vector out of a graph, so removed ones are
passed over while searching.  An index that is mapped from its file cannot grow: what comes later
waits beside it, is all looked at, and is taken in when it has become much.
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
_MOST_GONE = 0.3  # share of removed vectors from which an index is built again without them
_MOST_LATE = 10_000  # vectors that wait beside a mapped index; all are looked at


class FaissIndex(ABC):
    """What the three have in common; `effort` is how thoroughly is searched, with its own unit."""

    name: str
    exact = False
    mapped = False  # whether `load` leaves the vectors in the file until they are looked at
    # (effort, candidates that the gallery scores), from quick to thorough; of `index_recall`.
    EFFORTS: tuple[tuple[int, int], ...] = ((0, 0),)

    def __init__(self, vectors: Floats) -> None:
        """An empty index; `vectors` (n, d) are like those to come, and are learnt from."""
        with needs("search"):
            import faiss
        self._faiss = faiss
        self._scale, self._axes = 1.0, np.empty((0, 0), np.float32)
        self._index: Any = self._made(np.ascontiguousarray(vectors))
        self._rows = GrowingArray(np.empty(0, np.int64))
        self._gone = GrowingArray(np.empty(0, np.int64))  # positions, not rows
        self._turn = Lock()  # FAISS does not search while it takes in
        self._selector: Any = None
        self._viewed = False
        self._late = GrowingArray(np.empty((0, self._index.d), np.float32))
        self.effort, self.candidates = self.EFFORTS[len(self.EFFORTS) // 2]

    @abstractmethod
    def _made(self, vectors: Floats) -> Any:
        """FAISS's index, empty, for vectors like these (n, d)."""

    @abstractmethod
    def _params(self, selector: Any) -> Any:
        """Of a search among what `selector` lets through, at the index's effort."""

    def _taken_in(self, vectors: Floats) -> Floats:
        """(n, d) unit vectors as they are put into FAISS's index."""
        return self._asked(vectors)

    def _asked(self, queries: Floats) -> Floats:
        """(q, d) unit vectors as FAISS is asked with them; scores are `_scale` times as large."""
        return np.ascontiguousarray(queries)

    def __len__(self) -> int:
        """Vectors that can be found."""
        return len(self._rows) - len(self._gone)

    @property
    def last_row(self) -> int:
        """The highest row that was ever added; -1 without any."""
        return int(self._rows.all[-1]) if len(self._rows) else -1

    def add(self, photos: Embeddings, rows: Ints) -> None:
        """Take in photographs under `rows` (n,), ascending and above all that were there."""
        if len(rows) != len(photos):
            raise ValueError(f"{len(rows)} rows for {len(photos)} photos")
        if len(rows) and (np.any(np.diff(rows) <= 0) or rows[0] <= self.last_row):
            raise ValueError("rows of an index ascend, and none comes twice")
        with self._turn:
            taken = self._taken_in(photos.vectors)
            if self._viewed:
                self._late.extend(taken)
            else:
                self._index.add(taken)
            self._rows.extend(rows)
            self._selector = None
            if len(self._late) > _MOST_LATE:
                self._take_in_late()

    def _take_in_late(self) -> None:
        """Put what waits into FAISS's index, which is copied into memory for it."""
        if not len(self._late):
            return
        # FAISS ends the process if a mapped index is added to, and beside no other anything waits.
        self._index = self._faiss.deserialize_index(self._faiss.serialize_index(self._index))
        self._viewed = False
        self._index.add(self._late.all)
        self._late.clear()

    def remove(self, rows: Ints) -> None:
        """Never find the photographs of `rows` again; KeyError for one that is not there."""
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
                self._take_in_late()
                self._compact()

    def _compact(self) -> None:  # noqa: B027  where nothing is gained it is left as it is
        """Build again without what is gone, where the vectors can be had back."""

    def _present(self) -> Any:
        """FAISS's selector of the vectors that are there, kept until that changes; None: all."""
        if self._selector is None and len(self._gone):
            faiss: Any = self._faiss  # its stubs do not know that arrays are taken
            there = self._flags()[: self._index.ntotal] == 0
            bits = np.packbits(there, bitorder="little")
            self._selector = faiss.IDSelectorBitmap(bits)
        return self._selector

    def search(self, queries: Floats, k: int) -> Matches:
        """(q, d) unit vectors -> (q, min(k, len)) the nearest, NOTHING where fewer were found."""
        k = min(k, len(self))
        if k == 0 or not len(queries):
            empty = (len(queries), k)
            return Matches(np.empty(empty, np.float32), np.empty(empty, np.int64))
        asked = self._asked(queries)
        with self._turn:
            scores, places = self._index.search(asked, k, params=self._params(self._present()))
            # Product codes of copies alone have no spread, and FAISS no scores for them.
            there = (places >= 0) & np.isfinite(scores)
            rows = np.where(there, self._rows.all[np.where(there, places, 0)], NOTHING)
            scores = np.where(there, scores, -np.inf)
            if len(self._late):
                late = self._late_ones(asked)
                scores, rows = np.hstack([scores, late[0]]), np.hstack([rows, late[1]])
        scores = (scores / self._scale).astype(np.float32)
        order = np.lexsort((rows, -scores))[:, :k]  # equal ones by row, whatever FAISS did
        return Matches(np.take_along_axis(scores, order, 1), np.take_along_axis(rows, order, 1))

    def _late_ones(self, asked: Floats) -> tuple[Floats, Ints]:
        """(q, m) scores, as FAISS would give them, and rows of all that wait."""
        first = len(self._rows) - len(self._late)
        gone = np.zeros(len(self._late), dtype=np.bool_)
        gone[self._gone.all[self._gone.all >= first] - first] = True
        scores = np.where(gone, -np.inf, asked @ self._late.all.T)
        rows = np.where(gone, NOTHING, self._rows.all[first:])
        return scores, np.broadcast_to(rows, scores.shape)

    def memory(self) -> int:
        """Bytes of main memory that the index needs."""
        lists = self._rows.nbytes + self._gone.nbytes
        beside = self._late.nbytes + self._axes.nbytes + lists
        return self._bytes_each() * int(self._index.ntotal) + beside

    @abstractmethod
    def _bytes_each(self) -> int:
        """Of a vector, its row and its links."""

    def save(self, folder: Path) -> None:
        """Write to an empty folder what `load` reads."""
        with self._turn:
            self._take_in_late()
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
        """Read what `save` wrote.

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
            self._viewed, self._selector = cls.mapped, None
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
