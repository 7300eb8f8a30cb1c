"""Reads and checks CSV tables; every cell is a stripped string, no type is guessed.

Lines are counted as an editor counts them: the header is line 1, the first row line 2.
"""

import csv
import math
import warnings
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import TextIO

import pandas as pd

from flukeprint.data.catalog import Box
from flukeprint.errors import FlukeprintError, listed, nearest
from flukeprint.storage import is_local, read_bytes, source

CORNERS = ("x0", "y0", "x1", "y1")


@dataclass(frozen=True)
class Sample:
    """What a sample submission prescribes: the two column names, and the photos in order."""

    columns: tuple[str, str]
    images: tuple[str, ...]


def read_header(path: Path, *, absent: str = "check the path") -> list[str]:
    """Read the column names of the CSV `path`; `absent` is the advice when the file is missing."""
    try:
        with _text(path) as file:
            names = [name.strip() for name in next(csv.reader(file), [])]
    except (FileNotFoundError, NotADirectoryError):
        raise FlukeprintError(f"{path} is missing; {absent}") from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise FlukeprintError(f"{path} cannot be read as a CSV table: {_reason(error)}") from None
    if not any(names):
        raise FlukeprintError(f"{path} is empty; it needs a line with column names and rows")
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise FlukeprintError(f"{path}: column names listed twice: {listed(twice)}")
    return names


def read_table(
    path: Path, wanted: Sequence[str], *, absent: str = "check the path"
) -> pd.DataFrame:
    """Read all rows of the CSV `path` as stripped strings, an empty cell as "".

    Raises FlukeprintError for a missing or empty file, text that is no CSV, rows longer than
    the header, rows without any value, and when a column of `wanted` is missing.
    """
    names = read_header(path, absent=absent)
    for name in wanted:
        if name not in names:
            raise FlukeprintError(
                f"{path} has no column {name} (wanted {', '.join(wanted)}): {nearest(name, names)}"
            )
    try:
        with warnings.catch_warnings():
            # pandas only warns of a first row that is too long, and drops its end
            warnings.simplefilter("error", pd.errors.ParserWarning)
            table = pd.read_csv(
                source(path),
                dtype=str,
                keep_default_na=False,
                skip_blank_lines=False,
                index_col=False,
                encoding="utf-8-sig",
                names=names,
                header=0,
            )
    except (pd.errors.ParserError, pd.errors.ParserWarning, UnicodeDecodeError, OSError) as error:
        raise FlukeprintError(f"{path} cannot be read as a CSV table: {_reason(error)}") from None
    if table.empty:
        raise FlukeprintError(f"{path} has column names but no rows")
    for name in names:
        table[name] = table[name].str.strip()
    blank = (table == "").all(axis=1)
    if blank.any():
        raise FlukeprintError(f"{path} has empty rows: {lines(table.index[blank])}; remove them")
    return table


def _text(path: Path) -> TextIO:
    if is_local(path):
        return path.open(encoding="utf-8-sig", newline="")
    return StringIO(read_bytes(path).decode("utf-8-sig"), newline="")


def lines(rows: Iterable[int]) -> str:
    """Name the lines of the file that hold rows: row 1 is `line 3`, rows 1 and 5 `lines 3, 7`."""
    numbers = [int(row) + 2 for row in rows]
    return f"line{'s' if len(numbers) > 1 else ''} {listed(numbers)}"


def check_filled(table: pd.DataFrame, columns: Sequence[str], path: Path) -> None:
    """Refuse rows with an empty cell in one of `columns`."""
    for column in columns:
        empty = table.index[table[column] == ""]
        if len(empty):
            raise FlukeprintError(f"{path}: column {column} is empty in {lines(empty)}")


def check_once(table: pd.DataFrame, key: str, value: str | None, path: Path) -> None:
    """Refuse a `key` in two rows, with a message of its own where their `value`s differ."""
    repeated = table[table[key].duplicated(keep=False)]
    if repeated.empty:
        return
    if value is not None:
        kinds = repeated.groupby(key, sort=False)[value].unique()
        torn = [f"{image} ({', '.join(found)})" for image, found in kinds.items() if len(found) > 1]
        if torn:
            raise FlukeprintError(
                f"{path} gives one photo two values of {value}: {listed(torn)}; keep the right one"
            )
    names = list(dict.fromkeys(repeated[key]))
    raise FlukeprintError(
        f"{path} repeats rows: {listed(names)} ({lines(repeated.index)}); keep one row for each"
    )


def identities_of(labels: Iterable[str], *unknown: str) -> tuple[str | None, ...]:
    """The labels as identities, with None for those that mean an unknown individual."""
    return tuple(None if label in unknown else label for label in labels)


def boxes_of(table: pd.DataFrame, path: Path) -> list[Box | None]:
    """Parse the boxes in the columns x0, y0, x1, y1 (pixels), None where all four are empty."""
    boxes: list[Box | None] = []
    for row, cells in enumerate(table[list(CORNERS)].itertuples(index=False, name=None)):
        boxes.append(None if not any(cells) else _box(cells, f"{path}, {lines([row])}"))
    return boxes


def _box(cells: tuple[str, ...], where: str) -> Box:
    try:
        x0, y0, x1, y1 = (float(cell) for cell in cells)
    except ValueError:
        raise FlukeprintError(f"{where}: a box is four numbers, found {listed(cells)}") from None
    if not (all(map(math.isfinite, (x0, y0, x1, y1))) and x0 < x1 and y0 < y1):
        raise FlukeprintError(f"{where}: a box needs x0 < x1 and y0 < y1, found {listed(cells)}")
    return x0, y0, x1, y1


def read_column(path: Path, column: str) -> dict[str, str | None]:
    """Read a table `Image,<column>` as photo -> value; an empty cell is None."""
    table = read_table(path, ("Image", column))
    check_filled(table, ("Image",), path)
    check_once(table, "Image", column, path)
    return {
        image: value or None for image, value in zip(table["Image"], table[column], strict=True)
    }


def read_boxes(path: Path) -> dict[str, Box | None]:
    """Read a table `Image,x0,y0,x1,y1` as photo -> box; four empty cells are None."""
    table = read_table(path, ("Image", *CORNERS))
    check_filled(table, ("Image",), path)
    check_once(table, "Image", None, path)
    return dict(zip(table["Image"], boxes_of(table, path), strict=True))


def read_sample(path: Path) -> Sample:
    """Read a sample submission: two columns, of which the first names each photo once."""
    names = read_header(path)
    if len(names) != 2:
        raise FlukeprintError(f"{path}: a sample submission has two columns, found {listed(names)}")
    table = read_table(path, names)
    check_filled(table, names[:1], path)
    check_once(table, names[0], None, path)
    return Sample((names[0], names[1]), tuple(table[names[0]]))


def _reason(error: Exception) -> str:
    if isinstance(error, OSError):
        return error.strerror or type(error).__name__
    if isinstance(error, UnicodeDecodeError):
        return f"not UTF-8 text (byte {error.start})"
    if isinstance(error, pd.errors.ParserWarning):
        return "its first row has more cells than there are column names"
    return " ".join(str(error).split())
