"""The catalogue's photographs at full size, from the files that it recorded.

Only a recorded file is opened, and only while its bytes are the ones that were enrolled.  What is
sent is encoded from pixels, so it tells nothing of place or camera.
"""

import json
import threading
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa

from flukeprint.data.decoding import decode_bytes
from flukeprint.data.thumbnails import thumbnail
from flukeprint.errors import FlukeprintError
from flukeprint.identifier.integrity import bytes_digest
from flukeprint.records.database import Database
from flukeprint.records.schema import photographs

SIDE = 2400  # px, of the long side
QUALITY = 85
KEPT_BYTES = 64 * 2**20  # of pictures in memory
_AT_ONCE = 2  # photographs that are decoded together


@dataclass(frozen=True)
class RecordedFile:
    """Where a photograph was when it was enrolled; digest: of its bytes; box: the part shown."""

    path: Path
    digest: str | None
    box: tuple[float, float, float, float] | None


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
            except (OSError, FlukeprintError):
                return None
            picture = thumbnail(pixels, SIDE, QUALITY)
        with self._lock:
            self._kept[key] = picture
            while sum(map(len, self._kept.values())) > self._most and len(self._kept) > 1:
                self._kept.popitem(last=False)
        return picture
