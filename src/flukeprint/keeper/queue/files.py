"""The files of uploaded photographs, in a folder beside the catalogue, until they are decided."""

import contextlib
import hashlib
import re
import shutil
from pathlib import Path

from flukeprint.errors import FlukeprintError
from flukeprint.files import written_whole

FOLDER = "queue"  # in the identifier's
_UNFIT = re.compile(r"[^\w.-]+")
_LONGEST = 80  # characters of a file's name, its end
_BATCH, _DIGEST = re.compile(r"[0-9a-f]{16}"), re.compile(r"[0-9a-f]{64}")


def place_of(folder: Path, batch: str, digest: str, name: str) -> Path:
    """Where the photograph is kept.

    Its name is that of the sender as far as it is fit, since cameras number their files.

    Raises:
        FlukeprintError: a batch or digest that is none.
    """
    if not (_BATCH.fullmatch(batch) and _DIGEST.fullmatch(digest)):
        raise FlukeprintError("a batch is 16 and a digest 64 digits 0-9 and a-f")
    last = re.split(r"[/\\]", name)[-1]
    fit = _UNFIT.sub("_", last)[-_LONGEST:].lstrip(".")
    return folder / FOLDER / batch / digest / (fit or "photo")


def keep_file(path: Path, data: bytes, digest: str) -> None:
    """Write a photograph, whole or not at all.

    Raises:
        FlukeprintError: it is another one than its digest says, or cannot be written.
    """
    if hashlib.sha256(data).hexdigest() != digest:
        raise FlukeprintError("the photograph is not the one of its SHA-256; send it again")
    with written_whole(path) as draft:
        draft.write_bytes(data)


def remove_file(path: Path) -> None:
    """Remove a photograph and its folder, if it is there."""
    with contextlib.suppress(OSError):
        path.unlink(missing_ok=True)
        path.parent.rmdir()


def remove_batch_folder(folder: Path, batch: str) -> None:
    """Remove all that is left of a batch whose photographs the catalogue does not know."""
    if _BATCH.fullmatch(batch):
        shutil.rmtree(folder / FOLDER / batch, ignore_errors=True)
