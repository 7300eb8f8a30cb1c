"""Reads Kaggle's tables of digits, whose rows are the pixels of square grey images."""

import math
import warnings
from pathlib import Path

import numpy as np
import pandas as pd

from flukeprint.config.data import DataConfig
from flukeprint.data.catalog import Catalog
from flukeprint.data.decoding import Pixels
from flukeprint.data.readers.layout import how_to_get
from flukeprint.data.tables import lines, read_header, read_table
from flukeprint.errors import FlukeprintError


def labelled_digits_csv(config: DataConfig) -> Catalog:
    """The table `label,pixel0,pixel1,...`, one digit a row; images are train_1, train_2, ...

    Raises FlukeprintError for wrong columns, a number of pixels that is no square, empty cells
    and values outside 0..255, with the line.
    """
    path = config.root / config.labels
    names = read_header(path, absent=how_to_get(config))
    if names[0] != "label":
        raise FlukeprintError(f"{path}: the first column is label, found {names[0]}")
    pixels, labels = _rows(path, names, names[1:])
    assert labels is not None
    return Catalog(
        images=tuple(f"train_{row + 1}" for row in range(len(pixels))),
        identities=tuple(labels),
        pixels=pixels,
    )


def unlabelled_digits_csv(config: DataConfig) -> Catalog:
    """The table `pixel0,pixel1,...`, one digit a row; images are Kaggle's ImageId: 1, 2, ..."""
    path = config.root / str(config.test)
    names = read_header(path, absent=how_to_get(config))
    pixels, _ = _rows(path, names, names)
    return Catalog(images=tuple(str(row + 1) for row in range(len(pixels))), pixels=pixels)


def _rows(path: Path, names: list[str], columns: list[str]) -> tuple[Pixels, list[str] | None]:
    """Pixels (n, side, side) uint8, and the labels where `names` has a column besides `columns`."""
    side = math.isqrt(len(columns))
    wanted = [f"pixel{i}" for i in range(len(columns))]
    if not columns or side * side != len(columns) or columns != wanted:
        raise FlukeprintError(
            f"{path}: wanted the columns pixel0, pixel1, ... of a square image, found "
            f"{len(columns)} from {columns[0] if columns else 'nothing'}"
        )
    labelled = len(names) > len(columns)
    kinds = dict.fromkeys(columns, np.int16)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)
            table = pd.read_csv(
                path,
                dtype={**kinds, "label": str},
                names=names,
                header=0,
                index_col=False,
                skip_blank_lines=False,
                encoding="utf-8-sig",
                keep_default_na=False,
            )
        values = table[columns].to_numpy(dtype=np.int16)
    except (ValueError, OverflowError, pd.errors.ParserWarning):
        raise _bad_cell(path, columns) from None
    if not len(table):
        raise FlukeprintError(f"{path} has column names but no rows")
    labels = [label.strip() for label in table["label"]] if labelled else None
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
            row = int(table.index[~good][0])
            return FlukeprintError(
                f"{path}, {lines([row])}: {column} is {cells[row]!r}, wanted "
                f"{'a digit' if column == 'label' else 'a whole number from 0 to 255'}"
            )
    return FlukeprintError(f"{path}: a row cannot be read as whole numbers from 0 to 255")
