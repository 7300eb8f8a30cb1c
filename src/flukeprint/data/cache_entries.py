"""Cache keys: the path and the validity stamp of a photograph's cache entry.

An entry is valid as long as its photograph's path, size, time of change (ns) and box are those
that its stamp was made of.  An entry is a file that is written under another name and renamed, so
any number of processes may read and write at once; or it is a slot of `photo_store`.
"""

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from flukeprint.data.catalog import Catalog
from flukeprint.disks import FullDiskError, disk_of, full_disk
from flukeprint.drafts import clear_drafts, draft_of
from flukeprint.errors import FlukeprintError
from flukeprint.storage import fingerprint

STAMP_BYTES = 16


class Entry(NamedTuple):
    """Path of a cache entry, and the stamp (16 bytes) that a valid one ends with."""

    path: Path
    stamp: bytes


def find_entry(folder: Path | None, catalog: Catalog, row: int, how: object = None) -> Entry | None:
    """The cache entry of a photograph below `folder`, whether or not it exists already.

    None where nothing is cached: no folder, a catalogue of pixels, or a photograph that is missing
    (decoding it raises the error).

    how: what else the entry depends on, by its `repr`; each value has an entry of its own.
    """
    if folder is None or catalog.paths is None:
        return None
    box = None if catalog.boxes is None else catalog.boxes[row]
    key = repr(box if how is None else (box, how))
    try:
        # Taken before decoding, so that a photograph replaced meanwhile makes the entry invalid.
        photo = fingerprint(catalog.paths[row])
    except OSError:
        return None
    place = hashlib.sha256(os.fsencode(photo.key) + key.encode())
    name = place.hexdigest()[:32]
    place.update(f" {photo.size} {photo.mtime_ns}".encode())
    return Entry(folder / name[:2] / name, place.digest()[:STAMP_BYTES])


def write_entry(entry: Entry, parts: Iterable[bytes | memoryview]) -> None:
    """Write a cache entry, the parts and then the stamp, atomically.

    What killed processes left beside it is removed.

    Raises:
        FlukeprintError: the disk is full or the folder cannot be written.
    """
    path = entry.path
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        clear_drafts(path.parent)
        with draft_of(path) as draft:
            with draft.open("wb") as file:
                for part in (*parts, entry.stamp):
                    file.write(part)
            # As open to others as the folder: a draft is its owner's alone.
            draft.chmod(path.parent.stat().st_mode & 0o666)
            draft.replace(path)
    except OSError as error:
        raise cannot_write(path.parent.parent, error) from error


def cannot_write(folder: Path, error: OSError) -> FlukeprintError:
    """The error for a cache whose `folder` cannot be written."""
    full = full_disk(error) is not None
    reason = f"{disk_of(folder)} is full" if full else error.strerror or str(error)
    return (FullDiskError if full else FlukeprintError)(
        f"image.cache: cannot write below {folder}: {reason}; "
        "make room, choose another folder, or set image.cache=null"
    )
