"""Readers: a `DataConfig` enters, a `Catalog` of labelled or of test photographs leaves.

A reader is a pair of functions in `READERS`, chosen by `data.reader`.  Nothing is opened here
but tables: whether photographs can be decoded is the doctor's question.  The layouts are shown
in `input/README.md`.  Names of identities are stripped of blanks at both ends.
"""

from pathlib import Path, PurePosixPath

from flukeprint.config.schema import DataConfig
from flukeprint.errors import FlukeprintError
from flukeprint.storage import files_below, is_folder

SUFFIXES = (
    ".jpg", ".jpeg", ".png", ".tif", ".tiff", ".bmp", ".webp", ".gif", ".jp2", ".avif", ".heic",
    ".heif",
)  # fmt: skip


def _absent(config: DataConfig) -> str:
    """What to do about a missing file of this configuration."""
    if config.reader == "synthetic":
        return "draw it with `flukeprint synthesize`"
    if config.competition is not None:
        return f"get it with `flukeprint download {config.root.name}`"
    return "put it there or set data.root (layouts: input/README.md)"


def _sample(config: DataConfig) -> Path | None:
    name = config.sample_submission
    return None if name is None or config.reader == "digits" else config.root / name


def _photos_below(folder: Path, config: DataConfig) -> list[str]:
    """Sorted posix paths, relative to `folder`, of the photographs in it; hidden files are not."""
    if not is_folder(folder):
        raise FlukeprintError(f"folder {folder} is missing; {_absent(config)}")
    names = (PurePosixPath(name) for name in files_below(folder))
    photos = [
        str(name)
        for name in names
        if name.suffix.lower() in SUFFIXES and not any(part.startswith(".") for part in name.parts)
    ]
    if not photos:
        raise FlukeprintError(f"folder {folder} holds no photographs ({', '.join(SUFFIXES)})")
    return photos
