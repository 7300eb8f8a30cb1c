"""Reads the catalogue of a data set, in whichever layout `data.reader` names.

A new layout is a module of this package and a row of `READERS`, named in `DataConfig.reader`.
Only tables are opened here: whether photographs can be decoded is checked by `doctor`.  The
layouts are shown in `input/README.md`.  Names of identities are in Unicode form C, without blanks
at both ends.
"""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TypeVar

from flukeprint.config.data import DataConfig, TimedBursts
from flukeprint.data.catalog import Catalog
from flukeprint.data.readers.boxes import boxes_in_pixels, read_boxes
from flukeprint.data.readers.capture_times import with_timed_bursts
from flukeprint.data.readers.digits import labelled_digits, unlabelled_digits
from flukeprint.data.readers.digits_csv import labelled_digits_csv, unlabelled_digits_csv
from flukeprint.data.readers.file_name import labelled_file_names
from flukeprint.data.readers.folders import labelled_folders
from flukeprint.data.readers.imported import labelled_imported, unlabelled_imported
from flukeprint.data.readers.kaggle_csv import labelled_kaggle_csv
from flukeprint.data.readers.layout import how_to_get, sample_path, unlabelled_folder
from flukeprint.data.readers.photo_names import on_disk, rows_of_photos
from flukeprint.data.readers.shapes import labelled_shapes, unlabelled_shapes
from flukeprint.data.readers.wildlife import labelled_wildlife, unlabelled_wildlife
from flukeprint.data.tables import read_column
from flukeprint.errors import FlukeprintError
from flukeprint.storage import is_file, is_folder

# How known competitions label an unknown individual, which must not be read as one identity.
NEW_LABELS = ("new_whale", "new_individual", "unknown")
Value = TypeVar("Value")


@dataclass(frozen=True)
class Reader:
    """The two functions that read a layout.

    labelled: reads the photographs to train on, whose identities are known.
    unlabelled: reads the photographs to identify, the test set.
    packaged: the data come with an installed package or are drawn as they are read: there is no
        folder, and neither `data.test` nor a sample submission need be set.
    one_table: the rows to train on and those to identify are of one table, which may lack these.
    shares: boxes are shares of the photographs, whatever unit `data.box_unit` says of tables.
    """

    labelled: Callable[[DataConfig], Catalog]
    unlabelled: Callable[[DataConfig], Catalog]
    packaged: bool = False
    one_table: bool = False
    shares: bool = False


READERS: dict[str, Reader] = {
    "kaggle_csv": Reader(labelled_kaggle_csv, unlabelled_folder),
    "folders": Reader(labelled_folders, unlabelled_folder),
    "file_name": Reader(labelled_file_names, unlabelled_folder),
    "wildlife": Reader(labelled_wildlife, unlabelled_wildlife, one_table=True),
    "digits": Reader(labelled_digits, unlabelled_digits, packaged=True),
    "digits_csv": Reader(labelled_digits_csv, unlabelled_digits_csv),
    "shapes": Reader(labelled_shapes, unlabelled_shapes, packaged=True),
    "synthetic": Reader(labelled_kaggle_csv, unlabelled_folder),
    "imported": Reader(labelled_imported, unlabelled_imported, shares=True),
}


def read_labelled(config: DataConfig, *, photos: bool = True) -> Catalog:
    """Read the labelled photographs of `config`; an unknown individual has identity None.

    photos: False reads the table alone and needs no photograph (to explore labels).

    Raises FlukeprintError, naming file and line, for a missing file or folder, wrong columns,
    empty or repeated rows, two identities for one photo, a photo that is not on disk, a bad
    pattern, and labels that write a new individual otherwise than `data.new_label`.
    """
    with _reachable(config):
        return _labelled(config, photos)


def _labelled(config: DataConfig, photos: bool) -> Catalog:
    catalog = READERS[config.reader].labelled(config)
    other = [name for name in catalog.counts() if name.casefold() in NEW_LABELS]
    if other:  # data.new_label itself is read as no identity
        raise FlukeprintError(
            f"{config.root}: label {other[0]} means an unknown individual, but data.new_label is "
            f"{config.new_label}; set data.new_label={other[0]}"
        )
    if photos:
        catalog = on_disk(catalog, config)
    catalog = _with_side_tables(catalog, config, labelled=True)
    if photos and isinstance(config.bursts, TimedBursts):
        catalog = with_timed_bursts(catalog, config.bursts.seconds)
    return boxes_in_pixels(catalog) if photos and _in_shares(config) else catalog


def read_test(config: DataConfig) -> Catalog:
    """Read the photographs to identify, all with identity None.

    In the order of the sample submission where the configuration names one (photos that it does
    not list are left out), else sorted by name.
    """
    if config.test is None and not READERS[config.reader].packaged:
        raise FlukeprintError("this configuration has no test photographs: data.test is not set")
    with _reachable(config):
        return _test(config)


def photos_to_identify(config: DataConfig) -> Catalog | None:
    """Read the photographs to identify where there are some; else None.

    All of them where the sample submission is not there yet, which `read_test` refuses.
    """
    reader = READERS[config.reader]
    if reader.packaged:
        return read_test(config)
    if config.test is None:
        return None
    with _reachable(config):
        if reader.one_table:
            try:
                reader.unlabelled(config)
            except FlukeprintError:  # no row is marked so
                return None
        elif not (is_folder(config.root / config.test) or is_file(config.root / config.test)):
            return None
        sample = sample_path(config)
        if sample is not None and not is_file(sample):
            config = config.model_copy(update={"sample_submission": None})
    return read_test(config)


def _test(config: DataConfig) -> Catalog:
    reader = READERS[config.reader]
    sample = None if reader.packaged else sample_path(config)
    if sample is not None and not is_file(sample):  # refused now, not after hours of embedding
        raise FlukeprintError(
            f"{sample} is missing; {how_to_get(config)}, or set data.sample_submission=null"
        )
    catalog = on_disk(reader.unlabelled(config), config)
    catalog = _with_side_tables(catalog, config, labelled=False)
    return boxes_in_pixels(catalog) if _in_shares(config) else catalog


def _in_shares(config: DataConfig) -> bool:
    """Whether boxes are shares: as the reader gives them, or as a table of boxes has them."""
    of_reader = config.boxes is None and READERS[config.reader].shares
    return of_reader or config.box_unit == "share"


@contextlib.contextmanager
def _reachable(config: DataConfig) -> Iterator[None]:
    """Report a folder or storage that cannot be read in one line."""
    try:
        yield
    except OSError as error:
        where = config.root if error.filename is None else error.filename
        reason = error.strerror or type(error).__name__
        raise FlukeprintError(f"{where} cannot be read: {reason}") from None


def _with_side_tables(catalog: Catalog, config: DataConfig, *, labelled: bool) -> Catalog:
    """Add views, boxes and bursts from the tables that `config` names, replacing present ones."""

    def of(table: Mapping[str, Value], name: str) -> tuple[Value | None, ...]:
        path = config.root / name
        row_of = rows_of_photos(
            table, catalog.images, path, lambda: _images(config, labelled=not labelled),
            kind="labelled" if labelled else "test",
        )  # fmt: skip
        # Such tables may lack all test photos; one that lacks all labelled photos is a mistake.
        if labelled and not row_of:
            raise FlukeprintError(f"{path} names none of the photos, such as {catalog.images[0]}")
        rows = (row_of.get(image) for image in catalog.images)
        return tuple(None if row is None else table[row] for row in rows)

    if config.views is not None:
        views = read_column(config.root / config.views, "view")
        catalog = replace(catalog, views=of(views, config.views))
    if config.boxes is not None:
        boxes = read_boxes(config.root / config.boxes, config.box_unit)
        catalog = replace(catalog, boxes=of(boxes, config.boxes))
    if isinstance(config.bursts, str):
        bursts = read_column(config.root / config.bursts, "burst")
        catalog = replace(catalog, bursts=of(bursts, config.bursts))
    return catalog


def _images(config: DataConfig, *, labelled: bool) -> tuple[str, ...] | None:
    """Names of all labelled, or all test photographs; None where they cannot be listed."""
    if config.test is None and not labelled:
        return ()
    reader = READERS[config.reader]
    everything = config.model_copy(update={"sample_submission": None})
    try:
        return (reader.labelled if labelled else reader.unlabelled)(everything).images
    except (FlukeprintError, OSError):
        return None
