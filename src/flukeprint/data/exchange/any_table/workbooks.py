"""Reads and writes a sheet of an XLSX workbook.

Numbers are cells of numbers, whatever they look like; dates are what is formatted as a date.  A
value of merged cells is that of all of them, as a person sees it.
"""

import re
import warnings
import zipfile
from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import openpyxl
from openpyxl.cell import WriteOnlyCell
from openpyxl.reader.excel import ExcelReader
from openpyxl.styles.numbers import BUILTIN_FORMATS, BUILTIN_FORMATS_MAX_SIZE
from openpyxl.styles.stylesheet import apply_stylesheet
from openpyxl.utils import get_column_letter, range_boundaries

from flukeprint.data.exchange.any_table.sheet import LARGEST_TABLE, Sheet
from flukeprint.data.exchange.any_table.sheet_xml import MOST_ROWS, SheetParser
from flukeprint.errors import FlukeprintError, counted, listed, nearest

LONGEST_TEXT = 32_767  # letters of a cell
_OLD = b"\xd0\xcf\x11\xe0"  # an old workbook, or an encrypted one
_NO_CLOCK = re.compile(r'"[^"]*"|\\.|\[(?!h)[^\]]*\]', re.IGNORECASE)


@dataclass(frozen=True)
class _Book:
    """An opened workbook.

    sheets: name -> its part of the archive, those that are shown first.
    strings: shared texts.  days: number of a style -> how its numbers are shown, as
    `SheetParser` has it.  epoch: the day 0 of its dates.
    """

    path: Path
    sheets: Mapping[str, str]
    strings: Sequence[str]
    days: Mapping[int, str]
    epoch: datetime

    def parsed(self, name: str, *, most: int = MOST_ROWS) -> SheetParser:
        """The cells of a sheet; most: rows that are wanted."""
        parser = SheetParser(self.strings, self.days, self.epoch, most=most)
        try:
            with zipfile.ZipFile(self.path) as archive, archive.open(self.sheets[name]) as file:
                parser.parse(file)
        except Exception as error:  # a parser of foreign bytes may fail in any way
            reason = " ".join(str(error).split()) or type(error).__name__
            raise FlukeprintError(
                f"{self.path}: sheet {name} cannot be read after line {parser.number}: {reason}; "
                "open it in a spreadsheet and save it again"
            ) from None
        return parser


def workbook_headers(path: Path) -> tuple[str, ...]:
    """The headers of a workbook's first sheet."""
    book = _opened(path)
    for _, cells in book.parsed(next(iter(book.sheets)), most=1).rows:
        if headers := _headers(cells):
            return headers
    return ()


def read_workbook(path: Path, name: str | None) -> Sheet:
    """Read a sheet of a workbook, the first one where no name is given.

    Its headers are in the first row with a cell.
    """
    book = _opened(path)
    if name is not None and name not in book.sheets:
        raise FlukeprintError(f"{path} has no sheet {name!r}; {nearest(name, book.sheets)}")
    sheet = next(iter(book.sheets)) if name is None else name
    parsed = book.parsed(sheet)
    others = [other for other in book.sheets if other != sheet]
    rows = iter(parsed.rows)
    headers = next((found for _, cells in rows if (found := _headers(cells))), ())
    if not headers:
        raise FlukeprintError(f"{path}: sheet {sheet} is empty")
    width = len(headers)
    below = [(number, (cells + [None] * width)[:width]) for number, cells in rows]
    _fill_merged(below, parsed.merged)
    filled = [(number, cells) for number, cells in below if any(map(_is_filled, cells))]
    columns = tuple(zip(*(cells for _, cells in filled), strict=True)) or ((),) * width
    nameless = [
        get_column_letter(place + 1)
        for place, header in enumerate(headers)
        if not header and any(map(_is_filled, columns[place]))
    ]
    notes = []
    if others and name is None:
        notes.append(f"sheet {sheet} is read; there are also {listed(others)}")
    if nameless:
        notes.append(f"columns without a name are not read: {listed(nameless)}")
    return Sheet(
        headers, columns, [number for number, _ in filled], blind=parsed.blind, notes=tuple(notes)
    )


def write_workbook(path: Path, headers: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Write one sheet of texts, numbers and truths; texts stay texts whatever they look like.

    Raises:
        FlukeprintError: more rows than a sheet holds, or a longer text than a cell.
    """
    if len(rows) >= MOST_ROWS:
        raise FlukeprintError(f"{path}: a sheet holds {MOST_ROWS - 1:,} rows; write a CSV")
    for number, row in enumerate(rows, 2):
        for value in row:
            if isinstance(value, str) and len(value) > LONGEST_TEXT:
                raise FlukeprintError(
                    f"{path}, line {number}: a text of {counted(len(value), 'letter')} is longer "
                    f"than a cell of a workbook, {LONGEST_TEXT:,}; write a CSV"
                )
    book = openpyxl.Workbook(write_only=True)
    sheet = book.create_sheet("photographs")
    sheet.freeze_panes = "A2"
    sheet.append(list(headers))
    for row in rows:
        sheet.append([_cell(sheet, value) for value in row])
    book.save(path)


def _cell(sheet: Any, value: object) -> object:
    if not isinstance(value, str) or not value.startswith(("=", "#")):
        return value
    cell = WriteOnlyCell(sheet, value)
    cell.data_type = "s"  # else it is a formula or an error
    return cell


def _opened(path: Path) -> _Book:
    """Open a workbook; whatever is wrong with its bytes is refused in one line."""
    try:
        _check_size(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of parts that are not read
            # Not load_workbook, which parses a sheet without a dimension only to find none.
            reader = ExcelReader(path, read_only=True, data_only=True, keep_links=False)
            with reader.archive:
                reader.read_manifest()
                reader.read_strings()
                reader.read_workbook()
                apply_stylesheet(reader.archive, reader.wb)
                found = [
                    (sheet.state != "visible", place, sheet.name, rel.target)
                    for place, (sheet, rel) in enumerate(reader.parser.find_sheets())
                    if rel.target in reader.valid_files and "chartsheet" not in rel.Type
                ]
        sheets = {name: target for _, _, name, target in sorted(found)}
        days = {style: _shown(reader.wb, style) for style in reader.wb._date_formats}
        days |= dict.fromkeys(reader.wb._timedelta_formats, "clock")
        book = _Book(path, sheets, reader.shared_strings, days, reader.wb.epoch)
    except (FlukeprintError, MemoryError):
        raise
    except Exception as error:  # a parser of foreign bytes may fail in any way
        reason = " ".join(str(error).split()) or type(error).__name__
        raise FlukeprintError(
            f"{path} cannot be read as an XLSX workbook: {reason}; open it in a spreadsheet and "
            "save it again"
        ) from None
    if not sheets:
        raise FlukeprintError(f"{path} has no sheet with cells")
    return book


def _shown(book: Any, style: int) -> str:
    """Whether dates of a style are shown with a time."""
    number = book._cell_styles[style].numFmtId
    shown = (
        BUILTIN_FORMATS.get(number, "")
        if number < BUILTIN_FORMATS_MAX_SIZE
        else book._number_formats[number - BUILTIN_FORMATS_MAX_SIZE]
    )
    return "moment" if "h" in _NO_CLOCK.sub("", shown).lower() else "day"


def _check_size(path: Path) -> None:
    with path.open("rb") as file:
        if file.read(4) == _OLD:
            raise FlukeprintError(
                f"{path} is an old workbook or one with a password; save it as XLSX without"
            )
    with zipfile.ZipFile(path) as archive:
        # An archive is never unpacked beyond the sizes that it names.
        size = sum(one.file_size for one in archive.infolist())
    if size > LARGEST_TABLE:
        raise FlukeprintError(
            f"{path} unpacks to {size / 2**30:.1f} GiB, more than the {LARGEST_TABLE / 2**30:g} "
            "GiB that are read; save it as CSV or Parquet"
        )


def _is_filled(value: object) -> bool:
    return value is not None and (not isinstance(value, str) or bool(value.strip()))


def _headers(row: Sequence[object]) -> tuple[str, ...]:
    """The row as headers, without empty ones at the end."""
    names = ["" if value is None else " ".join(str(value).split()) for value in row]
    while names and not names[-1]:
        names.pop()
    return tuple(names)


def _fill_merged(rows: list[tuple[int, list[object]]], merged: Sequence[str]) -> None:
    """Give all cells of merged ones their value."""
    numbers = [number for number, _ in rows]
    for reference in merged:
        left, top, right, bottom = range_boundaries(reference)
        first, end = bisect_left(numbers, top), bisect_right(numbers, bottom)
        if first == end or numbers[first] != top or left > len(rows[first][1]):
            continue  # of headers, or empty
        value = rows[first][1][left - 1]
        for _, cells in rows[first:end]:
            cells[left - 1 : right] = [value] * (min(right, len(cells)) - left + 1)
