"""Converts pixels of any kind to 8-bit RGB: 16-bit, palettes, transparency, inverted grey.

Grey of b bits becomes round(v 255 / (2^b - 1)), so its full range is 0..255.  Of 16-bit colour
the high byte is kept, as Pillow does: the same within one level, and exact for 8-bit values times
257.  What is transparent becomes BACKGROUND.
"""

from io import BytesIO

import numpy as np
import numpy.typing as npt
from PIL import Image

from flukeprint.data.formats.photo_formats import UnusableError
from flukeprint.data.formats.tiff import WHITE_IS_ZERO, Page

# Colour of transparent pixels: mid-grey is near the mean of photographs, so it tells least.
BACKGROUND = (128, 128, 128)
_SAVE = "save it with 8 or 16 bits"
_BITS_AT, _COLOUR_AT = 24, 25  # of a PNG's first chunk, the 16th byte of the file on


def check_tiff(page: Page) -> None:
    """Refuse pixels that Pillow would read wrongly."""
    if page.signed:
        raise UnusableError("signed pixels of unknown range", _SAVE)
    if page.loose and not page.unpackable:
        raise UnusableError(f"a TIFF of separate planes ({page.kind})", f"{_SAVE}, interleaved")


def check_range(image: Image.Image) -> None:
    """Decode an opened image, and refuse pixels of which nobody knows what is black and white."""
    image.load()
    if image.mode == "F":
        raise UnusableError("floating-point pixels of unknown range", _SAVE)
    if image.mode == "I":  # which older files use for 16 bits
        values = np.asarray(image)
        if values.min() < 0 or values.max() > 65535:
            raise UnusableError("32-bit grey of unknown range", _SAVE)


def samples_to_rgb(page: Page) -> Image.Image:
    """Read the samples of an `unpackable` TIFF to 8-bit RGB."""
    samples = page.unpacked()
    if samples.ndim == 3:
        return Image.fromarray((samples >> (page.bits - 8)).astype(np.uint8))
    return _grey(samples, page.bits, page.photometric == WHITE_IS_ZERO).convert("RGB")


def to_rgb(image: Image.Image, data: bytes, page: Page | None) -> Image.Image:
    """Convert an opened image of any mode to 8-bit RGB.

    data: its encoded bytes.  page: of a TIFF, the directory of the picture.

    Raises UnusableError for floating-point pixels and grey beyond 0..65535.
    """
    check_range(image)
    key = _transparent(image, data)
    if image.mode.startswith("I"):
        values = np.asarray(image)
        grey = _grey(
            values.astype(np.uint16),
            16 if page is None or page.bits > 16 else page.bits,
            page is not None and page.photometric == WHITE_IS_ZERO,
        )
        return _masked(grey.convert("RGB"), values == key[0] if key else None)
    if key is not None:
        return _masked(image.convert("RGB"), _keyed(image, data, key))
    if image.mode == "La":  # Pillow has no way from it to RGBA
        image = image.convert("LA")
    if not image.has_transparency_data:
        return image.convert("RGB")
    layer = image.convert("RGBA")
    ground = Image.new("RGBA", layer.size, (*BACKGROUND, 255))
    return Image.alpha_composite(ground, layer).convert("RGB")


def _grey(values: npt.NDArray[np.uint16], bits: int, inverted: bool) -> Image.Image:
    most = 2**bits - 1
    table = (np.arange(most + 1, dtype=np.uint32) * 255 + most // 2) // most
    return Image.fromarray((255 - table if inverted else table).astype(np.uint8)[values])


def _transparent(image: Image.Image, data: bytes) -> tuple[int, ...] | None:
    """The grey or the colour that a PNG calls transparent, as it is stored; else None.

    Of each number only the lowest bits count (PNG, 11.3.2.1).
    """
    key = image.info.get("transparency")
    if image.format != "PNG" or not isinstance(key, int | tuple) or data[_COLOUR_AT] not in (0, 2):
        return None
    most = 2 ** data[_BITS_AT] - 1
    return tuple(number & most for number in (key if isinstance(key, tuple) else (key,)))


def _keyed(image: Image.Image, data: bytes, key: tuple[int, ...]) -> npt.NDArray[np.bool_]:
    """(h, w) True where a PNG of 8-bit pixels, or of 16-bit colour, has the transparent one."""
    bits = data[_BITS_AT]
    if bits < 16:
        stored = np.asarray(image.convert("L") if image.mode == "1" else image)
        scaled = np.array(key) * 255 // (2**bits - 1)  # as Pillow scales grey of few bits
        return np.asarray(np.all(stored.reshape(*stored.shape[:2], -1) == scaled, axis=2))
    high = np.asarray(image)
    # Read as of the other order of bytes, the low byte of each number is what is kept.
    with Image.open(BytesIO(data), formats=("PNG",)) as again:
        again.tile = [tile._replace(args="RGB;16L") for tile in again.tile]
        low = np.asarray(again)
    numbers = np.array(key)
    return np.asarray(np.all((high == numbers >> 8) & (low == numbers & 255), axis=2))


def _masked(rgb: Image.Image, transparent: npt.NDArray[np.bool_] | None) -> Image.Image:
    if transparent is not None:
        rgb.paste(BACKGROUND, mask=Image.fromarray(transparent))
    return rgb
