"""Names the formats in which photographs are read, and the endings of their files' names.

A closed list, because Pillow would pass an uploaded EPS to Ghostscript.
"""

import contextlib
import ctypes
import logging
from functools import cache
from pathlib import PurePath

from PIL import Image, _imaging

# Pillow's name of each format, and the endings under which its files are found.
_ENDINGS = {
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif", ".jif", ".mpo"),
    "PNG": (".png", ".apng"),
    "TIFF": (".tif", ".tiff"),
    "WEBP": (".webp",),
    "BMP": (".bmp", ".dib"),
    "GIF": (".gif",),
    "PPM": (".ppm", ".pgm", ".pbm", ".pnm"),
    "JPEG2000": (".jp2", ".j2k", ".j2c", ".jpc", ".jpf", ".jpx"),
    "AVIF": (".avif", ".avifs"),
    "HEIF": (".heic", ".heics", ".heif", ".heifs", ".hif"),
}
SUFFIXES = tuple(ending for endings in _ENDINGS.values() for ending in endings)

# Brands of ISO/IEC 23008-12 (HEIF) in the first box of such a file.
_HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1")


@cache
def formats() -> tuple[str, ...]:
    """Pillow's names of the formats that can be read; HEIF where pillow-heif is installed."""
    without = tuple(name for name in _ENDINGS if name != "HEIF")
    try:
        from pillow_heif import register_heif_opener
    except ImportError:
        return without
    register_heif_opener(thumbnails=False)
    return (*without, "HEIF")


def named_like_photo(name: str | PurePath) -> bool:
    """Whether a file is a photograph by its name, whose ending may be in any letter case.

    HEIF counts even where pillow-heif is missing, so that such a file is refused with the reason
    and not passed over.
    """
    return PurePath(name).suffix.lower() in SUFFIXES


def is_heif(data: bytes) -> bool:
    """Whether encoded bytes say that they are HEIF, as Apple's `.heic` does."""
    return data[4:8] == b"ftyp" and data[8:12] in _HEIF_BRANDS


def format_claimed(data: bytes) -> str | None:
    """The format that the first bytes name, though the rest may be damaged; None for none.

    BMP and PPM are not told, as only two letters tell them from a text.
    """
    for name in formats():
        accept = Image.OPEN[name][1] if name in Image.OPEN else None
        if name not in ("BMP", "PPM") and accept is not None and accept(data[:16]) is True:
            return name
    return None


class UnusableError(Exception):
    """Why a photograph cannot be used, in words that do not name it.

    reason: a few words, for a list of photographs.  remedy: what to do.
    """

    def __init__(self, reason: str, remedy: str = "replace or remove it") -> None:
        self.reason, self.remedy = " ".join(reason.split()), remedy
        super().__init__(f"{self.reason}; {remedy}")


@cache
def silence_libtiff() -> None:
    """Stop Pillow and its libtiff from printing for every damaged photograph.

    libtiff prints past Python, Pillow by a logger without handlers; the damage is an exception too.
    """
    logging.getLogger("PIL").addHandler(logging.NullHandler())
    with contextlib.suppress(OSError, AttributeError):  # a Pillow without libtiff
        decoders = ctypes.CDLL(_imaging.__file__)
        for set_handler in (decoders.TIFFSetErrorHandler, decoders.TIFFSetWarningHandler):
            set_handler.argtypes, set_handler.restype = (ctypes.c_void_p,), ctypes.c_void_p
            set_handler(None)
