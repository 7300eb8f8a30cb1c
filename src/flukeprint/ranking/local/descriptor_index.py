"""Index of the descriptors of all photographs of a gallery, to match a query with all at once.

One search finds the nearest descriptors of the whole gallery, whatever photograph they are of; what
they say about photographs is counted in `naive_bayes.py`.  FAISS keeps them projected to fewer
numbers (PCA) and at 4 bits a number, in cells of which a search visits a few.
"""

import contextlib
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import numpy.typing as npt

from flukeprint.data.embeddings import Floats, GrowingArray, Ints
from flukeprint.errors import FlukeprintError, needs
from flukeprint.files import read_npz
from flukeprint.ranking.local.descriptor_cells import two_level_index
from flukeprint.ranking.local.keypoint_store import KeypointStore
from flukeprint.ranking.local.keypoints import directions

DIMENSIONS = 64  # kept of a descriptor by PCA
CELL = 150  # descriptors of a cell, on average
MOST_CELLS = 65_536
_MOST_AT_ONCE = 1_024  # cells above which they are found in two steps
PROBES = 8  # cells that a search visits
_TRAINED_ON = 48  # descriptors for each cell, to find the cells
_FEWEST = 256  # descriptors to be trained on; fewer are filled up with random directions
_AT_ONCE = 1 << 18  # descriptors widened at once
_BEHIND = 0.05  # share of photographs beside the file of an index above which it is written again
_INDEX, _FACTS, _LATER = "index.faiss", "photographs.npz", "later.npz"


@dataclass(frozen=True)
class NearestDescriptors:
    """The nearest descriptors of a gallery for m descriptors of queries, nearest first.

    distances: (m, k) float32 Euclidean distances of unit vectors; infinite where there are fewer.
    photographs: (m, k) int64 rows of the photographs that they are of, -1 where there are fewer.
    points: (m, k, 2) float32 x, y in px of the resized photograph.
    """

    distances: Floats
    photographs: Ints
    points: Floats


class _Core:
    """What the states of one index share: FAISS's index and the place of every descriptor in it.

    A descriptor's number never changes; photograph p has the numbers from starts[p] to ends[p].
    """

    def __init__(self, faiss: Any, index: Any, arrays: dict[str, npt.NDArray[Any]]) -> None:
        self.faiss, self.index = faiss, index
        self.points = GrowingArray(arrays["points"])
        self.starts = GrowingArray(arrays["starts"])
        self.ends = GrowingArray(arrays["ends"])
        self.sizes = GrowingArray(arrays["sizes"])
        self.turn = Lock()  # FAISS does not search while it adds

    def __len__(self) -> int:
        """Number of photographs."""
        return len(self.ends)

    def arrays(self, photographs: int) -> dict[str, npt.NDArray[Any]]:
        """The places of the first `photographs`, with the points of all numbers up to theirs."""
        last = int(self.ends.all[photographs - 1]) if photographs else 0
        return {
            "points": self.points.all[:last],
            "starts": self.starts.all[:photographs],
            "ends": self.ends.all[:photographs],
            "sizes": self.sizes.all[:photographs],
        }

    def copied(self, photographs: int) -> "_Core":
        """A copy with the first `photographs` alone, to which others can be added."""
        index = self.faiss.deserialize_index(self.faiss.serialize_index(self.index))
        arrays = {name: array.copy() for name, array in self.arrays(photographs).items()}
        last = len(arrays["points"])
        if last < len(self.points):
            index.remove_ids(self.faiss.IDSelectorRange(last, len(self.points)))
        return _Core(self.faiss, index, arrays)

    def add(self, store: KeypointStore) -> None:
        """Add the photographs of a store under the next numbers."""
        first = len(self.points)
        if len(store.points):
            self.faiss.extract_index_ivf(self.index)  # raises if it is of another kind
            for start in range(0, len(store.points), _AT_ONCE):
                vectors = directions(store.descriptors[start : start + _AT_ONCE])
                numbers = np.arange(first + start, first + start + len(vectors), dtype=np.int64)
                self.index.add_with_ids(vectors, numbers)
        self.points.extend(store.points.astype(np.float16))
        self.starts.extend(store.offsets[:-1] + first)
        self.ends.extend(store.offsets[1:] + first)
        self.sizes.extend(store.sizes.astype(np.int32))


class DescriptorIndex:
    """The descriptors of n photographs, of which the nearest ones of a query are found.

    Nothing that it holds ever changes: `grown` and `without` return another index.  A grown one
    shares its memory with the one that it grew from, so that adding a photograph costs the same in
    a gallery of any size.  `later` are the photographs that are not yet in the file.
    """

    def __init__(self, core: _Core, photographs: int, stamp: str, later: Sequence[KeypointStore]):
        self._core, self._photographs = core, photographs
        self.stamp = stamp
        self._later = tuple(later)

    @classmethod
    def build(cls, store: KeypointStore, *, probes: int = PROBES) -> "DescriptorIndex":
        """Index the keypoints of a gallery.

        probes: cells that a search visits; all of them find the nearest descriptors exactly, as far
            as 4 bits a number tell them apart.

        Raises FlukeprintError where FAISS is not installed.
        """
        with needs("search"):
            import faiss
        count = len(store.points)
        cells = min(MOST_CELLS, max(1, count // CELL))
        rng = np.random.default_rng(0)
        chosen = rng.permutation(count)[: max(_FEWEST, _TRAINED_ON * cells)]
        sample = directions(store.descriptors[np.sort(chosen)])
        if len(sample) < _FEWEST:
            random = rng.normal(size=(_FEWEST - len(sample), store.descriptors.shape[1]))
            sample = np.concatenate([sample, directions(random.astype(np.float32))])
        kept = min(DIMENSIONS, sample.shape[1])
        if cells > _MOST_AT_ONCE:
            index = two_level_index(faiss, sample, kept, cells, probes)
        else:
            index = faiss.index_factory(sample.shape[1], f"PCA{kept},IVF{cells},SQ4")
            lists = faiss.extract_index_ivf(index)
            lists.cp.min_points_per_centroid, lists.cp.max_points_per_centroid = 1, _TRAINED_ON
            index.train(sample)
        lists = faiss.extract_index_ivf(index)
        lists.nprobe = min(probes, int(lists.nlist))
        core = _Core(
            faiss,
            index,
            {
                "points": np.empty((0, 2), np.float16),
                "starts": np.empty(0, np.int64),
                "ends": np.empty(0, np.int64),
                "sizes": np.empty((0, 2), np.int32),
            },
        )
        core.add(store)
        return cls(core, len(store), store.stamp, ())

    def __len__(self) -> int:
        """Number of photographs."""
        return self._photographs

    @property
    def nbytes(self) -> int:
        """Bytes in memory: codes and numbers of the descriptors, and their places."""
        lists = self._core.faiss.extract_index_ivf(self._core.index)
        return sum(
            (
                int(lists.ntotal) * (int(lists.code_size) + 8),
                int(lists.nlist) * int(lists.d) * 4,
                *(part.nbytes for part in vars(self._core).values() if hasattr(part, "nbytes")),
            )
        )

    def grown(self, fresh: KeypointStore) -> "DescriptorIndex":
        """This index with further photographs behind its own.

        Raises FlukeprintError for keypoints that were found with other settings.
        """
        if fresh.stamp != self.stamp:
            raise FlukeprintError(
                "keypoints found with different settings of rank.local do not compare; "
                "find all with one"
            )
        core = self._core
        with core.turn:
            if len(core) != len(self):  # something else was added to it already
                core = core.copied(len(self))
            core.add(fresh)
        return DescriptorIndex(core, len(self) + len(fresh), self.stamp, (*self._later, fresh))

    def without(self, rows: npt.ArrayLike) -> "DescriptorIndex":
        """This index without the photographs of `rows`; those behind them move up.

        Raises IndexError for a row that is not there.
        """
        gone = np.unique(np.asarray(rows, dtype=np.int64))
        if len(gone) and not 0 <= gone[0] <= gone[-1] < len(self):
            raise IndexError(f"rows {gone[0]} to {gone[-1]} of {len(self)} photographs")
        with self._core.turn:
            core = self._core.copied(len(self))
        parts = [
            np.arange(core.starts.all[row], core.ends.all[row], dtype=np.int64)
            for row in gone.tolist()
        ]
        core.index.remove_ids(np.concatenate([np.empty(0, np.int64), *parts]))
        kept = np.setdiff1d(np.arange(len(self)), gone)
        arrays = core.arrays(len(self))
        for name in ("starts", "ends", "sizes"):
            arrays[name] = arrays[name][kept]
        return DescriptorIndex(
            _Core(core.faiss, core.index, arrays), len(kept), self.stamp, self._later_of(kept)
        )

    def take(self, rows: npt.ArrayLike) -> "DescriptorIndex":
        """This index with the photographs of `rows` alone, which must ascend."""
        kept = np.asarray(rows, dtype=np.int64)
        if np.any(np.diff(kept) <= 0):
            raise ValueError("photographs of an index are taken in its own order, each once")
        return self.without(np.setdiff1d(np.arange(len(self)), kept))

    def _later_of(self, rows: Ints) -> tuple[KeypointStore, ...]:
        first = len(self) - sum(map(len, self._later))
        wanted = rows[rows >= first]
        return (self.recent(wanted),) if len(wanted) else ()

    def recent(self, rows: npt.ArrayLike) -> KeypointStore:
        """The keypoints of photographs that are not yet in the file; IndexError for others."""
        index = np.asarray(rows, dtype=np.int64)
        first = len(self) - sum(map(len, self._later))
        if len(index) and not first <= index.min() <= index.max() < len(self):
            raise IndexError(f"only rows {first} to {len(self) - 1} are kept as they were found")
        return KeypointStore.concatenate(self._later).take(index - first)

    def search(self, descriptors: npt.NDArray[Any], k: int) -> NearestDescriptors:
        """Find the k nearest descriptors of the gallery for each of (m, d), of any length."""
        core, m = self._core, len(descriptors)
        arrays = core.arrays(len(self))
        last = len(arrays["points"])
        distances = np.full((m, k), np.inf, np.float32)
        numbers = np.full((m, k), -1, np.int64)
        if m and last:
            with core.turn:
                params = None
                if last < len(core.points):  # others were added to what is shared
                    inside = core.faiss.IDSelectorRange(0, last)
                    lists = core.faiss.extract_index_ivf(core.index)
                    params = core.faiss.SearchParametersPreTransform(
                        index_params=core.faiss.SearchParametersIVF(sel=inside, nprobe=lists.nprobe)
                    )
                squares, numbers = core.index.search(directions(descriptors), k, params=params)
            found = numbers >= 0
            distances[found] = np.sqrt(np.maximum(squares[found], 0))
        photographs = np.searchsorted(arrays["starts"], numbers, side="right") - 1
        photographs[numbers < 0] = -1
        points = np.full((m, k, 2), np.nan, np.float32)
        points[numbers >= 0] = arrays["points"][numbers[numbers >= 0]]
        return NearestDescriptors(distances, photographs, points)

    def save(self, folder: Path, old: Path | None = None) -> "DescriptorIndex":
        """Write the index into a new folder; returns the index as it is in the files.

        old: a folder with an earlier state.  Its file is linked, and the photographs that it lacks
            are written beside it until they are more than a twentieth.
        """
        folder.mkdir(parents=True)
        later = sum(map(len, self._later))
        if old is not None and later <= _BEHIND * len(self) and self._links(folder, old, later):
            if later:
                KeypointStore.concatenate(self._later).save(folder / _LATER)
            return self
        core = self._core
        with core.turn:
            if len(core) != len(self):
                core = core.copied(len(self))
            core.faiss.write_index(core.index, str(folder / _INDEX))
        facts = {**core.arrays(len(self)), "stamp": np.frombuffer(self.stamp.encode(), np.uint8)}
        with (folder / _FACTS).open("wb") as file:
            np.savez(file, **facts)  # type: ignore[arg-type]
        return DescriptorIndex(core, len(self), self.stamp, ())

    def _links(self, folder: Path, old: Path, later: int) -> bool:
        """Link the files of `old` into `folder`, if they hold all but the later photographs."""
        try:
            with read_npz(old / _FACTS, "descriptors") as arrays:
                same = len(arrays["ends"]) == len(self) - later and (
                    arrays["stamp"].tobytes().decode() == self.stamp
                )
        except FlukeprintError:
            return False
        if not same:
            return False
        with contextlib.suppress(OSError, NotImplementedError):
            for name in (_INDEX, _FACTS):
                os.link(old / name, folder / name)
            return True
        for name in (_INDEX, _FACTS):
            shutil.copyfile(old / name, folder / name)
        return True

    @classmethod
    def load(cls, folder: Path) -> "DescriptorIndex":
        """Read what `save` wrote.  Raises FlukeprintError for anything else."""
        with needs("search"):
            import faiss
        with read_npz(folder / _FACTS, "descriptors") as arrays:
            facts = {name: arrays[name] for name in ("points", "starts", "ends", "sizes")}
            stamp = arrays["stamp"].tobytes().decode()
        try:
            index = faiss.read_index(str(folder / _INDEX))
            lists = faiss.extract_index_ivf(index)
        except RuntimeError:
            raise FlukeprintError(
                f"{folder / _INDEX} cannot be read as an index of descriptors; train again"
            ) from None
        held = int((facts["ends"] - facts["starts"]).sum())
        if int(lists.ntotal) != held:
            raise FlukeprintError(
                f"{folder}: the index holds {int(lists.ntotal):,} descriptors of "
                f"{held:,}; its files do not belong together, train again"
            )
        found = cls(_Core(faiss, index, facts), len(facts["ends"]), stamp, ())
        if (folder / _LATER).is_file():
            found = found.grown(KeypointStore.load(folder / _LATER))
        return found
