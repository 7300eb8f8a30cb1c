"""Dates in cells: read where they can be read in one way, refused where in two."""

from datetime import date, datetime, time, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flukeprint.data.exchange.any_table.dates import (
    at_time,
    check_order,
    read_date,
    read_offset,
    read_time,
)
from tests.refusals import refused


@pytest.mark.parametrize(
    ("text", "order", "when"),
    [
        ("2024-05-03", None, ("2024-05-03", None)),
        ("2024-5-3 7:02", None, ("2024-05-03T07:02", None)),
        ("2024:05:03 07:02:01", None, ("2024-05-03T07:02:01", None)),
        ("2024-05-03T07:02:01+0200", None, ("2024-05-03T07:02:01", "+02:00")),
        ("2024", None, ("2024", None)),
        (2024, None, ("2024", None)),
        ("25/12/2021", None, ("2021-12-25", None)),
        ("12/25/2021", None, ("2021-12-25", None)),
        ("5.5.2021", None, ("2021-05-05", None)),
        ("03/04/2021", "day-first", ("2021-04-03", None)),
        ("03/04/2021", "month-first", ("2021-03-04", None)),
        ("3.4.2021 14:05", "day-first", ("2021-04-03T14:05", None)),
        ("3/4/2021 12:05:09 AM", "month-first", ("2021-03-04T00:05:09", None)),
        ("3/4/2021, 1:05 p.m.", "month-first", ("2021-03-04T13:05", None)),
        ("2021-04-03", "month-first", ("2021-04-03", None)),
        ("03-Apr-2021", "%d-%b-%Y", ("2021-04-03", None)),
        ("04/2021", "%m/%Y", ("2021-04", None)),
        ("2021-25-12 1405", "%Y-%d-%m %H%M", ("2021-12-25T14:05", None)),
        ("2021-04-03 14:05:06+0330", "%Y-%m-%d %H:%M:%S%z", ("2021-04-03T14:05:06", "+03:30")),
        ("NA", None, (None, None)),
        ("", "day-first", (None, None)),
        (date(2021, 4, 3), "month-first", ("2021-04-03", None)),
        (datetime(2021, 4, 3, 1, 2, 3), None, ("2021-04-03T01:02:03", None)),
        (
            datetime(2021, 4, 3, 1, tzinfo=timezone(-timedelta(hours=3, minutes=30))), None,
            ("2021-04-03T01:00:00", "-03:30"),
        ),
    ],
)  # fmt: skip
def test_dates_are_read(text: object, order: str | None, when: tuple[str, str | None]) -> None:
    assert read_date(text, order) == when


@pytest.mark.parametrize(
    ("text", "order", "words"),
    [
        ("03/04/2021", None, ("2021-04-03 or 2021-03-04", "day-first", "month-first")),
        ("12/25/2021", "day-first", ("in no calendar, day-first",)),
        ("31/02/2021", None, ("in no calendar",)),
        ("44289", None, ("number", "format the cells as dates")),
        (44289.5, None, ("number",)),
        ("3 May 2021", None, ("%d-%b-%Y",)),
        ("03/04/21", "day-first", ("no form that is read",)),
        ("2021-04-03", "%Y-%d-%b", ("not of the form %Y-%d-%b",)),
        ("3/4/2021 25:00", "day-first", ("on no clock",)),
        ("3/4/2021 13:00 PM", "day-first", ("on no clock",)),
        (time(3, 4), None, ("a time without a day",)),
    ],
)
def test_what_is_no_date_is_refused(
    text: object, order: str | None, words: tuple[str, ...]
) -> None:
    refused(lambda: read_date(text, order), *words)


@given(day=st.dates(date(1800, 1, 1), date(2199, 12, 31)))
def test_what_has_two_readings_is_never_read(day: date) -> None:
    written = f"{day.day}/{day.month}/{day.year}"
    if day.day <= 12 and day.day != day.month:
        refused(lambda: read_date(written, None), day.isoformat())
    else:
        assert read_date(written, None) == (day.isoformat(), None)
    assert read_date(written, "day-first") == (day.isoformat(), None)
    american = f"{day.month}-{day.day}-{day.year}"
    assert read_date(american, "month-first") == (day.isoformat(), None)
    assert read_date(day.isoformat(), "day-first") == (day.isoformat(), None)


def test_times_join_days() -> None:
    assert read_time("7:02 pm") == ("19:02", None)
    assert read_time("07:02:59.5Z") == ("07:02:59", "+00:00")
    assert read_time(time(7, 2, 3)) == ("07:02:03", None)
    assert read_time(timedelta(hours=7)) == ("07:00:00", None)
    assert read_time(datetime(1899, 12, 30, 7, 2)) == ("07:02:00", None)
    assert at_time("2024-05-03", "07:02") == "2024-05-03T07:02"
    assert at_time("2024-05-03T00:00:00", "07:02") == "2024-05-03T07:02"
    assert at_time("2024-05-03T07:02:00", "07:02:00") == "2024-05-03T07:02:00"
    refused(lambda: at_time("2024-05", "07:02"), "no day")
    refused(lambda: at_time(None, "07:02"), "no day")
    refused(lambda: at_time("2024-05-03T08:00", "07:02"), "another time")
    refused(lambda: read_time("soon"), "14:02:31")
    refused(lambda: read_time(timedelta(days=2)), "no time of the day")


def test_offsets_and_orders() -> None:
    assert [read_offset(text) for text in ("Z", "+2", "-0330", "+14:00")] == [
        "+00:00", "+02:00", "-03:30", "+14:00",
    ]  # fmt: skip
    refused(lambda: read_offset("Europe/Berlin"), "+02:00")
    refused(lambda: read_offset("+25:00"), "+02:00")
    check_order("day-first")
    refused(lambda: check_order("dmy"), "day-first", "month-first")
