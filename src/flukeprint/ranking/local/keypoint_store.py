"""Extract the keypoints of a whole catalogue, and keep them in a file and in a cache on disk.

Each photograph is searched for keypoints once; the cache lies beside the resized photographs.
"""

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from flukeprint.config.ranking import LocalConfig
from flukeprint.data.cache_entries import STAMP_BYTES, Entry, find_entry, write_entry
from flukeprint.data.catalog import Catalog
from flukeprint.data.decoding import DECODING_VERSION, decode_row
from flukeprint.data.embeddings import Floats, Ints
from flukeprint.errors import FlukeprintError
from flukeprint.files import written_whole
from flukeprint.output import followed
from flukeprint.ranking.local.keypoint_parts import (
    HeldKeypoints,
    KeypointPart,
    StreamedRows,
    read_part,
    runs_of,
    write_npz,
)
from flukeprint.ranking.local.keypoints import (
    DESCRIPTOR_TYPES,
    SIFT_DIMENSIONS,
    Descriptors,
    Extractor,
    Keypoints,
    extract,
    extraction_digest,
)

_HEADER = np.dtype("<i4")  # k, height, width
_AT_ONCE = 1024  # photographs whose keypoints are read together
_MOST_PARTS = 64  # of a store; more are packed


@dataclass(frozen=True)
class KeypointStore:
    """The keypoints of n photographs; `store[row]` gives one photograph's.

    parts: where they are, in memory or in files of which only what is asked for is read.
    part, place: (n,) the part of each photograph, and its place in it.
    stamp: `extraction_digest` of the settings that they were found with.
    1,500 photographs with 600 SIFT keypoints take 122 MB.
    """

    parts: tuple[KeypointPart, ...]
    part: npt.NDArray[np.int32]
    place: Ints
    stamp: str

    def __len__(self) -> int:
        return len(self.part)

    def __getitem__(self, row: int) -> Keypoints:
        if not 0 <= row < len(self):
            raise IndexError(f"row {row} of {len(self)} photographs")
        part, place = self.parts[int(self.part[row])], int(self.place[row])
        height, width = part.sizes[place].tolist()
        first, last = part.offsets[place : place + 2].tolist()
        return Keypoints(*part.read(first, last), (height, width))

    @property
    def kind(self) -> type[Any]:
        """Type of the descriptors' numbers."""
        return self.parts[0].kind

    @cached_property
    def whole(self) -> HeldKeypoints:
        """All of them in memory, one photograph after the other."""
        part = self.parts[0]
        in_order = len(self.parts) == 1 and np.array_equal(self.place, np.arange(len(part.sizes)))
        if in_order and isinstance(part, HeldKeypoints):
            return part
        return _held(
            self._counts(),
            self._sizes(),
            [np.empty((0, 2), np.float32), *self._blocks(0)],
            [np.empty((0, SIFT_DIMENSIONS), self.kind), *self._blocks(1)],
        )

    @property
    def points(self) -> Floats:
        """(N, 2) of all photographs, in memory."""
        return self.whole.points

    @property
    def descriptors(self) -> Descriptors:
        """(N, 128) of all photographs, in memory."""
        return self.whole.descriptors

    @property
    def offsets(self) -> Ints:
        """(n + 1,) where each photograph's begin in these."""
        return self.whole.offsets

    @property
    def sizes(self) -> Ints:
        """(n, 2) height and width of the resized photographs, px."""
        return self.whole.sizes

    def take(self, rows: npt.ArrayLike) -> "KeypointStore":
        """Select photographs in the order of `rows`: integers, or a boolean mask of length n.

        Nothing is copied or read.
        """
        index = np.asarray(rows)
        index = np.flatnonzero(index) if index.dtype == bool else index.astype(np.int64)
        wrong = index[(index < 0) | (index >= len(self))]
        if len(wrong):
            raise IndexError(f"row {wrong[0]} of {len(self)} photographs")
        return replace(self, part=self.part[index], place=self.place[index])

    @staticmethod
    def concatenate(parts: Sequence["KeypointStore"]) -> "KeypointStore":
        """Join stores one after the other; FlukeprintError for keypoints of different settings.

        Those of a large store are not copied.
        """
        check_one_extraction({part.stamp for part in parts})
        small = [part if len(part.parts) < _MOST_PARTS else _fewer_parts(part) for part in parts]
        firsts = np.cumsum([0, *(len(part.parts) for part in small)]).tolist()
        return KeypointStore(
            tuple(one for part in small for one in part.parts),
            np.concatenate(
                [part.part + np.int32(first) for part, first in zip(small, firsts, strict=False)]
            ),
            np.concatenate([part.place for part in small]),
            parts[0].stamp,
        )

    def _counts(self) -> Ints:
        """(n,) number of keypoints of each photograph."""
        counts = np.empty(len(self), np.int64)
        for number, part in enumerate(self.parts):
            mine = self.part == number
            counts[mine] = np.diff(part.offsets)[self.place[mine]]
        return counts

    def _sizes(self) -> Ints:
        sizes = np.empty((len(self), 2), np.int64)
        for number, part in enumerate(self.parts):
            mine = self.part == number
            sizes[mine] = part.sizes[self.place[mine]]
        return sizes

    def _blocks(self, which: int) -> Iterator[npt.NDArray[Any]]:
        """All points (0) or descriptors (1), in blocks of few photographs."""
        for first, last in runs_of(self.part, self.place, _AT_ONCE):
            part, place = self.parts[int(self.part[first])], int(self.place[first])
            offsets = part.offsets
            yield part.read(int(offsets[place]), int(offsets[place + last - first]))[which]

    @staticmethod
    def of(
        catalog: Catalog,
        config: LocalConfig,
        *,
        cache: Path | None,
        extractor: Extractor | None = None,
        mirror_views: Sequence[str] = (),
        progress: str | None = None,
    ) -> "KeypointStore":
        """Extract the keypoints of every photograph, in the catalogue's order.

        cache: folder in which each photograph's keypoints are kept (`image.cache`), or None.
        extractor: of the backend that `config.matcher` names; None: SIFT.
        mirror_views: photographs of these views are mirrored first (`image.mirror_views`).
        progress: title of a progress bar; None: no bar.

        Raises FlukeprintError for a photograph that cannot be read or a cache that cannot be
        written.
        """
        if extractor is None:
            if config.matcher == "lightglue":
                raise ValueError(f"matcher {config.matcher} has an extractor of its own")
            extractor = _sift(config)
        source = _Source(catalog, config, cache, extractor, mirror_views)
        rows = range(len(catalog))
        # A learned extractor uses all cores itself.
        threads = 1 if config.matcher == "lightglue" else min(8, os.cpu_count() or 1)
        pool = ThreadPoolExecutor(threads, thread_name_prefix="keypoints")
        try:
            found = list(followed(pool.map(source.of_row, rows), progress, len(rows)))
        finally:
            pool.shutdown(cancel_futures=True)  # after an error, none that has not begun
        return KeypointStore.pack(found, config)

    @staticmethod
    def pack(found: Sequence[Keypoints], config: LocalConfig) -> "KeypointStore":
        """Pack the keypoints of one photograph after the other, found with `config`."""
        return _packed(found, extraction_digest(config), DESCRIPTOR_TYPES[config.matcher])

    @staticmethod
    def packed(found: Sequence[Keypoints], stamp: str) -> "KeypointStore":
        """Pack keypoints of one photograph or more, found with the settings of `stamp`."""
        return _packed(found, stamp, found[0].descriptors.dtype.type)

    @staticmethod
    def holding(part: KeypointPart, stamp: str) -> "KeypointStore":
        """The photographs of one part, in its order."""
        n = len(part.sizes)
        return KeypointStore((part,), np.zeros(n, np.int32), np.arange(n), stamp)

    def save(self, path: Path) -> None:
        """Write an `.npz` without pickles; a failure raises FlukeprintError and leaves no file."""
        counts = self._counts()
        total, kind = int(counts.sum()), np.dtype(self.kind)
        with written_whole(path) as partial:
            write_npz(
                partial,
                {
                    "offsets": np.cumsum([0, *counts.tolist()], dtype=np.int64),
                    "sizes": self._sizes(),
                    "stamp": np.frombuffer(self.stamp.encode(), dtype=np.uint8),
                },
                {
                    "points": StreamedRows((total, 2), np.dtype(np.float32), self._blocks(0)),
                    "descriptors": StreamedRows((total, SIFT_DIMENSIONS), kind, self._blocks(1)),
                },
            )

    @classmethod
    def load(cls, path: Path) -> "KeypointStore":
        """Open what `save` wrote.  Raises FlukeprintError for any other file.

        Of a large file only the keypoints of photographs that are asked for are read.
        """
        return cls.holding(*read_part(path))


def check_one_extraction(stamps: set[str]) -> None:
    """Refuse keypoints of several `extraction_digest`s."""
    if len(stamps) != 1:
        raise FlukeprintError(
            "keypoints found with different settings of rank.local do not compare; "
            "find all with one"
        )


def _sift(config: LocalConfig) -> Extractor:
    return lambda pixels: extract(pixels, config)


def _packed(found: Sequence[Keypoints], stamp: str, kind: type[Any]) -> KeypointStore:
    part = _held(
        [len(keypoints) for keypoints in found],
        np.array([keypoints.size for keypoints in found], np.int64).reshape(-1, 2),
        [np.empty((0, 2), np.float32), *(keypoints.points for keypoints in found)],
        [np.empty((0, SIFT_DIMENSIONS), kind), *(keypoints.descriptors for keypoints in found)],
    )
    return KeypointStore.holding(part, stamp)


def _held(
    counts: npt.ArrayLike, sizes: Ints, points: list[Floats], descriptors: list[Descriptors]
) -> HeldKeypoints:
    offsets = np.concatenate([[0], np.cumsum(np.asarray(counts, np.int64))]).astype(np.int64)
    return HeldKeypoints(np.concatenate(points), np.concatenate(descriptors), offsets, sizes)


def _fewer_parts(store: KeypointStore) -> KeypointStore:
    """The same photographs, all but those of the largest part packed into one."""
    largest = max(range(len(store.parts)), key=lambda number: len(store.parts[number].sizes))
    mine = store.part == largest
    rest = KeypointStore.holding(store.take(~mine).whole, store.stamp)
    part, place = np.ones(len(store), np.int32), np.empty(len(store), np.int64)
    part[mine], place[mine], place[~mine] = 0, store.place[mine], np.arange(len(rest))
    return KeypointStore((store.parts[largest], *rest.parts), part, place, store.stamp)


class _Source:
    """Reads the keypoints of a catalogue's photographs from the cache, or extracts them."""

    def __init__(
        self,
        catalog: Catalog,
        config: LocalConfig,
        cache: Path | None,
        extractor: Extractor,
        mirror_views: Sequence[str],
    ) -> None:
        self._catalog = catalog
        self._side = config.side
        self._kind = np.dtype(DESCRIPTOR_TYPES[config.matcher])
        self._extractor = extractor
        self._turned = catalog.in_views(mirror_views)
        self._folder: Path | None = None
        if cache is not None and catalog.paths is not None:
            version = f"{extraction_digest(config)}-v{DECODING_VERSION}"
            self._folder = cache.absolute() / f"keypoints-{version}"

    def of_row(self, row: int) -> Keypoints:
        entry = find_entry(self._folder, self._catalog, row, how=self._turned[row])
        if entry is None:
            return self._found(row)
        keypoints = _read(entry, self._kind)
        if keypoints is None:
            keypoints = self._found(row)
            header = np.array([len(keypoints), *keypoints.size], _HEADER)
            points = keypoints.points.astype("<f4")
            write_entry(
                entry, [header.tobytes(), points.tobytes(), keypoints.descriptors.tobytes()]
            )
        return keypoints

    def _found(self, row: int) -> Keypoints:
        pixels = decode_row(self._catalog, row, min_size=(self._side, self._side))
        return self._extractor(
            np.ascontiguousarray(pixels[:, ::-1] if self._turned[row] else pixels)
        )


def _read(entry: Entry, kind: np.dtype[Any]) -> Keypoints | None:
    """Read a cache entry; None where it is absent, cut short or of another photograph."""
    try:
        data = entry.path.read_bytes()
    except OSError:
        return None
    head = 3 * _HEADER.itemsize
    if len(data) < head + STAMP_BYTES or data[-STAMP_BYTES:] != entry.stamp:
        return None
    k, height, width = np.frombuffer(data, _HEADER, 3).tolist()
    if len(data) != head + k * (8 + SIFT_DIMENSIONS * kind.itemsize) + STAMP_BYTES:
        return None
    points = np.frombuffer(data, "<f4", 2 * k, head).reshape(k, 2).astype(np.float32)
    descriptors = np.frombuffer(data, kind, k * SIFT_DIMENSIONS, head + 8 * k)
    return Keypoints(points, descriptors.reshape(k, SIFT_DIMENSIONS), (height, width))
