"""Reads photographs from any table: a row is a photograph, or a box of one.

What is wrong with its rows is told all at once, with their numbers.
"""

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from flukeprint.data.catalog import Box
from flukeprint.data.exchange.any_table.cells import field_of, number_of, text_of
from flukeprint.data.exchange.any_table.columns import (
    EXACT,
    MAIN,
    NUMBERS,
    SHARES,
    choose,
    is_recognised,
)
from flukeprint.data.exchange.any_table.dates import at_time, check_order, read_date, read_time
from flukeprint.data.exchange.any_table.patterns import read_folders
from flukeprint.data.exchange.any_table.sheet import Sheet
from flukeprint.data.exchange.any_table.sheets import headers_of, read_sheet
from flukeprint.data.exchange.json_files import box_name, file_of, posix_name
from flukeprint.data.exchange.observed import LeftOut, Observed, ObservedPhoto
from flukeprint.data.exchange.options import ReadOptions
from flukeprint.data.readers.boxes import CORNERS, box_of_cell, in_unit, upright_size
from flukeprint.errors import FlukeprintError, ProblemsError, listed

FORM = "table"
_ALONE = ("date", "time", "box", "folder", "file_path", MAIN, "exactly", *CORNERS, *SHARES)
_MOST_PROBLEMS = 20  # that are told


def recognises(path: Path) -> bool:
    """Whether a file is a table whose headers tell of photographs."""
    try:
        return is_recognised(headers_of(path))
    except FlukeprintError:
        return False


def read_any_table(
    path: Path, root: Path | None = None, options: ReadOptions | None = None
) -> Observed:
    """Read a table, or with a pattern a folder of photographs.

    root: where names of photographs begin; the table's folder by default.

    Raises:
        ProblemsError: what is wrong with its rows, with the number of each.
        FlukeprintError: it cannot be read, or does not say which photographs it tells of.
    """
    options = options or ReadOptions()
    check_order(options.dates)
    if path.is_dir():
        if options.pattern is None:
            raise FlukeprintError(
                f"{path} is a folder; say with a pattern how its files are called, such as "
                "{site}/{identity}/{view}_*.jpg"
            )
        return read_folders(path, options)
    if options.pattern is not None:
        raise FlukeprintError(f"{path} is no folder, and a pattern is of the files of one")
    sheet = read_sheet(path, tuple(options.columns.values()), options.sheet)
    return _Reader(path, root or path.parent, sheet, options).read()


@dataclass
class _Row:
    """A row that is to be a photograph.

    name: what it calls its photograph.  pixels: a box that is not in shares yet.
    """

    number: int
    name: str
    path: Path | None
    values: dict[str, Any] = field(default_factory=dict)
    box: Box | None = None
    pixels: Box | None = None


class _Reader:
    """Reads one table."""

    def __init__(self, path: Path, root: Path, sheet: Sheet, options: ReadOptions) -> None:
        self._path, self._root, self._sheet, self._options = path, root, sheet, options
        self._chosen = choose(sheet.headers, options.columns, str(path))
        self._places = self._chosen.places
        self._comma = sheet.comma if options.decimal is None else options.decimal == "comma"
        if MAIN not in self._places:
            raise FlukeprintError(
                f"{path} has no column that names photographs; say which of "
                f"{listed(name for name in sheet.headers if name)} is the {MAIN}"
            )
        for name, place in self._places.items():
            if place in sheet.blind:
                raise FlukeprintError(
                    f"{path}: the formula in cell {sheet.blind[place]} ({name}) was never "
                    "calculated; open the workbook in a spreadsheet and save it"
                )
        for several in (CORNERS, SHARES):
            given = [name for name in several if name in self._places]
            if given and len(given) < 4:
                raise FlukeprintError(f"{path}: a box needs {listed(several)}, found {given}")
        self._problems: list[tuple[int, str]] = []
        self._left = LeftOut()

    def read(self) -> Observed:
        """The photographs of all rows."""
        rows = list(self._rows())
        self._measure([row for row in rows if row.pixels is not None])
        rows = [row for row in rows if row.pixels is None]
        photos = self._named(rows)
        if self._problems:
            told = [
                f"{self._path}, {self._sheet.row_word} {number}: {problem}"
                for number, problem in sorted(self._problems)
            ]
            raise ProblemsError(told, str(self._path), most=_MOST_PROBLEMS)
        notes = list(self._sheet.notes)
        if self._chosen.ignored:
            notes.append(f"columns that mean nothing here: {listed(self._chosen.ignored)}")
        return Observed(
            FORM, self._path.suffix.lower().removeprefix("."), photos,
            self._left.counts, self._left.examples, tuple(notes),
        )  # fmt: skip

    def _rows(self) -> Iterator[_Row]:
        columns = {name: self._sheet.columns[place] for name, place in self._places.items()}
        names = tuple(columns)
        for number, cells in zip(
            self._sheet.rows, zip(*columns.values(), strict=True), strict=True
        ):
            try:
                yield self._row(number, dict(zip(names, cells, strict=True)))
            except FlukeprintError as error:
                self._problems.append((number, str(error)))

    def _row(self, number: int, cells: dict[str, Any]) -> _Row:
        exact: Mapping[str, Any] = _exact(cells.get("exactly"))
        # Where a person has changed the cell since, it counts.
        exact = {
            key: value for key, (shown, value) in exact.items() if _shown(cells.get(key)) == shown
        }
        cells |= exact
        name, folder = _as_text(MAIN, cells, exact), text_of(cells.get("folder"))
        if name is None:
            raise FlukeprintError("no photograph is named")
        if folder is not None:
            name = f"{posix_name(folder).rstrip('/')}/{posix_name(name)}"
        file = _as_text("file_path", cells, exact) if "file_path" in cells else name
        row = _Row(number, name, None if file is None else file_of(posix_name(file), self._root))
        for key, cell in cells.items():
            if key in exact and key not in (MAIN, "file_path", *NUMBERS):
                row.values[key] = cell
            elif key not in _ALONE:
                row.values[key] = field_of(key, cell, comma=self._comma)
        self._date(row, cells, exact)
        self._box(row, cells)
        values = row.values
        if (values.get("latitude") is None) != (values.get("longitude") is None):
            raise FlukeprintError("a position needs latitude and longitude")
        return row

    def _date(self, row: _Row, cells: Mapping[str, Any], exact: Mapping[str, Any]) -> None:
        if "date" in exact:
            return
        day, offset = read_date(cells.get("date") or "", self._options.dates)
        if "time" in cells:
            clock, other = read_time(cells["time"] if cells["time"] is not None else "")
            if clock is not None:
                day, offset = at_time(day, clock), other or offset
        row.values["date"] = day
        if row.values.get("offset") is None:
            row.values["offset"] = offset

    def _box(self, row: _Row, cells: Mapping[str, Any]) -> None:
        found = []
        if "box" in cells:
            box = box_of_cell(cells["box"], "the box", self._options.box_unit)
            found.append((box, self._options.box_unit))
        if CORNERS[0] in cells:
            box = self._corners(cells, CORNERS)
            if box is not None:
                box = in_unit(box, self._options.box_unit, "x0, y0, x1, y1")
            found.append((box, self._options.box_unit))
        if SHARES[0] in cells:
            found.append((self._corners(cells, SHARES), "share"))
        boxes = [(box, unit) for box, unit in found if box is not None]
        if len(boxes) > 1:
            raise FlukeprintError("the box is given in several columns; keep one")
        for box, unit in boxes:
            if unit == "pixels":
                row.pixels = box
            else:
                x0, y0, x1, y1 = box
                if not (0 <= x0 < x1 <= 1 and 0 <= y0 < y1 <= 1):
                    raise FlukeprintError(f"the box {_written(box)} is no part of the photograph")
                row.box = box

    def _corners(self, cells: Mapping[str, Any], names: Sequence[str]) -> Box | None:
        sides = [number_of(cells[name], name, comma=self._comma) for name in names]
        known = [side for side in sides if side is not None]
        if not known:
            return None
        if len(known) < 4:
            raise FlukeprintError(f"{listed(names)}: a box is four numbers, found {len(known)}")
        x0, y0, x1, y1 = known
        if not (x0 < x1 and y0 < y1):
            raise FlukeprintError(f"the box {_written(known)} has no area")
        return x0, y0, x1, y1

    def _measure(self, rows: Sequence[_Row]) -> None:
        """Turn pixels into shares by the sizes of the photographs, each of which is looked at once.

        Rows of photographs that cannot be measured are left out.
        """
        paths = list({row.path: None for row in rows})
        with ThreadPoolExecutor(8) as pool:
            found = pool.map(lambda path: None if path is None else upright_size(path), paths)
        sizes = dict(zip(paths, found, strict=True))
        for row in rows:
            size = sizes[row.path]
            if size is None or row.pixels is None:
                why = "boxes in pixels of photographs that are not there or cannot be read"
                self._left.note(why, row.name)
                continue
            x0, y0, x1, y1 = row.pixels
            width, height = size
            x0, x1 = (min(max(side / width, 0.0), 1.0) for side in (x0, x1))
            y0, y1 = (min(max(side / height, 0.0), 1.0) for side in (y0, y1))
            row.box = (x0, y0, x1, y1) if x0 < x1 and y0 < y1 else None
            if row.box is None:
                what = f"the box {_written(row.pixels)} lies outside the photograph"
                self._problems.append((row.number, f"{what}, {width} x {height}"))
            row.pixels = None

    def _named(self, rows: Sequence[_Row]) -> tuple[ObservedPhoto, ...]:
        """The photographs with a name each: that of the file, with a number for each of its boxes.

        Where the table has names of files beside names of photographs, as it names them.
        """
        together: defaultdict[object, list[_Row]] = defaultdict(list)
        own = "file_path" in self._places
        for row in rows:
            together[row.name if own else row.path].append(row)
        taken = {row.name for row in rows}
        names: dict[int, str] = {}
        for several in together.values():
            seen: dict[Box | None, int] = {}
            for place, row in enumerate(several, 1):
                if (own and place > 1) or row.box in seen:
                    other = several[0].number if own else seen[row.box]
                    self._problems.append(
                        (row.number, f"{row.name} is in {self._sheet.row_word} {other} as well; "
                         "keep one row")
                    )  # fmt: skip
                seen[row.box] = row.number
                name = box_name(row.name, place, len(several))
                while len(several) > 1 and name in taken:
                    name += "'"
                taken.add(name)
                names[row.number] = name
        if self._problems:
            return ()
        return tuple(
            ObservedPhoto(names[row.number], row.path, box=row.box, **row.values) for row in rows
        )


def _as_text(name: str, cells: Mapping[str, Any], exact: Mapping[str, Any]) -> str | None:
    return str(cells[name]) if name in exact else text_of(cells.get(name))


def _shown(cell: object) -> str | None:
    try:
        return text_of(cell)
    except FlukeprintError:
        return None


def _exact(cell: object) -> dict[str, tuple[str | None, Any]]:
    """Field -> the text of its cell, and what it stands for, as `writing` writes it."""
    text = text_of(cell)
    if text is None:
        return {}
    wrong = FlukeprintError("the column exactly is not as flukeprint writes it; empty the cell")
    try:
        tree = json.loads(text)
    except (ValueError, RecursionError):
        raise wrong from None
    if not isinstance(tree, dict):
        raise wrong
    found = {}
    for name, pair in tree.items():
        if not (isinstance(pair, list) and len(pair) == 2) or name not in EXACT:
            raise wrong
        shown, value = pair
        # A number is kept as text, and read as the cells are.
        if not (shown is None or isinstance(shown, str)) or not isinstance(value, str):
            raise wrong
        found[name] = (shown, value)
    return found


def _written(box: Sequence[float]) -> str:
    return ", ".join(f"{side:g}" for side in box)
