"""Parses the XML of a workbook's sheet: its cells, merged cells, and formulas without a value.

openpyxl needs half a minute for 100,000 photographs, and of a sheet that it reads row by row it
tells neither merged cells nor formulas.  What the cells refer to, texts and styles, is its part.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime, time, timedelta
from typing import IO, Any
from xml.parsers import expat

from openpyxl.utils import column_index_from_string, get_column_letter
from openpyxl.utils.datetime import from_excel, from_ISO8601

from flukeprint.errors import FlukeprintError

MOST_ROWS, MOST_COLUMNS = 2**20, 2_000
_CHUNK = 2**20
_MOST_MERGED = 100_000
# Control characters as Excel writes them in texts (ECMA-376, ST_Xstring); openpyxl leaves them.
_ESCAPED = re.compile(r"_x(00[01][0-9A-Fa-f])_")


class SheetParser:
    """Gathers the cells of one sheet.

    rows: (number of the row, its cells from the first column on), in the file's order.
    merged: references such as A2:A9.  blind: column, from 0 -> a cell whose formula has no value.
    """

    def __init__(
        self, strings: Sequence[str], days: Mapping[int, str], epoch: datetime, *, most: int
    ) -> None:
        """strings: shared texts.  days: number of a style -> `day`, `moment` or `clock`.

        most: rows that are parsed; the others are passed over.
        """
        self.rows: list[tuple[int, list[object]]] = []
        self.merged: list[str] = []
        self.blind: dict[int, str] = {}
        self._strings, self._days, self._epoch, self._most = strings, days, epoch, most
        self._local: dict[str, str] = {}
        self._places: dict[str, int] = {}
        self._number = 0
        self._cells: list[object] = []
        self._place = -1
        self._attributes: Mapping[str, str] = {}
        self._value: str | None = None
        self._formula = False
        self._text: list[str] | None = None
        self._phonetic = False
        self._starts: dict[str, Callable[[Mapping[str, str]], None]] = {
            "row": self._row, "c": self._cell, "v": self._collect, "t": self._collect,
            "f": self._has_formula, "rPh": self._aside, "mergeCell": self._merge,
        }  # fmt: skip
        self._ends: dict[str, Callable[[], None]] = {
            "row": self._end_row, "c": self._end_cell, "v": self._end_text, "t": self._end_text,
            "rPh": self._end_aside,
        }  # fmt: skip

    def parse(self, file: IO[bytes]) -> None:
        """Parse the XML of a file; what is wrong with it is raised as it comes."""
        parser = expat.ParserCreate(namespace_separator="}")
        parser.buffer_text = True
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._characters
        parser.StartDoctypeDeclHandler = self._refuse  # with it come entities, and bombs of them
        while len(self.rows) < self._most and (chunk := file.read(_CHUNK)):
            parser.Parse(chunk, False)
        if len(self.rows) < self._most:
            parser.Parse(b"", True)

    @property
    def number(self) -> int:
        """Of the row that was reached."""
        return self._number

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        local = self._local.get(name)
        if local is None:
            local = self._local[name] = name.rpartition("}")[2]
        begin = self._starts.get(local)
        if begin is not None:
            begin(attributes)

    def _end(self, name: str) -> None:
        end = self._ends.get(self._local[name])
        if end is not None:
            end()

    def _characters(self, text: str) -> None:
        if self._text is not None:
            self._text.append(text)

    def _refuse(self, *_: Any) -> None:
        raise FlukeprintError("it declares a document type, which no workbook does")

    def _row(self, attributes: Mapping[str, str]) -> None:
        self._number = int(attributes.get("r", self._number + 1))
        self._cells, self._place = [], -1
        if self._number > MOST_ROWS:
            raise FlukeprintError(f"more than the {MOST_ROWS:,} rows of a sheet")

    def _end_row(self) -> None:
        if self._cells:
            self.rows.append((self._number, self._cells))

    def _cell(self, attributes: Mapping[str, str]) -> None:
        self._attributes, self._value, self._formula = attributes, None, False
        reference = attributes.get("r")
        if reference is None:
            self._place += 1
        else:
            letters = reference.rstrip("0123456789")
            if letters not in self._places:
                self._places[letters] = column_index_from_string(letters) - 1
            self._place = self._places[letters]
        if self._place >= MOST_COLUMNS:
            raise FlukeprintError(f"more than {MOST_COLUMNS:,} columns")

    def _collect(self, _: Mapping[str, str]) -> None:
        if not self._phonetic:
            self._text = []

    def _end_text(self) -> None:
        if self._text is not None:
            self._value = (self._value or "") + "".join(self._text)  # of several runs
        self._text = None

    def _has_formula(self, _: Mapping[str, str]) -> None:
        self._formula = True

    def _aside(self, _: Mapping[str, str]) -> None:
        self._phonetic = True

    def _end_aside(self) -> None:
        self._phonetic = False

    def _merge(self, attributes: Mapping[str, str]) -> None:
        if len(self.merged) >= _MOST_MERGED:
            raise FlukeprintError(f"more than {_MOST_MERGED:,} merged cells")
        self.merged.append(attributes["ref"])

    def _end_cell(self) -> None:
        kind = self._attributes.get("t", "n")
        if self._formula and not self._value and kind != "str":  # a text may well be empty
            letter = get_column_letter(self._place + 1)
            self.blind.setdefault(self._place, f"{letter}{self._number}")
        if self._value is None or (kind not in ("str", "inlineStr") and not self._value.strip()):
            return
        value = self._typed(kind, self._value)
        cells = self._cells
        if self._place > len(cells):
            cells += [None] * (self._place - len(cells))
        if self._place == len(cells):
            cells.append(value)
        else:
            cells[self._place] = value

    def _typed(self, kind: str, text: str) -> object:
        if kind == "n":
            number = float(text) if any(sign in text for sign in ".eE") else int(text)
            style = self._attributes.get("s")
            shown = self._days.get(int(style)) if style else None
            return number if shown is None else self._moment(number, shown)
        if kind == "s":
            return _unescaped(self._strings[int(text)])
        if kind == "b":
            return text.strip() == "1"
        if kind == "d":
            return from_ISO8601(text)
        return _unescaped(text)

    def _moment(self, number: float, shown: str) -> object:
        try:
            found = from_excel(number, self._epoch, timedelta=shown == "clock")
        except (OverflowError, ValueError):
            return number
        if isinstance(found, datetime):
            found = _whole_second(found)
            return found.date() if shown == "day" and found.time() == time() else found
        if isinstance(found, time):
            return _whole_second(datetime.combine(date(1900, 1, 1), found)).time()
        return timedelta(seconds=round(found.total_seconds()))


def _whole_second(moment: datetime) -> datetime:
    """The nearest second, which the fractions of a day in workbooks miss by a little."""
    return (moment + timedelta(microseconds=500_000)).replace(microsecond=0)


def _unescaped(text: str) -> str:
    if "_x" not in text:
        return text
    return _ESCAPED.sub(lambda found: chr(int(found[1], 16)), text)
