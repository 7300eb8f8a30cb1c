"""The keypoints of consecutive photographs, in memory or in a file of which only some are read.

A file is an `.npz` without compression, as `numpy.savez` writes it, so that the place of each
photograph in it is known from the table of offsets: a short list of candidates is read without the
rest, and the memory that a gallery takes does not grow with its keypoints.
"""

import os
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from threading import Lock
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from flukeprint.data.embeddings import Floats
from flukeprint.files import read_npz
from flukeprint.ranking.local.keypoints import SIFT_DIMENSIONS, Descriptors, Keypoints

WORTH_A_FILE = 1 << 24  # bytes of descriptors; fewer are read into memory
_LOCAL_HEADER = 30  # bytes of a member's header in a ZIP file, before its name

Offsets = npt.NDArray[np.int64]


@dataclass(frozen=True)
class HeldKeypoints:
    """The keypoints of some photographs, one after the other, in memory.

    points: (N, 2) float32; descriptors: (N, 128).
    offsets: (n + 1,) where each photograph's keypoints begin.
    sizes: (n, 2) height and width of the resized photographs, px.
    """

    points: Floats
    descriptors: Descriptors
    offsets: Offsets
    sizes: npt.NDArray[np.int64]

    def __post_init__(self) -> None:
        check_offsets(self.offsets, self.sizes, len(self.points))
        Keypoints(self.points, self.descriptors, (0, 0))  # checks their shapes

    @property
    def kind(self) -> type[Any]:
        """Type of the descriptors' numbers."""
        return self.descriptors.dtype.type

    def read(self, first: int, last: int) -> tuple[Floats, Descriptors]:
        """Points (k, 2) and descriptors (k, 128) with the numbers from `first` to `last`."""
        return self.points[first:last], self.descriptors[first:last]


class FiledKeypoints:
    """The same in a file that stays open; one that is replaced is read to the end of its use."""

    def __init__(
        self,
        file: IO[bytes],
        places: Mapping[str, tuple[int, np.dtype[Any]]],
        offsets: Offsets,
        sizes: npt.NDArray[np.int64],
    ) -> None:
        """places: first byte and type of the numbers of `points` and `descriptors`."""
        self.offsets, self.sizes = offsets, sizes
        self._file, self._places = file, dict(places)
        self._turn = Lock()

    @property
    def kind(self) -> type[Any]:
        """Type of the descriptors' numbers."""
        return self._places["descriptors"][1].type

    def read(self, first: int, last: int) -> tuple[Floats, Descriptors]:
        """Points (k, 2) and descriptors (k, 128) with the numbers from `first` to `last`."""
        return (
            self._rows("points", 2, first, last),
            self._rows("descriptors", SIFT_DIMENSIONS, first, last),
        )

    def _rows(self, name: str, width: int, first: int, last: int) -> npt.NDArray[Any]:
        start, kind = self._places[name]
        size = width * kind.itemsize
        data = self._bytes(start + first * size, (last - first) * size)
        return np.frombuffer(data, kind).reshape(last - first, width)

    def _bytes(self, start: int, length: int) -> bytes:
        parts = []
        while length > 0:
            if hasattr(os, "pread"):
                data = os.pread(self._file.fileno(), min(length, 1 << 30), start)
            else:  # Windows
                with self._turn:
                    self._file.seek(start)
                    data = self._file.read(min(length, 1 << 30))
            if not data:
                raise EOFError("the file was cut short")
            parts.append(data)
            start, length = start + len(data), length - len(data)
        return parts[0] if len(parts) == 1 else b"".join(parts)


KeypointPart = HeldKeypoints | FiledKeypoints


def check_offsets(offsets: Offsets, sizes: npt.NDArray[np.int64], total: int) -> None:
    """Raise ValueError unless the offsets divide so many keypoints among the photographs."""
    n = len(offsets) - 1
    if n < 0 or sizes.shape != (n, 2):
        raise ValueError(f"sizes are {sizes.shape} for {n} photographs")
    if offsets[0] != 0 or offsets[-1] != total or np.any(np.diff(offsets) < 0):
        raise ValueError(f"offsets do not divide {total} keypoints")


def read_part(path: Path) -> tuple[KeypointPart, str]:
    """Open the keypoints in an `.npz`, and their stamp.  Raises FlukeprintError for another file.

    Many are left in the file, which is open as long as they are in use.
    """
    with read_npz(path, "keypoints", names=("offsets", "sizes", "stamp")) as arrays:
        offsets, sizes = arrays["offsets"], arrays["sizes"]
        stamp = arrays["stamp"].tobytes().decode()
        places = _places(path)
        kind = places["descriptors"][1]
        if int(offsets[-1]) * SIFT_DIMENSIONS * kind.itemsize >= WORTH_A_FILE:
            check_offsets(offsets, sizes, int(offsets[-1]))
            file = path.open("rb", buffering=0)
            part = FiledKeypoints(file, places, offsets, sizes)
            for number in (0, int(offsets[-1]) - 1):  # whether all of it is there, of these types
                Keypoints(*part.read(number, number + 1), (0, 0))
            return part, stamp
    with read_npz(path, "keypoints") as arrays:
        held = HeldKeypoints(arrays["points"], arrays["descriptors"], offsets, sizes)
        return held, stamp


def _places(path: Path) -> dict[str, tuple[int, np.dtype[Any]]]:
    """First byte and type of the rows of `points` and `descriptors` in an `.npz`.

    Raises ValueError or KeyError for one that is compressed or holds others.
    """
    found = {}
    with zipfile.ZipFile(path) as archive, path.open("rb") as file:
        total = None
        for name, width in (("points", 2), ("descriptors", SIFT_DIMENSIONS)):
            member = archive.getinfo(f"{name}.npy")
            if member.compress_type != zipfile.ZIP_STORED:
                raise ValueError(f"{name} are compressed")
            file.seek(member.header_offset)
            header = file.read(_LOCAL_HEADER)
            more = int.from_bytes(header[26:28], "little") + int.from_bytes(header[28:30], "little")
            file.seek(member.header_offset + _LOCAL_HEADER + more)
            version = np.lib.format.read_magic(file)
            if version == (1, 0):
                shape, fortran, kind = np.lib.format.read_array_header_1_0(file)
            else:
                shape, fortran, kind = np.lib.format.read_array_header_2_0(file)
            if fortran or kind.hasobject or len(shape) != 2 or shape[1] != width:
                raise ValueError(f"{name} are {kind} {shape}")
            if total not in (None, shape[0]):
                raise ValueError(f"{shape[0]} {name} for {total} points")
            total = shape[0]
            found[name] = (file.tell(), kind)
    return found


def write_npz(
    path: Path, arrays: Mapping[str, npt.NDArray[Any]], blocks: Mapping[str, "StreamedRows"]
) -> None:
    """Write arrays into an `.npz`, those of `blocks` piece by piece."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
        for name, rows in blocks.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array_header_1_0(
                    member,
                    {"descr": np.lib.format.dtype_to_descr(rows.kind), "fortran_order": False,
                     "shape": rows.shape},
                )  # fmt: skip
                for block in rows.blocks:
                    member.write(np.ascontiguousarray(block, rows.kind).tobytes())
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, np.ascontiguousarray(array), allow_pickle=False)


@dataclass(frozen=True)
class StreamedRows:
    """An array of this shape that comes in blocks of rows."""

    shape: tuple[int, int]
    kind: np.dtype[Any]
    blocks: Iterable[npt.NDArray[Any]]


def runs_of(part: npt.NDArray[np.int32], place: Offsets, most: int) -> Iterator[tuple[int, int]]:
    """Divide photographs into runs (first, last) that follow each other in one part."""
    n = len(part)
    if not n:
        return
    breaks = np.flatnonzero((np.diff(part) != 0) | (np.diff(place) != 1)) + 1
    edges = [0, *breaks.tolist(), n]
    for first, last in pairwise(edges):
        for start in range(first, last, most):
            yield start, min(start + most, last)
