"""Extract the keypoints of a whole catalogue, and keep them in memory and in a cache on disk.

Each photograph is searched for keypoints once; the cache lies beside the resized photographs.
"""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from flukeprint.config.ranking import LocalConfig
from flukeprint.data.cache_entries import STAMP_BYTES, Entry, find_entry, write_entry
from flukeprint.data.catalog import Catalog
from flukeprint.data.decoding import DECODING_VERSION, decode_row
from flukeprint.data.embeddings import Floats
from flukeprint.errors import FlukeprintError
from flukeprint.files import read_npz, written_whole
from flukeprint.output import followed
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


@dataclass(frozen=True)
class KeypointStore:
    """The keypoints of n photographs, packed into arrays; `store[row]` gives one photograph's.

    points: (N, 2) float32; descriptors: (N, 128) uint8 or float16.
    offsets: (n + 1,) int64, where each photograph's keypoints begin.
    sizes: (n, 2) int64, height and width of the resized photographs, px.
    stamp: `extraction_digest` of the settings that they were found with.
    1,500 photographs with 600 SIFT keypoints take 122 MB.
    """

    points: Floats
    descriptors: Descriptors
    offsets: npt.NDArray[np.int64]
    sizes: npt.NDArray[np.int64]
    stamp: str

    def __post_init__(self) -> None:
        n, total = len(self.offsets) - 1, len(self.points)
        if n < 0 or self.sizes.shape != (n, 2):
            raise ValueError(f"sizes are {self.sizes.shape} for {n} photographs")
        if self.offsets[0] != 0 or self.offsets[-1] != total or np.any(np.diff(self.offsets) < 0):
            raise ValueError(f"offsets do not divide {total} keypoints")
        Keypoints(self.points, self.descriptors, (0, 0))  # checks their shapes

    def __len__(self) -> int:
        return len(self.sizes)

    def __getitem__(self, row: int) -> Keypoints:
        if not 0 <= row < len(self):
            raise IndexError(f"row {row} of {len(self)} photographs")
        part = slice(int(self.offsets[row]), int(self.offsets[row + 1]))
        size = (int(self.sizes[row, 0]), int(self.sizes[row, 1]))
        return Keypoints(self.points[part], self.descriptors[part], size)

    def take(self, rows: npt.ArrayLike) -> "KeypointStore":
        """Select photographs in the order of `rows`: integers, or a boolean mask of length n."""
        index = np.asarray(rows)
        index = np.flatnonzero(index) if index.dtype == bool else index.astype(np.int64)
        kind = self.descriptors.dtype.type
        return _packed([self[int(row)] for row in index], self.stamp, kind)

    @staticmethod
    def concatenate(parts: Sequence["KeypointStore"]) -> "KeypointStore":
        """Join stores one after the other; FlukeprintError for keypoints of different settings."""
        check_one_extraction({part.stamp for part in parts})
        found = [part[row] for part in parts for row in range(len(part))]
        return _packed(found, parts[0].stamp, parts[0].descriptors.dtype.type)

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

    def save(self, path: Path) -> None:
        """Write an `.npz` without pickles; a failure raises FlukeprintError and leaves no file."""
        with written_whole(path) as partial, partial.open("wb") as file:
            np.savez(
                file,
                points=self.points,
                descriptors=self.descriptors,
                offsets=self.offsets,
                sizes=self.sizes,
                stamp=np.frombuffer(self.stamp.encode(), dtype=np.uint8),
            )

    @classmethod
    def load(cls, path: Path) -> "KeypointStore":
        """Read what `save` wrote.  Raises FlukeprintError for any other file."""
        with read_npz(path, "keypoints") as arrays:
            names = ("points", "descriptors", "offsets", "sizes")
            stamp = arrays["stamp"].tobytes().decode()
            return cls(**{name: arrays[name] for name in names}, stamp=stamp)


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
    counts = [len(keypoints) for keypoints in found]
    points = [np.empty((0, 2), np.float32), *(keypoints.points for keypoints in found)]
    none = np.empty((0, SIFT_DIMENSIONS), kind)
    descriptors = [none, *(keypoints.descriptors for keypoints in found)]
    return KeypointStore(
        points=np.concatenate(points),
        descriptors=np.concatenate(descriptors),
        offsets=np.cumsum([0, *counts], dtype=np.int64),
        sizes=np.array([keypoints.size for keypoints in found], np.int64).reshape(-1, 2),
        stamp=stamp,
    )


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
