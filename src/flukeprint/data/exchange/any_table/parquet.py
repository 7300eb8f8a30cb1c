"""Reads and writes a Parquet file of photographs."""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from flukeprint.data.exchange.any_table.sheet import LARGEST_TABLE, Cells, Sheet
from flukeprint.errors import FlukeprintError

_MOST_ROWS = 10_000_000


def parquet_headers(path: Path) -> tuple[str, ...]:
    """The names of a file's columns."""
    with _opened(path) as file:
        return tuple(file.schema_arrow.names)


def read_parquet(path: Path) -> Sheet:
    """Read all columns of a file; moments of a time zone are of its clocks.

    Where every moment of a column without a time zone is midnight, they are days.
    """
    with _opened(path) as file:
        size = sum(
            file.metadata.row_group(number).total_byte_size
            for number in range(file.metadata.num_row_groups)
        )
        if file.metadata.num_rows > _MOST_ROWS or size > LARGEST_TABLE:
            raise FlukeprintError(
                f"{path} has {file.metadata.num_rows:,} rows of {size / 2**30:.1f} GiB, more than "
                f"the {_MOST_ROWS:,} of {LARGEST_TABLE / 2**30:g} GiB that are read; split it"
            )
        table = file.read(use_threads=False)
        headers = tuple(str(name) for name in table.schema.names)
        columns = tuple(_cells(table.column(place)) for place in range(table.num_columns))
    return Sheet(headers, columns, range(1, table.num_rows + 1), row_word="row")


def write_parquet(path: Path, columns: Mapping[str, Sequence[object]]) -> None:
    """Write columns of texts, numbers or truths, each with empty cells."""
    arrays = {}
    for name, cells in columns.items():
        kinds = {type(cell) for cell in cells if cell is not None}
        kind = pa.bool_() if kinds == {bool} else pa.float64() if kinds == {float} else pa.string()
        arrays[name] = pa.array(cells, type=kind)
    pq.write_table(pa.table(arrays), path)


def _cells(column: pa.ChunkedArray) -> Cells:
    kind = column.type
    if pa.types.is_dictionary(kind):
        column = column.cast(kind.value_type)
        kind = column.type
    if pa.types.is_timestamp(kind):
        column = column.cast(pa.timestamp("us", tz=kind.tz), safe=False)  # Python has no finer one
        cells: list[object] = column.to_pylist()
        moments = [cell for cell in cells if isinstance(cell, datetime)]
        if kind.tz is None and all(moment.time() == time() for moment in moments):
            return [cell.date() if isinstance(cell, datetime) else None for cell in cells]
        return cells
    if pa.types.is_time(kind):
        column = column.cast(pa.time64("us"), safe=False)
    return list(column.to_pylist())


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[pq.ParquetFile]:
    try:
        with pq.ParquetFile(path) as file:
            yield file
    except (pa.ArrowException, OSError, ValueError, OverflowError) as error:
        reason = " ".join(str(error).split())[:300]
        raise FlukeprintError(
            f"{path} cannot be read as a Parquet file: {reason}; it may have been cut short, copy "
            "it again"
        ) from None
