"""Opens a table in a file: CSV, TSV, XLSX or Parquet."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from flukeprint.data.exchange.any_table.sheet import Sheet
from flukeprint.data.table_format import open_table
from flukeprint.errors import FlukeprintError, needs
from flukeprint.storage import is_local

EXTRA = "tables"  # of pip, with the packages for XLSX and Parquet


def _read_csv(path: Path, wanted: Sequence[str], sheet: str | None) -> Sheet:
    if sheet is not None:
        raise FlukeprintError(f"{path} has no sheets; leave {sheet!r} out")
    file = open_table(path, wanted)
    table = file.read().fillna("")
    filled = table.apply(lambda cells: cells.str.strip() != "").any(axis=1)
    table = table[filled] if len(table) else table
    return Sheet(
        tuple(str(name) for name in table.columns),
        tuple(table.iloc[:, place].tolist() for place in range(table.shape[1])),
        [int(row) + 2 for row in table.index],
        comma=file.separator == ";",
    )


def _read_xlsx(path: Path, wanted: Sequence[str], sheet: str | None) -> Sheet:
    with needs(EXTRA):
        from flukeprint.data.exchange.any_table.workbooks import read_workbook
    return read_workbook(path, sheet)


def _read_parquet(path: Path, wanted: Sequence[str], sheet: str | None) -> Sheet:
    if sheet is not None:
        raise FlukeprintError(f"{path} has no sheets; leave {sheet!r} out")
    with needs(EXTRA):
        from flukeprint.data.exchange.any_table.parquet import read_parquet
    return read_parquet(path)


_READERS: Mapping[str, Callable[[Path, Sequence[str], str | None], Sheet]] = {
    **dict.fromkeys((".csv", ".tsv", ".tab", ".txt", ".zip"), _read_csv),
    **dict.fromkeys((".xlsx", ".xlsm"), _read_xlsx),
    **dict.fromkeys((".parquet", ".pq"), _read_parquet),
}
SUFFIXES = tuple(_READERS)


def read_sheet(path: Path, wanted: Sequence[str] = (), sheet: str | None = None) -> Sheet:
    """Read all cells of a table, in the form that the ending of its name says.

    wanted: headers that it should have, which tell separators apart.  sheet: of a workbook.

    Raises:
        FlukeprintError: missing, damaged, too large, of another form, or without such a sheet.
    """
    suffix = path.suffix.lower()
    if suffix in (".xls", ".ods"):
        raise FlukeprintError(f"{path} is a workbook of a form that is not read; save it as XLSX")
    if suffix not in _READERS:
        raise FlukeprintError(f"{path} is no table by its name; these are: {', '.join(SUFFIXES)}")
    if not path.exists():
        raise FlukeprintError(f"{path} is missing; check the path")
    if path.is_dir():
        raise FlukeprintError(f"{path} is a folder, not a table")
    if not is_local(path) and suffix not in (".csv", ".tsv", ".tab", ".txt"):
        raise FlukeprintError(f"{path} is not on a disk of this machine; copy it here")
    return _READERS[suffix](path, wanted, sheet)


def headers_of(path: Path) -> tuple[str, ...]:
    """The headers of a table by a look; none where it is no local file of such a name.

    Raises:
        FlukeprintError: it cannot be read.
    """
    suffix = path.suffix.lower()
    if suffix not in _READERS or not is_local(path) or not path.is_file():
        return ()
    if _READERS[suffix] is _read_csv:
        return open_table(path).header
    with needs(EXTRA):
        if _READERS[suffix] is _read_xlsx:
            from flukeprint.data.exchange.any_table.workbooks import workbook_headers

            return workbook_headers(path)
        from flukeprint.data.exchange.any_table.parquet import parquet_headers

        return parquet_headers(path)
