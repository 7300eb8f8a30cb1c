"""Dates of photographs as their cameras wrote them, where the clock can be trusted."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from flukeprint.data.readers.capture_times import Shot, bursts_by_time, read_shot
from flukeprint.keeper.new_photographs import NewPhotograph
from flukeprint.records.kinds import Encounter, Moment


def with_camera_dates(
    photos: Sequence[NewPhotograph], seconds: float
) -> tuple[tuple[NewPhotograph, ...], list[str]]:
    """Date the photographs that have no date by EXIF; those of one burst are of one encounter.

    seconds: longest pause between two photographs of a burst.

    Returns:
        The photographs, and a line on each kind of times that are missing or not trusted.
    """
    undated = [
        row
        for row, one in enumerate(photos)
        if (one.encounter is None or one.encounter.moment is None)
        and isinstance(one.photo, Path | str)
    ]
    shots = [read_shot(Path(str(photos[row].photo)), photos[row].name) for row in undated]
    timed = bursts_by_time(shots, seconds)
    first: dict[str, Moment] = {}
    for place in sorted(timed.trusted, key=lambda place: str(shots[place].taken)):
        burst = timed.bursts[place]
        if burst is not None:
            first.setdefault(burst, _moment(shots[place]))
    found = list(photos)
    for place in timed.trusted:
        burst = timed.bursts[place]
        moment = _moment(shots[place]) if burst is None else first[burst]
        row = undated[place]
        known = photos[row].encounter or Encounter(0)
        found[row] = replace(photos[row], encounter=replace(known, moment=moment))
    return tuple(found), timed.lines("without a date")


def _moment(shot: Shot) -> Moment:
    assert shot.taken is not None
    return Moment(shot.taken.isoformat(timespec="seconds"))
