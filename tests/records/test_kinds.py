"""Moments and positions: read, refused, and sorted by time."""

from datetime import date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flukeprint.errors import FlukeprintError
from flukeprint.records.kinds import Moment, Position, read_moment

TODAY = date(2026, 1, 31)
CUTS = {"year": 4, "month": 7, "day": 10, "minute": 16, "second": 19}
WHEN = st.datetimes(datetime(1800, 1, 1), datetime(2026, 1, 31))


@given(WHEN, st.sampled_from(sorted(CUTS)), st.sampled_from(["", "Z", "+02:00", "-0330"]))
def test_a_moment_is_read_as_precisely_as_it_is_written(
    when: datetime, precision: str, offset: str
) -> None:
    timed = precision in ("minute", "second")
    text = when.isoformat(timespec="seconds")[: CUTS[precision]]
    moment = read_moment(f" {text.replace('T', ' ')}{offset if timed else ''} ", today=TODAY)
    assert (moment.text, moment.precision) == (text, precision)
    known = {"": None, "Z": "+00:00", "+02:00": "+02:00", "-0330": "-03:30"}[offset]
    assert moment.offset == (known if timed else None)
    assert read_moment(str(moment), today=TODAY) == moment
    assert moment.earliest <= when


@given(WHEN, WHEN, st.sampled_from(sorted(CUTS)))
def test_texts_sort_by_time(one: datetime, other: datetime, precision: str) -> None:
    first, second = (
        Moment(when.isoformat(timespec="seconds")[: CUTS[precision]]) for when in (one, other)
    )
    assert (first < second) == (first.earliest < second.earliest)


@given(st.text(max_size=30))
def test_any_text_is_a_moment_or_is_refused_in_one_line(text: str) -> None:
    said = ""
    try:
        moment = read_moment(text, today=TODAY)
    except FlukeprintError as error:
        said = str(error)
    if said:
        assert said.startswith("date ")
        assert "\n" not in said
    else:
        assert 1800 <= moment.earliest.year <= 2026


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("2024-13", "no calendar"), ("2023-02-29", "no calendar"), ("2024-05-03 24:01", "calendar"),
        ("0999", "before 1800"), ("2026-02-01", "in the future"), ("2027", "in the future"),
        ("3 May 2024", "no form"), ("03/05/2024", "no form"), ("2024-5-3", "no form"),
        ("2024-05-03 14:02+99:00", "no form"), ("", "no form"),
        ("\u0662\u0660\u0662\u0664", "no form"),
    ],
)  # fmt: skip
def test_no_moment(text: str, said: str) -> None:
    with pytest.raises(FlukeprintError, match=said):
        read_moment(text, today=TODAY)


def test_tomorrow_is_in_the_future() -> None:
    assert read_moment(date.today().isoformat())
    with pytest.raises(FlukeprintError, match="future"):
        read_moment((date.today() + timedelta(1)).isoformat())


@given(st.floats(-90, 90), st.floats(-180, 180), st.none() | st.floats(0, 2e7))
def test_positions_on_the_earth(latitude: float, longitude: float, near: float | None) -> None:
    text = str(Position(latitude, longitude, near))
    assert abs(float(text.split(",")[0]) - latitude) < 1e-5


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ((90.01, 0, None), "latitude 90.01"), ((-91, 0, None), "latitude"),
        ((float("nan"), 0, None), "latitude"), ((0, 180.5, None), "longitude"),
        ((0, float("inf"), None), "longitude"), ((0, 0, -1), "uncertainty -1"),
        ((0, 0, float("nan")), "uncertainty"), ((0, 0, 1e9), "uncertainty"),
    ],
)  # fmt: skip
def test_no_position(where: tuple[float, float, float | None], said: str) -> None:
    with pytest.raises(FlukeprintError, match=said):
        Position(*where)
