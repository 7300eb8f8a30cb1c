"""Values, dates and names as JSON of other programs has them."""

import math
from pathlib import Path
from typing import Any

import pytest

from flukeprint.data.exchange.json_files import (
    box_name,
    file_of,
    keys_in,
    local_date,
    number,
    numbers,
    text,
)


@pytest.mark.parametrize(
    ("value", "date"),
    [
        ("2022-12-31 09:52:50", "2022-12-31T09:52:50"),
        ("2022:12:31 09:52:50", "2022-12-31T09:52:50"),
        ("2022/1/5 9:05", "2022-01-05T09:05"),
        ("2022-12-31T09:52:50.000", "2022-12-31T09:52:50"),
        ("2022-12-31T09:52:50.120", "2022-12-31T09:52:50.120"),
        (" 2022-12 ", "2022-12"),
        (2022, "2022"),
    ],
)
def test_dates(value: Any, date: str) -> None:
    assert local_date(value) == (date, None)


@pytest.mark.parametrize(
    ("written", "offset"),
    [("Z", "+00:00"), ("+0200", "+02:00"), (" -03:30", "-03:30")],
)
def test_offsets(written: str, offset: str) -> None:
    assert local_date(f"2022-12-31T09:52:50{written}") == ("2022-12-31T09:52:50", offset)


@pytest.mark.parametrize("value", [None, "", "NA", "nan", "0000-00-00 00:00:00"])
def test_no_dates(value: Any) -> None:
    assert local_date(value) == (None, None)


@pytest.mark.parametrize(
    "value",
    ["31.12.2022", "12/31/2022", "2022-13-01", "2022-02-30", "2022-01-01 25:00", "20221231", "May"],
)
def test_dates_that_are_not_guessed(value: str) -> None:
    assert local_date(value) is None


def test_values() -> None:
    assert [text(one) for one in (" a ", 3, 3.0, 2.5, "", " ", None, True, [])] == [
        "a", "3", "3", "2.5", None, None, None, None, None,
    ]  # fmt: skip
    assert [number(one) for one in ("2.5", 3, "x", math.inf, "nan", None, True, 10**400)] == [
        2.5, 3, None, None, None, None, None, None,
    ]  # fmt: skip
    assert numbers([1, "2"], 2) == (1, 2)
    assert numbers([0, 0], 2) == (0, 0)
    for wrong in ([1], [1, None], "12", None):
        assert numbers(wrong, 2) is None


def test_names() -> None:
    assert file_of("a/b.jpg", Path("photos")) == Path("photos/a/b.jpg")
    assert file_of("C:/b.jpg", Path("photos")) == Path("C:/b.jpg")
    assert file_of("//server/share/b.jpg", Path("photos")) == Path("//server/share/b.jpg")
    assert [box_name("a.jpg", 1, 1), box_name("a.jpg", 2, 3)] == ["a.jpg", "a.jpg#2"]


def test_keys(tmp_path: Path) -> None:
    path = tmp_path / "a.JSON"
    path.write_text('\n {"one": {"two" : 1}, "x": "\\"three\\": 4"}')
    assert keys_in(path, ("one", "two", "three")) == {"one", "two"}
    path.write_text("[" + path.read_text() + "]")
    assert not keys_in(path, ("one", "two"))
