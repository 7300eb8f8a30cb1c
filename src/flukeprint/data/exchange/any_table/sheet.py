"""The cells of a table as they stand in its file, whatever its form."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

LARGEST_TABLE = 2**30  # bytes of a table when it is unpacked
Cells = Sequence[object]


@dataclass(frozen=True)
class Sheet:
    """The cells of a table.

    headers: names of the columns; "" for one without.
    columns: the cells of each, None or "" for empty ones; rows without a cell are left out.
    rows: number of each row for people, which are called `row_word`s.
    comma: whether decimals stand behind a comma.
    blind: number of a column -> a cell in it whose formula was never calculated.
    notes: what a person should know.
    """

    headers: tuple[str, ...]
    columns: tuple[Cells, ...]
    rows: Sequence[int]
    row_word: str = "line"
    comma: bool = False
    blind: Mapping[int, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
