"""The codes of a gallery's descriptors in FAISS, and the photograph and place of each.

FAISS keeps descriptors projected to fewer numbers (PCA) and at 4 bits a number, in cells of which a
search visits a few.  `descriptor_index.py` says which of them a state of a gallery has.
"""

import hashlib
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
INDEX, FACTS = "index.faiss", "photographs.npz"
_ARRAYS = ("points", "starts", "ends", "sizes")


class DescriptorCodes:
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

    @classmethod
    def build(cls, store: KeypointStore, probes: int) -> "DescriptorCodes":
        """Train FAISS's index on the keypoints of a gallery and add them; arguments as of
        `DescriptorIndex.build`.
        """
        with needs("search"):
            import faiss
        held = store.whole
        count = len(held.points)
        cells = min(MOST_CELLS, max(1, count // CELL))
        rng = np.random.default_rng(0)
        chosen = rng.permutation(count)[: max(_FEWEST, _TRAINED_ON * cells)]
        sample = directions(held.descriptors[np.sort(chosen)])
        if len(sample) < _FEWEST:
            random = rng.normal(size=(_FEWEST - len(sample), held.descriptors.shape[1]))
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
        none = np.empty(0, np.int64)
        places: dict[str, npt.NDArray[Any]] = {
            "points": np.empty((0, 2), np.float16),
            "starts": none,
            "ends": none,
            "sizes": np.empty((0, 2), np.int32),
        }
        codes = cls(faiss, index, places)
        codes.add(store)
        return codes

    def __len__(self) -> int:
        """Number of photographs."""
        return len(self.ends)

    @property
    def nbytes(self) -> int:
        """Bytes in memory: codes and numbers of the descriptors, and their places."""
        lists = self.faiss.extract_index_ivf(self.index)
        return sum(
            (
                int(lists.ntotal) * (int(lists.code_size) + 8),
                int(lists.nlist) * int(lists.d) * 4,
                *(part.nbytes for part in (self.points, self.starts, self.ends, self.sizes)),
            )
        )

    def arrays(self, photographs: int) -> dict[str, npt.NDArray[Any]]:
        """The places of the first `photographs`, with the points of all numbers up to theirs."""
        last = int(self.ends.all[photographs - 1]) if photographs else 0
        return {
            "points": self.points.all[:last],
            "starts": self.starts.all[:photographs],
            "ends": self.ends.all[:photographs],
            "sizes": self.sizes.all[:photographs],
        }

    def copied(self, photographs: int) -> "DescriptorCodes":
        """A copy with the first `photographs` alone, to which others can be added."""
        index = self.faiss.deserialize_index(self.faiss.serialize_index(self.index))
        arrays = {name: array.copy() for name, array in self.arrays(photographs).items()}
        last = len(arrays["points"])
        if last < len(self.points):
            index.remove_ids(self.faiss.IDSelectorRange(last, len(self.points)))
        return DescriptorCodes(self.faiss, index, arrays)

    def add(self, store: KeypointStore) -> None:
        """Add the photographs of a store under the next numbers."""
        first = len(self.points)
        held = store.whole
        for start in range(0, len(held.points), _AT_ONCE):
            vectors = directions(held.descriptors[start : start + _AT_ONCE])
            numbers = np.arange(first + start, first + start + len(vectors), dtype=np.int64)
            self.index.add_with_ids(vectors, numbers)
        self.points.extend(held.points.astype(np.float16))
        self.starts.extend(held.offsets[:-1] + first)
        self.ends.extend(held.offsets[1:] + first)
        self.sizes.extend(held.sizes.astype(np.int32))

    def nearest(self, descriptors: npt.NDArray[Any], k: int, last: int) -> tuple[Floats, Ints]:
        """Squared distances and numbers (m, k) of the nearest below `last`; -1 where fewer are."""
        with self.turn:
            params = None
            if last < len(self.points):  # others were added to what is shared
                inside = self.faiss.IDSelectorRange(0, last)
                lists = self.faiss.extract_index_ivf(self.index)
                params = self.faiss.SearchParametersPreTransform(
                    index_params=self.faiss.SearchParametersIVF(sel=inside, nprobe=lists.nprobe)
                )
            squares, numbers = self.index.search(directions(descriptors), k, params=params)
        return squares, numbers

    def save(self, folder: Path, photographs: int, stamp: str) -> tuple["DescriptorCodes", str]:
        """Write the first `photographs` into a folder; returns what was written, and its digest.

        stamp: `extraction_digest` of the keypoints.
        """
        with self.turn:
            codes = self if len(self) == photographs else self.copied(photographs)
            try:
                self.faiss.write_index(codes.index, str(folder / INDEX))
            except RuntimeError as error:  # how FAISS reports a full disk
                raise OSError(str(error).splitlines()[-1]) from None
        arrays = codes.arrays(photographs)
        digest = hashlib.sha256(stamp.encode())
        for name in _ARRAYS:
            digest.update(np.ascontiguousarray(arrays[name]).tobytes())
        told = digest.hexdigest()[:16]
        facts = {**arrays, "stamp": _bytes(stamp), "digest": _bytes(told)}
        with (folder / FACTS).open("wb") as file:
            np.savez(file, **facts)  # type: ignore[arg-type]
        return codes, told

    @classmethod
    def load(cls, folder: Path) -> tuple["DescriptorCodes", str, str | None]:
        """Read what `save` wrote, with stamp and digest.  Raises FlukeprintError otherwise."""
        with needs("search"):
            import faiss
        with read_npz(folder / FACTS, "descriptors") as arrays:
            facts = {name: arrays[name] for name in _ARRAYS}
            stamp = _text(arrays["stamp"])
            digest = _text(arrays["digest"]) if "digest" in arrays else None
            _check_places(facts)
        try:
            index = faiss.read_index(str(folder / INDEX))
            lists = faiss.extract_index_ivf(index)
        except (RuntimeError, MemoryError):
            raise FlukeprintError(
                f"{folder / INDEX} cannot be read as an index of descriptors; train again"
            ) from None
        held = int((facts["ends"] - facts["starts"]).sum())
        if int(lists.ntotal) != held:
            raise FlukeprintError(
                f"{folder}: the index holds {int(lists.ntotal):,} descriptors of "
                f"{held:,}; its files do not belong together, train again"
            )
        return cls(faiss, index, facts), stamp, digest


def saved_digest(folder: Path) -> str | None:
    """The digest that `save` returned for a folder; None where there is no such folder."""
    try:
        with read_npz(folder / FACTS, "descriptors") as arrays:
            return _text(arrays["digest"])
    except FlukeprintError:
        return None


def _check_places(facts: dict[str, npt.NDArray[Any]]) -> None:
    points, starts, ends, sizes = (facts[name] for name in _ARRAYS)
    n = len(ends)
    edges = np.stack([starts, ends], axis=1).ravel()
    fitting = points.shape == (len(points), 2) and sizes.shape == (n, 2)
    fitting &= bool(np.all(np.diff(edges, prepend=0) >= 0))
    if not fitting or (n and int(ends[-1]) != len(points)):
        raise ValueError(f"{len(points)} points are not those of {n} photographs")


def _bytes(text: str) -> npt.NDArray[np.uint8]:
    return np.frombuffer(text.encode(), np.uint8)


def _text(array: npt.NDArray[Any]) -> str:
    return array.tobytes().decode()
