"""What a catalogue records: individuals, encounters, photographs, and the events that made them."""

import re
from calendar import monthrange
from dataclasses import dataclass
from datetime import date, datetime
from typing import Literal, get_args

from flukeprint.errors import FlukeprintError

Sex = Literal["female", "male"]
LifeStage = Literal["calf", "juvenile", "subadult", "adult"]
DecidedBy = Literal["person", "model"]
Precision = Literal["year", "month", "day", "minute", "second"]
SEXES: tuple[Sex, ...] = get_args(Sex)
LIFE_STAGES: tuple[LifeStage, ...] = get_args(LifeStage)

_WHEN = re.compile(
    r"(\d{4})(?:-(\d{2})(?:-(\d{2})(?:[T ](\d{2}):(\d{2})(?::(\d{2})(?:\.\d+)?)?"
    r"(Z|[+-](?:0\d|1[0-4]):?[0-5]\d)?)?)?)?",
    re.ASCII,
)
_EARLIEST = 1800  # year; before photography


@dataclass(frozen=True, order=True)
class Moment:
    """A date, as precise as it is known, in the local time of the place.

    text: ISO 8601, cut where nothing more is known: `2024`, `2024-05`, `2024-05-03`,
        `2024-05-03T14:02` or `2024-05-03T14:02:31`; texts sort by time.
    offset: of local time from UTC, such as `+02:00`; None where it was not told.
    """

    text: str
    offset: str | None = None

    @property
    def precision(self) -> Precision:
        """How much of the date is known."""
        lengths: dict[int, Precision] = {4: "year", 7: "month", 10: "day", 16: "minute"}
        return lengths.get(len(self.text), "second")

    @property
    def earliest(self) -> datetime:
        """The first moment that it can mean, in local time."""
        filled = self.text + "0000-01-01T00:00:00"[len(self.text) :]
        return datetime.fromisoformat(filled)

    @property
    def latest(self) -> datetime:
        """The last second that it can mean, in local time."""
        first = self.earliest
        match self.precision:
            case "year":
                return first.replace(month=12, day=31, hour=23, minute=59, second=59)
            case "month":
                days = monthrange(first.year, first.month)[1]
                return first.replace(day=days, hour=23, minute=59, second=59)
            case "day":
                return first.replace(hour=23, minute=59, second=59)
            case "minute":
                return first.replace(second=59)
            case "second":
                return first

    def __str__(self) -> str:
        return self.text.replace("T", " ") + (self.offset or "")


def read_moment(text: str, *, today: date | None = None) -> Moment:
    """Read a date of ISO 8601, whole or cut: `2024`, `2024-05-03`, `2024-05-03 14:02+02:00`.

    today: the last day that is not in the future; the system's by default.

    Raises:
        FlukeprintError: another form, no day of the calendar, or in the future.
    """
    found = _WHEN.fullmatch(text.strip())
    if found is None:
        raise FlukeprintError(
            f"date {text!r} is of no form that is read; write 2024-05-03, 2024-05-03 14:02, "
            "2024-05 or 2024"
        )
    *numbers, offset = found.groups()
    parts = [part for part in numbers if part is not None]
    plain = "-".join(parts[:3]) + ("T" + ":".join(parts[3:]) if len(parts) > 3 else "")
    if offset is not None:
        offset = "+00:00" if offset == "Z" else f"{offset[:3]}:{offset[-2:]}"
    moment = Moment(plain, offset)
    try:
        first = moment.earliest
    except ValueError:
        raise FlukeprintError(f"date {text!r} is in no calendar") from None
    if first.year < _EARLIEST:
        raise FlukeprintError(f"date {text!r} lies before {_EARLIEST}")
    if first.date() > (today or date.today()):
        raise FlukeprintError(f"date {text!r} lies in the future")
    return moment


@dataclass(frozen=True)
class Position:
    """A place on the Earth, WGS 84, in degrees.

    uncertainty: radius in metres in which it lies; None where it was not told.
    """

    latitude: float
    longitude: float
    uncertainty: float | None = None

    def __post_init__(self) -> None:
        for what, value, most in (
            ("latitude", self.latitude, 90),
            ("longitude", self.longitude, 180),
        ):
            if not -most <= value <= most:
                raise FlukeprintError(f"{what} {value:g} lies outside -{most} to {most} degrees")
        if self.uncertainty is not None and not 0 <= self.uncertainty < 2.1e7:
            raise FlukeprintError(f"uncertainty {self.uncertainty:g} is no distance in metres")

    def __str__(self) -> str:
        near = "" if self.uncertainty is None else f" +- {self.uncertainty:g} m"
        return f"{self.latitude:.5f},{self.longitude:.5f}{near}"


def read_position(text: str, uncertainty: float | None = None) -> Position:
    """Read a place written as `LATITUDE,LONGITUDE` in degrees.

    Raises:
        FlukeprintError: it is no such pair, or not on the Earth.
    """
    try:
        latitude, longitude = (float(part) for part in text.split(","))
    except ValueError:
        raise FlukeprintError(
            f"place {text!r} is no latitude and longitude; write -27.05,32.41"
        ) from None
    return Position(latitude, longitude, uncertainty)


@dataclass(frozen=True)
class Individual:
    """An animal of the catalogue.

    aliases: other names under which it is found, such as that of one that was merged into it.
    died: when it was known to be dead; None otherwise.
    photographs: how many of it there are; encounters: in how many it was seen.
    first_seen, last_seen: of its dated encounters.
    """

    id: int
    name: str
    aliases: tuple[str, ...] = ()
    sex: Sex | None = None
    life_stage: LifeStage | None = None
    died: Moment | None = None
    notes: str | None = None
    photographs: int = 0
    encounters: int = 0
    first_seen: Moment | None = None
    last_seen: Moment | None = None


@dataclass(frozen=True)
class Encounter:
    """A time and place at which animals were photographed.

    occasion: what it was part of, such as a survey's name.
    """

    id: int
    moment: Moment | None = None
    position: Position | None = None
    place: str | None = None
    observer: str | None = None
    occasion: str | None = None
    notes: str | None = None


@dataclass(frozen=True)
class PhotoRecord:
    """A photograph, or a box of one, of the catalogue.

    image: its name in the gallery, unique.  row: its place in the gallery's store.
    file: where it was when it was enrolled.  digest: of the file's bytes.
    individual: whom it shows; None where nobody was named.
    decided_by: `person` or `model`; decider: who or which; probability: of a model's decision.
    """

    id: int
    image: str
    row: int
    individual: str | None
    view: str | None = None
    file: str | None = None
    digest: str | None = None
    box: tuple[float, float, float, float] | None = None
    quality: float | None = None
    encounter: int | None = None
    decided_by: DecidedBy = "person"
    decider: str | None = None
    probability: float | None = None


@dataclass(frozen=True)
class Event:
    """One change of the catalogue.

    time: UTC, ISO 8601.  kind: such as enroll, rename, merge, undo.  summary: what it did, in
        words.
    undoes: number of the event that it takes back; undone_by: of the one that took it back.
    """

    id: int
    time: str
    author: str
    kind: str
    summary: str
    reason: str | None = None
    undoes: int | None = None
    undone_by: int | None = None
