"""What is kept of photographs.  A row of a catalogue enters, its entry's place and stamp leave.

An entry is valid as long as its photograph's path, size, time of change (ns) and box are those
that its stamp was made of.  Entries that are files appear by renaming, so any number of processes
may read and write at once; those of `photo_store.py` are slots.
"""

import contextlib
import errno
import hashlib
import os
import uuid
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from flukeprint.data.catalog import Catalog
from flukeprint.errors import FlukeprintError
from flukeprint.storage import fingerprint

STAMP_BYTES = 16


class Entry(NamedTuple):
    """Where an entry stands, and the stamp (16 bytes) that it must end with."""

    path: Path
    stamp: bytes


def find_entry(folder: Path | None, catalog: Catalog, row: int, how: object = None) -> Entry | None:
    """The entry of a photograph below `folder`, made or not.

    None where nothing is kept: no folder, a catalogue of pixels, or a photograph that is not
    there (decoding it says what is wrong).

    how: what else the entry depends on, by its `repr`; in `folder` there is one for each.
    """
    if folder is None or catalog.paths is None:
        return None
    box = None if catalog.boxes is None else catalog.boxes[row]
    key = repr(box if how is None else (box, how))
    try:
        # Before decoding: a photograph replaced meanwhile leaves an entry that is not valid.
        photo = fingerprint(catalog.paths[row])
    except OSError:
        return None
    place = hashlib.sha256(os.fsencode(photo.key) + key.encode())
    name = place.hexdigest()[:32]
    place.update(f" {photo.size} {photo.mtime_ns}".encode())
    return Entry(folder / name[:2] / name, place.digest()[:STAMP_BYTES])


def write_entry(entry: Entry, parts: Iterable[bytes | memoryview]) -> None:
    """Write the parts and the stamp, whole or not at all.

    Raises:
        FlukeprintError: the disk is full or the folder cannot be written.
    """
    path = entry.path
    draft = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with draft.open("xb") as file:
            for part in (*parts, entry.stamp):
                file.write(part)
        draft.replace(path)
    except OSError as error:
        raise cannot_write(path.parent.parent, error) from error
    finally:
        with contextlib.suppress(OSError):  # gone when all went well
            draft.unlink()


def cannot_write(folder: Path, error: OSError) -> FlukeprintError:
    """What to say of a cache whose `folder` refuses."""
    full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    reason = "the disk is full" if full else error.strerror or str(error)
    return FlukeprintError(
        f"image.cache: cannot write below {folder} ({reason}); "
        "free it, choose another folder, or set image.cache=null"
    )
