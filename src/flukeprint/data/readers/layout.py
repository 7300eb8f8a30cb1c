"""Helpers of the readers: listing photographs, and advice about missing files.

The layouts are shown in `input/README.md`.
"""

import warnings
from collections import Counter
from pathlib import Path, PurePosixPath

from flukeprint.config.data import DataConfig
from flukeprint.data.catalog import Catalog
from flukeprint.data.formats.photo_formats import SUFFIXES, named_like_photo
from flukeprint.data.tables import read_sample
from flukeprint.errors import FlukeprintError, counted, listed
from flukeprint.output import Notice
from flukeprint.storage import files_below, is_folder, join


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
    """Sorted posix paths, relative to `folder`, of the photographs in it, without hidden files.

    A warning counts the files that are left out because they are no photographs by their names.
    """
    if not is_folder(folder):
        raise FlukeprintError(f"folder {folder} is missing; {how_to_get(config)}")
    photos, others = sorted_files(folder)
    if not photos:
        raise FlukeprintError(f"folder {folder} holds no photographs ({', '.join(SUFFIXES)})")
    if others:
        kinds = Counter(PurePosixPath(name).suffix.lower() or "no ending" for name in others)
        what = listed(f"{count} {kind}" for kind, count in kinds.most_common())
        warnings.warn(
            f"{folder}: {counted(len(others), 'file')} left out that "
            f"{'is no photograph' if len(others) == 1 else 'are no photographs'} by name: {what}",
            Notice,
            stacklevel=2,
        )
    return photos


def sorted_files(folder: Path) -> tuple[list[str], list[str]]:
    """(photographs by their names, other files) at any depth, sorted, without hidden ones."""
    photos: list[str] = []
    others: list[str] = []
    for name in files_below(folder):
        if not any(part.startswith(".") for part in PurePosixPath(name).parts):
            (photos if named_like_photo(PurePosixPath(name)) else others).append(name)
    return photos, others


def unlabelled_folder(config: DataConfig) -> Catalog:
    """The photographs in the folder `data.test`, ordered as the sample submission, or sorted."""
    folder = config.root / str(config.test)
    sample = sample_path(config)
    images = tuple(photos_below(folder, config)) if sample is None else read_sample(sample).images
    return Catalog(images=images, paths=tuple(join(folder, image) for image in images))
