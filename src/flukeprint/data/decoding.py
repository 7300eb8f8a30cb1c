"""Decodes photographs of any kind to upright 8-bit RGB arrays (h, w, 3).

Field photographs come turned by EXIF, grey, CMYK, with a palette, 1-bit, 16-bit or with
transparency.  Large JPEGs are decoded at the least of 1/8, 1/4, 1/2 and 1 of their size that leaves
as many pixels as the caller needs.  Only the first frame of an animation is read, and of a TIFF the
full picture; colour profiles are not applied.

`look` alone decides whether a photograph can be used: training, inference and serving decode with
it, and the doctor asks it for a small picture.
"""

import errno
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError

from flukeprint.data.catalog import Box, Catalog
from flukeprint.data.formats.jpeg import eighth
from flukeprint.data.formats.photo_formats import (
    UnusableError,
    format_claimed,
    formats,
    is_heif,
    silence_libtiff,
)
from flukeprint.data.formats.pixel_kinds import check_range, check_tiff, samples_to_rgb, to_rgb
from flukeprint.data.formats.tiff import Tiff, full_picture, is_tiff
from flukeprint.errors import FlukeprintError
from flukeprint.storage import read_bytes

Pixels = npt.NDArray[np.uint8]

# Raise it when a photograph gives other pixels than before: caches made of older ones are unused.
DECODING_VERSION = 2

# As `min_size`: a photograph is decoded to its end and judged, but none of its pixels is returned.
JUDGED = (0, 0)

_ORIENTATION = 0x0112  # EXIF 2.32, 4.6.4
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


@dataclass(frozen=True)
class Look:
    """What `look` saw of a photograph.

    pixels: upright RGB (h, w, 3), perhaps at a reduced size.
    size: width, height of what its box keeps, in pixels at full size.
    """

    pixels: Pixels
    size: tuple[float, float]


def look(
    data: bytes,
    *,
    box: Box | None = None,
    min_size: tuple[int, int] | None = None,
    many: bool = False,
) -> Look:
    """Decode encoded bytes as `decode` does; what this refuses cannot be used anywhere.

    many: this is one of many photographs, for which it pays to load a faster decoder.

    Raises UnusableError.
    """
    if not data:
        raise UnusableError("is empty (0 bytes)")
    silence_libtiff()
    try:
        return _look(data, box, min_size, many)
    except UnusableError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise _too_large() from error
    except UnidentifiedImageError as error:
        raise _unknown(data) from error
    except Exception as error:  # a parser of foreign bytes may fail in any way
        reason = str(error) or type(error).__name__
        raise UnusableError(f"damaged or truncated ({reason})") from error


def read_photo(path: Path) -> bytes:
    """Read a photograph's file.

    Raises UnusableError where it is missing, cannot be read, or is no ordinary file, such as a
    pipe, which is not opened.
    """
    try:
        return read_bytes(path)
    except FileNotFoundError as error:
        raise UnusableError("no such file", "check the folder and the name") from error
    except OSError as error:
        reason = error.strerror or type(error).__name__
        remedy = "check path and permissions"
        if error.errno in (errno.EISDIR, errno.EINVAL):  # a folder, a pipe, a device
            remedy = "give the file of a photograph"
        raise UnusableError(f"cannot be read ({reason})", remedy) from error


def decode(
    path: Path, *, box: Box | None = None, min_size: tuple[int, int] | None = None
) -> Pixels:
    """Decode the photograph at `path` to upright RGB, (h, w, 3) uint8.

    box: x0, y0, x1, y1 in pixels of the upright photograph; clipped to it, rounded outwards.
    min_size: height, width that the caller needs.  A JPEG may then be decoded at a reduced size,
        though never below this; without it, at full size.

    Raises FlukeprintError, naming the file, for a missing, unreadable, truncated or too large
    photograph (above Pillow's `Image.MAX_IMAGE_PIXELS`), for pixels whose range is unknown, and
    for a box that holds no pixel.
    """
    with _named(str(path)):
        return look(read_photo(path), box=box, min_size=min_size).pixels


def decode_bytes(
    data: bytes, name: str, *, box: Box | None = None, min_size: tuple[int, int] | None = None
) -> Pixels:
    """Decode a photograph in memory, as `decode` does; `name` stands in error messages."""
    with _named(name):
        return look(data, box=box, min_size=min_size).pixels


def header(data: bytes) -> tuple[str, int, int]:
    """Format as Pillow names it, width and height of encoded bytes, of which no pixel is decoded.

    MPO, a camera's JPEG followed by further pictures, is a JPEG.  Raises anything for damage.
    """
    tiff = full_picture(data) if is_tiff(data) else None
    if tiff is not None and tiff.page.unpackable:
        return "TIFF", *tiff.page.size
    with Image.open(BytesIO(data if tiff is None else tiff.data), formats=formats()) as image:
        return "JPEG" if image.format == "MPO" else str(image.format), *image.size


def decode_array(pixels: Pixels, name: str, *, box: Box | None = None) -> Pixels:
    """Convert grey (h, w[, 1]) or RGB (h, w, 3) uint8 pixels to RGB (h, w, 3), cut to `box`."""
    with _named(name):
        return _look_at_array(pixels, name, box).pixels


def decode_row(
    catalog: Catalog, row: int, *, min_size: tuple[int, int] | None = None, many: bool = False
) -> Pixels:
    """Decode photograph `row` of a catalogue to (h, w, 3) uint8 RGB, cut to its box if any."""
    with _named(catalog.images[row] if catalog.paths is None else str(catalog.paths[row])):
        return look_at_row(catalog, row, None, min_size=min_size, many=many).pixels


def look_at_row(
    catalog: Catalog,
    row: int,
    data: bytes | None,
    *,
    min_size: tuple[int, int] | None = None,
    many: bool = False,
) -> Look:
    """Look at photograph `row` of a catalogue, cut to its box if any.

    data: its encoded bytes where they have been read already.  many: see `look`.

    Raises UnusableError.
    """
    box = None if catalog.boxes is None else catalog.boxes[row]
    if catalog.pixels is not None:
        return _look_at_array(catalog.pixels[row], catalog.images[row], box)
    assert catalog.paths is not None  # a Catalog has either
    data = read_photo(catalog.paths[row]) if data is None else data
    return look(data, box=box, min_size=min_size, many=many)


@contextmanager
def _named(name: str) -> Iterator[None]:
    """Put the photograph's name before the reason why it cannot be used."""
    try:
        yield
    except UnusableError as error:
        raise FlukeprintError(f"photograph {name}: {error}") from error


def _look(data: bytes, box: Box | None, min_size: tuple[int, int] | None, many: bool) -> Look:
    tiff = full_picture(data) if is_tiff(data) else None
    if tiff is not None:
        data = tiff.data
        check_tiff(tiff.page)
        if tiff.page.unpackable and (tiff.page.bits < 16 or tiff.page.loose):
            _check_size(tiff.page.size)
            turn = tiff.page.turn if tiff.turn == 1 else tiff.turn
            return _upright(samples_to_rgb(tiff.page), data, turn, tiff, box, min_size, many)
    elif data.startswith(b"\x89PNG"):
        # The checksums of all chunks, as decoding alone does not notice every damage.
        with Image.open(BytesIO(data), formats=formats()) as image:
            image.verify()
    with Image.open(BytesIO(data), formats=formats()) as image:
        _check_size(image.size)
        turn = _orientation(image) if tiff is None else tiff.turn
        return _upright(image, data, turn, tiff, box, min_size, many)


def _look_at_array(pixels: Pixels, name: str, box: Box | None) -> Look:
    if pixels.dtype != np.uint8 or pixels.ndim not in (2, 3) or 0 in pixels.shape:
        raise ValueError(f"{name}: pixels are {pixels.dtype} {pixels.shape}, not uint8 (h, w[, 3])")
    if pixels.ndim == 2:
        pixels = pixels[:, :, None]
    if pixels.shape[2] not in (1, 3):
        raise ValueError(f"{name}: {pixels.shape[2]} channels, not 1 or 3")
    height, width = pixels.shape[:2]
    area = (0.0, 0.0, float(width), float(height))
    rgb = np.broadcast_to(pixels, (height, width, 3))
    if box is not None:
        area = _clip(box, width, height)
        rgb = _cut(rgb, area, scale=1)
    return Look(np.ascontiguousarray(rgb), _size(area))


def _upright(
    image: Image.Image,
    data: bytes,
    turn: int,
    tiff: Tiff | None,
    box: Box | None,
    min_size: tuple[int, int] | None,
    many: bool,
) -> Look:
    if tiff is not None:
        image.load()  # by which Pillow turns it by its own orientation
    width, height = image.size
    if turn >= 5:  # a quarter turn: the stored width is the upright height
        width, height = height, width
    area = (0.0, 0.0, float(width), float(height))
    if box is not None:
        area = _clip(box, width, height)
    scale = 1 if min_size is None else _reduce(image, area, min_size)
    if min_size == JUDGED:
        check_range(image)
        return Look(np.empty((0, 0, 3), np.uint8), _size(area))
    reduced = eighth(data) if many and scale == 8 and image.mode == "RGB" else None
    if reduced is None:
        rgb = to_rgb(image, data, None if tiff is None else tiff.page)
    else:
        rgb = Image.fromarray(reduced)
    if turn in _TURNS:
        rgb = rgb.transpose(_TURNS[turn])
    pixels = np.asarray(rgb)
    return Look(
        np.array(pixels if box is None else _cut(pixels, area, scale), order="C"),
        _size(area),
    )


def _orientation(image: Image.Image) -> int:
    """EXIF orientation 1..8; 1 where there is none or it cannot be parsed."""
    if image.format not in ("JPEG", "MPO"):
        image.load()  # EXIF may follow the pixels, whose damage must not pass unseen
    try:
        value = image.getexif().get(_ORIENTATION, 1)
    except Exception:  # cameras and editors write EXIF that no parser accepts
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def _reduce(image: Image.Image, area: Box, min_size: tuple[int, int]) -> int:
    """Set a JPEG to be decoded at 1/scale so that `area` keeps `min_size`; returns the scale."""
    wanted = max(1, min_size[0]), max(1, min_size[1])
    most = min((area[2] - area[0]) / wanted[1], (area[3] - area[1]) / wanted[0])
    scale = next((s for s in (8, 4, 2) if s <= most), 1)
    if scale == 1:
        return 1
    # Pillow picks the smallest of 1/8, 1/4, 1/2, 1 that is no smaller than the given size.
    width, height = image.size
    drafted = image.draft("", (width // scale, height // scale))
    return 1 if drafted is None else round(width / drafted[1][2])


def _clip(box: Box, width: int, height: int) -> Box:
    x0, y0 = max(box[0], 0.0), max(box[1], 0.0)
    x1, y1 = min(box[2], float(width)), min(box[3], float(height))
    if not (x0 < x1 and y0 < y1):  # written so that NaN is refused too
        raise UnusableError(
            f"box {box[0]:g}, {box[1]:g}, {box[2]:g}, {box[3]:g} holds none of its "
            f"{width} x {height} pixels",
            "boxes are x0, y0, x1, y1 of the upright photograph",
        )
    return x0, y0, x1, y1


def _size(area: Box) -> tuple[float, float]:
    return area[2] - area[0], area[3] - area[1]


def _cut(pixels: Pixels, box: Box, scale: int) -> Pixels:
    """Cut `box`, given in full-size pixels and rounded outwards, out of pixels at 1/scale."""
    x0, y0 = math.floor(box[0] / scale), math.floor(box[1] / scale)
    return pixels[y0 : math.ceil(box[3] / scale), x0 : math.ceil(box[2] / scale)]


def _check_size(size: tuple[int, int]) -> None:
    most = Image.MAX_IMAGE_PIXELS
    if most is not None and size[0] * size[1] > most:
        raise _too_large()


def _too_large() -> UnusableError:
    return UnusableError(f"more than {Image.MAX_IMAGE_PIXELS} pixels", "scale it down")


def _unknown(data: bytes) -> UnusableError:
    """Why Pillow does not open these bytes, as far as they tell."""
    if is_tiff(data):
        tiff = full_picture(data)
        which = "its full picture is " if tiff.behind_thumbnail else ""
        return UnusableError(
            f"{which}a TIFF of a kind that is not read ({tiff.page.kind})",
            "save it with 8 or 16 bits, as grey or RGB",
        )
    if is_heif(data) and "HEIF" not in formats():
        return UnusableError(
            "HEIF, which needs the package pillow-heif",
            "pip install 'flukeprint[heif]', or convert it",
        )
    if claimed := format_claimed(data):
        return UnusableError(f"damaged or truncated (the header of a {claimed})")
    return UnusableError(
        "not a photograph that can be read", f"convert it to {', '.join(formats())} or remove it"
    )
