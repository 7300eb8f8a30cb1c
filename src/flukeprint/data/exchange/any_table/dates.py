"""Dates and times in cells; which of two numbers is the day is asked for, never guessed."""

import re
from datetime import date, datetime, time, timedelta

from flukeprint.data.exchange.json_files import local_date
from flukeprint.errors import FlukeprintError

DAY_FIRST, MONTH_FIRST = "day-first", "month-first"
When = tuple[str | None, str | None]  # ISO 8601 of local time, and its offset from UTC

_HALF = r"(?:\s*([AaPp])\.?[Mm]\.?)?"
_CLOCK = r"(\d{1,2})[:.](\d{2})(?:[:.](\d{2})(?:[.,]\d+)?)?" + _HALF
_OFFSET = r"(?:\s*(Z|UTC|[+-]\d{1,2}(?::?\d{2})?))?"
_TIME = re.compile(_CLOCK + _OFFSET)
_WRITTEN = re.compile(r"(\d{1,2})([-/. ])(\d{1,2})\2(\d{4})(?:[ T,]+" + _CLOCK + _OFFSET + ")?")
_ONLY_OFFSET = re.compile(r"Z|UTC|[+-]\d{1,2}(?::?\d{2})?")
_SERIAL = re.compile(r"\d{5}(?:[.,]\d+)?")
_EMPTY = ("", "na", "n/a", "nan", "nat", "none", "null", "-")
_EXCEL_START = 1900  # year; before it a workbook's moment is a time of the day
_CLOCK_CODES = re.compile(r"%[HIMSTRXcrs]")
_SECOND_CODES = re.compile(r"%[STXcrs]")
_DAY_CODES = re.compile(r"%[dejDFxcs]")
_MONTH_CODES = re.compile(r"%[mbBhDFxcs]")


def check_order(dates: str | None) -> None:
    """Refuse what is neither a known order nor a pattern of strptime."""
    if dates in (None, DAY_FIRST, MONTH_FIRST):
        return
    if not re.search(r"%[YyGDFxcs]", dates or ""):
        raise FlukeprintError(
            f"dates {dates!r}: write {DAY_FIRST}, {MONTH_FIRST}, or a pattern such as "
            "%d-%b-%Y with a year"
        )


def read_date(cell: object, order: str | None) -> When:
    """The moment of a cell: a date as such, ISO 8601, or as `order` says.

    Raises:
        FlukeprintError: of another form, in no calendar, or one that can be read in two ways.
    """
    if isinstance(cell, datetime):
        whole = cell.replace(tzinfo=None, microsecond=0)
        if whole.year < _EXCEL_START:
            raise FlukeprintError(f"date {whole.time()} is a time without a day")
        return whole.isoformat(), _offset_of(cell)
    if isinstance(cell, date):
        return cell.isoformat(), None
    if isinstance(cell, time | timedelta):
        raise FlukeprintError(f"date {cell} is a time without a day")
    text = " ".join(str(cell).split())
    if text.casefold() in _EMPTY:
        return None, None
    if order not in (None, DAY_FIRST, MONTH_FIRST):
        return _by_pattern(text, order or "")
    iso = local_date(text)
    if iso is not None:
        return iso
    found = _WRITTEN.fullmatch(text)
    if found is None:
        why = (
            "is a number; a workbook's day numbers are not read, format the cells as dates"
            if _SERIAL.fullmatch(text)
            else "is of no form that is read; write 2024-05-03 14:02, or give its pattern, such "
            "as %d-%b-%Y, as the order of dates"
        )
        raise FlukeprintError(f"date {text!r} {why}")
    return _in_order(text, found, order)


def read_time(cell: object) -> When:
    """The time of day of a cell as `14:02` or `14:02:31`, and its offset from UTC."""
    if isinstance(cell, datetime):
        return cell.time().isoformat("seconds"), _offset_of(cell)
    if isinstance(cell, time):
        return cell.replace(microsecond=0, tzinfo=None).isoformat(), None
    if isinstance(cell, timedelta):
        if not timedelta() <= cell < timedelta(days=1):
            raise FlukeprintError(f"time {cell} is no time of the day")
        return (datetime.min + cell).time().isoformat("seconds"), None
    text = " ".join(str(cell).split())
    if text.casefold() in _EMPTY:
        return None, None
    found = _TIME.fullmatch(text)
    if found is None:
        raise FlukeprintError(f"time {text!r} is of no form that is read; write 14:02:31")
    hour, minute, second, half, offset = found.groups()
    return _clock(text, hour, minute, second, half), None if offset is None else read_offset(offset)


def read_offset(text: str) -> str:
    """An offset from UTC as `+02:00`."""
    if not _ONLY_OFFSET.fullmatch(text):
        raise FlukeprintError(f"offset {text!r} is none from UTC; write +02:00")
    if text in ("Z", "UTC"):
        return "+00:00"
    digits = text[1:].replace(":", "")
    hours, minutes = (digits[:-2], digits[-2:]) if len(digits) > 2 else (digits, "00")
    if int(hours) > 14 or int(minutes) > 59:
        raise FlukeprintError(f"offset {text!r} is none from UTC; write +02:00")
    return f"{text[0]}{hours:0>2}:{minutes}"


def at_time(day: str | None, clock: str) -> str:
    """A day with a time of the day.

    Raises:
        FlukeprintError: no day, or one that has another time already.
    """
    if day is None or len(day) < 10:
        raise FlukeprintError(f"time {clock} has no day in its row")
    there = day[11:]
    if there not in ("", "00:00", "00:00:00") and not f"{there}:00".startswith(clock):
        raise FlukeprintError(f"date {day} has another time than {clock}; keep one")
    return f"{day[:10]}T{clock}"


def _in_order(text: str, found: "re.Match[str]", order: str | None) -> When:
    first, _, second, year, hour, minute, seconds, half, offset = found.groups()
    readings = {
        DAY_FIRST: _day(year, second, first),
        MONTH_FIRST: _day(year, first, second),
    }
    if order is None:
        several = {reading for reading in readings.values() if reading is not None}
        if len(several) > 1:
            raise FlukeprintError(
                f"date {text!r} is {readings[DAY_FIRST]} or {readings[MONTH_FIRST]}; say which "
                f"with {DAY_FIRST} or {MONTH_FIRST} as the order of dates"
            )
        day = next(iter(several), None)
    else:
        day = readings[order]
    if day is None:
        raise FlukeprintError(
            f"date {text!r} is in no calendar" + ("" if order is None else f", {order}")
        )
    if hour is None:
        return day, None
    clock = _clock(text, hour, minute, seconds, half)
    return f"{day}T{clock}", None if offset is None else read_offset(offset)


def _day(year: str, month: str, day: str) -> str | None:
    try:
        return date(int(year), int(month), int(day)).isoformat()
    except ValueError:
        return None


def _clock(text: str, hour: str, minute: str, second: str | None, half: str | None) -> str:
    hours = int(hour)
    if half is not None:
        if not 1 <= hours <= 12:
            raise FlukeprintError(f"time {text!r} is on no clock")
        hours = hours % 12 + (12 if half in "pP" else 0)
    if hours > 23 or int(minute) > 59 or int(second or 0) > 59:
        raise FlukeprintError(f"time {text!r} is on no clock")
    return f"{hours:02d}:{minute}" + ("" if second is None else f":{second}")


def _by_pattern(text: str, pattern: str) -> When:
    try:
        found = datetime.strptime(text, pattern)
    except (ValueError, re.error):
        raise FlukeprintError(f"date {text!r} is not of the form {pattern}") from None
    if _CLOCK_CODES.search(pattern):
        precision = "seconds" if _SECOND_CODES.search(pattern) else "minutes"
        whole = found.replace(tzinfo=None).isoformat(timespec=precision)
        return whole, _offset_of(found)
    if _DAY_CODES.search(pattern):
        return found.date().isoformat(), None
    return f"{found:%Y-%m}" if _MONTH_CODES.search(pattern) else f"{found:%Y}", None


def _offset_of(moment: datetime) -> str | None:
    ahead = moment.utcoffset()
    if ahead is None:
        return None
    minutes = round(ahead.total_seconds() / 60)
    sign = "-" if minutes < 0 else "+"
    return f"{sign}{abs(minutes) // 60:02d}:{abs(minutes) % 60:02d}"
