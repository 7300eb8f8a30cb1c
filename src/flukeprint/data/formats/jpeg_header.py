"""Reads the segments of a JPEG before its pixels, as `jpeg_kernels.py` needs them (ITU-T T.81, B).

Only what cameras write is taken: 8 bits, sequential, Y, Cb and Cr in one scan.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

WIDE = 13  # bits that are looked up at once
TABLES = 8  # Huffman tables: four of DC, then four of AC
NO_PIXEL = -1

Ints = npt.NDArray[np.int64]

_ZIGZAG = np.array(
    [
        0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11, 4, 5, 12, 19, 26, 33, 40, 48, 41, 34, 27,
        20, 13, 6, 7, 14, 21, 28, 35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51,
        58, 59, 52, 45, 38, 31, 39, 46, 53, 60, 61, 54, 47, 55, 62, 63,
    ]
)  # fmt: skip
# Two pixels need these rows and columns of a block's coefficients.
_USED = (0, 1, 3, 5, 7)
PLACES = np.where(np.isin(_ZIGZAG % 8, _USED) & np.isin(_ZIGZAG // 8, _USED), _ZIGZAG, NO_PIXEL)

_DHT, _SOI, _SOS, _DQT, _DRI, _ADOBE = 0xC4, 0xD8, 0xDA, 0xDB, 0xDD, 0xEE
_SEQUENTIAL = (0xC0, 0xC1)
_PASSED_OVER = (*range(0xE0, 0xF0), 0xFE)  # of applications, and comments
# Of Y, as (across, down) in a unit, where Cb and Cr have one block each.
_SAMPLINGS = ((1, 1), (2, 1), (1, 2), (2, 2))


@dataclass(frozen=True)
class Header:
    """What stands before the pixels.

    width, height: in pixels.  start: of the entropy-coded bytes.
    interval: of restarts, in units of blocks; 0: none.
    across, down: blocks of Y in a unit.
    tables: (3, 2), which Huffman tables each component uses, as rows of `huffman`.
    quantisation: (3, 64), in zigzag order.
    huffman: by row, the numbers of codes of 1..16 bits (16,) and the symbols.
    """

    width: int
    height: int
    start: int
    interval: int
    across: int
    down: int
    tables: Ints
    quantisation: Ints
    huffman: dict[int, tuple[bytes, bytes]]


def read_header(data: bytes) -> Header | None:
    """Read the segments up to the scan; None for what is not taken, or not in order."""
    try:
        return _read(data)
    except (IndexError, KeyError, ValueError):
        return None


def _read(data: bytes) -> Header | None:
    quantisation: dict[int, Ints] = {}
    huffman: dict[int, tuple[bytes, bytes]] = {}
    frame, interval, at = b"", 0, 2
    if data[:2] != bytes((0xFF, _SOI)):
        return None
    while True:
        if data[at] != 0xFF:
            return None
        marker, length = data[at + 1], int.from_bytes(data[at + 2 : at + 4])
        part = data[at + 4 : at + 2 + length]
        at += 2 + length
        if len(part) != length - 2:
            return None
        if marker == _DQT:
            quantisation.update(_quantisation(part))
        elif marker == _DHT:
            huffman.update(_huffman(part))
        elif marker in _SEQUENTIAL:
            if frame:
                return None
            frame = part
        elif marker == _DRI and length == 4:
            interval = int.from_bytes(part)
        elif marker == _ADOBE and part.startswith(b"Adobe") and part[11] != 1:
            return None  # other colours than Y, Cb, Cr
        elif marker == _SOS:
            break
        elif marker not in _PASSED_OVER:
            return None
    # 8 bits, three components called 1, 2, 3, by which libjpeg knows Y, Cb and Cr.
    if len(frame) != 15 or frame[0] != 8 or frame[5] != 3 or frame[6::3] != b"\x01\x02\x03":
        return None
    if part[0] != 3 or part[1:7:2] != b"\x01\x02\x03" or part[7:] != b"\x00\x3f\x00":
        return None
    across, down = frame[7] >> 4, frame[7] & 15
    if (across, down) not in _SAMPLINGS or frame[10] != 0x11 or frame[13] != 0x11:
        return None
    tables = np.array([(part[2 * i + 2] >> 4, 4 + (part[2 * i + 2] & 15)) for i in range(3)])
    if any(row not in huffman for row in tables.ravel().tolist()):
        return None
    return Header(
        width=int.from_bytes(frame[3:5]),
        height=int.from_bytes(frame[1:3]),
        start=at,
        interval=interval,
        across=across,
        down=down,
        tables=tables,
        quantisation=np.stack([quantisation[frame[8 + 3 * i]] for i in range(3)]),
        huffman=huffman,
    )


def _quantisation(part: bytes) -> dict[int, Ints]:
    found = {}
    while part:
        number, size = part[0] & 15, 128 if part[0] >> 4 else 64
        values = np.frombuffer(part[1 : 1 + size], ">u2" if size == 128 else np.uint8)
        if len(values) != 64 or number > 3:
            raise ValueError(len(values))
        found[number], part = values.astype(np.int64), part[1 + size :]
    return found


def _huffman(part: bytes) -> dict[int, tuple[bytes, bytes]]:
    found = {}
    while part:
        lengths, count = part[1:17], sum(part[1:17])
        symbols = part[17 : 17 + count]
        if len(lengths) != 16 or len(symbols) != count or count > 256 or part[0] & 0xEC:
            raise ValueError(part[0])
        if part[0] < 0x10 and any(symbol > 11 for symbol in symbols):  # bits of a DC difference
            raise ValueError(symbols)
        found[4 * (part[0] >> 4) + (part[0] & 15)] = (lengths, symbols)
        part = part[17 + count :]
    return found
