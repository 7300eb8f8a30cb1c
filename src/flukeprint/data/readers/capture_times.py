"""Bursts by the times at which photographs were taken, as their cameras wrote them into EXIF.

A camera's clock may be wrong.  Where that shows, the photographs are named in a `Notice` and are of
no burst: times in the future, times of a clock that was reset, and times that run against the
numbers which the camera gave its files.
"""

import re
import warnings
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path

from PIL import Image

from flukeprint.data.catalog import Catalog
from flukeprint.data.formats.photo_formats import formats
from flukeprint.data.readers.encounters import joined
from flukeprint.errors import counted, listed
from flukeprint.output import Notice
from flukeprint.storage import name_of, source

# Tags of EXIF 2.32.
_MAKE, _MODEL, _EXIF = 0x010F, 0x0110, 0x8769
_TAKEN, _FRACTION, _SERIAL = 0x9003, 0x9291, 0xA431

_FIRST_YEAR = 1990  # no camera wrote EXIF before
_RESETS = (2000,)  # years on whose first day cameras begin after their battery was changed
_ZONES = timedelta(hours=14)  # local time may be ahead of that of this machine
_WRAP = 0.99  # share of the highest number after which a camera's numbers begin anew
_DIGITS = 4  # that a camera's numbers have at least
_NUMBERED = re.compile(r"(.*?)(\d{2,})\D*")


@dataclass(frozen=True)
class Shot:
    """When and by which camera a photograph was taken, as its file says.

    name: of the photograph, for messages.  taken: local time; None where the file tells none.
    camera: what photographs of one camera share: its serial number, or else its make and model and
        the folder.
    number: what the camera's numbering puts it in order by, a text before it and a number; None
        where the name has none.
    """

    name: str
    taken: datetime | None
    camera: tuple[str, ...]
    number: tuple[str, int] | None


@dataclass(frozen=True)
class Timed:
    """The bursts of photographs by their times, and the times that are not trusted.

    bursts: one entry a photograph, None for one of none.  undated: how many tell no time.
    trusted: places of the photographs whose times are trusted.
    future, reset, backward: names of those whose clock was ahead, was reset, or jumped.
    """

    bursts: tuple[str | None, ...]
    undated: int
    future: tuple[str, ...]
    reset: tuple[str, ...]
    backward: tuple[str, ...]
    trusted: frozenset[int] = frozenset()

    def lines(self, unused: str = "of no burst") -> list[str]:
        """What is wrong with the times, a line each, for people.

        unused: what the photographs are therefore.
        """
        lines = []
        for names, why in (
            (self.future, "taken in the future, by their cameras' clocks"),
            (self.reset, "taken when their cameras' clocks had been reset"),
            (self.backward, "numbered against their times: a camera's clock jumped"),
        ):
            if names:
                photos = counted(len(names), "photograph")
                lines.append(f"{photos} {why}; {unused}: {listed(names)}")
        if self.undated:
            photos = counted(self.undated, "photograph")
            lines.append(f"{photos} of {len(self.bursts)} without a time in EXIF; {unused}")
        return lines


def with_timed_bursts(catalog: Catalog, seconds: float) -> Catalog:
    """The catalogue with bursts by time, joined to those that it has.

    Times that are missing or not trusted are told in a `Notice`.
    """
    if catalog.paths is None:
        return catalog
    with ThreadPoolExecutor(8) as pool:
        shots = list(pool.map(read_shot, catalog.paths, catalog.images))
    timed = bursts_by_time(shots, seconds)
    for line in timed.lines():
        warnings.warn(f"data.bursts: {line}", Notice, stacklevel=2)
    columns = {"time": timed.bursts}
    if catalog.bursts is not None:
        columns["told"] = catalog.bursts
    return replace(catalog, bursts=joined(columns, catalog.identities))


def read_shot(path: Path, name: str | None = None) -> Shot:
    """Read what a photograph's file says of when and by which camera it was taken.

    name: how messages call it; its file's name by default.  A file that cannot be read tells
    nothing: whether it can be decoded is judged elsewhere.
    """
    folder = str(path.parent)
    found = _NUMBERED.fullmatch(Path(name_of(path)).stem)
    number = None if found is None else (found[1], int(found[2]))
    taken = None
    camera: tuple[str, ...] = ("", "", folder)
    try:
        with Image.open(source(path), formats=formats()) as image:
            exif = image.getexif()
            inside = exif.get_ifd(_EXIF)
            maker = (_text(exif.get(_MAKE)), _text(exif.get(_MODEL)))
            serial = _text(inside.get(_SERIAL))
            camera = (*maker, "serial", serial) if serial else (*maker, folder)
            taken = _moment(_text(inside.get(_TAKEN)), _text(inside.get(_FRACTION)))
    except Exception:  # a parser of foreign bytes may fail in any way
        pass
    return Shot(name or name_of(path), taken, camera, number)


def bursts_by_time(shots: Sequence[Shot], seconds: float, now: datetime | None = None) -> Timed:
    """Group shots of one camera between which no pause is longer than `seconds`.

    now: the local time from which on a time lies in the future; that of the system by default.
    A shot of a burst of its own has no burst.
    """
    latest = (now or datetime.now()) + _ZONES
    future, reset, trusted = [], [], []
    undated = 0
    for row, shot in enumerate(shots):
        if shot.taken is None:
            undated += 1
        elif shot.taken > latest:
            future.append(row)
        elif _is_reset(shot.taken):
            reset.append(row)
        else:
            trusted.append(row)
    backward = _backward(shots, trusted)
    kept = set(trusted) - backward
    bursts: list[str | None] = [None] * len(shots)
    for rows in _by_camera(shots, kept):
        ordered = sorted(rows, key=lambda row: (_taken(shots[row]), row))
        start = 0
        for end in range(1, len(ordered) + 1):
            ends = end == len(ordered) or _pause(shots, ordered, end) > seconds
            if ends:
                if end - start > 1:
                    for row in ordered[start:end]:
                        bursts[row] = str(ordered[start])
                start = end
    return Timed(
        tuple(bursts), undated, _names(shots, future), _names(shots, reset),
        _names(shots, sorted(backward)), frozenset(kept),
    )  # fmt: skip


def _backward(shots: Sequence[Shot], rows: Iterable[int]) -> set[int]:
    """Rows whose time contradicts the camera's numbering.

    These are all but the most photographs of a camera whose times rise with their numbers.  Where
    times fall more often than a clock would jump, the numbers are not the camera's, and no row is.
    """
    found: set[int] = set()
    for own in _by_camera(shots, rows):
        prefixes: dict[str, list[tuple[int, int]]] = {}
        for row in own:
            if (number := shots[row].number) is not None:
                prefixes.setdefault(number[0], []).append((number[1], row))
        for numbered in prefixes.values():
            ordered = [row for _, row in sorted(numbered)]
            times = [_taken(shots[row]) for row in ordered]
            falls = sum(after < before for before, after in pairwise(times))
            if falls == 0 or falls > max(1, len(times) // 10) or len(times) < 3:
                continue
            if falls == 1 and times[-1] <= times[0] and _wrapped([n for n, _ in numbered]):
                continue
            rising = _longest_rising(times)
            found |= {row for place, row in enumerate(ordered) if place not in rising}
    return found


def _wrapped(numbers: Sequence[int]) -> bool:
    """Whether numbers reach the highest of their digits and the first, as a camera's begin anew."""
    highest = max(numbers)
    limit: int = 10 ** max(_DIGITS, len(str(highest)))
    return bool(highest >= _WRAP * limit and min(numbers) <= (1 - _WRAP) * limit)


def _longest_rising(times: Sequence[datetime]) -> set[int]:
    """Places of a longest subsequence that never falls (patience sorting; Fredman 1975)."""
    ends: list[datetime] = []
    places: list[int] = []
    before: list[int | None] = []
    for place, time in enumerate(times):
        pile = bisect_right(ends, time)
        before.append(places[pile - 1] if pile else None)
        if pile == len(ends):
            ends.append(time)
            places.append(place)
        else:
            ends[pile], places[pile] = time, place
    chosen: set[int] = set()
    last: int | None = places[-1] if places else None
    while last is not None:
        chosen.add(last)
        last = before[last]
    return chosen


def _by_camera(shots: Sequence[Shot], rows: Iterable[int]) -> list[list[int]]:
    cameras: dict[tuple[str, ...], list[int]] = {}
    for row in sorted(rows):
        cameras.setdefault(shots[row].camera, []).append(row)
    return list(cameras.values())


def _pause(shots: Sequence[Shot], ordered: Sequence[int], end: int) -> float:
    """Seconds between a shot and the one before it."""
    return (_taken(shots[ordered[end]]) - _taken(shots[ordered[end - 1]])).total_seconds()


def _taken(shot: Shot) -> datetime:
    assert shot.taken is not None  # only dated ones are asked
    return shot.taken


def _is_reset(taken: datetime) -> bool:
    first_day = (taken.month, taken.day) == (1, 1)
    return taken.year < _FIRST_YEAR or (first_day and taken.year in _RESETS)


def _names(shots: Sequence[Shot], rows: Iterable[int]) -> tuple[str, ...]:
    return tuple(shots[row].name for row in rows)


def _text(value: object) -> str:
    if isinstance(value, bytes):
        value = value.decode("ascii", "replace")
    return value.strip("\0 ") if isinstance(value, str) else ""


def _moment(text: str, fraction: str) -> datetime | None:
    """`2024:05:03 14:02:31` and the digits after its point; None where it is no time."""
    try:
        moment = datetime.strptime(text.replace("-", ":"), "%Y:%m:%d %H:%M:%S")
    except ValueError:
        return None
    if fraction.isdecimal():
        moment += timedelta(seconds=float(f"0.{fraction}"))
    return moment
