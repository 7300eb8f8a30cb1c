"""Unpack the ZIP file of a competition safely.

Nothing is written outside the folder, nothing more than the archive declares, and no more than the
disk has room for.
"""

import shutil
import zipfile
from pathlib import Path, PurePosixPath

from flukeprint.errors import FlukeprintError, listed

# Photographs do not compress and tables compress tenfold: a ratio of a hundred is a ZIP bomb.
MOST_GROWTH = 100
SMALL = 100 * 2**20  # bytes; an archive that declares less may have any ratio
CHUNK = 2**20


def unpack(archive: Path, folder: Path) -> None:
    """Unpack `archive` and the ZIP files at its top into the empty `folder`.

    `train.zip` inside becomes `train/`, `train.csv.zip` its table; a folder that holds nothing
    but a folder of the same name (`train/train/`) is replaced by that.

    Raises:
        FlukeprintError: no ZIP file, damaged, encrypted, names that leave the folder or stand
            twice, contents out of proportion or larger than the free disk.
        OSError: the disk is full or the folder cannot be written.
    """
    _unpack_one(archive, folder)
    for inner in sorted(folder.glob("*.zip")):
        table = PurePosixPath(inner.stem).suffix != ""  # train.csv.zip holds train.csv
        target = folder if table else folder / inner.stem
        _unpack_one(inner, target)
        inner.unlink()
    for outer in [path for path in folder.iterdir() if path.is_dir()]:
        only = list(outer.iterdir())
        if len(only) == 1 and only[0].is_dir() and only[0].name == outer.name:
            aside = folder / f".{outer.name}.inner"
            only[0].replace(aside)
            outer.rmdir()
            aside.replace(outer)


def _unpack_one(archive: Path, folder: Path) -> None:
    try:
        with zipfile.ZipFile(archive) as content:
            members = [member for member in content.infolist() if not member.is_dir()]
            _check(archive, members, folder)
            for member in members:
                _write(content, member, folder.joinpath(*_parts(member.filename)))
    except (zipfile.BadZipFile, zipfile.LargeZipFile, EOFError) as error:
        raise FlukeprintError(
            f"{archive.name} is not a whole ZIP file ({error}); download it again"
        ) from None
    except (RuntimeError, NotImplementedError) as error:  # how zipfile refuses passwords
        raise FlukeprintError(f"{archive.name} cannot be unpacked: {error}") from None


def _parts(name: str) -> tuple[str, ...]:
    """Split a member's name; empty if it would be outside the folder."""
    path = PurePosixPath(name)
    unsafe = path.is_absolute() or "\\" in name or "\0" in name
    if unsafe or any(part == ".." or ":" in part for part in path.parts):
        return ()
    return path.parts


def _check(archive: Path, members: list[zipfile.ZipInfo], folder: Path) -> None:
    """Refuse unsafe names, names that stand twice, and contents that are too large."""
    if not members:
        raise FlukeprintError(f"{archive.name} holds no files")
    outside = [member.filename for member in members if not _parts(member.filename)]
    if outside:
        raise FlukeprintError(
            f"{archive.name} holds names that leave its folder: {listed(outside)}; not unpacked"
        )
    # Windows and macOS do not distinguish Train.csv from train.csv.
    names = [str(PurePosixPath(member.filename)).casefold() for member in members]
    if len(set(names)) < len(names):
        twice = sorted({name for name in names if names.count(name) > 1})[:3]
        raise FlukeprintError(f"{archive.name} holds files of the same name: {listed(twice)}")
    declared = sum(member.file_size for member in members)
    if declared > max(SMALL, MOST_GROWTH * archive.stat().st_size):
        raise FlukeprintError(
            f"{archive.name} would grow to {declared:,} bytes, more than {MOST_GROWTH} times "
            "its size; not unpacked"
        )
    nearest_folder = folder if folder.exists() else folder.parent
    free = shutil.disk_usage(nearest_folder).free
    if declared > free:
        raise FlukeprintError(
            f"{archive.name} unpacks to {declared:,} bytes, but {nearest_folder} has {free:,} "
            "free; make room"
        )


def _write(content: zipfile.ZipFile, member: zipfile.ZipInfo, target: Path) -> None:
    """Copy one member, no longer than declared; zipfile checks its checksum."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with content.open(member) as source, target.open("xb") as file:
            left = member.file_size
            while chunk := source.read(CHUNK):
                left -= len(chunk)
                if left < 0:
                    raise zipfile.BadZipFile(f"{member.filename} is longer than declared")
                file.write(chunk)
    except (FileExistsError, NotADirectoryError):
        raise FlukeprintError(
            f"the download holds {member.filename} twice, or as file and folder; not unpacked"
        ) from None
