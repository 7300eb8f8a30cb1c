"""Readers: a `DataConfig` enters, a `Catalog` of labelled or of test photographs leaves.

A reader is a pair of functions in `READERS`, chosen by `data.reader`.  Nothing is opened here
but tables: whether photographs can be decoded is the doctor's question.  The layouts are shown
in `input/README.md`.  Names of identities are stripped of blanks at both ends.
"""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TypeVar

from flukeprint.config.schema import DataConfig
from flukeprint.data.catalog import Catalog
from flukeprint.data.readers import digits
from flukeprint.data.readers.digits import _digits_csv, _digits_csv_test
from flukeprint.data.readers.folders import _file_name, _folders
from flukeprint.data.readers.kaggle_csv import _kaggle_csv, _test_folder
from flukeprint.data.readers.layout import _absent, _sample
from flukeprint.data.readers.wildlife import _wildlife, _wildlife_test
from flukeprint.data.tables import read_boxes, read_column
from flukeprint.errors import FlukeprintError, listed
from flukeprint.storage import is_file, is_folder, name_of, names_in

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


@contextlib.contextmanager
def _reachable(config: DataConfig) -> Iterator[None]:
    """A folder or storage that cannot be read, in one line."""
    try:
        yield
    except OSError as error:
        where = config.root if error.filename is None else error.filename
        reason = error.strerror or type(error).__name__
        raise FlukeprintError(f"{where} cannot be read: {reason}") from None


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
