"""Series of photographs: bursts, encounters, videos and days."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from flukeprint.data.readers.encounters import day, series_of

NAMES = ("a", "a", "a", "b", "b", None)


def groups(bursts: tuple[str | None, ...] | None, names: tuple[str | None, ...] = NAMES) -> Any:
    """Rows of one identity and one series."""
    found: dict[Any, list[int]] = {}
    for row, (burst, name) in enumerate(zip(bursts or (), names, strict=True)):
        if burst is not None:
            found.setdefault((burst, name), []).append(row)
    return sorted(rows for rows in found.values() if len(rows) > 1)


@pytest.mark.parametrize("column", ["burst", "encounter", "encounter_id", "video"])
def test_each_column_makes_series(column: str) -> None:
    table = pd.DataFrame({column: ["1", "1", "", "1", "1", "1"]})
    assert groups(series_of(table, NAMES, same_day=True)) == [[0, 1], [3, 4]]
    table = pd.DataFrame({column: [1, 1, np.nan, 1, 1, np.nan]})
    assert groups(series_of(table, NAMES, same_day=True)) == [[0, 1], [3, 4]]


def test_a_column_of_its_own_is_kept_as_it_is() -> None:
    table = pd.DataFrame({"burst": ["e1", "", "e2"]})
    assert series_of(table, ("a", "a", "b"), same_day=True) == ("e1", None, "e2")
    assert series_of(pd.DataFrame({"burst": ["", ""]}), ("a", "b"), same_day=True) is None
    assert series_of(pd.DataFrame({"x": ["1", "2"]}), ("a", "b"), same_day=True) is None


def test_bursts_of_one_encounter_hang_together() -> None:
    table = pd.DataFrame(
        {"burst": ["1", "1", "2", "1", "3", ""], "encounter": ["", "x", "x", "x", "", "y"]}
    )
    assert groups(series_of(table, NAMES, same_day=True)) == [[0, 1, 2]]


def test_days_join_photographs_without_a_series() -> None:
    days = ["2019-05-01 10:00", "2019-05-01", "2019-05-02", "2019-05-01", "2019-05-01", ""]
    table = pd.DataFrame({"date": days})
    assert groups(series_of(table, NAMES, same_day=True)) == [[0, 1], [3, 4]]
    assert series_of(table, NAMES, same_day=False) is None
    table["burst"] = ["", "", "", "1", "", ""]
    assert groups(series_of(table, NAMES, same_day=True)) == [[0, 1]]
    assert groups(series_of(table, NAMES, same_day=False)) == []


@pytest.mark.parametrize(
    ("date", "key"),
    [
        ("2019-05-01", "2019-05-01"),
        ("2019-5-1T23:59:59Z", "2019-05-01"),
        ("2019:05:01 10:11:12", "2019-05-01"),
        ("2019/05/01", "2019-05-01"),
        ("20190501", "20190501"),
        ("01.05.2019 14:03", "01.05.2019"),
        ("1 May 2019", "1 May 2019"),
        ("2019", None),
        ("2019.0", None),
        ("2019-05", None),
        (None, None),
    ],
)
def test_a_date_is_a_day_or_nothing(date: str | None, key: str | None) -> None:
    assert day(date) == key
