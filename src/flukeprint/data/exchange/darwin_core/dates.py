"""Dates of Darwin Core: ISO 8601 with intervals, a time of its own, or year, month and day."""

import re
from datetime import datetime
from functools import lru_cache

from flukeprint.data.exchange.camtrap.cells import time_in

When = tuple[str | None, str | None]  # local time as far as it is known, and its offset from UTC
_PARTS = re.compile(r"(\d{4})(?:[-/](\d\d?)(?:[-/](\d\d?))?)?")
_COMPACT = re.compile(r"(\d{4})(\d\d)(\d\d)")
_CLOCK = re.compile(r"(\d\d:\d\d(?::\d\d)?)(?:\.\d+)?\s*(Z|[+-]\d\d(?::?\d\d)?)?")
_LENGTHS = (19, 16, 10, 7, 4)  # of a date known to the second, minute, day, month, year


@lru_cache(maxsize=100_000)
def when(
    date: str | None,
    time: str | None = None,
    year: str | None = None,
    month: str | None = None,
    day: str | None = None,
) -> When:
    """When something was seen, from the terms eventDate, eventTime, year, month and day."""
    found, offset = (None, None) if date is None else _date(date.strip())
    if found is None and year is not None:
        found = _joined(year, month, day)
    if found is None or time is None or len(found) < 10:
        return found, offset
    clock = _CLOCK.fullmatch(time.strip())
    if clock is None or "/" in (date or ""):
        return found, offset
    exact, clock_offset = time_in(f"{found[:10]}T{clock[1]}{clock[2] or ''}")
    if exact is None:
        return found, offset
    if len(found) == 10:
        return exact, clock_offset
    # GBIF gives local times without their offset, at times with a Z, and the true one here
    same = found[:16] == exact[:16]
    return found, clock_offset if same and clock_offset and offset in (None, "+00:00") else offset


def common(one: When, two: When) -> When:
    """What two times agree in, as far as to the second; None where even their years differ."""
    (first, offset), (second, other) = one, two
    if first is None or second is None:
        return None, None
    most = 10 if offset != other else 19
    for length in _LENGTHS:
        whole = len(first) >= length and len(second) >= length
        if length <= most and whole and first[:length] == second[:length]:
            return first[:length], offset if length > 10 else None
    return None, None


def _date(text: str) -> When:
    """A moment or an interval."""
    point = _point(text)
    if point[0] is not None:
        return point
    start, slash, end = text.partition("/")
    if not slash:
        return None, None
    first = _point(start)
    if first[0] is None:
        return None, None
    if _CLOCK.fullmatch(end) and len(first[0]) > 10:  # the end may leave out what it shares
        end = f"{first[0][:10]}T{end}"
    elif "T" not in start and len(end) < len(start):
        end = start[: len(start) - len(end)] + end
    last = _point(end)
    if last[0] is not None and len(last[0]) > 10 and last[1] is None:
        last = last[0], first[1]
    return common(first, last)


def _point(text: str) -> When:
    parts = _PARTS.fullmatch(text) or _COMPACT.fullmatch(text)
    if parts is not None and not ("/" in text and parts[3] is None):
        return _joined(*parts.groups()), None
    return time_in(text)


def _joined(year: str, month: str | None = None, day: str | None = None) -> str | None:
    """The date of these parts, as far as they go; None where they are none."""
    numbers = []
    for part in (year, month, day):
        if part is None or not part.strip().removesuffix(".0").isdecimal():
            break
        numbers.append(int(part.strip().removesuffix(".0")))
    if not numbers or not 1 <= numbers[0] <= 9999:
        return None
    try:
        year_of, month_of, day_of = [*numbers, 1, 1][:3]
        datetime(year_of, month_of, day_of)
    except ValueError:
        return None
    return "-".join([f"{numbers[0]:04d}", *(f"{one:02d}" for one in numbers[1:])])
