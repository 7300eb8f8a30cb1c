"""Where the XMP of a photograph is: in the file, or in a sidecar beside it.

Lightroom and Bridge name the sidecar of `a.cr2` `a.xmp`, so that a RAW file and its JPEG share it;
digiKam and darktable name it `a.cr2.xmp`.  Both are read, the longer name first.
"""

from pathlib import Path

from PIL import Image

from flukeprint.data.formats.photo_formats import formats
from flukeprint.storage import source

SUFFIX = ".xmp"
_TAG = 700  # of TIFF
_ORIENTATION = 0x0112  # EXIF 2.32, 4.6.4
LARGEST = 16 * 2**20  # bytes of a sidecar


def sidecar_of(photo: Path, folder: Path) -> Path | None:
    """The sidecar of a photograph in a folder, None where there is none.

    folder: that of the photograph, or another one where sidecars are kept in the same tree.
    """
    for name in (photo.name + SUFFIX, photo.stem + SUFFIX):
        for path in (folder / name, folder / name.replace(SUFFIX, SUFFIX.upper())):
            if path.is_file():
                return path
    return None


def read_sidecar(path: Path) -> bytes:
    """The bytes of a sidecar.  Raises ValueError for one that is too large."""
    if path.stat().st_size > LARGEST:
        raise ValueError("its sidecar is larger than any")
    return path.read_bytes()


def embedded(path: Path) -> tuple[bytes | None, int]:
    """The packet in a photograph, None where there is none, and its EXIF orientation.

    Raises ValueError for a file that cannot be read.
    """
    try:
        with Image.open(source(path), formats=formats()) as image:
            found = image.info.get("xmp") or image.info.get("XML:com.adobe.xmp")
            if found is None and hasattr(image, "tag_v2"):
                found = image.tag_v2.get(_TAG)
            turned = image.getexif().get(_ORIENTATION, 1)
    except Exception:  # a parser of foreign bytes may fail in any way
        raise ValueError("the photograph cannot be read") from None
    if isinstance(found, str):
        found = found.encode()
    return (bytes(found) if found else None), turned if isinstance(turned, int) else 1
