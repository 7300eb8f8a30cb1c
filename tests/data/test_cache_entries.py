"""Cache entries: what their keys depend on, and files that are whole or absent."""

import errno
import os
from pathlib import Path

import numpy as np
import pytest

from flukeprint.data.cache_entries import STAMP_BYTES, Entry, find_entry, write_entry
from flukeprint.data.catalog import Box, Catalog
from flukeprint.errors import FlukeprintError


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "a.jpg"
    path.write_bytes(b"a photograph")
    return path


def found(photo: Path, box: Box | None = None, how: object = None) -> Entry:
    boxes = None if box is None else (box,)
    entry = find_entry(Path("cache"), Catalog((photo.name,), (photo,), boxes=boxes), 0, how)
    assert entry is not None
    assert entry.path.parent.parent == Path("cache")
    assert entry.path.name.startswith(entry.path.parent.name)
    assert len(entry.stamp) == STAMP_BYTES
    return entry


def test_photograph_box_and_treatment_have_their_own_entry(tmp_path: Path, photo: Path) -> None:
    other = tmp_path / "b.jpg"
    other.write_bytes(photo.read_bytes())
    os.utime(other, ns=(photo.stat().st_atime_ns, photo.stat().st_mtime_ns))
    box = (0.0, 0.0, 4.0, 5.0)
    entries = [
        found(photo), found(other), found(photo, box), found(photo, how=1), found(photo, how=2),
        found(photo, box, 1),
    ]  # fmt: skip
    assert len({entry.path for entry in entries}) == len(entries)
    assert found(photo) == entries[0]


def test_a_change_of_the_photograph_changes_the_stamp_alone(photo: Path) -> None:
    before, times = found(photo), photo.stat()
    os.utime(photo, ns=(times.st_atime_ns, times.st_mtime_ns + 1))
    later = found(photo)
    photo.write_bytes(b"another photograph")
    os.utime(photo, ns=(times.st_atime_ns, times.st_mtime_ns))
    longer = found(photo)
    assert before.path == later.path == longer.path
    assert len({before.stamp, later.stamp, longer.stamp}) == 3


def test_what_is_not_cached_has_no_entry(photo: Path) -> None:
    catalog = Catalog((photo.name,), (photo,))
    assert find_entry(None, catalog, 0) is None
    pixels = Catalog(("a",), pixels=np.zeros((1, 2, 2), np.uint8))
    assert find_entry(Path("cache"), pixels, 0) is None
    photo.unlink()
    assert find_entry(Path("cache"), catalog, 0) is None


def test_an_entry_ends_with_its_stamp_and_replaces_an_older_one(tmp_path: Path) -> None:
    entry = Entry(tmp_path / "cache" / "ab" / "abcd", b"s" * STAMP_BYTES)
    for parts in ([b"old"], [b"one ", memoryview(b"two")]):
        write_entry(entry, parts)
    assert entry.path.read_bytes() == b"one two" + entry.stamp
    assert [path.name for path in entry.path.parent.iterdir()] == ["abcd"]


def test_what_killed_writers_left_is_removed(tmp_path: Path) -> None:
    entry = Entry(tmp_path / "ab" / "abcd", b"s" * STAMP_BYTES)
    entry.path.parent.mkdir()
    (tmp_path / "ab" / ".abcd.a1b2c3d4.partial").write_bytes(b"half")
    (tmp_path / "ab" / ".abff.a1b2c3d4.partial").write_bytes(b"half")
    write_entry(entry, [b"whole"])
    assert [path.name for path in entry.path.parent.iterdir()] == ["abcd"]
    assert entry.path.stat().st_mode & 0o666 == entry.path.parent.stat().st_mode & 0o666


def test_a_write_that_fails_leaves_the_old_entry(tmp_path: Path) -> None:
    entry = Entry(tmp_path / "cache" / "ab" / "abcd", b"s" * STAMP_BYTES)
    write_entry(entry, [b"old"])

    def full() -> bytes:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(FlukeprintError, match=r"image\.cache: .*cache: the disk of /.* is full"):
        write_entry(entry, (full() for _ in range(1)))
    assert entry.path.read_bytes() == b"old" + entry.stamp
    assert [path.name for path in entry.path.parent.iterdir()] == ["abcd"]
    (tmp_path / "file").touch()
    with pytest.raises(FlukeprintError, match="cannot write below"):
        write_entry(Entry(tmp_path / "file" / "ab" / "abcd", entry.stamp), [b"new"])
