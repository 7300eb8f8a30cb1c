"""Batches of rows: a database takes only so many values with one statement."""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TypeVar

MOST = 5_000  # rows of one statement
Row = TypeVar("Row")


def batches(rows: Iterable[Row]) -> Iterator[list[Row]]:
    """Rows in their order, at most MOST together."""
    rest = iter(rows)
    while batch := list(islice(rest, MOST)):
        yield batch
