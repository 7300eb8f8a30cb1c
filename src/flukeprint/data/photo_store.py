"""Disk cache of resized photographs, (h, w, 3) uint8, that threads and processes share.

There is one sparse file of slots for each size, `photos-<slots>.bin`; only used slots take disk:

    table    slots x 64 bytes: key 16, stamp 16, check 8, hour 8 (little-endian), 16 unused
    pixels   slots x (h * w * 3 bytes, rounded up to whole pages)

It is an eight-way set-associative cache: the key of a photograph gives the eight neighbouring slots
that it may take.  There are no locks and no waiting.  The pixels of a slot are written before its
header, and a slot is valid only while its check matches its stamp and its pixels; so after a killed
writer, or two at once, a slot is invalid and the photograph is decoded again.
"""

import contextlib
import mmap
import os
import random
import time
import weakref
from functools import lru_cache
from io import FileIO
from pathlib import Path

import numpy as np
import numpy.typing as npt

from flukeprint.data.cache_entries import STAMP_BYTES, Entry, cannot_write
from flukeprint.data.decoding import Pixels
from flukeprint.errors import FlukeprintError

WAYS = 8
HEADER = 64
_PAGE = 4096
_TAG = 2 * STAMP_BYTES  # key and stamp
_CHECK = slice(_TAG, _TAG + 8)
_HOUR = slice(_TAG + 8, _TAG + 16)

# A store that was not used for this many hours is deleted when another needs its space.
IDLE_HOURS = 2


class PhotoStore:
    """Caches photographs of one size, (h, w, 3) uint8, in `folder`; survives `kill -9`.

    All stores below `folder.parent` together take at most `max_bytes`.  When they are full, a new
    photograph replaces the one of its eight that was used least recently, to the hour.  When all
    eight were used within this hour, only one new photograph in eight is kept: if the newest always
    were, reading a catalogue larger than the store in turn would hardly ever hit.

    It may be pickled and forked; each process opens the file when it first needs it.

    Raises:
        FlukeprintError: `max_bytes` is too small for eight photographs.
    """

    def __init__(self, folder: Path, shape: tuple[int, int, int], max_bytes: int) -> None:
        self._shape = shape
        self._bytes = shape[0] * shape[1] * shape[2]
        self._padded = -(-self._bytes // 8) * 8
        self._slot = -(-self._bytes // _PAGE) * _PAGE
        self._sets = (max_bytes - _PAGE) // (self._slot + HEADER) // WAYS
        if self._sets < 1:
            raise FlukeprintError(
                f"image.cache_gb: {max_bytes / 1e9:g} GB hold no {WAYS} photographs of "
                f"{shape[0]} x {shape[1]}; raise it or set image.cache=null"
            )
        self._max_bytes = max_bytes
        self.slots = self._sets * WAYS
        self.path = folder / f"photos-{self.slots}.bin"
        self._begin = -(-self.slots * HEADER // _PAGE) * _PAGE  # where the pixels begin
        self._size = self._begin + self.slots * self._slot
        self._random = random.Random()  # not the generator that a seed governs
        self._opened: _Opened | None = None
        self._has_made = False

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_opened": None}

    def get(self, entry: Entry) -> Pixels | None:
        """A copy of the photograph, (h, w, 3) uint8; None where it is not cached or is damaged."""
        try:
            opened = self._open()
            first, table = self._headers(entry, opened)
        except OSError:
            return None  # `put` raises the error
        tag = _key(entry) + entry.stamp
        for way in range(WAYS):
            header = table[way * HEADER : (way + 1) * HEADER]
            if header[:_TAG] != tag:
                continue
            slot = first + way
            # Copied before it is checked, so that nobody can change it after the check.
            pixels = np.frombuffer(opened.map, np.uint8, self._padded, self._place(slot)).copy()
            if _check(pixels, entry.stamp) == header[_CHECK]:
                if header[_HOUR] != _hour():
                    self._used_now(slot)
                return pixels[: self._bytes].reshape(self._shape)
        return None

    def put(self, entry: Entry, pixels: Pixels) -> None:
        """Cache a photograph (h, w, 3), in place of an older version of it or of another one.

        Raises:
            FlukeprintError: the disk is full or the folder cannot be written.
        """
        if pixels.shape != self._shape or pixels.dtype != np.uint8:
            raise ValueError(f"{pixels.dtype} {pixels.shape} in a store of {self._shape}")
        padded = np.zeros(self._padded, np.uint8)
        padded[: self._bytes] = pixels.reshape(-1)
        hour = _hour()
        header = _key(entry) + entry.stamp + _check(padded, entry.stamp) + hour
        try:
            opened = self._open(make=True)
            first, table = self._headers(entry, opened)
            way = self._way(_key(entry), table, hour)
            if way is None:
                return
            # Not through the memory map, where a full disk kills the process.
            with self.path.open("r+b", buffering=0) as file:
                _write_at(file, self._place(first + way), padded.data)
                _write_at(file, (first + way) * HEADER, header)
        except (FileNotFoundError, _OtherLength):
            return  # the file is being removed or made by another process: do without
        except OSError as error:
            raise cannot_write(self.path.parent, error) from error

    def _place(self, slot: int) -> int:
        return self._begin + slot * self._slot

    def _headers(self, entry: Entry, opened: "_Opened") -> tuple[int, bytes]:
        """(number of the first of a photograph's eight slots, headers of all eight)."""
        first = int.from_bytes(_key(entry)[:8], "little") % self._sets * WAYS
        return first, opened.read(first * HEADER, WAYS * HEADER)

    def _way(self, key: bytes, table: bytes, hour: bytes) -> int | None:
        """Choose which of the eight slots to write; None where the photograph is not to be kept."""
        headers = [table[at : at + HEADER] for at in range(0, len(table), HEADER)]
        own = [way for way, header in enumerate(headers) if header[:STAMP_BYTES] == key]
        if own:
            return own[0]
        free = [way for way, header in enumerate(headers) if not any(header)]
        if free and self._may_grow():
            return free[0]
        taken = [way for way in range(WAYS) if way not in free]
        if not taken:
            return None
        hours = {way: int.from_bytes(headers[way][_HOUR], "little") for way in taken}
        oldest = min(hours.values())
        if oldest >= int.from_bytes(hour, "little") and self._random.random() >= 1 / WAYS:
            return None
        return self._random.choice([way for way in taken if hours[way] == oldest])

    def _may_grow(self) -> bool:
        """Whether there is space for one more photograph; idle stores are deleted to make some."""
        stores = dict(_stores(self.path.parent.parent))
        own = _on_disk(stores.pop(self.path)) if self.path in stores else 0
        # Not every file system has sparse files, but the whole file is within the bound anyway.
        need = min(own + self._slot + _PAGE, self._size)
        used = sum(map(_on_disk, stores.values()))
        idle = time.time() - IDLE_HOURS * 3600
        for changed, path in sorted((status.st_mtime, path) for path, status in stores.items()):
            if used + need <= self._max_bytes or changed > idle:
                break
            with contextlib.suppress(
                OSError
            ):  # another process was faster, or it is open on Windows
                path.unlink()
                used -= _on_disk(stores[path])
        return used + need <= self._max_bytes

    def _used_now(self, slot: int) -> None:
        # It only guides replacement, so a folder that cannot be written can still be read.
        with contextlib.suppress(OSError), self.path.open("r+b", buffering=0) as file:
            _write_at(file, slot * HEADER + _HOUR.start, _hour())

    def _open(self, *, make: bool = False) -> "_Opened":
        """The open file; opened again where it was removed or has another length."""
        opened = self._opened  # two threads may open it at once: one of the two is dropped
        if opened is not None and opened.whole(self._size):
            return opened
        if make:
            self._make()
        self._opened = opened = _Opened(self.path, self._size)
        return opened

    def _make(self) -> None:
        """Make a file of the right length out of whatever is there: any bytes are a valid store."""
        folder = self.path.parent
        folder.mkdir(parents=True, exist_ok=True)
        if not self._has_made and not self.path.exists():
            # Stores of another image.cache_gb.  Only once, or two runs would delete by turns.
            for path, _ in _stores(folder.parent):
                if (
                    path.parent == folder and path != self.path
                ):  # another process may just have made it
                    with contextlib.suppress(OSError):
                        path.unlink()
        self._has_made = True
        with self.path.open("ab") as file:
            if os.fstat(file.fileno()).st_size != self._size:
                file.truncate(self._size)


class _OtherLength(OSError):
    """Raised for a file that is damaged, or that another process has created but not yet sized."""


class _Opened:
    """A store's file, open for reading."""

    def __init__(self, path: Path, size: int) -> None:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
        weakref.finalize(self, os.close, descriptor).atexit = False  # a thread may still read
        self._descriptor = descriptor
        if not self.whole(size):
            raise _OtherLength(f"{path} is of another length")
        self.map = mmap.mmap(descriptor, 0, access=mmap.ACCESS_READ)

    def whole(self, size: int) -> bool:
        # Reading the map beyond the end of a truncated file kills the process.
        status = os.fstat(self._descriptor)
        return status.st_size == size and status.st_nlink > 0

    def read(self, place: int, count: int) -> bytes:
        # On tmpfs reading holes through a map allocates pages, and kills when memory is full.
        if hasattr(os, "pread"):
            return os.pread(self._descriptor, count, place)
        return self.map[place : place + count]


def _stores(cache: Path) -> list[tuple[Path, os.stat_result]]:
    """All stores of a cache."""
    found = []
    for path in cache.glob("*/photos-*.bin"):
        with contextlib.suppress(OSError):  # removed meanwhile
            found.append((path, path.stat()))
    return found


def _on_disk(status: os.stat_result) -> int:
    blocks = getattr(status, "st_blocks", None)  # of 512 bytes; not known on Windows
    return status.st_size if blocks is None else int(blocks) * 512


def _write_at(file: FileIO, place: int, data: bytes | memoryview) -> None:
    file.seek(place)
    left = memoryview(data)
    while left:
        left = left[file.write(left) :]


def _key(entry: Entry) -> bytes:
    return bytes.fromhex(entry.path.name)


def _hour() -> bytes:
    return int(time.time() // 3600).to_bytes(8, "little")


@lru_cache(maxsize=8)
def _weights(words: int) -> npt.NDArray[np.uint64]:
    return np.random.PCG64(20).random_raw(words).astype("<u8") | np.uint64(1)


def _check(padded: Pixels, stamp: bytes) -> bytes:
    """8 bytes that change with any word of the pixels, or with the stamp.

    Multilinear hashing modulo 2^64 with odd random weights: other pixels pass by chance in one
    of 2^64 cases, or one of 2^32 where they differ in the highest bits alone, hence the shift.  It
    is several times faster than a CRC on many machines.
    """
    words = padded.view("<u8")
    total = int((words ^ (words >> np.uint64(32))).dot(_weights(len(words))))
    return ((total + int.from_bytes(stamp[:8], "little")) % (1 << 64)).to_bytes(8, "little")
