"""Writes what is known of photographs as a table: CSV, TSV, XLSX or Parquet, by its name's ending.

`image` is the name of each, `file_path` its file, empty without one.  Boxes are shares of the
upright photograph, under names that no other program takes for pixels.  What a cell cannot carry,
such as blanks at the ends of a text, stands in the column `exactly` beside the nearest text.
"""

import csv
import json
import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from flukeprint.data.exchange.any_table.cells import field_of, text_of
from flukeprint.data.exchange.any_table.columns import FIELDS, NUMBERS, SHARES
from flukeprint.data.exchange.any_table.sheets import EXTRA
from flukeprint.data.exchange.observed import Observed, ObservedPhoto
from flukeprint.errors import FlukeprintError, needs
from flukeprint.files import written_whole
from flukeprint.storage import is_local

_ORDER = (
    "image", "file_path", "identity", "view", "species", "sex", "life_stage", "date", "offset",
    "latitude", "longitude", "uncertainty", "place", "observer", "occasion", "encounter",
    "deployment", *SHARES, "confidence", "probability", "by", "machine", "notes", "exactly",
)  # fmt: skip
_ALWAYS = ("image", "file_path")
_WORKBOOK = ".xlsx"
_MEANS_ANOTHER = re.compile(r"_x[0-9A-Fa-f]{4}_")  # in a workbook, a letter by its number
_BREAKS = ("Cc", "Zl", "Zp", "Cn")  # control characters, ends of lines, no letters
_Rows = Sequence[Sequence[object]]


def write_any_table(observed: Observed, path: Path) -> tuple[str, ...]:
    """Write a table that `read_any_table` reads back to the same photographs.

    Files below the table's folder are named from there, other ones by their whole path.

    Raises:
        FlukeprintError: an ending that no form of table has, or what the form cannot hold.
    """
    suffix = path.suffix.lower()
    if suffix not in _WRITERS:
        raise FlukeprintError(f"{path}: a table is written as {', '.join(_WRITERS)} by its name")
    rows = [_cells(photo, path.parent, suffix) for photo in observed.photos]
    names = [
        name for name in _ORDER
        if name in _ALWAYS or any(row.get(name) is not None for row in rows)
    ]  # fmt: skip
    with written_whole(path) as partial:
        _WRITERS[suffix](partial, names, [[row.get(name) for name in names] for row in rows])
    return ()


def _cells(photo: ObservedPhoto, root: Path, suffix: str) -> dict[str, object]:
    """Field -> cell; absent where nothing is known."""
    values: dict[str, object] = {
        name: getattr(photo, name) for name in _ORDER if hasattr(photo, name)
    }
    values["machine"] = True if photo.machine else None
    values["file_path"] = None if photo.path is None else _name(photo.path, root)
    if photo.box is not None:
        values |= dict(zip(SHARES, photo.box, strict=True))
    cells: dict[str, object] = {}
    exactly: dict[str, tuple[str | None, str]] = {}
    for name, value in values.items():
        if value is None or name == "machine":
            cells[name] = value
            continue
        shown = _shown(name, value, suffix)
        cells[name] = shown
        if shown is None or field_of(name, shown) != value:
            exactly[name] = (text_of(shown), repr(value) if name in NUMBERS else str(value))
    if exactly:
        # `_x0000_` would be read as a letter in a workbook.
        cells["exactly"] = json.dumps(exactly).replace("_x", "\\u005fx")
    return cells


def _shown(name: str, value: object, suffix: str) -> object:
    """The cell for a value: itself, or the nearest that a cell can carry; None for nothing."""
    if name in NUMBERS:
        number = float(str(value))
        # A workbook's writer keeps 16 digits.
        return float(f"{number:.16g}") if suffix == _WORKBOOK else number
    text = "".join(
        " " if letter != "\n" and unicodedata.category(letter) in _BREAKS else letter
        for letter in str(value)
    ).strip()
    if suffix == _WORKBOOK:
        text = _MEANS_ANOTHER.sub("", text)
    try:
        return text if field_of(name, text) is not None else None
    except FlukeprintError:  # no date, or an error of a formula
        return None


def _name(path: Path, root: Path) -> str:
    """A file's name in `root`, or its whole path."""
    if not is_local(path):
        return str(path)
    whole, base = path.absolute(), root.absolute()
    return (whole.relative_to(base) if whole.is_relative_to(base) else whole).as_posix()


def _csv(path: Path, names: Sequence[str], rows: _Rows, separator: str = ",") -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, delimiter=separator)
        table.writerow(names)
        table.writerows([[text_of(cell) or "" for cell in row] for row in rows])


def _tsv(path: Path, names: Sequence[str], rows: _Rows) -> None:
    _csv(path, names, rows, "\t")


def _xlsx(path: Path, names: Sequence[str], rows: _Rows) -> None:
    with needs(EXTRA):
        from flukeprint.data.exchange.any_table.workbooks import write_workbook
    write_workbook(path, names, rows)


def _parquet(path: Path, names: Sequence[str], rows: _Rows) -> None:
    with needs(EXTRA):
        from flukeprint.data.exchange.any_table.parquet import write_parquet
    write_parquet(path, {name: [row[place] for row in rows] for place, name in enumerate(names)})


_WRITERS: Mapping[str, Callable[[Path, Sequence[str], _Rows], None]] = {
    ".csv": _csv, ".tsv": _tsv, ".tab": _tsv, ".txt": _tsv, _WORKBOOK: _xlsx,
    ".parquet": _parquet, ".pq": _parquet,
}  # fmt: skip
assert set(_ORDER) <= set(FIELDS)
