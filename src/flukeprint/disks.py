"""Says in one line which disk is full and what was kept, in place of a library's own words."""

import contextlib
import errno
import os
import re
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from flukeprint.errors import FlukeprintError

_FULL = (errno.ENOSPC, errno.EDQUOT)
_RUST = re.compile(r"\(os error (\d{1,9})\)")


class FullDiskError(FlukeprintError):
    """A disk is full; the message names it."""


def full_disk(error: BaseException | None) -> OSError | None:
    """The failure of a full disk that `error` is or that led to it; None where none did.

    Libraries that write through others raise errors of their own on top of it.
    """
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        if isinstance(error, OSError) and error.errno in _FULL:
            return error
        told = _RUST.search(str(error))  # all that safetensors says
        if told is not None and int(told[1]) in _FULL:
            return OSError(int(told[1]), os.strerror(int(told[1])))
        seen.add(id(error))
        error = error.__cause__ or error.__context__
    return None


def disk_of(path: Path) -> str:
    """Name the disk on which `path` is or would be by its mount point and size.

    >>> disk_of(Path("runs/whales/today"))  # doctest: +SKIP
    'the disk of /home (512.1 GB)'
    """
    place = path.absolute()
    while not place.exists():
        place = place.parent
    size = shutil.disk_usage(place).total
    while not os.path.ismount(place):
        place = place.parent
    return (
        f"the disk of {place} ({size / 1e6:.1f} MB)"
        if size < 1e9
        else (f"the disk of {place} ({size / 1e9:.1f} GB)")
    )


@contextlib.contextmanager
def full_disk_named(folder: Path, kept: Callable[[], str]) -> Iterator[None]:
    """Where the block fails for a full disk, say which, what was kept and how to go on.

    folder: where the block writes; its disk is named, unless the failure names another.
    kept: the end of the message.

    Raises:
        FullDiskError: so; any other error passes.
    """
    plain = threading.excepthook

    def quiet(failure: threading.ExceptHookArgs) -> None:
        if full_disk(failure.exc_value) is None:
            plain(failure)

    # A thread that writes logs fails as well: what it raises is raised here again, or follows from
    # the same full disk.
    threading.excepthook = quiet
    try:
        yield
    except (FlukeprintError, OSError, RuntimeError) as error:
        full = full_disk(error)
        if full is None:
            raise
        if isinstance(error, FullDiskError):
            what = str(error)
        else:
            written = f", writing {full.filename}" if full.filename else ""
            if isinstance(error, FlukeprintError):
                told = str(error).removesuffix("; nothing was left there")
                written = f": {told.removesuffix(f' on {disk_of(folder)}')}"
            what = f"{disk_of(folder)} is full{written}"
        raise FullDiskError(f"{what}; {kept()}") from error
    finally:
        threading.excepthook = plain
