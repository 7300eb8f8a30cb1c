"""Decodes large JPEGs at an eighth of their size in less than half of libjpeg's time.

The pixels are those of Pillow, bit by bit; what this does not take, Pillow decodes and judges.
Loops over bits are compiled by numba (`jpeg_kernels.py`), which takes some seconds once on a
machine, and half a second and 100 MB in each process.  So it is loaded for many photographs only.
"""

import threading
from multiprocessing import parent_process
from types import ModuleType

import numpy as np
import numpy.typing as npt

from flukeprint.data.formats.jpeg_header import PLACES, TABLES, WIDE, read_header
from flukeprint.output import say

Pixels = npt.NDArray[np.uint8]

# Photographs of a catalogue from which loading pays, as each then costs a core some 12 ms less.
MANY = 50

_loading = threading.Lock()
_loaded: list[ModuleType | None] = []


def eighth(data: bytes) -> Pixels | None:
    """Decode a JPEG to RGB (ceil(height / 8), ceil(width / 8), 3); None for what is not taken.

    While one thread loads the kernels, others get None.
    """
    kernels = _kernels()
    header = read_header(data)
    if kernels is None or header is None:
        return None
    limits, offsets = np.zeros((2, TABLES, 18), np.int64)
    symbols = np.zeros((TABLES, 256), np.uint8)
    values = np.zeros((TABLES, 1 << WIDE), np.int32)
    skips = np.zeros((TABLES, 1 << WIDE), np.uint16)
    for row in np.unique(header.tables).tolist():
        lengths, known = header.huffman[row]
        symbols[row, : len(known)] = np.frombuffer(known, np.uint8)
        if not kernels.fill_tables(
            np.frombuffer(lengths, np.uint8), symbols[row], row >= TABLES // 2,
            limits[row], offsets[row], values[row], skips[row],
            np.zeros(1 << WIDE, np.int64),
        ):  # fmt: skip
            return None
    across, down = header.across, header.down
    side = 2 if (across, down) == (2, 2) else 1
    columns = -(-header.width // (8 * across))
    rows = -(-header.height // (8 * down))
    if not columns * rows:
        return None
    planes = np.empty((3, rows * down, columns * across), np.uint8)
    sampling = np.array([(across, down, 1), (1, 1, side), (1, 1, side)])
    if not kernels.decode_blocks(
        np.frombuffer(data, np.uint8), header.start, header.interval, columns, rows, sampling,
        header.tables, header.quantisation, PLACES, limits, offsets, symbols, values, skips, planes,
        np.zeros(3, np.int64), np.zeros(64, np.int64), np.zeros((2, 8), np.int64),
    ):  # fmt: skip
        return None
    pixels = np.empty((-(-header.height // 8), -(-header.width // 8), 3), np.uint8)
    fewer = (0, 0) if side == 2 else (across - 1, down - 1)
    kernels.to_rgb(planes, *fewer, pixels)
    return pixels


def _kernels() -> ModuleType | None:
    """The compiled loops; None where numba is missing, which is said, or while they are loaded."""
    if _loaded:
        return _loaded[0]
    if not _loading.acquire(blocking=False):
        return None
    try:
        if not _loaded:
            _loaded.append(_load())
    finally:
        _loading.release()
    return _loaded[0]


def _load() -> ModuleType | None:
    try:
        from flukeprint.data.formats import jpeg_kernels
    except ImportError:
        if parent_process() is None:  # and not from each worker
            say(
                "large JPEGs are decoded by Pillow, in about twice the time that numba needs; "
                "pip install 'flukeprint[fast]'"
            )
        return None
    return jpeg_kernels
