"""The tables that name the photographs to embed: which rows they have, and how they are cut.

A table is Parquet or CSV, on a disk or in an object storage.  Planning looks at every table once;
afterwards any process reads the rows of one partition by themselves, so that no process ever holds
more than a partition's.
"""

import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import IO, Any

import xxhash

from flukeprint.data.table_format import SAVE, open_table
from flukeprint.errors import FlukeprintError, listed, needs
from flukeprint.storage import files_below, fingerprint, is_folder, is_local, join, open_bytes

_PARQUET, _CSV = (".parquet", ".pq"), (".csv", ".tsv", ".txt")
_BLANK = re.compile(rb'[\s,;"\t]*')
ADDED = ("source_row", "embedding")  # columns that are written beside those of the tables


@dataclass(frozen=True)
class SourceTable:
    """One table of the source.

    name: relative to a source that is a folder.  digest: of its bytes; of one that is not on a
        disk, of what its storage tells of this version.
    names: its columns, one without a name as "".  separator: of a CSV; None: Parquet.
    """

    name: str
    path: Path
    size: int
    digest: str
    rows: int
    names: tuple[str, ...]
    separator: str | None


@dataclass(frozen=True)
class Partition:
    """Rows `start`, ... of a table, which are embedded and written together.

    number: from 0, over all tables.  first: the row's number over all tables.
    place: of a CSV, the bytes from and to which the rows are written.
    """

    number: int
    table: int
    start: int
    rows: int
    first: int
    place: tuple[int, int] | None = None

    @property
    def file(self) -> str:
        """The name of the file that is written for it."""
        return f"part-{self.table:05}-{self.start:012}.parquet"


@dataclass(frozen=True)
class Source:
    """The tables of a source, and the partitions that they are cut into."""

    address: str
    tables: tuple[SourceTable, ...]
    partitions: tuple[Partition, ...]

    @property
    def rows(self) -> int:
        """Number of photographs."""
        return sum(table.rows for table in self.tables)


def plan_source(path: Path, partition_rows: int) -> Source:
    """Look at every table once, and cut them into partitions of at most `partition_rows`.

    Raises:
        FlukeprintError: no table, one that cannot be read, or tables of several kinds.
    """
    with needs("tables"):
        import pyarrow  # noqa: F401, so that a missing one is told before anything is read
    tables: list[SourceTable] = []
    partitions: list[Partition] = []
    schema: Any = None
    first = 0
    for name, file in _tables_of(path):
        table, cuts, found = _examined(name, file, partition_rows)
        if schema is not None and found != schema:
            raise FlukeprintError(
                f"{file} has other columns or types than {tables[0].path}; embed them apart, each "
                "into a folder of its own"
            )
        schema = found
        for start, rows, place in cuts:
            partitions.append(
                Partition(len(partitions), len(tables), start, rows, first + start, place)
            )
        tables.append(table)
        first += table.rows
    if not first:
        raise FlukeprintError(f"{path} names no photographs; give a table with a row for each")
    taken = [name for name in ADDED if name in tables[0].names]
    if taken:
        raise FlukeprintError(
            f"{tables[0].path} has a column {listed(taken)}, which is written here; rename it"
        )
    return Source(str(path), tuple(tables), tuple(partitions))


def read_rows(table: SourceTable, partition: Partition) -> Any:
    """The rows of a partition as a `pyarrow.Table` with all columns of the table.

    Cells of a CSV are strings without blanks at their ends, an empty one "".

    Raises:
        FlukeprintError: the table has changed since it was planned, or cannot be read.
    """
    try:
        if fingerprint(table.path).size != table.size:
            raise FlukeprintError(
                f"{table.path} has changed while it was being embedded; give its embeddings "
                "another folder with --to"
            )
        with open_bytes(table.path) as file:
            if table.separator is None:
                return _parquet_rows(file, partition)
            begin, end = partition.place or (0, 0)
            file.seek(begin)
            return _csv_rows(file.read(end - begin), table.names, table.separator)
    except FlukeprintError:
        raise
    except Exception as error:  # of a storage or of pyarrow
        raise _unreadable(table.path, error) from None


def _tables_of(path: Path) -> Iterator[tuple[str, Path]]:
    """Names and paths of the tables of a source: one file, or all below a folder."""
    try:
        if path.suffix.lower() in (*_PARQUET, *_CSV) and not (is_local(path) and path.is_dir()):
            yield path.name, path
            return
        if not is_folder(path):
            raise FlukeprintError(
                f"{path} is no table and no folder; give a .parquet or .csv, or a folder of them"
            )
        found = 0
        for name in files_below(path):
            hidden = any(part.startswith(("_", ".")) for part in name.split("/"))
            if not hidden and name.lower().endswith((*_PARQUET, *_CSV)):
                found += 1
                yield name, join(path, name)
    except OSError as error:
        raise _unreadable(path, error) from None
    if not found:
        raise FlukeprintError(f"{path} holds no .parquet or .csv; give the folder of the tables")


_Cut = tuple[int, int, tuple[int, int] | None]  # start, rows, place


def _examined(name: str, path: Path, most: int) -> tuple[SourceTable, list[_Cut], Any]:
    """A table, its partitions, and the names and types of its columns."""
    try:
        version = fingerprint(path)
        if path.suffix.lower() in _PARQUET:
            with open_bytes(path) as file:
                rows, schema = _parquet_shape(file)
            names, separator = tuple(schema.names), None
            cuts: list[_Cut] = [
                (start, min(most, rows - start), None) for start in range(0, rows, most)
            ]
            digest = file_digest(path) if is_local(path) else f"{version.mtime_ns:x}"
            shape: Any = [(field.name, field.type) for field in schema]
        else:
            text = open_table(path)
            if text.encoding not in ("utf-8", "utf-8-sig"):
                raise FlukeprintError(f"{path} is not UTF-8: {SAVE}")
            if is_local(path) and not isinstance(text.content, Path):
                raise FlukeprintError(f"{path} is packed; unpack it")
            names, separator = text.header, text.separator
            with open_bytes(path) as file:
                digest, cuts = _csv_cuts(file, text.before, most)
            rows = sum(count for _, count, _ in cuts)
            shape = [(column, "string") for column in names]
    except FlukeprintError:
        raise
    except Exception as error:
        raise _unreadable(path, error) from None
    table = SourceTable(name, path, version.size, digest, rows, names, separator)
    if separator is not None:
        _check_cells(table, cuts)
    return table, cuts, shape


def _parquet_shape(file: IO[bytes]) -> tuple[int, Any]:
    import pyarrow.parquet as pq

    with pq.ParquetFile(file) as table:
        return table.metadata.num_rows, table.schema_arrow


def _parquet_rows(file: IO[bytes], partition: Partition) -> Any:
    """The partition's rows out of the row groups that hold them, a few at a time."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    begin, end = partition.start, partition.start + partition.rows
    with pq.ParquetFile(file) as table:
        groups, at, skipped = [], 0, 0
        for group in range(table.metadata.num_row_groups):
            following = at + table.metadata.row_group(group).num_rows
            if following <= begin:
                skipped = following
            elif at < end:
                groups.append(group)
            at = following
        kept, at = [], skipped
        for batch in table.iter_batches(batch_size=1 << 14, row_groups=groups):
            low, high = max(begin - at, 0), min(end - at, len(batch))
            if low < high:
                kept.append(batch.slice(low, high - low))
            at += len(batch)
            if at >= end:
                break
        return pa.Table.from_batches(kept, schema=table.schema_arrow).combine_chunks()


def _csv_cuts(file: IO[bytes], before: int, most: int) -> tuple[str, list[_Cut]]:
    """Digest of a CSV, and where its partitions begin and end.

    A record ends with a line at which quotes are even; blank ones are none.
    """
    whole = xxhash.xxh3_128()
    cuts: list[_Cut] = []
    header = before + 1  # records that are still to come before the rows
    at = begin = rows = start = 0
    odd, blank = False, True
    for line in file:
        whole.update(line)
        at += len(line)
        blank = blank and _BLANK.fullmatch(line) is not None
        odd ^= line.count(b'"') % 2 == 1
        if odd:
            continue
        if header:
            header -= 1
            begin, blank = at, True
            continue
        rows += not blank
        blank = True
        if rows == most:
            cuts.append((start, rows, (begin, at)))
            start, rows, begin = start + rows, 0, at
    if rows:
        cuts.append((start, rows, (begin, at)))
    return whole.hexdigest(), cuts


def _csv_rows(data: bytes, names: Sequence[str], separator: str) -> Any:
    import pyarrow as pa
    import pyarrow.compute as pc
    from pyarrow import csv

    columns = [name or f"\0{place}" for place, name in enumerate(names)]
    table = csv.read_csv(
        BytesIO(data),
        csv.ReadOptions(column_names=columns, block_size=max(len(data), 1) + 1, use_threads=False),
        csv.ParseOptions(delimiter=separator, newlines_in_values=True),
        csv.ConvertOptions(
            column_types=dict.fromkeys(columns, pa.string()), strings_can_be_null=False
        ),
    )
    cells = {name: pc.utf8_trim_whitespace(table[name]) for name in columns if name[0] != "\0"}
    trimmed = pa.table(cells)
    # A row of separators alone is blank, as a spreadsheet leaves them at the end.
    blank = None
    for column in trimmed.columns:
        empty = pc.equal(column, "")
        blank = empty if blank is None else pc.and_(blank, empty)
    return trimmed.filter(pc.invert(blank)).combine_chunks()


def _check_cells(table: SourceTable, cuts: Sequence[_Cut]) -> None:
    """Refuse a CSV whose rows cannot be read, before anything is embedded."""
    with open_bytes(table.path) as file:
        for start, rows, place in cuts:
            begin, end = place or (0, 0)
            file.seek(begin)
            try:
                found = _csv_rows(file.read(end - begin), table.names, table.separator or ",")
            except Exception as error:
                raise _unreadable(
                    table.path, error, f" (rows {start + 1} to {start + rows})"
                ) from None
            if len(found) != rows:
                raise FlukeprintError(
                    f"{table.path}: rows {start + 1} to {start + rows} are {len(found)} rows; its "
                    f"quotes or blank cells are in disorder there: {SAVE}"
                )


def file_digest(path: Path) -> str:
    """Digest of a file's bytes on a disk, 32 hex digits; OSError where it cannot be read."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, xxhash.xxh3_128).hexdigest()


def _unreadable(path: Path, error: Exception, where: str = "") -> FlukeprintError:
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        return FlukeprintError(f"{path} is missing; check the path")
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return FlukeprintError(f"{path}{where} cannot be read as a table: {reason}")
