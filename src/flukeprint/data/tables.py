"""Reads and checks CSV tables; every cell is a stripped string, no type is guessed.

Lines are counted as an editor counts them: the header is line 1, the first row line 2.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from flukeprint.data.names import identity_name
from flukeprint.data.table_format import open_table
from flukeprint.errors import FlukeprintError, listed, nearest

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Sample:
    """What a sample submission prescribes: the two column names, and the photos in order."""

    columns: tuple[str, str]
    images: tuple[str, ...]


def read_header(path: Path, *, absent: str = "check the path") -> list[str]:
    """Read the column names of the CSV `path`; `absent` is the advice when the file is missing."""
    return open_table(path, absent=absent).names


def read_table(
    path: Path, wanted: Sequence[str], *, absent: str = "check the path"
) -> "pd.DataFrame":
    """Read all rows of the CSV `path` as stripped strings, an empty cell as "".

    Empty rows at the end, and columns without a name and a cell, are left out.

    Raises FlukeprintError for a missing or empty file, text that is no CSV, rows longer than
    the header, rows without any value, and when a column of `wanted` is missing.
    """
    file = open_table(path, wanted, absent=absent)
    for name in wanted:
        if name not in file.header:
            raise FlukeprintError(
                f"{path} has no column {name} (wanted {', '.join(wanted)}): "
                f"{nearest(name, file.names)}"
            )
    table = file.read().fillna("")  # a row that is too short lacks its last cells
    for name in table.columns:
        table[name] = table[name].str.strip()
    blank = (table == "").all(axis=1)
    table = table[~blank[::-1].cummin()[::-1]]
    if table.empty:
        raise FlukeprintError(f"{path} has column names but no rows")
    blank = blank[table.index]
    if blank.any():
        raise FlukeprintError(f"{path} has empty rows: {lines(table.index[blank])}; remove them")
    table.attrs["decimal"] = "," if file.separator == ";" else "."
    return table


def lines(rows: Iterable[int]) -> str:
    """Name the lines of the file that hold rows: row 1 is `line 3`, rows 1 and 5 `lines 3, 7`."""
    numbers = [int(row) + 2 for row in rows]
    return f"line{'s' if len(numbers) > 1 else ''} {listed(numbers)}"


def check_filled(table: "pd.DataFrame", columns: Sequence[str], path: Path) -> None:
    """Refuse rows with an empty cell in one of `columns`."""
    for column in columns:
        empty = table.index[table[column] == ""]
        if len(empty):
            raise FlukeprintError(f"{path}: column {column} is empty in {lines(empty)}")


def check_once(table: "pd.DataFrame", key: str, value: str | None, path: Path) -> None:
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
    """The labels as names of individuals, with None for those that mean an unknown one.

    The case of `unknown` does not matter.
    """
    nobody = {identity_name(label).casefold() for label in unknown}
    names = (identity_name(label) for label in labels)
    return tuple(None if name.casefold() in nobody else name for name in names)


def read_column(path: Path, column: str) -> dict[str, str | None]:
    """Read a table `Image,<column>` as photo -> value; an empty cell is None."""
    table = read_table(path, ("Image", column))
    check_filled(table, ("Image",), path)
    check_once(table, "Image", column, path)
    return {
        image: value or None for image, value in zip(table["Image"], table[column], strict=True)
    }


def read_sample(path: Path) -> Sample:
    """Read a sample submission: two columns, of which the first names each photo once."""
    names = read_header(path)
    if len(names) != 2:
        raise FlukeprintError(f"{path}: a sample submission has two columns, found {listed(names)}")
    table = read_table(path, names)
    check_filled(table, names[:1], path)
    check_once(table, names[0], None, path)
    return Sample((names[0], names[1]), tuple(table[names[0]]))
