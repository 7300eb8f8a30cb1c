"""Resized photographs that all threads and processes share.  uint8 (h, w, 3) enters and leaves.

One sparse file of slots for each size, `photos-<slots>.bin`; only slots in use take disk:

    table    slots x 64 bytes: key 16, stamp 16, check 8, hour 8 (little-endian), 16 unused
    pixels   slots x (h * w * 3 bytes, rounded up to whole pages)

A photograph belongs into one of eight neighbouring slots, which its key tells.  Nobody locks and
nobody waits.  A slot is written pixels first and counts only as long as its check is that of its
stamp and its pixels; so a writer that was killed, or two at once, leave a slot that is made anew.
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

# A store that nobody has used for so long, in hours, gives way to one that needs its room.
IDLE_HOURS = 2


class PhotoStore:
    """At most `max_bytes` of photographs (h, w, 3) uint8 in `folder`; survives `kill -9`.

    The bound holds for all stores below `folder.parent` together.  Where there is no room, a
    photograph takes the slot of another that was not used for the most hours; where all eight
    were used in this hour, one in eight does: were the newest always kept, a catalogue larger
    than the store would find next to nothing in it.

    It may be pickled and forked; each process opens the file when it first needs it.

    Raises:
        FlukeprintError: `max_bytes` holds no eight photographs.
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
        self._begin = -(-self.slots * HEADER // _PAGE) * _PAGE  # of the pixels
        self._size = self._begin + self.slots * self._slot
        self._random = random.Random()  # not the one that a seed governs
        self._opened: _Opened | None = None
        self._has_made = False

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_opened": None}

    def get(self, entry: Entry) -> Pixels | None:
        """(h, w, 3) uint8, the caller's own; None where it is not kept or its slot is damaged."""
        try:
            opened = self._open()
            first, table = self._headers(entry, opened)
        except OSError:
            return None  # `put` says what is wrong
        tag = _key(entry) + entry.stamp
        for way in range(WAYS):
            header = table[way * HEADER : (way + 1) * HEADER]
            if header[:_TAG] != tag:
                continue
            slot = first + way
            # First copied, then checked: what the check has seen cannot change any more.
            pixels = np.frombuffer(opened.map, np.uint8, self._padded, self._place(slot)).copy()
            if _check(pixels, entry.stamp) == header[_CHECK]:
                if header[_HOUR] != _hour():
                    self._used_now(slot)
                return pixels[: self._bytes].reshape(self._shape)
        return None

    def put(self, entry: Entry, pixels: Pixels) -> None:
        """Keep a photograph (h, w, 3), which replaces an older state of it, or another one.

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
            # Not through the map, in which a full disk kills the process.
            with self.path.open("r+b", buffering=0) as file:
                _write_at(file, self._place(first + way), padded.data)
                _write_at(file, (first + way) * HEADER, header)
        except (FileNotFoundError, _OtherLength):
            return  # removed meanwhile, and perhaps being made by another; the next one is kept
        except OSError as error:
            raise cannot_write(self.path.parent, error) from error

    def _place(self, slot: int) -> int:
        return self._begin + slot * self._slot

    def _headers(self, entry: Entry, opened: "_Opened") -> tuple[int, bytes]:
        """(first of the eight slots of a photograph, their headers)."""
        first = int.from_bytes(_key(entry)[:8], "little") % self._sets * WAYS
        return first, opened.read(first * HEADER, WAYS * HEADER)

    def _way(self, key: bytes, table: bytes, hour: bytes) -> int | None:
        """Which of the eight slots to write; None: the photograph is not to be kept."""
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
        """Whether there is room for one more; stores that lie idle are removed for it."""
        stores = dict(_stores(self.path.parent.parent))
        own = _on_disk(stores.pop(self.path)) if self.path in stores else 0
        # Not every file system has sparse files; the whole file keeps the bound anyway.
        need = min(own + self._slot + _PAGE, self._size)
        used = sum(map(_on_disk, stores.values()))
        idle = time.time() - IDLE_HOURS * 3600
        for changed, path in sorted((status.st_mtime, path) for path, status in stores.items()):
            if used + need <= self._max_bytes or changed > idle:
                break
            with contextlib.suppress(OSError):  # another was faster, or Windows has it open
                path.unlink()
                used -= _on_disk(stores[path])
        return used + need <= self._max_bytes

    def _used_now(self, slot: int) -> None:
        # Only advice to those who need room: a folder that cannot be written is read as well.
        with contextlib.suppress(OSError), self.path.open("r+b", buffering=0) as file:
            _write_at(file, slot * HEADER + _HOUR.start, _hour())

    def _open(self, *, make: bool = False) -> "_Opened":
        """The file, which is opened again where it was removed or is of another length."""
        opened = self._opened  # two threads may open it at once: one of them is let go
        if opened is not None and opened.whole(self._size):
            return opened
        if make:
            self._make()
        self._opened = opened = _Opened(self.path, self._size)
        return opened

    def _make(self) -> None:
        """A file of the right length, whatever there was; any bytes are a valid store."""
        folder = self.path.parent
        folder.mkdir(parents=True, exist_ok=True)
        if not self._has_made and not self.path.exists():
            # Of another image.cache_gb.  Only once: two runs at a time would do it in turns.
            for path, _ in _stores(folder.parent):
                if path.parent == folder and path != self.path:  # another may just have made it
                    with contextlib.suppress(OSError):
                        path.unlink()
        self._has_made = True
        with self.path.open("ab") as file:
            if os.fstat(file.fileno()).st_size != self._size:
                file.truncate(self._size)


class _OtherLength(OSError):
    """A file that is damaged, or that another process has created and not yet sized."""


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
        # Beyond the end of a file that was cut, its map kills the process.
        status = os.fstat(self._descriptor)
        return status.st_size == size and status.st_nlink > 0

    def read(self, place: int, count: int) -> bytes:
        # In a file system in memory, a map makes pages of holes, and kills where there is no room.
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
    blocks = getattr(status, "st_blocks", None)  # of 512 bytes; Windows does not tell
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
    of 2^64 cases, of 2^32 where they differ in the highest bits alone, hence the shift.  On many
    machines several times faster than a CRC.
    """
    words = padded.view("<u8")
    total = int((words ^ (words >> np.uint64(32))).dot(_weights(len(words))))
    return ((total + int.from_bytes(stamp[:8], "little")) % (1 << 64)).to_bytes(8, "little")
