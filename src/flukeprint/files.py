"""Atomic writing of files and folders, by one writer at a time, and safe reading of `.npz`."""

import contextlib
import errno
import mmap
import os
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from flukeprint.disks import disk_of, full_disk
from flukeprint.drafts import clear_drafts, draft_of, flush_folder, replace_folder
from flukeprint.errors import FlukeprintError

LOCK = "lock"
PATIENCE = 600.0  # seconds


@contextlib.contextmanager
def written_whole(target: Path) -> Iterator[Path]:
    """Write a file atomically: yields a path beside `target`, renamed to it at the end.

    What killed processes left in the folder is removed.

    Raises:
        FlukeprintError: the disk is full or the folder cannot be written; `target` is as before.
    """
    target = Path(target)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        clear_drafts(target.parent)
        with draft_of(target) as partial:
            yield partial
            umask = os.umask(0)
            os.umask(umask)
            partial.chmod(0o666 & ~umask)  # mkstemp makes files that only their owner may read
            with partial.open("rb") as file:
                os.fsync(file.fileno())  # else a power cut may leave the name without the bytes
            partial.replace(target)
    except OSError as error:
        raise _cannot(target, error) from None


def linked(old: Path, new: Path) -> bool:
    """Make `new` a hard link to `old`; False where that is not possible."""
    with contextlib.suppress(OSError, NotImplementedError):
        os.link(old, new)
        return True
    return False


def check_writable(folder: Path) -> None:
    """Refuse a folder that cannot be made or written, without making it.

    Raises:
        FlukeprintError: so; the nearest folder above it that there is decides.
    """
    above = next((path for path in (folder, *folder.absolute().parents) if path.exists()), folder)
    reason = errno.EACCES
    if not above.is_dir():
        reason = errno.ENOTDIR
    elif os.access(above, os.W_OK | os.X_OK):
        return
    raise FlukeprintError(f"cannot make {folder}: {os.strerror(reason)}")


@contextlib.contextmanager
def folder_written_whole(target: Path) -> Iterator[Path]:
    """Write a folder atomically, as `written_whole` does a file; an older one is replaced."""
    target = Path(target)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        clear_drafts(target.parent)
        with draft_of(target, folder=True) as partial:
            yield partial
            partial.chmod(0o755)
            flush_folder(partial)
            replace_folder(partial, target)
    except OSError as error:
        raise _cannot(target, error) from None


@contextlib.contextmanager
def locked_for_writing(
    folder: Path, report: Callable[[str], None] | None = None, *, patience: float = PATIENCE
) -> Iterator[None]:
    """Keep other writers out of a folder; the system ends that with the process, however it ends.

    A folder that does not exist yet needs no lock: of two that make it, the second fails.

    report: receives a line if another process is writing, before it is waited for.
    patience: seconds to wait.

    Raises:
        FlukeprintError: the folder cannot be written, or another process writes all that time.
    """
    from filelock import FileLock, Timeout

    file = folder / LOCK
    while True:
        if not folder.is_dir():
            yield
            return
        lock = FileLock(file, fallback_to_soft=False)
        try:
            file.touch()
            before = file.stat().st_ino
            try:
                lock.acquire(timeout=0)
            except Timeout:
                if report is not None:
                    report(f"another process is writing to {folder}; waiting for it")
                lock.acquire(timeout=patience)
        except Timeout:
            raise FlukeprintError(
                f"another process is still writing to {folder}; try again when it is done"
            ) from None
        except FileNotFoundError:  # replaced at this moment
            continue
        except OSError as error:
            raise FlukeprintError(
                f"cannot write {folder}: {error.strerror or error}; nothing was changed"
            ) from None
        try:
            if _inode(file) == before:
                yield
                return
        finally:
            lock.release()
        # A writer has replaced the folder meanwhile: this was the lock of the one before.


@contextlib.contextmanager
def only_run(target: Path, option: str = "--out") -> Iterator[None]:
    """Keep a second run away from answers that are not written yet.

    The system ends that with the process, however it ends.

    option: of the command, by which another target is named.

    Raises:
        FlukeprintError: another process has it, or the folder cannot be written.
    """
    from filelock import FileLock, Timeout

    file = target.with_name(f".{target.name}.lock")
    try:
        while True:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.touch()
            before = _inode(file)
            lock = FileLock(file, fallback_to_soft=False)
            lock.acquire(timeout=0)
            if before is not None and _inode(file) == before:
                break
            lock.release()  # the run before removed it at this moment
    except Timeout:
        raise FlukeprintError(
            f"another process is answering into {target}; wait for it, or name another {option}"
        ) from None
    except OSError as error:
        raise FlukeprintError(
            f"cannot write beside {target}: {error.strerror or error}; name another {option}"
        ) from None
    try:
        yield
    finally:
        file.unlink(missing_ok=True)
        lock.release()


def _inode(file: Path) -> int | None:
    with contextlib.suppress(FileNotFoundError):
        return file.stat().st_ino
    return None


@contextlib.contextmanager
def read_npz(
    path: Path, what: str, *, names: Collection[str] | None = None
) -> Iterator[dict[str, npt.NDArray[Any]]]:
    """Read the arrays of an `.npz` without pickles, and check what is done with them.

    what: their name in messages, such as embeddings.  names: of those to read; None: all.

    Raises:
        FlukeprintError: no such file; or the file, or its use in the body of the `with`
            statement, fails as it does for a damaged file or one of another kind.
    """
    with _npz_refused(path, what), np.load(path, allow_pickle=False) as file:
        yield dict(file) if names is None else {name: file[name] for name in names}


@contextlib.contextmanager
def _npz_refused(path: Path, what: str) -> Iterator[None]:
    """The refusals of `read_npz`."""
    try:
        yield
    except FileNotFoundError as error:
        raise FlukeprintError(f"no {what} at {path}; make them first") from error
    except (
        OSError,
        EOFError,
        KeyError,
        IndexError,
        TypeError,
        AttributeError,
        ValueError,
        SyntaxError,  # numpy parses the header of an array as Python
        tokenize.TokenError,
        zipfile.BadZipFile,
        zlib.error,
    ) as error:
        reason = " ".join(str(error).split())[:200]
        raise FlukeprintError(
            f"{path} holds no whole {what} ({reason}); make them again"
        ) from error


@contextlib.contextmanager
def npz_on_disk(
    path: Path, what: str, large: str
) -> Iterator[tuple[dict[str, npt.NDArray[Any]], mmap.mmap | None]]:
    """Read the arrays of an `.npz` as `read_npz` does, but map the one called `large`.

    Its bytes are not compared with the file's checksum, so something else must have looked at them.

    Yields:
        The arrays; and the map, or None where the file is compressed or empty, and all is read.
    """
    with _npz_refused(path, what):
        with zipfile.ZipFile(path) as archive:
            members = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
            plain = members[large].compress_type == zipfile.ZIP_STORED
            arrays = {}
            for name in members:
                if name != large or not plain:
                    with archive.open(members[name]) as member:
                        arrays[name] = np.lib.format.read_array(member, allow_pickle=False)
        mapped = None
        if plain:
            with path.open("rb") as file:
                mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
                arrays[large] = _mapped_member(file, mapped, members[large].header_offset)
        yield arrays, mapped


_LOCAL_HEADER = 30  # bytes of a member's own header, before its name


def _mapped_member(file: IO[bytes], mapped: mmap.mmap, start: int) -> npt.NDArray[Any]:
    """The array of a stored member whose header begins at `start`, in the map."""
    header = mapped[start : start + _LOCAL_HEADER]
    name, extra = struct.unpack("<HH", header[-4:])
    file.seek(start + _LOCAL_HEADER + name + extra)
    version = np.lib.format.read_magic(file)
    read = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }
    shape, turned, kind = read[version](file)
    if turned or kind.hasobject:
        raise ValueError("not a plain array")
    flat = np.frombuffer(mapped, kind, int(np.prod(shape)), file.tell())
    return flat.reshape(shape)


def forget_pages(mapped: mmap.mmap | None) -> None:
    """Give back the memory of a map's pages; what is asked for again is read again."""
    if mapped is not None and hasattr(mmap, "MADV_DONTNEED"):
        mapped.madvise(mmap.MADV_DONTNEED)


def _cannot(target: Path, error: OSError) -> FlukeprintError:
    reason = error.strerror or " ".join(str(error).split()) or type(error).__name__
    if full_disk(error) is not None:
        reason = f"{reason} on {disk_of(target)}"
    return FlukeprintError(f"cannot write {target}: {reason}; nothing was left there")
