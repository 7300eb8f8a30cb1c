"""Turns boxes of COCO, in pixels of a photograph, into shares of the upright one.

Programs that draw boxes disagree about photographs that EXIF turns: some write the size and the
boxes of the upright picture, some those of the stored one, some the stored size with upright boxes.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from flukeprint.data.catalog import Box
from flukeprint.data.decoding import JUDGED, look, read_photo
from flukeprint.data.exchange.json_files import numbers
from flukeprint.data.formats.photo_formats import UnusableError, formats
from flukeprint.data.formats.tiff import is_tiff
from flukeprint.storage import is_local

# Pixels are written with so many decimals, shares are read with so many: then a box that was read
# from pixels is the same after any number of times out and in.
PIXEL_DECIMALS = 9
SHARE_DECIMALS = 14

_ORIENTATION = 0x0112  # EXIF 2.32, 4.6.4
_ALIKE = 0.02  # relative difference of two shapes of one photograph, which may have been scaled
_EDGE = 1.0  # pixels by which a box may leave its photograph through rounding


class Rectangle(NamedTuple):
    """A box as COCO has it, in pixels: its left upper corner and its size."""

    x: float
    y: float
    width: float
    height: float

    def turned(self, theta: float) -> "Rectangle":
        """The rectangle around this one turned about its centre by an angle in radians."""
        cos, sin = abs(math.cos(theta)), abs(math.sin(theta))
        width = self.width * cos + self.height * sin
        height = self.width * sin + self.height * cos
        x = self.x + (self.width - width) / 2
        y = self.y + (self.height - height) / 2
        return Rectangle(x, y, width, height)

    def leaves(self, width: float, height: float) -> bool:
        """Whether it reaches out of a photograph of that size by more than rounding does."""
        return self.x + self.width > width + _EDGE or self.y + self.height > height + _EDGE


@dataclass(frozen=True)
class FileSize:
    """Width and height of the upright photograph in a file, and its EXIF orientation, 1 to 8."""

    width: float
    height: float
    turn: int

    @property
    def lies(self) -> bool:
        """Whether the stored picture lies on its side."""
        return self.turn >= 5

    def is_stored(self, width: float, height: float) -> bool:
        """Whether a size is that of the stored picture and not that of the upright one."""
        upright = self._differs(width / height)
        return self.lies and upright > _ALIKE and self._differs(height / width) < upright

    def is_of_another(self, width: float, height: float) -> bool:
        """Whether a size has the shape of neither the upright picture nor the stored one."""
        shapes = (width / height, height / width) if self.lies else (width / height,)
        # A side of few pixels is rounded more.
        return min(map(self._differs, shapes)) > _ALIKE + 1 / min(width, height)

    def _differs(self, shape: float) -> float:
        return abs(math.log(shape * self.height / self.width))


def file_size(path: Path) -> FileSize | None:
    """The size of a photograph that is there, read from the start of its file; else None."""
    try:
        with path.open("rb") as file:
            if is_tiff(start := file.read(16)):  # its full picture may not be the first
                width, height = look(read_photo(path), min_size=JUDGED).size
            elif not start:
                return None
            file.seek(0)
            with Image.open(file, formats=formats()) as image:
                turn = image.getexif().get(_ORIENTATION, 1)
                if not is_tiff(start):
                    width, height = image.size
    except (UnusableError, OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None
    turn = turn if isinstance(turn, int) and 1 <= turn <= 8 else 1
    if turn >= 5 and not is_tiff(start):
        width, height = height, width
    return FileSize(width, height, turn)


def is_there(path: Path) -> bool:
    """Whether a photograph's file is on a disk of this machine."""
    try:
        return is_local(path) and path.is_file()
    except (OSError, ValueError):
        return False


def upright_by_boxes(stored: Iterable[tuple[Rectangle, float, float]]) -> bool:
    """Whether boxes of photographs on their side are upright, though their sizes are as stored.

    stored: boxes with their photographs' sizes.  They are where more of them fit the upright
    photographs than the stored ones; as their sizes say where that does not tell.
    """
    stored = list(stored)
    out_of_stored = sum(box.leaves(width, height) for box, width, height in stored)
    out_of_upright = sum(box.leaves(height, width) for box, width, height in stored)
    return out_of_upright < out_of_stored


def shares_of(
    box: Rectangle, width: float, height: float, decimals: int = PIXEL_DECIMALS
) -> Box | None:
    """A box as shares of its photograph, cut to it; None if nothing is left.

    decimals: that the box has.
    """
    sides = []
    for start, length, whole in ((box.x, box.width, width), (box.y, box.height, height)):
        first, last = start, round(start + length, decimals)
        first, last = min(max(first, 0.0), whole), min(max(last, 0.0), whole)
        sides.append((round(first / whole, SHARE_DECIMALS), round(last / whole, SHARE_DECIMALS)))
    (x0, x1), (y0, y1) = sides
    return (x0, y0, x1, y1) if x0 < x1 and y0 < y1 else None


def pixels_of(box: Box, width: float, height: float) -> Rectangle:
    """A box of shares in pixels; it keeps the least width there is where it has less."""
    least = 10.0**-PIXEL_DECIMALS
    sides = []
    for start, end, whole in ((box[0], box[2], width), (box[1], box[3], height)):
        first = min(round(start * whole, PIXEL_DECIMALS), round(whole - least, PIXEL_DECIMALS))
        last = round(end * whole, PIXEL_DECIMALS)
        sides.append((first, max(round(last - first, PIXEL_DECIMALS), least)))
    (x, across), (y, down) = sides
    return Rectangle(x, y, across, down)


def uprighted(box: Box, turn: int) -> Box:
    """A box of shares of the stored picture, in shares of the picture that EXIF makes upright."""
    x0, y0, x1, y1 = box
    if turn in (5, 6, 7, 8):
        x0, y0, x1, y1 = y0, x0, y1, x1
    if turn in (2, 3, 6, 7):
        x0, x1 = round(1 - x1, SHARE_DECIMALS), round(1 - x0, SHARE_DECIMALS)
    if turn in (3, 4, 7, 8):
        y0, y1 = round(1 - y1, SHARE_DECIMALS), round(1 - y0, SHARE_DECIMALS)
    return x0, y0, x1, y1


def rectangle_around(segmentation: object) -> Rectangle | None:
    """The rectangle around polygons; None where there are none, such as for a mask."""
    if not isinstance(segmentation, list) or not segmentation:
        return None
    points: list[float] = []
    for polygon in segmentation:
        if not isinstance(polygon, list) or len(polygon) % 2:
            return None
        corners = numbers(polygon, len(polygon))
        if corners is None:
            return None
        points += corners
    if len(points) < 6:
        return None
    xs, ys = points[::2], points[1::2]
    return Rectangle(min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys))
