"""Reads Kaggle's tables of digits, whose rows are the pixels of square grey images."""

import math
from pathlib import Path

import numpy as np

from flukeprint.config.data import DataConfig
from flukeprint.data.catalog import Catalog
from flukeprint.data.decoding import Pixels
from flukeprint.data.names import identity_name
from flukeprint.data.readers.layout import how_to_get
from flukeprint.data.table_format import TableFile, open_table
from flukeprint.data.tables import lines, read_table
from flukeprint.errors import FlukeprintError


def labelled_digits_csv(config: DataConfig) -> Catalog:
    """The table `label,pixel0,pixel1,...`, one digit a row; images are train_1, train_2, ...

    Raises FlukeprintError for wrong columns, a number of pixels that is no square, empty cells
    and values outside 0..255, with the line.
    """
    path = config.root / config.labels
    file = open_table(path, absent=how_to_get(config))
    if file.names[0] != "label":
        raise FlukeprintError(f"{path}: the first column is label, found {file.names[0]}")
    pixels, labels = _rows(file, file.names[1:])
    assert labels is not None
    return Catalog(
        images=tuple(f"train_{row + 1}" for row in range(len(pixels))),
        identities=tuple(labels),
        pixels=pixels,
    )


def unlabelled_digits_csv(config: DataConfig) -> Catalog:
    """The table `pixel0,pixel1,...`, one digit a row; images are Kaggle's ImageId: 1, 2, ..."""
    path = config.root / str(config.test)
    file = open_table(path, absent=how_to_get(config))
    pixels, _ = _rows(file, file.names)
    return Catalog(images=tuple(str(row + 1) for row in range(len(pixels))), pixels=pixels)


def _rows(file: TableFile, columns: list[str]) -> tuple[Pixels, list[str] | None]:
    """Pixels (n, side, side) uint8, and the labels where there is a column besides `columns`."""
    path, names = file.path, file.names
    side = math.isqrt(len(columns))
    wanted = [f"pixel{i}" for i in range(len(columns))]
    if not columns or side * side != len(columns) or columns != wanted:
        raise FlukeprintError(
            f"{path}: wanted the columns pixel0, pixel1, ... of a square image, found "
            f"{len(columns)} from {columns[0] if columns else 'nothing'}"
        )
    labelled = len(names) > len(columns)
    try:
        table = file.read(dict.fromkeys(columns, np.int16))
        values = table[columns].to_numpy(dtype=np.int16)
    except (ValueError, OverflowError):
        # Empty rows at the end, which a spreadsheet leaves, are no numbers either.
        table = read_table(path, names)
        try:
            values = table[columns].to_numpy(dtype=str).astype(np.int16)
        except (ValueError, OverflowError):
            raise _bad_cell(path, columns) from None
    if not len(table):
        raise FlukeprintError(f"{path} has column names but no rows")
    labels = [identity_name(label) for label in table["label"]] if labelled else None
    if values.min() < 0 or values.max() > 255 or (labels is not None and "" in labels):
        raise _bad_cell(path, names)
    return values.astype(np.uint8).reshape(-1, side, side), labels


def _bad_cell(path: Path, columns: list[str]) -> FlukeprintError:
    """An error that names the first wrong cell, found by reading the table again as text."""
    table = read_table(path, columns)  # raises for rows that are too long or empty
    for column in columns:
        cells = table[column]
        good = cells != "" if column == "label" else cells.str.fullmatch(r"\d{1,3}")
        if column != "label":
            good &= cells.where(good, "999").astype(int) <= 255
        if not good.all():
            row = table.index[~good][0]
            return FlukeprintError(
                f"{path}, {lines([row])}: {column} is {cells[row]!r}, wanted "
                f"{'a digit' if column == 'label' else 'a whole number from 0 to 255'}"
            )
    return FlukeprintError(f"{path}: a row cannot be read as whole numbers from 0 to 255")
