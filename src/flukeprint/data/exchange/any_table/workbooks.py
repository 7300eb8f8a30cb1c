"""Reads and writes a sheet of an XLSX workbook.

Numbers are cells of numbers, whatever they look like; dates are what is formatted as a date.  A
value of merged cells is that of all of them, as a person sees it.
"""

import contextlib
import re
import warnings
import zipfile
from collections.abc import Iterator, Sequence
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import openpyxl
from openpyxl.cell import WriteOnlyCell
from openpyxl.utils import get_column_letter, range_boundaries

from flukeprint.data.exchange.any_table.sheet import LARGEST_TABLE, Sheet
from flukeprint.errors import FlukeprintError, counted, listed, nearest

LONGEST_TEXT = 32_767  # letters of a cell
_MOST_ROWS, _MOST_COLUMNS = 2**20, 2_000
_CHUNK, _OVERLAP = 2**20, 2**12
_OLD = b"\xd0\xcf\x11\xe0"  # an old workbook, or an encrypted one
_MERGED = re.compile(rb'<(?:\w+:)?mergeCell\s[^>]*?ref="([A-Z]+\d+:[A-Z]+\d+)"')
# A formula without a value; an empty text that was calculated has t="str" and an empty value.
_UNCALCULATED = re.compile(
    rb"<(?:\w+:)?c\s([^>]*)>\s*<(?:\w+:)?f(?:\s[^>]*)?(?:/>|>[^<]*</(?:\w+:)?f>)\s*"
    rb"(<(?:\w+:)?v\s*/>|<(?:\w+:)?v></(?:\w+:)?v>)?\s*</(?:\w+:)?c>"
)
_CELL = re.compile(rb'\br="([A-Z]+)(\d+)"')
# Control characters as Excel writes them in texts (ECMA-376, ST_Xstring); openpyxl leaves them.
_ESCAPED = re.compile(r"_x(00[01][0-9A-Fa-f])_")
_NO_CLOCK = re.compile(r'"[^"]*"|\\.|\[(?!h)[^\]]*\]', re.IGNORECASE)


def workbook_headers(path: Path) -> tuple[str, ...]:
    """The headers of a workbook's first sheet."""
    with _opened(path) as book:
        for row in book.worksheets[0].iter_rows(max_col=_MOST_COLUMNS, values_only=True):
            if headers := _headers(row):
                return headers
    return ()


def read_workbook(path: Path, name: str | None) -> Sheet:
    """Read a sheet of a workbook, the first one where no name is given.

    Its headers are in the first row with a cell.
    """
    with _opened(path) as book:
        sheet = _sheet(book, path, name)
        merged, blind = _looked_through(path, sheet)
        rows = _rows(sheet, path)
        headers: tuple[str, ...] = ()
        start = 0
        for number, cells in rows:
            if headers := _headers([_value(cell) for cell in cells]):
                start = number
                break
        if not headers:
            raise FlukeprintError(f"{path}: sheet {sheet.title} is empty")
        numbers, kept = [], []
        for number, cells in rows:
            values = [_value(cell) for cell in cells[: len(headers)]]
            values += [None] * (len(headers) - len(values))
            numbers.append(number)
            kept.append(values)
        _fill_merged(kept, start + 1, merged)
        others = [one.title for one in book.worksheets if one.title != sheet.title]
    filled = [place for place, values in enumerate(kept) if any(map(_is_filled, values))]
    kept = [kept[place] for place in filled]
    columns = tuple(zip(*kept, strict=True)) if kept else ((),) * len(headers)
    nameless = [
        get_column_letter(place + 1)
        for place, header in enumerate(headers)
        if not header and any(map(_is_filled, columns[place]))
    ]
    notes = []
    if others and name is None:
        notes.append(f"sheet {sheet.title} is read; there are also {listed(others)}")
    if nameless:
        notes.append(f"columns without a name are not read: {listed(nameless)}")
    return Sheet(
        headers, columns, [numbers[place] for place in filled], blind=blind, notes=tuple(notes)
    )


def write_workbook(path: Path, headers: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Write one sheet of texts, numbers and truths; texts stay texts whatever they look like.

    Raises:
        FlukeprintError: more rows than a sheet holds, or a longer text than a cell.
    """
    if len(rows) >= _MOST_ROWS:
        raise FlukeprintError(f"{path}: a sheet holds {_MOST_ROWS - 1:,} rows; write a CSV")
    book = openpyxl.Workbook(write_only=True)
    sheet = book.create_sheet("photographs")
    sheet.freeze_panes = "A2"
    sheet.append(list(headers))
    for number, row in enumerate(rows, 2):
        sheet.append([_cell(sheet, value, f"{path}, line {number}") for value in row])
    book.save(path)


def _cell(sheet: Any, value: object, where: str) -> object:
    if not isinstance(value, str):
        return value
    if len(value) > LONGEST_TEXT:
        raise FlukeprintError(
            f"{where}: a text of {counted(len(value), 'letter')} is longer than a cell of a "
            f"workbook, {LONGEST_TEXT:,}; write a CSV"
        )
    if not value.startswith(("=", "#")):
        return value
    cell = WriteOnlyCell(sheet, value)
    cell.data_type = "s"  # else it is a formula or an error
    return cell


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """The workbook; whatever is wrong with its bytes is refused in one line."""
    try:
        _check_size(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of parts that are not read
            book = openpyxl.load_workbook(path, read_only=True, data_only=True)
            try:
                if not book.worksheets:
                    raise FlukeprintError(f"{path} has no sheet with cells")
                yield book
            finally:
                book.close()
    except (FlukeprintError, MemoryError):
        raise
    except Exception as error:  # a parser of foreign bytes may fail in any way
        reason = " ".join(str(error).split()) or type(error).__name__
        raise FlukeprintError(
            f"{path} cannot be read as an XLSX workbook: {reason}; open it in a spreadsheet and "
            "save it again"
        ) from None


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


def _sheet(book: Any, path: Path, name: str | None) -> Any:
    known = {sheet.title: sheet for sheet in book.worksheets}
    if name is not None and name not in known:
        raise FlukeprintError(f"{path} has no sheet {name!r}; {nearest(name, known)}")
    return book.worksheets[0] if name is None else known[name]


def _rows(sheet: Any, path: Path) -> Iterator[tuple[int, Sequence[Any]]]:
    """(number, cells) of every row."""
    sheet.reset_dimensions()  # which some programs write wrongly, and cells were lost
    number = 0
    try:
        for number, cells in enumerate(sheet.iter_rows(), 1):
            if number > _MOST_ROWS:
                raise FlukeprintError(f"more than the {_MOST_ROWS:,} rows of a sheet")
            if len(cells) > _MOST_COLUMNS:
                raise FlukeprintError(f"more than {_MOST_COLUMNS:,} columns")
            yield number, cells
    except FlukeprintError as error:
        raise FlukeprintError(f"{path}, line {number}: {error}") from None
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise FlukeprintError(
            f"{path} is damaged after line {number} of sheet {sheet.title}: {reason}; open it in "
            "a spreadsheet and save it again"
        ) from None


def _value(cell: Any) -> object:
    """A cell's value: a day where a date is shown without a time, a text as it was typed."""
    value = cell.value
    if isinstance(value, str):
        return _ESCAPED.sub(lambda found: chr(int(found[1], 16)), value) if "_x" in value else value
    if isinstance(value, datetime):
        value = _whole_second(value)
        shown = _NO_CLOCK.sub("", cell.number_format or "")
        if value.time() == time() and "h" not in shown.lower():
            return value.date()
    elif isinstance(value, time):
        return _whole_second(datetime.combine(date(1900, 1, 1), value)).time()
    return value


def _whole_second(moment: datetime) -> datetime:
    """The nearest second: days with a fraction, which workbooks hold, do not meet it."""
    return (moment + timedelta(microseconds=500_000)).replace(microsecond=0)


def _is_filled(value: object) -> bool:
    return value is not None and (not isinstance(value, str) or bool(value.strip()))


def _headers(row: Sequence[object]) -> tuple[str, ...]:
    """The row as headers, without empty ones at the end."""
    names = ["" if value is None else " ".join(str(value).split()) for value in row]
    while names and not names[-1]:
        names.pop()
    return tuple(names)


def _fill_merged(rows: list[list[object]], first: int, merged: Sequence[str]) -> None:
    """Give all cells of merged ones their value.  first: the number of rows[0]."""
    for reference in merged:
        left, top, right, bottom = range_boundaries(reference)
        if not first <= top <= bottom or top - first >= len(rows):
            continue
        above = rows[top - first]
        value = above[left - 1] if left <= len(above) else None
        for row in rows[top - first : bottom - first + 1]:
            for place in range(left - 1, min(right, len(row))):
                row[place] = value


def _looked_through(path: Path, sheet: Any) -> tuple[list[str], dict[int, str]]:
    """References of merged cells, and the first formula of each column that has no value.

    openpyxl tells neither of sheets that it reads row by row.
    """
    merged: dict[str, None] = {}
    blind: dict[int, str] = {}
    with zipfile.ZipFile(path) as archive, archive.open(sheet._worksheet_path) as file:
        text = b""
        while chunk := file.read(_CHUNK):
            text = text[-_OVERLAP:] + chunk
            merged |= dict.fromkeys(found[1].decode() for found in _MERGED.finditer(text))
            for found in _UNCALCULATED.finditer(text):
                cell = _CELL.search(found[1])
                if cell is not None and not (found[2] and b't="str"' in found[1]):
                    place = range_boundaries(cell[1].decode() + "1")[0] - 1
                    blind.setdefault(place, (cell[1] + cell[2]).decode())
    return list(merged), blind
