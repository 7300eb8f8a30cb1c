"""Decodes photographs of any kind to upright 8-bit RGB arrays (h, w, 3).

Field photographs come turned by EXIF, grey, CMYK, with a palette, 1-bit, 16-bit or with
transparency.  Large JPEGs are decoded at 1/2, 1/4 or 1/8 of their size when the caller gives how
many pixels it needs.  Only the first frame of an animation is read; colour profiles are not
applied.
"""

import math
from functools import cache
from io import BytesIO
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError

from flukeprint.data.catalog import Box, Catalog
from flukeprint.errors import FlukeprintError
from flukeprint.storage import read_bytes

Pixels = npt.NDArray[np.uint8]

# A closed list, because Pillow would pass an uploaded EPS to Ghostscript.
PHOTO_FORMATS = ("JPEG", "PNG", "TIFF", "WEBP", "BMP", "GIF", "PPM", "JPEG2000", "AVIF")


@cache
def formats() -> tuple[str, ...]:
    """Pillow's names of the formats that can be read; HEIF where pillow-heif is installed."""
    try:
        from pillow_heif import register_heif_opener
    except ImportError:
        return PHOTO_FORMATS
    register_heif_opener(thumbnails=False)
    return (*PHOTO_FORMATS, "HEIF")


# Colour of transparent pixels: mid-grey is near the mean of photographs, so it tells least.
BACKGROUND = (128, 128, 128)
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


def decode(
    path: Path, *, box: Box | None = None, min_size: tuple[int, int] | None = None
) -> Pixels:
    """Decode the photograph at `path` to upright RGB, (h, w, 3) uint8.

    box: x0, y0, x1, y1 in pixels of the upright photograph; clipped to it, rounded outwards.
    min_size: height, width that the caller needs.  A JPEG may then be decoded at a reduced size,
        though never below this; without it, at full size.

    Raises FlukeprintError, naming the file, for a missing, unreadable, truncated or too large
    photograph (above Pillow's `Image.MAX_IMAGE_PIXELS`) and for a box that holds no pixel.
    """
    try:
        data = read_bytes(path)
    except FileNotFoundError as error:
        raise FlukeprintError(
            f"photograph {path}: no such file; check the folder and the name"
        ) from error
    except OSError as error:
        raise FlukeprintError(
            f"photograph {path}: cannot be read ({error.strerror}); check path and permissions"
        ) from error
    return decode_bytes(data, str(path), box=box, min_size=min_size)


def decode_bytes(
    data: bytes, name: str, *, box: Box | None = None, min_size: tuple[int, int] | None = None
) -> Pixels:
    """Decode a photograph in memory, as `decode` does; `name` stands in error messages."""
    if not data:
        raise FlukeprintError(f"photograph {name}: is empty (0 bytes); replace or remove it")
    try:
        with Image.open(BytesIO(data), formats=formats()) as image:
            return _upright(image, name, box, min_size)
    except FlukeprintError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise _too_large(name) from error
    except UnidentifiedImageError as error:
        raise FlukeprintError(
            f"photograph {name}: not a photograph that can be read "
            f"({', '.join(formats())}); convert or remove it"
        ) from error
    except Exception as error:  # a parser of foreign bytes may fail in any way
        reason = str(error) or type(error).__name__
        raise FlukeprintError(
            f"photograph {name}: damaged or truncated ({reason}); replace or remove it"
        ) from error


def decode_array(pixels: Pixels, name: str, *, box: Box | None = None) -> Pixels:
    """Convert grey (h, w[, 1]) or RGB (h, w, 3) uint8 pixels to RGB (h, w, 3), cut to `box`."""
    if pixels.dtype != np.uint8 or pixels.ndim not in (2, 3) or 0 in pixels.shape:
        raise ValueError(f"{name}: pixels are {pixels.dtype} {pixels.shape}, not uint8 (h, w[, 3])")
    if pixels.ndim == 2:
        pixels = pixels[:, :, None]
    if pixels.shape[2] not in (1, 3):
        raise ValueError(f"{name}: {pixels.shape[2]} channels, not 1 or 3")
    rgb = np.broadcast_to(pixels, (*pixels.shape[:2], 3))
    if box is not None:
        rgb = _cut(rgb, _clip(box, rgb.shape[1], rgb.shape[0], name), scale=1)
    return np.ascontiguousarray(rgb)


def decode_row(catalog: Catalog, row: int, *, min_size: tuple[int, int] | None = None) -> Pixels:
    """Decode photograph `row` of a catalogue to (h, w, 3) uint8 RGB, cut to its box if any."""
    box = None if catalog.boxes is None else catalog.boxes[row]
    if catalog.pixels is not None:
        return decode_array(catalog.pixels[row], catalog.images[row], box=box)
    assert catalog.paths is not None  # a Catalog has either
    return decode(catalog.paths[row], box=box, min_size=min_size)


def _upright(
    image: Image.Image, name: str, box: Box | None, min_size: tuple[int, int] | None
) -> Pixels:
    width, height = image.size
    if Image.MAX_IMAGE_PIXELS is not None and width * height > Image.MAX_IMAGE_PIXELS:
        raise _too_large(name)
    turn = _orientation(image)
    if turn >= 5:  # a quarter turn: the stored width is the upright height
        width, height = height, width
    area = (0.0, 0.0, float(width), float(height))
    if box is not None:
        area = _clip(box, width, height, name)
    scale = 1 if min_size is None else _reduce(image, area, min_size)
    rgb = _rgb(image)
    if turn in _TURNS:
        rgb = rgb.transpose(_TURNS[turn])
    pixels = np.asarray(rgb)
    return np.array(pixels if box is None else _cut(pixels, area, scale), order="C")


def _orientation(image: Image.Image) -> int:
    """EXIF orientation 1..8; 1 where there is none or it cannot be parsed."""
    if image.format not in ("JPEG", "MPO"):
        image.load()  # EXIF may follow the pixels, whose damage must not pass unseen
    if image.format == "TIFF":
        return 1  # Pillow has turned it upright already
    try:
        value = image.getexif().get(_ORIENTATION, 1)
    except Exception:  # cameras and editors write EXIF that no parser accepts
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def _reduce(image: Image.Image, area: Box, min_size: tuple[int, int]) -> int:
    """Set a JPEG to be decoded at 1/scale so that `area` keeps `min_size`; returns the scale."""
    most = min((area[2] - area[0]) / min_size[1], (area[3] - area[1]) / min_size[0])
    scale = next((s for s in (8, 4, 2) if s <= most), 1)
    if scale == 1:
        return 1
    # Pillow picks the smallest of 1/8, 1/4, 1/2, 1 that is no smaller than the given size.
    width, height = image.size
    drafted = image.draft("", (width // scale, height // scale))
    return 1 if drafted is None else round(width / drafted[1][2])


def _rgb(image: Image.Image) -> Image.Image:
    """Convert an image of any mode to 8-bit RGB.

    16-bit grey v becomes round(v / 257), so 65535 is 255.  Of 16-bit colour Pillow itself keeps
    the high byte: the same within one level, and exact for 8-bit values times 257.
    """
    image.load()
    if image.mode.startswith("I"):  # I;16, I;16B, and I, which older files use for 16 bits
        values = np.asarray(image).astype(np.int64)
        if values.min() < 0 or values.max() > 65535:
            raise ValueError("32-bit grey of unknown range: save it with 8 or 16 bits")
        return Image.fromarray(((values + 128) // 257).astype(np.uint8)).convert("RGB")
    if image.mode == "F":
        raise ValueError("floating-point pixels of unknown range: save it with 8 or 16 bits")
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        ground = Image.new("RGBA", layer.size, (*BACKGROUND, 255))
        return Image.alpha_composite(ground, layer).convert("RGB")
    return image.convert("RGB")


def _clip(box: Box, width: int, height: int, name: str) -> Box:
    x0, y0 = max(box[0], 0.0), max(box[1], 0.0)
    x1, y1 = min(box[2], float(width)), min(box[3], float(height))
    if not (x0 < x1 and y0 < y1):  # written so that NaN is refused too
        raise FlukeprintError(
            f"photograph {name}: box {box[0]:g}, {box[1]:g}, {box[2]:g}, {box[3]:g} holds none of "
            f"its {width} x {height} pixels; boxes are x0, y0, x1, y1 of the upright photograph"
        )
    return x0, y0, x1, y1


def _cut(pixels: Pixels, box: Box, scale: int) -> Pixels:
    """Cut `box`, given in full-size pixels and rounded outwards, out of pixels at 1/scale."""
    x0, y0 = math.floor(box[0] / scale), math.floor(box[1] / scale)
    return pixels[y0 : math.ceil(box[3] / scale), x0 : math.ceil(box[2] / scale)]


def _too_large(name: str) -> FlukeprintError:
    return FlukeprintError(
        f"photograph {name}: more than {Image.MAX_IMAGE_PIXELS} pixels; scale it down"
    )
