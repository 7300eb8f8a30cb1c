"""Photographs of the gallery at full size, from the files that are known of them.

A file that the catalogue recorded is opened while its bytes are the ones that were enrolled, one of
the training's folder where the thumbnail says that it shows the same.  What is sent is encoded from
pixels, so it tells nothing of place or camera.
"""

import contextlib
import json
import threading
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

import numpy as np
import sqlalchemy as sa

from flukeprint.data.decoding import Pixels, decode_bytes
from flukeprint.data.thumbnails import thumbnail
from flukeprint.errors import FlukeprintError
from flukeprint.identifier.integrity import bytes_digest
from flukeprint.records.database import Database
from flukeprint.records.schema import photographs
from flukeprint.serving.service import Service

SIDE = 2400  # px, of the long side
QUALITY = 85
KEPT_BYTES = 64 * 2**20  # of pictures in memory
ALIKE = 8.0  # most mean difference of two thumbnails of one photograph, of 255
_AT_ONCE = 2  # photographs that are decoded together

Size = Literal["thumbnail", "full"]


@dataclass(frozen=True)
class RecordedFile:
    """Where a photograph was when it was enrolled; digest: of its bytes; box: the part shown.

    like: the thumbnail that it must be like, where no digest tells that it is the same.
    """

    path: Path
    digest: str | None
    box: tuple[float, float, float, float] | None
    like: bytes | None = None


def recorded_file(database: Database, row: int) -> RecordedFile | None:
    """The file of the photograph in a row of the gallery; None where none was recorded."""
    with database.reading() as connection:
        found = connection.execute(
            sa.select(photographs.c.file, photographs.c.digest, photographs.c.box).where(
                photographs.c.row == row, ~photographs.c.removed
            )
        ).first()
    if found is None or found.file is None:
        return None
    box = None if found.box is None else tuple(json.loads(found.box))
    return RecordedFile(Path(found.file), found.digest, box)


class FullPhotos:
    """Pictures of recorded files; the last ones are kept in memory."""

    def __init__(self, most: int = KEPT_BYTES) -> None:
        self._most = most
        self._kept: OrderedDict[tuple[object, ...], bytes] = OrderedDict()
        self._lock = threading.Lock()
        self._places = threading.Semaphore(_AT_ONCE)

    def picture(self, file: RecordedFile) -> bytes | None:
        """A JPEG of at most SIDE px; None where the file is gone, another one, or unreadable."""
        try:
            there = file.path.stat()
        except OSError:
            return None
        key = (file, there.st_ino, there.st_size, there.st_mtime_ns)
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        with self._places:
            try:
                data = file.path.read_bytes()
                if file.digest is not None and bytes_digest(data) != file.digest:
                    return None
                small = (SIDE, SIDE) if file.box is None else None
                pixels = decode_bytes(data, "a photograph", box=file.box, min_size=small)
                if file.like is not None and not shows_the_same(pixels, file.like):
                    return None
            except (OSError, FlukeprintError):
                return None
            picture = thumbnail(pixels, SIDE, QUALITY)
        with self._lock:
            self._kept[key] = picture
            while sum(map(len, self._kept.values())) > self._most and len(self._kept) > 1:
                self._kept.popitem(last=False)
        return picture


def shows_the_same(pixels: Pixels, small: bytes) -> bool:
    """Whether a thumbnail is one of these pixels, whoever encoded it."""
    wanted = decode_bytes(small, "a thumbnail")
    found = decode_bytes(thumbnail(pixels, max(wanted.shape[:2])), "a thumbnail")
    if any(abs(a - b) > 1 for a, b in zip(found.shape, wanted.shape, strict=True)):
        return False
    height, width = np.minimum(found.shape, wanted.shape)[:2]
    difference = found[:height, :width].astype(np.float32) - wanted[:height, :width]
    return float(np.abs(difference).mean()) <= ALIKE


def file_below(folder: Path, image: str) -> Path | None:
    """The file that the gallery names below a folder; None where there is none inside of it."""
    name = PurePosixPath(image)
    if name.is_absolute() or ".." in name.parts:
        return None
    try:
        return folder / name if (folder / name).is_file() else None
    except (OSError, ValueError):  # a name that no file can have
        return None


class GalleryPictures:
    """The pictures of a service's gallery: thumbnails, and what there is at full size."""

    def __init__(self, service: Service) -> None:
        self._service, self._full = service, FullPhotos()

    def picture(self, photo: int, size: Size = "full") -> tuple[bytes, Size] | None:
        """A JPEG of a photograph, and at which size it is; None where there is none."""
        identifier = self._service.identifier
        row = identifier.row_of(photo)
        if row is None:
            return None
        shown = identifier.showcase
        small = None if shown is None else shown.thumbnails[row]
        if size == "full":
            large = self._large(photo, identifier.gallery.images[row], small)
            if large is not None:
                return large, "full"
        return None if small is None else (small, "thumbnail")

    def _large(self, photo: int, image: str, small: bytes | None) -> bytes | None:
        if self._service.identifier.kept is not None:
            with contextlib.suppress(FlukeprintError):
                file = recorded_file(self._service.database(), photo)
                if file is not None:
                    return self._full.picture(file)
        folder = self._service.settings.photos_folder
        path = None if folder is None or small is None else file_below(folder, image)
        return None if path is None else self._full.picture(RecordedFile(path, None, None, small))
