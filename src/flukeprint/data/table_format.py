"""How a CSV file is written: its encoding, its separator, and whether it lies in a ZIP file.

Spreadsheets write more than plain CSV: `;` or tabs between cells, a first line `sep=;`, UTF-16,
empty columns at the end.  What can be told from the file is read, the rest refused.
"""

import csv
import re
import warnings
import zipfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO, TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from flukeprint.errors import FlukeprintError, listed
from flukeprint.storage import is_local, read_bytes

if TYPE_CHECKING:
    import pandas as pd

SAVE = "save it as `CSV UTF-8` with commas"  # what a spreadsheet calls it
SEPARATORS = (",", ";", "\t")
_SEP_LINE = re.compile(r'"?sep=(.)"?\s*', re.IGNORECASE)
LARGEST_ZIPPED = 2**30  # bytes of a table in a ZIP file
_MARKS = (  # of byte order; UTF-32's begins like UTF-16's
    (b"\xef\xbb\xbf", "utf-8-sig"),
    (b"\xff\xfe\x00\x00", "utf-32"),
    (b"\x00\x00\xfe\xff", "utf-32"),
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
)


@dataclass(frozen=True)
class TableFile:
    """An opened table: where its text is and how it is written.

    content: the local file, or its bytes.
    before: lines before the header.
    header: the cells of the header, stripped; empty ones have no name.
    """

    path: Path
    content: Path | bytes
    encoding: str
    separator: str
    before: int
    header: tuple[str, ...]

    @property
    def names(self) -> list[str]:
        """The column names, without empty ones at the end."""
        names = list(self.header)
        while names and not names[-1]:
            names.pop()
        return names

    def read(self, types: Mapping[str, Any] | None = None) -> "pd.DataFrame":
        """Read all rows as they are, of strings or of the `types` of some columns.

        Its index counts lines as an editor does: header line 1 is row -1.  Columns without a name
        and without a cell are left out; one without a name is called "".

        Raises what pandas raises for a cell that does not fit its type, else FlukeprintError.
        """
        import pandas as pd

        columns = [name or f"\0{place}" for place, name in enumerate(self.header)]
        kinds = dict.fromkeys(columns, str) | dict(types or {})
        source = self.content if isinstance(self.content, Path) else BytesIO(self.content)
        try:
            with warnings.catch_warnings():
                # pandas only warns of a first row that is too long, and drops its end
                warnings.simplefilter("error", pd.errors.ParserWarning)
                table = pd.read_csv(
                    source,
                    dtype=kinds,
                    keep_default_na=False,
                    skip_blank_lines=False,
                    index_col=False,
                    encoding=self.encoding,
                    compression=None,
                    sep=self.separator,
                    skiprows=self.before,
                    names=columns,
                    header=0,
                )
        except (pd.errors.ParserError, pd.errors.ParserWarning, UnicodeError, OSError) as error:
            rows = self._trimmed()
            if rows is None:
                raise unreadable(self.path, error) from None
            table = pd.DataFrame(rows, columns=columns, dtype=str).astype(types or {})
        table.index += self.before
        return self._named(table)

    def _named(self, table: "pd.DataFrame") -> "pd.DataFrame":
        """Leave out the columns that have neither a name nor a cell."""
        nameless = [name for name in table.columns if name.startswith("\0")]
        empty = [name for name in nameless if (table[name].fillna("").str.strip() == "").all()]
        table = table.drop(columns=empty)
        left = [name for name in nameless if name not in empty]
        if len(left) > 1:
            places = listed(int(name[1:]) + 1 for name in left)
            raise FlukeprintError(f"{self.path}: columns {places} have no name; name or empty them")
        return table.rename(columns=dict.fromkeys(left, ""))

    def _trimmed(self) -> list[list[str]] | None:
        """The rows where those that are too long end in empty cells only; else None."""
        width = len(self.header)
        rows = []
        try:
            with self._text() as text:
                for number, cells in enumerate(
                    csv.reader(text, delimiter=self.separator, strict=True)
                ):
                    if any(cell.strip() for cell in cells[width:]):
                        return None
                    if number > self.before:
                        rows.append((cells + [""] * width)[:width])
        except (csv.Error, UnicodeError, OSError):
            return None
        return rows

    def _text(self) -> TextIO:
        return _opened(self.content, self.encoding)


def open_table(
    path: Path, wanted: Sequence[str] = (), *, absent: str = "check the path"
) -> TableFile:
    """Open the table `path` and read its column names.

    wanted: columns that it should have, which tell separators apart.
    absent: the advice when the file is missing.

    Raises:
        FlukeprintError: it is missing, empty, a workbook, a ZIP file of something else than one
            table, text of an unknown encoding, or names a column twice.
    """
    try:
        content, start = _content(path)
    except (FileNotFoundError, NotADirectoryError):
        raise FlukeprintError(f"{path} is missing; {absent}") from None
    except OSError as error:
        raise unreadable(path, error) from None
    encoding = _encoding(path, start)
    try:
        with _opened(content, encoding) as text:
            mark = _SEP_LINE.fullmatch(text.readline())
        before = 0 if mark is None else 1
        separators = SEPARATORS if mark is None else (mark[1],)
        headers = {each: _header(content, encoding, each, before) for each in separators}
    except (OSError, UnicodeError, csv.Error) as error:
        raise unreadable(path, error) from None
    separator = _separator(headers, wanted)
    if separator is None:
        raise FlukeprintError(f"{path}: its columns are separated by tabs or by ;: {SAVE}")
    header = headers[separator]
    if not any(header):
        raise FlukeprintError(f"{path} is empty; it needs a line with column names and rows")
    twice = [name for name, count in Counter(filter(None, header)).items() if count > 1]
    if twice:
        raise FlukeprintError(f"{path}: column names listed twice: {listed(twice)}")
    return TableFile(path, content, encoding, separator, before, header)


def unreadable(path: Path, error: Exception) -> FlukeprintError:
    """The refusal of a file that is no table, with the reason."""
    import pandas as pd

    if isinstance(error, OSError):
        reason = error.strerror or type(error).__name__
    elif isinstance(error, UnicodeDecodeError):
        kind = error.encoding.upper().removesuffix("-SIG")
        reason = f"not {kind} text (byte {error.start}): {SAVE}"
    elif isinstance(error, UnicodeError):
        reason = f"{' '.join(str(error).split())}: {SAVE}"
    elif isinstance(error, pd.errors.ParserWarning):
        reason = "its first row has more cells than there are column names"
    else:
        reason = " ".join(str(error).split())
    return FlukeprintError(f"{path} cannot be read as a CSV table: {reason}")


def _separator(headers: Mapping[str, Sequence[str]], wanted: Sequence[str]) -> str | None:
    """The separator whose header has the wanted columns, else several; None if it is unclear."""
    fit = [each for each, names in headers.items() if wanted and set(wanted) <= set(names)]
    several = [each for each, names in headers.items() if len(names) > 1]
    found = fit or several or list(headers)
    return found[0] if found[0] == "," or len(found) == 1 else None


def _header(content: Path | bytes, encoding: str, separator: str, before: int) -> tuple[str, ...]:
    with _opened(content, encoding) as text:
        for _ in range(before):
            text.readline()
        return tuple(name.strip() for name in next(csv.reader(text, delimiter=separator), []))


def _opened(content: Path | bytes, encoding: str) -> TextIO:
    if isinstance(content, Path):
        return content.open(encoding=encoding, newline="")
    return TextIOWrapper(BytesIO(content), encoding=encoding, newline="")


def _content(path: Path) -> tuple[Path | bytes, bytes]:
    """The local file or the bytes of a table, and its first bytes."""
    content: Path | bytes = path
    if is_local(path):
        with path.open("rb") as file:
            start = file.read(64)
    else:
        content = read_bytes(path)
        start = content[:64]
    if start.startswith(b"PK\x03\x04"):
        content = _unzipped(path, path if isinstance(content, Path) else BytesIO(content))
        start = content[:64]
    if start.startswith(b"\xd0\xcf\x11\xe0"):
        raise FlukeprintError(f"{path} is a workbook of a spreadsheet: {SAVE}")
    if start.startswith(b"\x1f\x8b"):
        raise FlukeprintError(f"{path} is a gzip file: unpack it")
    return content, start


def _unzipped(path: Path, file: Path | BytesIO) -> bytes:
    """The one table in a ZIP file."""
    try:
        with zipfile.ZipFile(file) as archive:
            members = [one for one in archive.infolist() if not one.is_dir()]
            names = [one.filename for one in members]
            if "[Content_Types].xml" in names or "mimetype" in names:
                raise FlukeprintError(f"{path} is a workbook of a spreadsheet: {SAVE}")
            tables = [
                one
                for one in members
                if one.filename.lower().endswith(".csv") and not one.filename.startswith("__MACOSX")
            ]
            if len(tables) != 1:
                raise FlukeprintError(
                    f"{path} is a ZIP file with {len(tables)} tables, not one: unpack it"
                )
            if tables[0].file_size > LARGEST_ZIPPED:
                raise FlukeprintError(f"{path} is a ZIP file of a very large table: unpack it")
            return archive.read(tables[0])
    except (zipfile.BadZipFile, RuntimeError, NotImplementedError, EOFError) as error:
        raise FlukeprintError(f"{path} is a ZIP file that cannot be read ({error})") from None


def _encoding(path: Path, start: bytes) -> str:
    for mark, encoding in _MARKS:
        if start.startswith(mark):
            return encoding
    if b"\0" in start:
        raise FlukeprintError(
            f"{path} cannot be read as a CSV table: bytes that are 0, as in UTF-16 without a "
            f"mark: {SAVE}"
        )
    return "utf-8"
