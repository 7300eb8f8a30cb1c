"""FAISS behind `Index`: photographs enter under rows, the nearest rows leave.

    faiss_flat   all vectors as they are; nothing is missed
    hnsw         a graph of neighbours over vectors of 8 bits a number (Malkov and Yashunin 2018)
    ivf_pq       lists around k-means centers, vectors as 4-bit product codes (Jegou et al. 2011)

The two that round or skip propose candidates; the gallery scores these exactly.  FAISS cannot take
a vector out of a graph, so removed ones are passed over while searching.
"""

import json
import math
from abc import ABC, abstractmethod
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np

from flukeprint.embeddings import Embeddings, Matches
from flukeprint.errors import FlukeprintError, needs
from flukeprint.exact_search import Floats, Ints
from flukeprint.index import NOTHING
from flukeprint.numbers_list import NumberList

_INDEX, _ROWS, _FACTS, _AXES = "index.faiss", "rows.npy", "index.json", "axes.npy"
_SEED = 1234
GRAPH_NEIGHBOURS = 32
GRAPH_EFFORT = 80  # neighbours weighed while a vector is put into the graph
_TRAINED_EACH = 40  # vectors that each k-means center is learnt from, at most
_ITERATIONS = 10
FEWEST = 16  # photographs that product codes can be learnt from: as many as 4 bits tell apart
_MOST_GONE = 0.3  # share of removed vectors from which an index is built again without them


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
        self._rows = NumberList()
        self._gone = NumberList()  # positions, not rows
        self._turn = Lock()  # FAISS does not search while it takes in
        self._selector: Any = None
        self._viewed = False
        self.effort, self.candidates = self.EFFORTS[len(self.EFFORTS) // 2]

    @abstractmethod
    def _made(self, vectors: Floats) -> Any:
        """FAISS's index, empty, for vectors like these (n, d)."""

    @abstractmethod
    def _params(self, selector: Any) -> Any:
        """Of a search among what `selector` lets through, at the index's effort."""

    def _taken_in(self, vectors: Floats) -> Floats:
        """(n, d) unit vectors as they are put into FAISS's index."""
        return np.ascontiguousarray(vectors)

    def _asked(self, queries: Floats) -> Floats:
        """(q, d) unit vectors as FAISS is asked with them; scores are `_scale` times as large."""
        return np.ascontiguousarray(queries)

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
            if self._viewed:  # FAISS ends the process if a mapped index is added to
                self._index = self._faiss.deserialize_index(
                    self._faiss.serialize_index(self._index)
                )
                self._viewed = False
            self._index.add(self._taken_in(photos.vectors))
            self._rows.extend(rows)
            self._selector = None

    def remove(self, rows: Ints) -> None:
        """Never find the photographs of `rows` again; KeyError for one that is not there."""
        wanted = np.unique(np.asarray(rows, dtype=np.int64))
        places = np.searchsorted(self._rows.numbers, wanted)
        there = places < len(self._rows)
        there[there] = self._rows.numbers[places[there]] == wanted[there]
        there &= ~np.isin(places, self._gone.numbers)
        if not there.all():
            raise KeyError(f"no photograph in row {int(wanted[~there][0])}")
        with self._turn:
            self._gone.extend(places)
            self._selector = None
            if len(self._gone) > _MOST_GONE * len(self._rows):
                self._compact()

    def _compact(self) -> None:  # noqa: B027  where nothing is gained it is left as it is
        """Build again without what is gone, where the vectors can be had back."""

    def _present(self) -> Any:
        """FAISS's selector of the vectors that are there, kept until that changes; None: all."""
        if self._selector is None and len(self._gone):
            faiss: Any = self._faiss  # its stubs do not know that arrays are taken
            bits = np.packbits(self._flags() == 0, bitorder="little")
            self._selector = faiss.IDSelectorBitmap(bits)
        return self._selector

    def search(self, queries: Floats, k: int) -> Matches:
        """(q, d) unit vectors -> (q, min(k, len)) the nearest, NOTHING where fewer were found."""
        k = min(k, len(self))
        if k == 0 or not len(queries):
            empty = (len(queries), k)
            return Matches(np.empty(empty, np.float32), np.empty(empty, np.int64))
        with self._turn:
            scores, places = self._index.search(
                self._asked(queries), k, params=self._params(self._present())
            )
            # Product codes of copies alone have no spread, and FAISS no scores for them.
            there = (places >= 0) & np.isfinite(scores)
            rows = np.where(there, self._rows.numbers[np.where(there, places, 0)], NOTHING)
        scores = np.where(there, scores / self._scale, -np.inf).astype(np.float32)
        order = np.lexsort((rows, -scores))  # equal ones by row, whatever FAISS did
        return Matches(np.take_along_axis(scores, order, 1), np.take_along_axis(rows, order, 1))

    def memory(self) -> int:
        """Bytes of main memory that the index needs."""
        return self._bytes_each() * len(self._rows) + self._rows.nbytes + self._gone.nbytes

    @abstractmethod
    def _bytes_each(self) -> int:
        """Of a vector, its row and its links."""

    def save(self, folder: Path) -> None:
        """Write to an empty folder what `load` reads."""
        try:
            self._faiss.write_index(self._index, str(folder / _INDEX))
        except RuntimeError as error:  # how FAISS reports a full disk
            raise OSError(str(error).splitlines()[-1]) from None
        np.save(folder / _ROWS, np.stack([self._rows.numbers, self._flags()]))
        np.save(folder / _AXES, self._axes)
        facts = {
            "name": self.name, "effort": self.effort, "candidates": self.candidates,
            "scale": self._scale,
        }  # fmt: skip
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
            self._scale = float(facts["scale"])
            self._axes = np.load(folder / _AXES, allow_pickle=False)
            how = faiss.IO_FLAG_MMAP_IFC if cls.mapped else 0
            self._index = faiss.read_index(str(folder / _INDEX), how)
            self._viewed, self._selector = cls.mapped, None
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
    """effort: neighbours weighed at once on the way to the nearest (efSearch).

    A number of a vector is a whole one of -127..127: FAISS compares these three times as fast as
    its learnt 8 bits, and the gallery scores what they find again.
    """

    name = "hnsw"
    mapped = True
    EFFORTS = (
        (16, 16), (24, 24), (32, 32), (48, 32), (64, 48), (96, 48), (128, 64), (256, 64), (512, 64),
    )  # fmt: skip

    def _made(self, vectors: Floats) -> Any:
        greatest = float(np.abs(_sample(vectors, 20_000)).max(initial=0.0)) or 1.0
        self._scale = (127 / greatest) ** 2
        return self._graph(vectors.shape[1])

    def _graph(self, dimension: int) -> Any:
        faiss = self._faiss
        index = faiss.IndexHNSWSQ(
            dimension, faiss.ScalarQuantizer.QT_8bit_direct_signed, GRAPH_NEIGHBOURS,
            faiss.METRIC_INNER_PRODUCT,
        )  # fmt: skip
        index.hnsw.efConstruction = GRAPH_EFFORT
        index.is_trained = True
        return index

    def _taken_in(self, vectors: Floats) -> Floats:
        whole = np.rint(vectors * np.float32(math.sqrt(self._scale)))
        return np.ascontiguousarray(np.clip(whole, -127, 127), dtype=np.float32)

    def _asked(self, queries: Floats) -> Floats:
        return np.ascontiguousarray(queries * np.float32(math.sqrt(self._scale)))

    def _params(self, selector: Any) -> Any:
        # What is gone takes its place among those that are weighed.
        effort = math.ceil(self.effort * len(self._rows) / max(1, len(self)))
        return self._faiss.SearchParametersHNSW(sel=selector, efSearch=effort)

    def _compact(self) -> None:
        there = np.flatnonzero(self._flags() == 0)
        codes, index = self._index.storage, self._graph(int(self._index.d))
        for start in range(0, len(there), 1 << 16):
            index.add(codes.reconstruct_batch(there[start : start + (1 << 16)]))
        self._index, self._rows = index, NumberList(self._rows.numbers[there])
        self._gone, self._viewed = NumberList(), False

    def _bytes_each(self) -> int:
        return int(self._index.d) + 2 * 4 * GRAPH_NEIGHBOURS + 4 + 8


class IvfPq(FaissIndex):
    """effort: lists looked into (nprobe).

    Vectors are turned to the first half of their principal axes, and these at random, so that
    every code has as much to say.  What is coded is what lies between a vector and the center of
    its list, two numbers in 4 bits: an eighth of a byte for each number of the vector.
    """

    name = "ivf_pq"
    EFFORTS = (
        (2, 32), (4, 32), (8, 64), (16, 64), (32, 96), (64, 128), (128, 192), (256, 256),
        (512, 384),
    )  # fmt: skip

    def _made(self, vectors: Floats) -> Any:
        faiss = self._faiss
        n = len(vectors)
        if n < FEWEST:
            raise FlukeprintError(
                f"gallery.backend=ivf_pq learns from at least {FEWEST} photographs, the gallery "
                f"has {n}; set gallery.backend=exact"
            )
        # The usual 4 to 8 times the root, lists of about as many entries as there are lists.
        lists = int(min(max(1, n // 8), 2 ** round(math.log2(4 * math.sqrt(n)))))
        sample = _sample(vectors, max(_TRAINED_EACH * lists, 20_000))
        self._axes = _axes(sample)
        m = self._axes.shape[1]
        center = faiss.IndexFlatIP(m)
        index = faiss.IndexIVFPQFastScan(center, m, lists, m // 2, 4, faiss.METRIC_INNER_PRODUCT)
        index.by_residual = True
        index.cp.niter, index.cp.seed, index.cp.spherical = _ITERATIONS, _SEED, True
        index.pq.cp.niter, index.pq.cp.seed = _ITERATIONS, _SEED
        for training in (index.cp, index.pq.cp):
            training.min_points_per_centroid = 1  # FAISS would warn, and train all the same
        index.cp.max_points_per_centroid = _TRAINED_EACH
        index.own_fields = True
        center.this.disown()
        index.train(self._taken_in(sample))
        return index

    def _taken_in(self, vectors: Floats) -> Floats:
        return np.ascontiguousarray(vectors @ self._axes)

    def _asked(self, queries: Floats) -> Floats:
        return self._taken_in(queries)

    def _params(self, selector: Any) -> Any:
        # Asked for more lists than there are, FAISS gives scores of none.
        lists = min(self.effort, int(self._index.nlist))
        return self._faiss.SearchParametersIVF(sel=selector, nprobe=lists)

    def _bytes_each(self) -> int:
        return int(self._index.pq.M) // 2 + 8

    def memory(self) -> int:
        """Bytes of main memory that the index needs."""
        centers = 4 * int(self._index.nlist) * int(self._index.d)
        return super().memory() + centers + self._axes.nbytes


def _axes(vectors: Floats) -> Floats:
    """(d, m) columns at right angles, m half of d or little more.

    The principal axes of the vectors (n, d), which are not centered, turned at random.
    """
    d = vectors.shape[1]
    if d < 128:  # so few numbers are all needed; zeros fill the last code
        return np.eye(d, 4 * math.ceil(d / 4), dtype=np.float32)
    m = 4 * math.ceil(d / 8)
    _, axes = np.linalg.eigh(vectors.T @ vectors)
    turn, _ = np.linalg.qr(np.random.default_rng(_SEED).standard_normal((m, m)))
    return np.ascontiguousarray(axes[:, ::-1][:, :m] @ turn, dtype=np.float32)


def _sample(vectors: Floats, most: int) -> Floats:
    """So many of the vectors, drawn without order, always the same."""
    if len(vectors) <= most:
        return vectors
    rows = np.random.default_rng(_SEED).choice(len(vectors), most, replace=False)
    return np.ascontiguousarray(vectors[np.sort(rows)])
