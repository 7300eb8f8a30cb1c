"""Atomic writing of files and folders, and safe reading of `.npz` files."""

import contextlib
import errno
import os
import shutil
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from flukeprint.errors import FlukeprintError


@contextlib.contextmanager
def written_whole(target: Path) -> Iterator[Path]:
    """Write a file atomically: yields a path beside `target`, renamed to it at the end.

    Raises:
        FlukeprintError: the disk is full or the folder cannot be written; `target` is as before.
    """
    target = Path(target)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
        os.close(handle)
    except OSError as error:
        raise _cannot(target, error) from None
    partial = Path(name)
    try:
        yield partial
        umask = os.umask(0)
        os.umask(umask)
        partial.chmod(0o666 & ~umask)  # mkstemp makes files that only their owner may read
        with partial.open("rb") as file:
            os.fsync(file.fileno())  # else a power cut may leave the name without the bytes
        partial.replace(target)
    except OSError as error:
        raise _cannot(target, error) from None
    finally:
        partial.unlink(missing_ok=True)


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
        partial = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}."))
    except OSError as error:
        raise _cannot(target, error) from None
    try:
        yield partial
        partial.chmod(0o755)
        if target.exists():
            # A folder cannot be replaced in one step: the old one is moved aside first.
            aside = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}.old."))
            target.replace(aside / target.name)
            try:
                partial.replace(target)
            except OSError:
                (aside / target.name).replace(target)
                raise
            finally:
                shutil.rmtree(aside, ignore_errors=True)
        else:
            partial.replace(target)
    except OSError as error:
        raise _cannot(target, error) from None
    finally:
        shutil.rmtree(partial, ignore_errors=True)


@contextlib.contextmanager
def read_npz(path: Path, what: str) -> Iterator[dict[str, npt.NDArray[Any]]]:
    """Read the arrays of an `.npz` without pickles, and check what is done with them.

    what: their name in messages, such as embeddings.

    Raises:
        FlukeprintError: no such file; or the file, or its use in the body of the `with`
            statement, fails as it does for a damaged file or one of another kind.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            yield dict(file)
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
        zipfile.BadZipFile,
        zlib.error,
    ) as error:
        raise FlukeprintError(f"{path} holds no whole {what} ({error}); make them again") from error


def _cannot(target: Path, error: OSError) -> FlukeprintError:
    reason = error.strerror or " ".join(str(error).split()) or type(error).__name__
    return FlukeprintError(f"cannot write {target}: {reason}; nothing was left there")
