"""Index of the descriptors of all photographs of a gallery, to match a query with all at once.

One search finds the nearest descriptors of the whole gallery, whatever photograph they are of; what
they say about photographs is counted in `naive_bayes.py`.
"""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from flukeprint.data.embeddings import Floats, Ints
from flukeprint.files import linked
from flukeprint.ranking.local.descriptor_codes import (
    FACTS,
    INDEX,
    PROBES,
    DescriptorCodes,
    saved_digest,
)
from flukeprint.ranking.local.keypoint_store import KeypointStore, check_one_extraction

_BEHIND = 0.05  # share of photographs beside the file of an index above which it is written again
_LATER = "later.npz"


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


class DescriptorIndex:
    """The descriptors of n photographs, of which the nearest ones of a query are found.

    Nothing that it holds ever changes: `grown` and `without` return another index.  A grown one
    shares its memory with the one that it grew from, so that adding a photograph costs the same in
    a gallery of any size.  `later` are the photographs that are not yet in the file, `digest` is
    that of the file.
    """

    def __init__(
        self,
        codes: DescriptorCodes,
        photographs: int,
        stamp: str,
        later: Sequence[KeypointStore] = (),
        digest: str | None = None,
    ) -> None:
        self._codes, self._photographs = codes, photographs
        self.stamp = stamp
        self._later, self._digest = tuple(later), digest

    @classmethod
    def build(cls, store: KeypointStore, *, probes: int = PROBES) -> "DescriptorIndex":
        """Index the keypoints of a gallery.

        probes: cells that a search visits; all of them find the nearest descriptors exactly, as far
            as 4 bits a number tell them apart.

        Raises FlukeprintError where FAISS is not installed.
        """
        return cls(DescriptorCodes.build(store, probes), len(store), store.stamp)

    def __len__(self) -> int:
        """Number of photographs."""
        return self._photographs

    @property
    def nbytes(self) -> int:
        """Bytes in memory: codes and numbers of the descriptors, and their places."""
        return self._codes.nbytes

    def grown(self, fresh: KeypointStore) -> "DescriptorIndex":
        """This index with further photographs behind its own.

        Raises FlukeprintError for keypoints that were found with other settings.
        """
        check_one_extraction({self.stamp, fresh.stamp})
        codes = self._codes
        with codes.turn:
            if len(codes) != len(self):  # something else was added to it already
                codes = codes.copied(len(self))
            codes.add(fresh)
        later = (*self._later, fresh)
        return DescriptorIndex(codes, len(self) + len(fresh), self.stamp, later, self._digest)

    def without(self, rows: npt.ArrayLike) -> "DescriptorIndex":
        """This index without the photographs of `rows`; those behind them move up.

        Raises IndexError for a row that is not there.
        """
        gone = self._rows(rows)
        with self._codes.turn:
            codes = self._codes.copied(len(self))
        parts = [
            np.arange(codes.starts.all[row], codes.ends.all[row], dtype=np.int64)
            for row in gone.tolist()
        ]
        codes.index.remove_ids(np.concatenate([np.empty(0, np.int64), *parts]))
        kept = np.setdiff1d(np.arange(len(self)), gone)
        arrays = codes.arrays(len(self))
        for name in ("starts", "ends", "sizes"):
            arrays[name] = arrays[name][kept]
        arrays["points"] = arrays["points"][: arrays["ends"][-1] if len(kept) else 0]
        # The file is not that of this index any more, unless later photographs alone are gone.
        digest = self._digest if not len(gone) or gone[0] >= self._in_file else None
        return DescriptorIndex(
            DescriptorCodes(codes.faiss, codes.index, arrays),
            len(kept), self.stamp, self._later_of(kept), digest,
        )  # fmt: skip

    def take(self, rows: npt.ArrayLike) -> "DescriptorIndex":
        """This index with the photographs of `rows` alone, which must ascend.

        Raises IndexError for a row that is not there.
        """
        kept = np.asarray(rows, dtype=np.int64)
        if np.any(np.diff(kept) <= 0):
            raise ValueError("photographs of an index are taken in its own order, each once")
        return self.without(np.setdiff1d(np.arange(len(self)), self._rows(kept)))

    def _rows(self, rows: npt.ArrayLike) -> Ints:
        """Rows of photographs, ascending and each once."""
        index = np.unique(np.asarray(rows, dtype=np.int64))
        if len(index) and not 0 <= index[0] <= index[-1] < len(self):
            raise IndexError(f"rows {index[0]} to {index[-1]} of {len(self)} photographs")
        return index

    @property
    def _in_file(self) -> int:
        """Number of photographs before the later ones."""
        return len(self) - sum(map(len, self._later))

    def _later_of(self, rows: Ints) -> tuple[KeypointStore, ...]:
        wanted = rows[rows >= self._in_file]
        return (self.recent(wanted),) if len(wanted) else ()

    def recent(self, rows: npt.ArrayLike) -> KeypointStore:
        """The keypoints of photographs that are not yet in the file; IndexError for others."""
        index = np.asarray(rows, dtype=np.int64)
        first = self._in_file
        if len(index) and not first <= index.min() <= index.max() < len(self):
            raise IndexError(f"only rows {first} to {len(self) - 1} are kept as they were found")
        return KeypointStore.concatenate(self._later).take(index - first)

    def search(self, descriptors: npt.NDArray[Any], k: int) -> NearestDescriptors:
        """Find the k nearest descriptors of the gallery for each of (m, d), of any length."""
        m = len(descriptors)
        arrays = self._codes.arrays(len(self))
        last = len(arrays["points"])
        distances = np.full((m, k), np.inf, np.float32)
        numbers = np.full((m, k), -1, np.int64)
        if m and last:
            squares, numbers = self._codes.nearest(descriptors, k, last)
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
        later = len(self) - self._in_file
        of_file = old is not None and self._digest is not None and later <= _BEHIND * len(self)
        if old is not None and of_file and saved_digest(old) == self._digest:
            for name in (INDEX, FACTS):
                if not linked(old / name, folder / name):
                    shutil.copyfile(old / name, folder / name)
            if later:
                KeypointStore.concatenate(self._later).save(folder / _LATER)
            return self
        codes, digest = self._codes.save(folder, len(self), self.stamp)
        return DescriptorIndex(codes, len(self), self.stamp, (), digest)

    @classmethod
    def load(cls, folder: Path) -> "DescriptorIndex":
        """Read what `save` wrote.  Raises FlukeprintError for anything else."""
        codes, stamp, digest = DescriptorCodes.load(folder)
        found = cls(codes, len(codes), stamp, (), digest)
        if (folder / _LATER).is_file():
            found = found.grown(KeypointStore.load(folder / _LATER))
        return found
