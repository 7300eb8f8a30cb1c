"""Finds the full picture of a TIFF, and reads the pixels that Pillow reads wrongly or not at all.

Source: TIFF Revision 6.0 (Adobe, 1992); BigTIFF; Supplement 1 of Adobe PageMaker 6.0 (SubIFDs).
"""

import itertools
import math
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

_HEADERS = {b"II*\0": ("<", False), b"MM\0*": (">", False),
            b"II+\0": ("<", True), b"MM\0+": (">", True)}  # fmt: skip
# struct's letter for each type of whole numbers; IFD (13) and IFD8 (18) are offsets.
_LETTERS = {1: "B", 3: "H", 4: "I", 6: "b", 8: "h", 9: "i", 13: "I", 16: "Q", 17: "q", 18: "Q"}
# Cameras write some dozens; hostile bytes could cost minutes.
_MOST_PAGES, _MOST_ENTRIES = 1000, 500

_SUBFILE, _OLD_SUBFILE, _WIDTH, _LENGTH, _BITS, _COMPRESSION, _PHOTOMETRIC = (
    254, 255, 256, 257, 258, 259, 262,
)  # fmt: skip
_FILL_ORDER, _STRIPS, _ORIENTATION, _SAMPLES, _ROWS, _PLANES = 266, 273, 274, 277, 278, 284
_SUB_PAGES, _SAMPLE_FORMAT = 330, 339
WHITE_IS_ZERO, BLACK_IS_ZERO, RGB = 0, 1, 2


def is_tiff(data: bytes) -> bool:
    """Whether encoded bytes begin like a TIFF or a BigTIFF."""
    return data[:4] in _HEADERS


@dataclass(frozen=True)
class Page:
    """One picture of a TIFF: where its directory lies in `data`, and the tags in it.

    entries: tag -> (struct's letter, count, offset of the values); whole numbers alone.
    """

    data: bytes
    offset: int
    entries: dict[int, tuple[str, int, int]]
    following: int

    def values(self, tag: int, default: tuple[int, ...] = ()) -> tuple[int, ...]:
        """The values of a tag, or `default` where the page lacks it."""
        if tag not in self.entries:
            return default
        letter, count, offset = self.entries[tag]
        return struct.unpack_from(f"{self.order}{count}{letter}", self.data, offset)

    def value(self, tag: int, default: int) -> int:
        """The first value of a tag, or `default`."""
        return (self.values(tag) or (default,))[0]

    @cached_property
    def order(self) -> str:
        return _HEADERS[self.data[:4]][0]

    @property
    def size(self) -> tuple[int, int]:
        """Width, height as stored."""
        return self.value(_WIDTH, 0), self.value(_LENGTH, 0)

    @property
    def bits(self) -> int:
        """Bits of a sample."""
        return self.value(_BITS, 1)

    @property
    def photometric(self) -> int:
        return self.value(_PHOTOMETRIC, WHITE_IS_ZERO)

    @property
    def turn(self) -> int:
        """Orientation 1..8."""
        value = self.value(_ORIENTATION, 1)
        return value if 1 <= value <= 8 else 1

    @property
    def reduced(self) -> bool:
        """Whether it says that it is a small copy, or a mask, of another picture."""
        return bool(self.value(_SUBFILE, 0) & 5) or self.value(_OLD_SUBFILE, 0) == 2

    @property
    def kind(self) -> str:
        """What a refusal says of its pixels."""
        return ("big-endian BigTIFF, " if self.data.startswith(b"MM\0+") else "") + (
            f"{self.bits} bits a sample, {self.value(_SAMPLES, 1)} samples a pixel, sample format "
            f"{self.value(_SAMPLE_FORMAT, 1)}, photometric {self.photometric}, compression "
            f"{self.value(_COMPRESSION, 1)}"
        )

    @property
    def white_big_endian(self) -> bool:
        """Whether it is 16-bit WhiteIsZero, the highest byte first."""
        return self.photometric == WHITE_IS_ZERO and self.bits == 16 and self.order == ">"

    @property
    def signed(self) -> bool:
        """Whether its samples are signed and of 8 or 16 bits; of 32 bits the values tell."""
        return self.value(_SAMPLE_FORMAT, 1) == 2 and self.bits <= 16

    @property
    def loose(self) -> bool:
        """Whether Pillow misreads it: planes of more than 8 bits, one after the other, raw."""
        separate = self.value(_PLANES, 1) == 2 and self.value(_SAMPLES, 1) > 1
        return separate and self.bits > 8 and self.value(_COMPRESSION, 1) == 1

    @property
    def unpackable(self) -> bool:
        """Whether `unpacked` reads it: raw strips of 9 to 16 bits, grey or RGB, unsigned."""
        samples = self.value(_SAMPLES, 1)
        return (
            self.value(_COMPRESSION, 1) == 1
            and _STRIPS in self.entries
            and self.value(_FILL_ORDER, 1) == 1
            and set(self.values(_SAMPLE_FORMAT, (1,))) == {1}
            and len(set(self.values(_BITS, (1,)))) == 1
            and 9 <= self.bits <= 16
            and samples == (3 if self.photometric == RGB else 1)
            and self.photometric in (WHITE_IS_ZERO, BLACK_IS_ZERO, RGB)
        )

    def unpacked(self) -> npt.NDArray[np.uint16]:
        """The samples of an `unpackable` page: (h, w) grey or (h, w, 3) RGB, uint16 below 2^bits.

        Samples are packed without a gap, the highest bit first, and each row begins with a byte
        (TIFF 6.0, FillOrder); samples of 16 bits are in the order of the file's bytes.

        Raises ValueError where strips are missing or too short.
        """
        width, height = self.size
        samples = self.value(_SAMPLES, 1)
        planes = samples if self.value(_PLANES, 1) == 2 else 1
        columns = width * samples // planes
        row_bytes = math.ceil(columns * self.bits / 8)
        rows = min(self.value(_ROWS, height), height)
        offsets = self.values(_STRIPS)
        per_plane = math.ceil(height / rows)
        if len(offsets) != per_plane * planes:
            raise ValueError(f"{len(offsets)} strips, not {per_plane * planes}")
        parts = []
        for number, offset in enumerate(offsets):
            here = min(rows, height - number % per_plane * rows)
            strip = np.frombuffer(self.data, np.uint8, count=-1, offset=offset)
            if len(strip) < here * row_bytes:
                raise ValueError("image file is truncated")
            parts.append(self._samples(strip[: here * row_bytes].reshape(here, row_bytes), columns))
        pixels = np.concatenate(parts)
        if samples == 1:
            return pixels
        if planes == 1:
            return pixels.reshape(height, width, samples)
        return np.moveaxis(pixels.reshape(planes, height, width), 0, 2)

    def _samples(self, rows: npt.NDArray[np.uint8], columns: int) -> npt.NDArray[np.uint16]:
        if self.bits == 16:
            return rows.view(f"{self.order}u2").astype(np.uint16)
        found = np.zeros((len(rows), columns), np.uint16)
        for row, stored in zip(found, rows, strict=True):  # one by one: bits take much memory
            bits = np.unpackbits(stored)[: columns * self.bits].reshape(columns, self.bits)
            row[:] = bits @ (1 << np.arange(self.bits - 1, -1, -1, dtype=np.uint16))
        return found


@dataclass(frozen=True)
class Tiff:
    """A TIFF as Pillow has to be given it.

    data: the bytes, in which the full picture comes first.
    page: its directory.
    turn: orientation 1..8 that Pillow does not know of, as only the thumbnail states it.
    behind_thumbnail: whether the file's first picture is another one.
    """

    data: bytes
    page: Page
    turn: int
    behind_thumbnail: bool


def full_picture(data: bytes) -> Tiff:
    """Find the full picture of a TIFF, which cameras and editors may put behind a thumbnail.

    It is the first page or, of its sub-pages that do not call themselves reduced, one that is
    larger.  Where the first page calls itself reduced and has none, it is the first later page
    that is not; where all are reduced, the first.

    Raises struct.error, ValueError or KeyError for damage.
    """
    seen: set[int] = set()
    pages = _chain(data, _first_offset(data), seen)
    first = next(pages, None)
    if first is None:
        raise ValueError("no picture in it")
    chosen = first
    for page in itertools.chain((first,), pages):
        whole = [one for one in (page, *_sub_pages(page, seen)) if not one.reduced]
        if whole:
            chosen = max(whole, key=lambda one: math.prod(one.size))
            break
    turn = first.turn if chosen is not first and _ORIENTATION not in chosen.entries else 1
    moved = data
    if chosen is not first:
        order, big = _HEADERS[data[:4]]
        head = struct.pack(f"{order}Q" if big else f"{order}I", chosen.offset)
        at = 8 if big else 4
        moved = data[:at] + head + data[at + len(head) :]
    if chosen.white_big_endian and _PHOTOMETRIC in chosen.entries:
        # Pillow lacks this kind.  As BlackIsZero it is read, to be inverted like the others.
        letter, _, at = chosen.entries[_PHOTOMETRIC]
        one = struct.pack(f">{letter}", BLACK_IS_ZERO)
        moved = moved[:at] + one + moved[at + len(one) :]
    return Tiff(moved, chosen, turn, chosen is not first)


def _first_offset(data: bytes) -> int:
    order, big = _HEADERS[data[:4]]
    offset: int = struct.unpack_from(f"{order}Q" if big else f"{order}I", data, 8 if big else 4)[0]
    return offset


def _sub_pages(page: Page, seen: set[int]) -> Iterator[Page]:
    for offset in page.values(_SUB_PAGES):
        yield from itertools.islice(_chain(page.data, offset, seen), 1)


def _chain(data: bytes, offset: int, seen: set[int]) -> Iterator[Page]:
    """The pages from `offset` on that are not in `seen`, in which they are put."""
    while offset and offset not in seen:
        if len(seen) >= _MOST_PAGES:
            raise ValueError(f"more than {_MOST_PAGES} pages behind a thumbnail")
        seen.add(offset)
        page = _page(data, offset)
        yield page
        offset = page.following


def _page(data: bytes, offset: int) -> Page:
    order, big = _HEADERS[data[:4]]
    number, at = (
        (struct.unpack_from(f"{order}Q", data, offset)[0], offset + 8)
        if big
        else (struct.unpack_from(f"{order}H", data, offset)[0], offset + 2)
    )
    entry, pointer = f"{order}HHQ" if big else f"{order}HHI", f"{order}Q" if big else f"{order}I"
    inline = struct.calcsize(pointer)
    step = struct.calcsize(entry) + inline
    if number > _MOST_ENTRIES:
        raise ValueError(f"a directory of {number} entries")
    entries = {}
    for place in range(at, at + number * step, step):
        tag, kind, count = struct.unpack_from(entry, data, place)
        if kind not in _LETTERS:
            continue
        where = place + step - inline
        if count * struct.calcsize(_LETTERS[kind]) > inline:
            where = struct.unpack_from(pointer, data, where)[0]
        entries[tag] = _LETTERS[kind], count, where
    end = at + number * step
    # Some writers leave the last pointer out.
    following = struct.unpack_from(pointer, data, end)[0] if end + inline <= len(data) else 0
    return Page(data, offset, entries, following)
