"""Writes TIFFs byte by byte (TIFF 6.0), so that tests of reading do not lean on a library."""

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

_CODES = {"H": 3, "I": 4}


@dataclass
class Picture:
    """One page: its tags as numbers (tag 273 and 279, the strips, are added), and its strips."""

    tags: dict[int, int | Sequence[int]]
    strips: Sequence[bytes]
    inside: Sequence["Picture"] = field(default=())


def picture(pixels: np.ndarray, bits: int, order: str = "<", **tags: int) -> Picture:
    """A raw page of grey (h, w) or RGB (h, w, 3) samples below 2^bits, in strips of two rows.

    tags: further ones, or others, as t262=0.
    """
    height, width = pixels.shape[:2]
    samples = pixels.shape[2] if pixels.ndim == 3 else 1
    known: dict[int, int | Sequence[int]] = {
        256: width, 257: height, 258: [bits] * samples, 259: 1, 262: 2 if samples == 3 else 1,
        277: samples, 278: 2,
    }  # fmt: skip
    known |= {int(name[1:]): value for name, value in tags.items()}
    planes = [pixels] if known.get(284, 1) == 1 else [pixels[:, :, i] for i in range(samples)]
    strips = [
        b"".join(packed(row.reshape(-1), bits, order) for row in plane[top : top + 2])
        for plane in planes
        for top in range(0, height, 2)
    ]
    return Picture(known, strips)


def packed(numbers: np.ndarray, bits: int, order: str) -> bytes:
    """A row of samples, without gaps, the highest bit first; 16 and 32 bits in the byte order."""
    if bits in (8, 16, 32):
        return numbers.astype(f"{order}u{bits // 8}").tobytes()
    text = "".join(format(int(number), f"0{bits}b") for number in numbers)
    text += "0" * (-len(text) % 8)
    return bytes(int(text[i : i + 8], 2) for i in range(0, len(text), 8))


def tiff(*pages: Picture, order: str = "<", big: bool = False) -> bytes:
    """The file of these pages, with the pages inside of each."""
    size = "Q" if big else "I"
    mark = b"II" if order == "<" else b"MM"
    head = mark + struct.pack(f"{order}H", 43 if big else 42)
    head += struct.pack(f"{order}HH", 8, 0) if big else b""
    data = bytearray(head + struct.pack(f"{order}{size}", 0))
    link = len(head)  # where the offset of the next page goes
    for page in pages:
        at, link_after = _write(data, page, order, size)
        struct.pack_into(f"{order}{size}", data, link, at)
        link = link_after
    return bytes(data)


def _write(data: bytearray, page: Picture, order: str, size: str) -> tuple[int, int]:
    """(offset of the directory, offset of its pointer to the next)."""
    tags = dict(page.tags)
    offsets = []
    for strip in page.strips:
        offsets.append(len(data))
        data += strip + b"\0" * (len(strip) % 2)
    tags[273], tags[279] = offsets, [len(strip) for strip in page.strips]
    if page.inside:
        tags[330] = [_write(data, one, order, size)[0] for one in page.inside]
    inline = struct.calcsize(size)
    entries = []
    for tag, value in sorted(tags.items()):
        values = [value] if isinstance(value, int) else list(value)
        letter = "I" if tag in (273, 279, 330) else "H"
        body = struct.pack(f"{order}{len(values)}{letter}", *values)
        if len(body) > inline:
            where = len(data)
            data += body + b"\0" * (len(body) % 2)
            body = struct.pack(f"{order}{size}", where)
        entry = struct.pack(f"{order}HH{size}", tag, _CODES[letter], len(values))
        entries.append(entry + body.ljust(inline, b"\0"))
    at = len(data)
    count = "Q" if size == "Q" else "H"
    data += struct.pack(f"{order}{count}", len(entries)) + b"".join(entries)
    link = len(data)
    data += struct.pack(f"{order}{size}", 0)
    return at, link
