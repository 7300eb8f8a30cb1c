"""Dates of Darwin Core are as exact as the source tells, in local time with its offset."""

import pytest

from flukeprint.data.exchange.darwin_core.dates import when


@pytest.mark.parametrize(
    ("date", "found"),
    [
        ("2024", ("2024", None)),
        ("2024-05", ("2024-05", None)),
        ("2024-05-03", ("2024-05-03", None)),
        ("20240503", ("2024-05-03", None)),
        ("2024/05/03", ("2024-05-03", None)),
        ("2024-5-3", ("2024-05-03", None)),
        ("2024-05-03T14:02Z", ("2024-05-03T14:02", "+00:00")),
        ("2024-05-03T14:02:31.250-0330", ("2024-05-03T14:02:31", "-03:30")),
        ("2024-05-03 14:02:31", ("2024-05-03T14:02:31", None)),
        ("2024-05-01/2024-05-05", ("2024-05", None)),
        ("2024-05-01/05", ("2024-05", None)),
        ("2024-05-03/2024-05-03", ("2024-05-03", None)),
        ("2024-05/2024-08", ("2024", None)),
        ("2024/2024", ("2024", None)),
        ("2023-12-31/2024-01-02", (None, None)),
        ("2024-05-03T10:00:05Z/2024-05-03T10:00:09Z", ("2024-05-03T10:00", "+00:00")),
        ("2024-05-03T10:00:05+02:00/10:00:05", ("2024-05-03T10:00:05", "+02:00")),
        ("2024-05-03T10:00:00Z/2024-05-03T10:00:00+02:00", ("2024-05-03", None)),
        ("2024-05-03T10:00:00Z/2024-05-04T01:00:00Z", ("2024-05", None)),
        ("2024-02-30", (None, None)),
        ("2024-13", (None, None)),
        ("03.05.2024", (None, None)),
        ("May 2024", (None, None)),
        ("", (None, None)),
    ],
)
def test_event_date(date: str, found: tuple[str | None, str | None]) -> None:
    assert when(date) == found


@pytest.mark.parametrize(
    ("date", "time", "found"),
    [
        ("2024-05-03", "14:02:31+02:00", ("2024-05-03T14:02:31", "+02:00")),
        ("2024-05-03", "14:02", ("2024-05-03T14:02", None)),
        ("2024-05-03", "25:00", ("2024-05-03", None)),
        ("2024-05", "14:02", ("2024-05", None)),
        # GBIF's local time, once with a Z, and the offset beside it
        ("2016-12-10T08:28:05", "08:28:05-06:00", ("2016-12-10T08:28:05", "-06:00")),
        ("2016-12-10T08:28:05Z", "08:28:05-06:00", ("2016-12-10T08:28:05", "-06:00")),
        ("2016-12-10T14:28:05Z", "08:28:05-06:00", ("2016-12-10T14:28:05", "+00:00")),
        ("2016-12-10T08:28:05-05:00", "08:28:05-06:00", ("2016-12-10T08:28:05", "-05:00")),
        ("2024-05-03/2024-05-03", "14:02", ("2024-05-03", None)),
    ],
)
def test_event_time(date: str, time: str, found: tuple[str | None, str | None]) -> None:
    assert when(date, time) == found


def test_year_month_and_day_count_where_there_is_no_date() -> None:
    assert when(None, None, "2024", "5", "3") == ("2024-05-03", None)
    assert when("unknown", None, "2024", "5.0", None) == ("2024-05", None)
    assert when(None, "14:02", "2024", "5", "3") == ("2024-05-03T14:02", None)
    assert when("2023", None, "2024", "5", "3") == ("2023", None)
    assert when(None, None, "2024", "2", "30") == (None, None)
    assert when(None) == (None, None)
