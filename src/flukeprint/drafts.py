"""Drafts: files and folders that are written beside their target, and then take its place at once.

A draft is locked by the process that writes it.  The system frees the lock when that process ends,
however it ends, so a draft that nobody locks is left over and is removed by the next writer.

    .NAME.xxxxxxxx.partial   a draft of NAME
    .NAME.xxxxxxxx.old       what NAME was, for the moment of a replacement in two steps
"""

import contextlib
import ctypes
import errno
import os
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

try:
    import fcntl
except ImportError:  # on Windows
    fcntl = None  # type: ignore[assignment]

_LEFT_OVER = re.compile(r"\.(?P<name>.+)\.[a-z0-9_]{8}\.(?P<kind>partial|old)", re.DOTALL)
_FORGOTTEN = 86_400  # seconds after which a draft is left over where files cannot be locked


@contextlib.contextmanager
def draft_of(target: Path, *, folder: bool = False) -> Iterator[Path]:
    """Make a draft of `target` beside it, an empty file or folder, and remove it at the end.

    Raises:
        OSError: it cannot be made.
    """
    draft, handle = _locked_draft(target, folder)
    try:
        yield draft
    finally:
        if folder:
            shutil.rmtree(draft, ignore_errors=True)
        else:
            draft.unlink(missing_ok=True)
        if handle is not None:
            os.close(handle)


def _locked_draft(target: Path, folder: bool) -> tuple[Path, int | None]:
    """A new draft, and the descriptor that keeps it locked; None where that is not possible."""
    prefix, suffix = f".{target.name}.", ".partial"
    while True:
        if folder:
            draft = Path(tempfile.mkdtemp(suffix, prefix, target.parent))
        else:
            handle, name = tempfile.mkstemp(suffix, prefix, target.parent)
            os.close(handle)
            draft = Path(name)
        try:
            locked = _lock(draft)
        except OSError:  # no locks on this system
            return draft, None
        if locked is not None:
            return draft, locked
        # Another process took it for a left-over one before it was locked, and removes it.


def _lock(path: Path) -> int | None:
    """Lock a file or folder; returns its descriptor, None where another process has it.

    Raises:
        OSError: files cannot be locked here.
    """
    if fcntl is None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.fstat(handle).st_nlink:
            return handle
    except BlockingIOError:
        pass
    except OSError:
        os.close(handle)
        raise
    os.close(handle)
    return None


@contextlib.contextmanager
def one_writer(folder: Path) -> Iterator[None]:
    """Wait until no other process is in such a block for `folder`, which must exist.

    It leaves no file behind.  Where folders cannot be locked, as on Windows, it does nothing.
    """
    handle = None
    with contextlib.suppress(OSError, AttributeError):
        handle = os.open(folder, os.O_RDONLY)
        fcntl.flock(handle, fcntl.LOCK_EX)
    try:
        yield
    finally:
        if handle is not None:
            os.close(handle)


def left_over(folder: Path) -> list[Path]:
    """The drafts in `folder`, those included that are being written."""
    try:
        with os.scandir(folder) as entries:
            return sorted(folder / e.name for e in entries if _LEFT_OVER.fullmatch(e.name))
    except OSError:
        return []


def clear_drafts(folder: Path) -> None:
    """Remove what killed processes left in `folder`; what is being written stays.

    A target that was killed between the two steps of a replacement is put back first.
    """
    for path in left_over(folder):
        found = _LEFT_OVER.fullmatch(path.name)
        assert found is not None
        with contextlib.suppress(OSError):
            try:
                handle = _lock(path)
                if handle is None:
                    continue
            except OSError:
                handle = None
                if time.time() - path.lstat().st_mtime < _FORGOTTEN:
                    continue
            try:
                target = folder / found["name"]
                if found["kind"] == "old" and not os.path.lexists(target):
                    path.rename(target)
                elif path.is_dir():
                    shutil.rmtree(path, ignore_errors=True)
                else:
                    path.unlink(missing_ok=True)
            finally:
                if handle is not None:
                    os.close(handle)


def flush_folder(folder: Path) -> None:
    """Flush all files below `folder` to disk: a power cut may else leave names without bytes."""
    for path in [folder, *folder.rglob("*")]:
        with contextlib.suppress(PermissionError):  # Windows opens no folder
            handle = os.open(path, os.O_RDONLY)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)


def replace_folder(draft: Path, target: Path) -> None:
    """Put a draft in the place of the folder `target`, in one step where the system can do that.

    Raises:
        OSError: that is not possible; `target` is as before.
    """
    if not target.exists():
        draft.replace(target)
    elif not _exchanged(draft, target):
        _replace_in_two_steps(draft, target)


def _replace_in_two_steps(draft: Path, target: Path) -> None:
    old = draft.with_suffix(".old")
    handle = None
    with contextlib.suppress(OSError):
        handle = _lock(target)  # else another process may take it for a left-over one
    try:
        target.replace(old)
        try:
            draft.replace(target)
        except OSError:
            old.replace(target)
            raise
        shutil.rmtree(old, ignore_errors=True)
    finally:
        if handle is not None:
            os.close(handle)


@cache
def _exchange() -> Any:
    """The system's function that exchanges two names, as (path, path) -> 0; None without one."""
    try:
        library = ctypes.CDLL(None, use_errno=True)
        if sys.platform == "darwin":
            call = library.renamex_np
            return lambda one, other: call(one, other, 2)  # RENAME_SWAP
        call, here = library.renameat2, -100  # AT_FDCWD
        return lambda one, other: call(here, one, here, other, 2)  # RENAME_EXCHANGE
    except (OSError, AttributeError, TypeError):
        return None


def _exchanged(one: Path, other: Path) -> bool:
    exchange = _exchange()
    return exchange is not None and exchange(os.fsencode(one), os.fsencode(other)) == 0
