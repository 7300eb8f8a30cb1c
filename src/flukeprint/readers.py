"""Readers: a `DataConfig` enters, a `Catalog` of labelled or of test photographs leaves.

A reader is a pair of functions in `READERS`, chosen by `data.reader`.  Nothing is opened here
but tables: whether photographs can be decoded is the doctor's question.  The layouts are shown
in `input/README.md`.  Names of identities are stripped of blanks at both ends.
"""

import contextlib
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import TypeVar

from flukeprint import digits
from flukeprint.catalog import Catalog
from flukeprint.config import DataConfig
from flukeprint.errors import FlukeprintError, listed
from flukeprint.photo_paths import files_below, is_file, is_folder, join, name_of, names_in
from flukeprint.tables import (
    CORNERS,
    boxes_of,
    check_filled,
    check_once,
    identities_of,
    read_boxes,
    read_column,
    read_sample,
    read_table,
)
from flukeprint.wildlife import from_wildlife, read_wildlife

__all__ = ["READERS", "Reader", "from_wildlife", "read_label_table", "read_labelled", "read_test"]

SUFFIXES = (
    ".jpg", ".jpeg", ".png", ".tif", ".tiff", ".bmp", ".webp", ".gif", ".jp2", ".avif", ".heic",
    ".heif",
)  # fmt: skip

# How known competitions write an unknown individual: read as an identity it would spoil all.
NEW_LABELS = ("new_whale", "new_individual")

Value = TypeVar("Value")


@dataclass(frozen=True)
class Reader:
    """How a layout is read: the labelled photographs, and those to identify."""

    labelled: Callable[[DataConfig], Catalog]
    test: Callable[[DataConfig], Catalog]


def read_labelled(config: DataConfig, *, photos: bool = True) -> Catalog:
    """The labelled photographs of `config`; an unknown individual has identity None.

    photos: False reads the table alone and asks for no file (to explore labels without photos).

    Raises FlukeprintError, naming file and line, for a missing file or folder, wrong columns,
    empty or repeated rows, two identities for one photo, a photo that is not on disk, a bad
    pattern, and labels that write a new individual otherwise than `data.new_label`.
    """
    with _reachable(config):
        return _labelled(config, photos)


def _labelled(config: DataConfig, photos: bool) -> Catalog:
    catalog = READERS[config.reader].labelled(config)
    other = [name for name in NEW_LABELS if name in catalog.counts() and name != config.new_label]
    if other:
        raise FlukeprintError(
            f"{config.root}: label {other[0]} means an unknown individual, but data.new_label is "
            f"{config.new_label}; set data.new_label={other[0]}"
        )
    if photos:
        _check_present(catalog, config)
    return _with_side_tables(catalog, config, labelled=True)


def read_test(config: DataConfig) -> Catalog:
    """The photographs to identify, all with identity None.

    In the order of the sample submission where the configuration names one (photos that it does
    not list are left out), else sorted by name.
    """
    if config.test is None and config.reader != "digits":
        raise FlukeprintError("this configuration has no test photographs: data.test is not set")
    with _reachable(config):
        return _test(config)


def _test(config: DataConfig) -> Catalog:
    sample = _sample(config)
    if sample is not None and not is_file(sample):  # said now, not after the photos are embedded
        raise FlukeprintError(
            f"{sample} is missing; {_absent(config)}, or set data.sample_submission=null"
        )
    catalog = READERS[config.reader].test(config)
    _check_present(catalog, config)
    return _with_side_tables(catalog, config, labelled=False)


def read_label_table(
    path: Path, new_label: str, *, folder: str = "train", absent: str = "check the path"
) -> Catalog:
    """The table `Image,Id` at `path`, its photos supposed (not checked) in `folder` beside it.

    Optional columns: view; x0, y0, x1, y1; burst.  Rows labelled `new_label` get identity None.
    """
    table = read_table(path, ("Image", "Id"), absent=absent)
    check_filled(table, ("Image", "Id"), path)
    check_once(table, "Image", "Id", path)
    catalog = Catalog(
        images=tuple(table["Image"]),
        paths=tuple(join(path.parent / folder, name) for name in table["Image"]),
        identities=identities_of(table["Id"], new_label),
    )
    if "view" in table:
        catalog = replace(catalog, views=tuple(view or None for view in table["view"]))
    if "burst" in table:
        catalog = replace(catalog, bursts=tuple(burst or None for burst in table["burst"]))
    if set(CORNERS) <= set(table.columns):
        catalog = replace(catalog, boxes=tuple(boxes_of(table, path)))
    return catalog


@contextlib.contextmanager
def _reachable(config: DataConfig) -> Iterator[None]:
    """A folder or storage that cannot be read, in one line."""
    try:
        yield
    except OSError as error:
        where = config.root if error.filename is None else error.filename
        reason = error.strerror or type(error).__name__
        raise FlukeprintError(f"{where} cannot be read: {reason}") from None


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


# kaggle_csv, synthetic


def _kaggle_csv(config: DataConfig) -> Catalog:
    return read_label_table(
        config.root / config.labels, config.new_label, folder=config.train, absent=_absent(config)
    )


def _test_folder(config: DataConfig) -> Catalog:
    folder = config.root / str(config.test)
    sample = _sample(config)
    images = tuple(_photos_below(folder, config)) if sample is None else read_sample(sample).images
    return Catalog(images=images, paths=tuple(join(folder, image) for image in images))


# folders, file_name


def _folders(config: DataConfig) -> Catalog:
    folder = config.root / config.train
    images = _photos_below(folder, config)
    stray = [image for image in images if "/" not in image]
    if stray:
        raise FlukeprintError(
            f"{folder}: photos outside a folder of an identity: {listed(stray)}; "
            "reader `folders` wants one folder an identity"
        )
    labels = [image.split("/", 1)[0].strip() for image in images]
    return Catalog(
        images=tuple(images),
        paths=tuple(join(folder, image) for image in images),
        identities=identities_of(labels, config.new_label),
    )


def _file_name(config: DataConfig) -> Catalog:
    folder = config.root / config.train
    pattern = _compiled(config.pattern)
    images = _photos_below(folder, config)
    labels = []
    unmatched = []
    for image in images:
        match = pattern.search(PurePosixPath(image).name)
        label = (match["identity"] or "").strip() if match else ""
        labels.append(label)
        if not label:
            unmatched.append(image)
    if unmatched:
        share = f"{len(unmatched)} of {len(images)} file names"
        raise FlukeprintError(
            f"data.pattern {config.pattern} does not match {share} in {folder}: {listed(unmatched)}"
        )
    return Catalog(
        images=tuple(images),
        paths=tuple(join(folder, image) for image in images),
        identities=identities_of(labels, config.new_label),
    )


def _compiled(pattern: str | None) -> re.Pattern[str]:
    example = r"such as (?P<identity>.+)_\d+\.jpg"
    if pattern is None:
        raise FlukeprintError(f"reader file_name needs data.pattern, {example}")
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise FlukeprintError(
            f"data.pattern {pattern} is not a regular expression: {error}"
        ) from None
    if "identity" not in compiled.groupindex:
        raise FlukeprintError(f"data.pattern {pattern} has no group `identity`, {example}")
    return compiled


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


# for every reader


def _check_present(catalog: Catalog, config: DataConfig) -> None:
    """Refuse photos that are not on disk; each folder is listed once, not each file asked for."""
    if catalog.paths is None:
        return
    present = {folder: names_in(folder) for folder in {path.parent for path in catalog.paths}}
    missing = [path for path in catalog.paths if name_of(path) not in present[path.parent]]
    if not missing:
        return
    if len(present) == 1 and not is_folder(folder := next(iter(present))):
        raise FlukeprintError(f"folder {folder} is missing; {_absent(config)}")
    raise FlukeprintError(
        f"{len(missing)} of {len(catalog)} listed photos are not on disk below {config.root}: "
        f"{listed(path.relative_to(config.root).as_posix() for path in missing)}; "
        "restore them or remove their rows"
    )


def _with_side_tables(catalog: Catalog, config: DataConfig, *, labelled: bool) -> Catalog:
    """Add views, boxes and bursts from the tables that `config` names; they replace columns."""

    def of(table: Mapping[str, Value], name: str) -> tuple[Value | None, ...]:
        # Test photos may well be missing in it; a table that knows no labelled photo is wrong.
        if labelled and not any(image in table for image in catalog.images):
            raise FlukeprintError(
                f"{config.root / name} names none of the photos, such as {catalog.images[0]}"
            )
        return tuple(table.get(image) for image in catalog.images)

    if config.views is not None:
        views = read_column(config.root / config.views, "view")
        catalog = replace(catalog, views=of(views, config.views))
    if config.boxes is not None:
        catalog = replace(catalog, boxes=of(read_boxes(config.root / config.boxes), config.boxes))
    if config.bursts is not None:
        bursts = read_column(config.root / config.bursts, "burst")
        catalog = replace(catalog, bursts=of(bursts, config.bursts))
    return catalog


def _digits_csv(config: DataConfig) -> Catalog:
    return digits.labelled_rows(config.root / config.labels, absent=_absent(config))


def _digits_csv_test(config: DataConfig) -> Catalog:
    return digits.unlabelled_rows(config.root / str(config.test), absent=_absent(config))


def _wildlife(config: DataConfig) -> Catalog:
    table = config.root / config.labels
    return read_wildlife(
        table, config.root, "train", new_label=config.new_label, absent=_absent(config)
    )


def _wildlife_test(config: DataConfig) -> Catalog:
    table = config.root / config.labels
    return read_wildlife(
        table, config.root, "test", new_label=config.new_label, absent=_absent(config)
    )


READERS: dict[str, Reader] = {
    "kaggle_csv": Reader(_kaggle_csv, _test_folder),
    "folders": Reader(_folders, _test_folder),
    "file_name": Reader(_file_name, _test_folder),
    "wildlife": Reader(_wildlife, _wildlife_test),
    "digits": Reader(
        lambda config: digits.labelled_digits(), lambda config: digits.unlabelled_digits()
    ),
    "digits_csv": Reader(_digits_csv, _digits_csv_test),
    "synthetic": Reader(_kaggle_csv, _test_folder),
}
