"""FAISS behind `Index`: photographs enter under rows, the nearest rows leave.

    faiss_flat   all vectors as they are; nothing is missed
    hnsw         a graph of neighbours over vectors of 8 bits a number (Malkov and Yashunin 2018)
    ivf_pq       lists around k-means centers, vectors as 4-bit product codes (Jegou et al. 2011)

The two that round or skip propose candidates; the gallery scores these exactly.  FAISS cannot take
a vector out of a graph, so removed ones are passed over while searching.
"""

import json
import math
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np

from flukeprint.embeddings import Embeddings, Matches
from flukeprint.errors import FlukeprintError, needs
from flukeprint.exact_search import Floats, Ints
from flukeprint.index import NOTHING
from flukeprint.numbers_list import NumberList

_INDEX, _ROWS, _FACTS = "index.faiss", "rows.npy", "index.json"
_SEED = 1234
GRAPH_NEIGHBOURS = 16
GRAPH_EFFORT = 60  # neighbours weighed while a vector is put into the graph
_TRAINED_EACH = 40  # vectors that each k-means center is learnt from, at most
_ITERATIONS = 10


class FaissIndex:
    """What the three have in common; `effort` is how thoroughly is searched, with its own unit."""

    name: str
    exact = False
    # (effort, candidates that the gallery scores), from quick to thorough; of `index_recall`.
    EFFORTS: tuple[tuple[int, int], ...] = ((0, 0),)

    def __init__(self, vectors: Floats) -> None:
        """An empty index; `vectors` (n, d) are like those to come, and are learnt from."""
        with needs("search"):
            import faiss
        self._faiss = faiss
        self._index: Any = self._made(np.ascontiguousarray(vectors))
        self._rows = NumberList()
        self._gone = NumberList()  # positions, not rows
        self._turn = Lock()  # FAISS does not search while it takes in
        self.effort, self.candidates = self.EFFORTS[len(self.EFFORTS) // 2]

    def _made(self, vectors: Floats) -> Any:
        raise NotImplementedError

    def _params(self, selector: Any) -> Any:
        raise NotImplementedError

    def __len__(self) -> int:
        """Vectors that can be found."""
        return len(self._rows) - len(self._gone)

    @property
    def last_row(self) -> int:
        """The highest row that was ever added; -1 without any."""
        return int(self._rows.numbers[-1]) if len(self._rows) else -1

    def add(self, photos: Embeddings, rows: Ints) -> None:
        """Take in photographs under `rows` (n,), ascending and above all that were there."""
        if len(rows) != len(photos):
            raise ValueError(f"{len(rows)} rows for {len(photos)} photos")
        if len(rows) and (np.any(np.diff(rows) <= 0) or rows[0] <= self.last_row):
            raise ValueError("rows of an index ascend, and none comes twice")
        with self._turn:
            self._index.add(np.ascontiguousarray(photos.vectors))
            self._rows.extend(rows)

    def remove(self, rows: Ints) -> None:
        """Never find the photographs of `rows` again; KeyError for one that is not there."""
        wanted = np.unique(np.asarray(rows, dtype=np.int64))
        places = np.searchsorted(self._rows.numbers, wanted)
        there = places < len(self._rows)
        there[there] = self._rows.numbers[places[there]] == wanted[there]
        there &= ~np.isin(places, self._gone.numbers)
        if not there.all():
            raise KeyError(f"no photograph in row {int(wanted[~there][0])}")
        self._gone.extend(places)

    def search(self, queries: Floats, k: int) -> Matches:
        """(q, d) unit vectors -> (q, min(k, len)) the nearest, NOTHING where fewer were found."""
        k = min(k, len(self))
        if k == 0 or not len(queries):
            empty = (len(queries), k)
            return Matches(np.empty(empty, np.float32), np.empty(empty, np.int64))
        with self._turn:
            selector = gone = None
            if len(self._gone):
                gone = self._faiss.IDSelectorBatch(self._gone.numbers)
                selector = self._faiss.IDSelectorNot(gone)
            scores, places = self._index.search(
                np.ascontiguousarray(queries), k, params=self._params(selector)
            )
        there = places >= 0
        rows = np.where(there, self._rows.numbers[np.where(there, places, 0)], NOTHING)
        return Matches(np.where(there, scores, -np.inf).astype(np.float32), rows)

    def memory(self) -> int:
        """Bytes of main memory that the index needs."""
        return self._bytes_each() * len(self._rows) + self._rows.nbytes + self._gone.nbytes

    def _bytes_each(self) -> int:
        raise NotImplementedError

    def save(self, folder: Path) -> None:
        """Write to an empty folder what `load` reads."""
        try:
            self._faiss.write_index(self._index, str(folder / _INDEX))
        except RuntimeError as error:  # how FAISS reports a full disk
            raise OSError(str(error).splitlines()[-1]) from None
        np.save(folder / _ROWS, np.stack([self._rows.numbers, self._flags()]))
        facts = {"name": self.name, "effort": self.effort, "candidates": self.candidates}
        (folder / _FACTS).write_text(json.dumps(facts) + "\n")

    def _flags(self) -> Ints:
        flags = np.zeros(len(self._rows), dtype=np.int64)
        flags[self._gone.numbers] = 1
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
            self._index = faiss.read_index(str(folder / _INDEX))
            rows, gone = np.load(folder / _ROWS, allow_pickle=False)
            if self._index.ntotal != len(rows):
                raise ValueError(f"{self._index.ntotal} vectors under {len(rows)} rows")
        except (OSError, ValueError, KeyError, TypeError, RuntimeError) as error:
            reason = " ".join(str(error).split())[-160:]
            raise FlukeprintError(
                f"{folder} holds no whole index ({reason}); build it again with flukeprint index"
            ) from None
        self._rows, self._gone = NumberList(rows), NumberList(np.flatnonzero(gone))
        return self


class FaissFlat(FaissIndex):
    """All vectors, one after the other."""

    name = "faiss_flat"
    exact = True

    def _made(self, vectors: Floats) -> Any:
        return self._faiss.IndexFlatIP(vectors.shape[1])

    def _params(self, selector: Any) -> Any:
        return None if selector is None else self._faiss.SearchParameters(sel=selector)

    def _bytes_each(self) -> int:
        return 4 * int(self._index.d)


class Hnsw(FaissIndex):
    """effort: neighbours weighed at once on the way to the nearest (efSearch)."""

    name = "hnsw"
    EFFORTS = (
        (16, 16), (24, 24), (32, 32), (48, 32), (64, 48), (96, 48), (128, 64), (256, 64), (512, 64),
    )  # fmt: skip

    def _made(self, vectors: Floats) -> Any:
        faiss = self._faiss
        index = faiss.IndexHNSWSQ(
            vectors.shape[1], faiss.ScalarQuantizer.QT_8bit, GRAPH_NEIGHBOURS,
            faiss.METRIC_INNER_PRODUCT,
        )  # fmt: skip
        index.hnsw.efConstruction = GRAPH_EFFORT
        index.train(_sample(vectors, 20_000))
        return index

    def _params(self, selector: Any) -> Any:
        return self._faiss.SearchParametersHNSW(sel=selector, efSearch=self.effort)

    def _bytes_each(self) -> int:
        return int(self._index.d) + 2 * 4 * GRAPH_NEIGHBOURS + 4 + 8


class IvfPq(FaissIndex):
    """effort: lists looked into (nprobe)."""

    name = "ivf_pq"
    EFFORTS = (
        (2, 32), (4, 32), (8, 64), (16, 64), (32, 96), (64, 128), (128, 192), (256, 256),
        (512, 384),
    )  # fmt: skip

    def _made(self, vectors: Floats) -> Any:
        faiss = self._faiss
        n, d = vectors.shape
        # The usual 4 to 8 times the root, lists of about as many entries as there are lists.
        lists = int(min(max(1, n // 8), 2 ** round(math.log2(4 * math.sqrt(max(1, n))))))
        center = faiss.IndexFlatIP(d)
        index = faiss.IndexIVFPQFastScan(center, d, lists, _codes(d), 4, faiss.METRIC_INNER_PRODUCT)
        index.cp.niter, index.cp.seed, index.cp.spherical = _ITERATIONS, _SEED, True
        index.pq.cp.niter, index.pq.cp.seed = _ITERATIONS, _SEED
        for training in (index.cp, index.pq.cp):
            training.min_points_per_centroid = 1  # FAISS would warn, and train all the same
        index.cp.max_points_per_centroid = _TRAINED_EACH
        index.own_fields = True
        center.this.disown()
        index.train(_sample(vectors, max(_TRAINED_EACH * lists, 20_000)))
        return index

    def _params(self, selector: Any) -> Any:
        return self._faiss.SearchParametersIVF(sel=selector, nprobe=self.effort)

    def _bytes_each(self) -> int:
        return int(self._index.pq.M) // 2 + 8


def _codes(dimension: int) -> int:
    """Parts of a vector that get 4 bits each: of four numbers, or of as few as divide it."""
    return next(parts for parts in range(max(1, dimension // 4), 0, -1) if dimension % parts == 0)


def _sample(vectors: Floats, most: int) -> Floats:
    """So many of the vectors, drawn without order, always the same."""
    if len(vectors) <= most:
        return vectors
    rows = np.random.default_rng(_SEED).choice(len(vectors), most, replace=False)
    return np.ascontiguousarray(vectors[np.sort(rows)])
