"""Photographs to upload, with what a camera writes."""

import hashlib
import io

from PIL import Image

from tests.keeper.kept import frame


def shot(animal: int, number: int, taken: str | None = None, camera: str = "Cam") -> bytes:
    """A JPEG of an animal, taken at a local time such as 2026:05:12 13:55:00."""
    exif = Image.Exif()
    exif[0x010F] = exif[0x0110] = camera
    if taken is not None:
        exif.get_ifd(0x8769)[0x9003] = taken
    file = io.BytesIO()
    Image.fromarray(frame(animal, number)).save(file, "JPEG", exif=exif, quality=95)
    return file.getvalue()


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
