"""Helpers of the readers: listing photographs, and advice about missing files.

The layouts are shown in `input/README.md`.
"""

from pathlib import Path, PurePosixPath

from flukeprint.config.data import DataConfig
from flukeprint.data.catalog import Catalog
from flukeprint.data.tables import read_sample
from flukeprint.errors import FlukeprintError
from flukeprint.storage import files_below, is_folder, join

SUFFIXES = (
    ".jpg", ".jpeg", ".png", ".tif", ".tiff", ".bmp", ".webp", ".gif", ".jp2", ".avif", ".heic",
    ".heif",
)  # fmt: skip


def how_to_get(config: DataConfig) -> str:
    """Advice for the error message about a missing file of this configuration."""
    if config.reader == "synthetic":
        return "draw it with `flukeprint synthesize`"
    if config.competition is not None:
        return f"get it with `flukeprint download {config.root.name}`"
    return "put it there or set data.root (layouts: input/README.md)"


def sample_path(config: DataConfig) -> Path | None:
    """Path of the sample submission, or None where the configuration names none."""
    name = config.sample_submission
    return None if name is None else config.root / name


def photos_below(folder: Path, config: DataConfig) -> list[str]:
    """Sorted posix paths, relative to `folder`, of the photographs in it, without hidden files."""
    if not is_folder(folder):
        raise FlukeprintError(f"folder {folder} is missing; {how_to_get(config)}")
    names = (PurePosixPath(name) for name in files_below(folder))
    photos = [
        str(name)
        for name in names
        if name.suffix.lower() in SUFFIXES and not any(part.startswith(".") for part in name.parts)
    ]
    if not photos:
        raise FlukeprintError(f"folder {folder} holds no photographs ({', '.join(SUFFIXES)})")
    return photos


def unlabelled_folder(config: DataConfig) -> Catalog:
    """The photographs in the folder `data.test`, ordered as the sample submission, or sorted."""
    folder = config.root / str(config.test)
    sample = sample_path(config)
    images = tuple(photos_below(folder, config)) if sample is None else read_sample(sample).images
    return Catalog(images=images, paths=tuple(join(folder, image) for image in images))
