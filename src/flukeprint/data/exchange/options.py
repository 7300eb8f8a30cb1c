"""What a person says of a source that it does not say itself: columns, dates, units, patterns."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Literal

from flukeprint.data.readers.boxes import BoxUnit

Decimal = Literal["point", "comma"]


@dataclass(frozen=True)
class ReadOptions:
    """How to read a source of a format that leaves something open.

    columns: our name of a field -> the table's header.
    dates: `day-first`, `month-first` or a pattern of strptime; None: only dates that begin with
        the year, and those that can be read in one way, are read.
    sheet: of a workbook; the first by default.
    decimal: the sign before the decimals; None: a comma where `;` stands between the cells.
    box_unit: of boxes in a table.
    pattern: of the files of a folder, such as `{site}/{identity}/{view}_*.jpg`.
    keywords: patterns of keywords in photographs, such as `Animals|Leopard|{identity}`.
    """

    columns: Mapping[str, str] = field(default_factory=dict)
    dates: str | None = None
    sheet: str | None = None
    decimal: Decimal | None = None
    box_unit: BoxUnit = "pixels"
    pattern: str | None = None
    keywords: tuple[str, ...] = ()

    @property
    def given(self) -> tuple[str, ...]:
        """Names of those that say something."""
        usual = ReadOptions()
        names = (one.name for one in fields(self))
        return tuple(name for name in names if getattr(self, name) != getattr(usual, name))

    @property
    def of_table(self) -> bool:
        """Whether they can be meant for a table or a folder with a pattern only."""
        return bool(self.columns or self.sheet is not None or self.pattern is not None)
