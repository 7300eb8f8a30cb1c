"""Reads the tables of a Darwin Core Archive as columns of the terms that are asked for."""

import csv
import zipfile
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from flukeprint.data.exchange.darwin_core.archive import DESCRIPTION, Archive
from flukeprint.data.exchange.darwin_core.meta import TableMeta
from flukeprint.data.table_format import unreadable
from flukeprint.errors import FlukeprintError

_LONGEST_LINE = 2**20
Column = list[str | None]  # cells, None for empty ones


@dataclass(frozen=True)
class Rows:
    """Rows of a table; key: the core's identifier, in the core and in extensions."""

    size: int
    key: Column
    columns: dict[str, Column]  # by URI of the term

    def first(self, *terms: str) -> Column:
        """The cells of the first of the terms that has a value in a row."""
        found = [self.columns[term] for term in terms if term in self.columns]
        if not found:
            return [None] * self.size
        cells = found[0]
        for more in found[1:]:
            cells = [two if one is None else one for one, two in zip(cells, more, strict=True)]
        return cells


def read_rows(archive: Archive, meta: TableMeta, terms: Iterable[str]) -> Rows:
    """Read the columns of those terms that the table has; defaults stand in empty cells.

    Raises:
        FlukeprintError: a file is missing or damaged, or not written as meta.xml says.
    """
    wanted = set(terms)
    columns = {term: index for term, index in meta.columns.items() if term in wanted}
    places = set(columns.values()) | ({meta.key} if meta.key is not None else set())
    tables = [_read(archive, meta, name, sorted(places)) for name in meta.files]
    whole = tables[0] if len(tables) == 1 else pd.concat(tables, ignore_index=True)
    cells: dict[int, Column] = {}
    for place in places:
        column = np.full(len(whole), None, dtype=object)
        if place in whole:
            known = whole[place].notna().to_numpy()
            column[known] = whole[place].to_numpy(dtype=object)[known]
        cells[place] = column.tolist()
    empty: Column = [None] * len(whole)
    found: dict[str, Column] = {}
    for term in sorted(wanted & (set(columns) | set(meta.defaults))):
        values: Column = cells[columns[term]] if term in columns else list(empty)
        default = meta.defaults.get(term)
        if default is not None:
            values = [default if value is None else value for value in values]
        found[term] = values
    key = cells[meta.key] if meta.key is not None else empty
    return Rows(len(whole), key, found)


def _read(archive: Archive, meta: TableMeta, name: str, places: Sequence[int]) -> pd.DataFrame:
    """The columns at those places, as text, named by them."""
    path = archive.folder / name
    encoding = meta.encoding.strip()
    if encoding.lower().replace("_", "-") in ("utf-8", "utf8"):
        encoding = "utf-8-sig"
    options: dict[str, Any] = {}
    if meta.line_end not in ("", "\n", "\r", "\r\n"):
        options["lineterminator"] = meta.line_end
    if meta.quote:
        options["quotechar"] = meta.quote
    else:
        options["quoting"] = csv.QUOTE_NONE
    width = max(places, default=0) + 1
    options |= {
        "header": None,
        "names": list(range(width)),
        "skiprows": meta.skip,
        "dtype": str,
        "keep_default_na": False,
        "na_values": [""],
        "index_col": False,
        "encoding": encoding,
        "compression": None,
        "low_memory": False,
    }
    try:
        options["sep"] = meta.separator or _likely_separator(archive, name, encoding)
        try:
            with archive.opened(name) as file:  # so, what rows have beyond the last place is left
                return pd.read_csv(file, usecols=list(places) or [0], **options)
        except pd.errors.ParserError as error:
            if "Too many columns" not in str(error):
                raise
            with archive.opened(name) as file:  # and so, what all rows lack at their ends is empty
                return pd.read_csv(file, **options)
    except FlukeprintError:
        raise
    except (FileNotFoundError, KeyError):
        raise FlukeprintError(
            f"{archive.place}: the table {name} is missing, which {DESCRIPTION} names"
        ) from None
    except LookupError:
        raise FlukeprintError(
            f"{archive.place}: {DESCRIPTION} gives {name} an unknown encoding, {meta.encoding}"
        ) from None
    except pd.errors.EmptyDataError:
        return pd.DataFrame(columns=list(places), dtype=object)
    except (
        pd.errors.ParserError, UnicodeError, OSError, EOFError, zlib.error, zipfile.BadZipFile,
        RuntimeError, NotImplementedError, ValueError, TypeError,
    ) as error:  # fmt: skip
        raise unreadable(path, error) from None


def _likely_separator(archive: Archive, name: str, encoding: str) -> str:
    """The comma that the text guide takes where none is said, or what other readers take, a tab."""
    with archive.opened(name) as file:
        line = file.readline(_LONGEST_LINE).decode(encoding, "replace")
    return "\t" if "\t" in line and "," not in line else ","
