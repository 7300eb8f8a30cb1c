"""Encounters in tables: photographs of one animal, taken at one time, that belong together."""

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd


# Columns that name a series of photographs.  A photograph may stand in several of them.
SERIES = ("burst", "encounter", "encounter_id", "video")
_DAY = re.compile(r"(\d{4})[-/.:](\d{1,2})[-/.:](\d{1,2})(?!\d)")
_NO_DAY = re.compile(r"\d{4}([-/.]\d{1,2})?")  # a year or a month
_TIME = re.compile(r"[T\s]+\d{1,2}:\d{2}.*")


def series_of(
    table: "pd.DataFrame", identities: Sequence[str | None], *, same_day: bool
) -> tuple[str | None, ...] | None:
    """The series of each photograph of a label table, None for a photograph of none.

    A series holds what one of the columns `SERIES` joins, of one identity, or a chain of them.
    Photographs that stand in none of these are joined by the days of the column `date`.

    same_day: False leaves dates alone.

    Returns None where no photograph has a series.
    """
    columns = {
        name: [text(cell) for cell in table[name]] for name in SERIES if name in table.columns
    }
    columns = {name: cells for name, cells in columns.items() if any(cells)}
    if same_day and "date" in table.columns:
        inside = [any(cells) for cells in zip(*columns.values(), strict=True)]
        days = [day(text(cell)) for cell in table["date"]]
        if inside:
            days = [None if within else one for within, one in zip(inside, days, strict=True)]
        if any(days):
            columns["date"] = days
    if len(columns) == 1:
        return tuple(next(iter(columns.values())))
    return joined(columns, identities) if columns else None


def text(cell: object) -> str | None:
    """A cell as text, whole numbers without `.0`; None where it is empty or NaN."""
    import pandas as pd

    if cell is None or cell is pd.NA or cell is pd.NaT or cell != cell:  # NaN differs from itself
        return None
    if isinstance(cell, float) and cell.is_integer():
        cell = int(cell)
    return str(cell).strip() or None


def day(date: str | None) -> str | None:
    """The day of a date, as a key; None where it tells no day."""
    if date is None or _NO_DAY.fullmatch(date):
        return None
    found = _DAY.match(date)
    if found:
        return f"{found[1]}-{int(found[2]):02d}-{int(found[3]):02d}"
    return _TIME.sub("", date) or None


def joined(
    columns: Mapping[str, Sequence[str | None]], identities: Sequence[str | None]
) -> tuple[str | None, ...]:
    """Number the chains of photographs of one identity that share a value of any column."""
    parent = list(range(len(identities)))

    def root(row: int) -> int:
        while parent[row] != row:
            parent[row] = parent[parent[row]]
            row = parent[row]
        return row

    first: dict[tuple[str, str, str | None], int] = {}
    member = [False] * len(identities)
    for name, cells in columns.items():
        for row, cell in enumerate(cells):
            if cell is not None:
                member[row] = True
                a, b = root(first.setdefault((name, cell, identities[row]), row)), root(row)
                parent[max(a, b)] = min(a, b)
    return tuple(str(root(row)) if member[row] else None for row in range(len(identities)))
