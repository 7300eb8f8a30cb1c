"""Digits: scikit-learn's or Kaggle's rows of pixels enter, a `Catalog` with pixels leaves.

Every digit is an identity and no individual is ever new, so the pipeline can be tried in
seconds, without photographs.
"""

import math
import warnings
from pathlib import Path

import numpy as np
import pandas as pd

from flukeprint.config.schema import DataConfig
from flukeprint.data.catalog import Catalog
from flukeprint.data.decoding import Pixels
from flukeprint.data.readers.layout import _absent
from flukeprint.data.tables import lines, read_header, read_table
from flukeprint.errors import FlukeprintError

TEST_SHARE = 0.2  # of scikit-learn's 1,797 digits
SEED = 0


def labelled_digits() -> Catalog:
    """Four fifths of `sklearn.datasets.load_digits`: pixels (1438, 8, 8) uint8, images d0000..."""
    return _digits(test=False)


def unlabelled_digits() -> Catalog:
    """The other fifth, without identities: pixels (359, 8, 8) uint8.

    The share is drawn with a fixed seed.
    """
    return _digits(test=True)


def _digits(*, test: bool) -> Catalog:
    from sklearn.datasets import load_digits

    data = load_digits()
    order = np.random.default_rng(SEED).permutation(len(data.target))
    held_out = round(TEST_SHARE * len(order))
    rows = np.sort(order[:held_out] if test else order[held_out:])
    # scikit-learn stores 0..16
    pixels = np.rint(data.images[rows] * (255 / 16)).astype(np.uint8)
    return Catalog(
        images=tuple(f"d{row:04d}" for row in rows),
        identities=() if test else tuple(str(label) for label in data.target[rows]),
        pixels=pixels,
    )


def labelled_rows(path: Path, *, absent: str = "check the path") -> Catalog:
    """`label,pixel0,pixel1,...`, one digit a row; images are train_1, train_2, ...

    Raises FlukeprintError for wrong columns, a number of pixels that is no square, empty cells
    and values outside 0..255, with the line.
    """
    names = read_header(path, absent=absent)
    if names[0] != "label":
        raise FlukeprintError(f"{path}: the first column is label, found {names[0]}")
    pixels, labels = _rows(path, names, names[1:])
    assert labels is not None
    return Catalog(
        images=tuple(f"train_{row + 1}" for row in range(len(pixels))),
        identities=tuple(labels),
        pixels=pixels,
    )


def unlabelled_rows(path: Path, *, absent: str = "check the path") -> Catalog:
    """`pixel0,pixel1,...`, one digit a row; images are Kaggle's ImageId: 1, 2, ..."""
    names = read_header(path, absent=absent)
    pixels, _ = _rows(path, names, names)
    return Catalog(images=tuple(str(row + 1) for row in range(len(pixels))), pixels=pixels)


def _rows(path: Path, names: list[str], columns: list[str]) -> tuple[Pixels, list[str] | None]:
    """Pixels (n, side, side) and, where the first column is no pixel, the labels."""
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
    """The first cell that is wrong, found by reading the table again as text."""
    table = read_table(path, columns)  # raises by itself for rows that are too long or empty
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


def _digits_csv(config: DataConfig) -> Catalog:
    return labelled_rows(config.root / config.labels, absent=_absent(config))


def _digits_csv_test(config: DataConfig) -> Catalog:
    return unlabelled_rows(config.root / str(config.test), absent=_absent(config))
