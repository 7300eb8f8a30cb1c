"""Find animals and encounters of a catalogue: by any name, place, date, sex and view, page by page.

Names and places are found whatever their case and accents.  A date that is known by its month alone
counts for every day of it.
"""

import base64
import binascii
import json
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import sqlalchemy as sa

from flukeprint.data.names import spelling
from flukeprint.errors import FlukeprintError
from flukeprint.records.batches import batches
from flukeprint.records.kinds import Encounter, Individual, Sex
from flukeprint.records.lookup import encounter_of, list_individuals
from flukeprint.records.schema import aliases, encounters, individuals, photographs

Order = Literal["name", "-name", "photographs", "-photographs", "last_seen", "-last_seen"]
ORDERS: tuple[Order, ...] = get_args(Order)
_DIGITS, _ACCENTS = re.compile(r"(\d{1,18})"), re.compile("[\u0300-\u036f]")


@dataclass(frozen=True)
class Seen:
    """When, where and from which side animals were photographed; None: no matter.

    place: part of its name.  since, until: dates as of `Moment`, which belong to it.
    """

    place: str | None = None
    since: str | None = None
    until: str | None = None
    view: str | None = None

    @property
    def matters(self) -> bool:
        """Whether anything is asked for."""
        return self != Seen()


@dataclass(frozen=True)
class FoundAnimal:
    """An animal, and the row of one of its photographs; None for an animal without."""

    individual: Individual
    photo: int | None


@dataclass(frozen=True)
class Found:
    """A page of what was found: how many there are in all, and where the next page begins.

    before: cursor of the page before; "" where that is the first, None where there is none.
    """

    total: int
    animals: tuple[FoundAnimal, ...]
    next: str | None
    before: str | None = None


def find_animals(
    connection: sa.Connection,
    *,
    name: str | None = None,
    sex: Sex | None = None,
    seen: Seen | None = None,
    order: Order = "name",
    most: int = 50,
    cursor: str | None = None,
) -> Found:
    """The animals that meet all conditions.

    name: part of a name or alias.  order: `-` before it turns it round; by name, n_2 is before
        n_10; animals that were never dated are last in either order of `last_seen`.
    cursor: `next` of the page before; what comes and goes meanwhile moves no page.

    Raises:
        FlukeprintError: no such cursor.
    """
    grouped = (
        sa.select(
            photographs.c.individual_id.label("who"),
            sa.func.count().label("photographs"),
            sa.func.min(photographs.c.row).label("photo"),
            sa.func.max(encounters.c.moment).label("last"),
        )
        .outerjoin(encounters, encounters.c.id == photographs.c.encounter_id)
        .where(~photographs.c.removed)
        .group_by(photographs.c.individual_id)
        .subquery()
    )
    asked = (
        sa.select(individuals.c.id, individuals.c.name, grouped)
        .outerjoin(grouped, grouped.c.who == individuals.c.id)
        .where(~individuals.c.removed)
    )
    if name is not None:
        asked = asked.where(_named(name))
    if sex is not None:
        asked = asked.where(individuals.c.sex == sex)
    if seen is not None and seen.matters:
        shown = sa.select(photographs.c.individual_id).where(~photographs.c.removed)
        if seen.view is not None:
            shown = shown.where(photographs.c.view == seen.view)
        if seen != Seen(view=seen.view):
            shown = shown.join(encounters, encounters.c.id == photographs.c.encounter_id)
            shown = shown.where(*_when_and_where(connection, seen))
        asked = asked.where(individuals.c.id.in_(shown))
    column, turned = order.lstrip("-"), order.startswith("-")
    rows = []
    for row in connection.execute(asked):
        values = {"name": row.name, "photographs": row.photographs or 0, "last_seen": row.last}
        rows.append((_key(column, values[column], row.id, turned), values[column], row))
    rows.sort(key=lambda one: one[0])
    start = 0
    if cursor is not None:
        value, number = _place(cursor)
        kinds = {"name": str, "photographs": int, "last_seen": str | None}
        if not isinstance(value, kinds[column]):
            raise _no_cursor()
        last = _key(column, value, number, turned)
        start = sum(not last < key for key, _, _ in rows)
    page = rows[start : start + most]
    details = {
        one.id: one
        for part in batches([row.id for _, _, row in page])
        for one in list_individuals(connection, ids=part)
    }
    more = start + most < len(rows)
    return Found(
        len(rows),
        tuple(FoundAnimal(details[row.id], row.photo) for _, _, row in page),
        _cursor(page[-1][1], page[-1][2].id) if more else None,
        _before(rows[: max(0, start - most)]) if start else None,
    )


def _before(rows: Sequence[tuple[Any, Any, Any]]) -> str:
    """The cursor of a page that begins behind these rows."""
    return _cursor(rows[-1][1], rows[-1][2].id) if rows else ""


def current_animal(connection: sa.Connection, who: int) -> int | None:
    """The id of the animal that an id means now: of one that was merged, that which it became."""
    row = connection.execute(sa.select(individuals).where(individuals.c.id == who)).first()
    if row is None or not row.removed:
        return None if row is None else who
    found = connection.execute(
        sa.select(individuals.c.id)
        .join(aliases, aliases.c.individual_id == individuals.c.id)
        .where(~individuals.c.removed, ~aliases.c.removed, aliases.c.name == row.name)
    ).scalars()
    return next(iter(found), None)


@dataclass(frozen=True)
class FoundEncounter:
    """An encounter, with the ids and names of the animals in it and the number of photographs."""

    encounter: Encounter
    animals: tuple[tuple[int, str], ...]
    photographs: int


def find_encounters(
    connection: sa.Connection, seen: Seen, *, most: int = 50, cursor: str | None = None
) -> tuple[tuple[FoundEncounter, ...], str | None]:
    """Encounters with photographs, the latest first, those without a date last; and the cursor.

    Raises:
        FlukeprintError: no such cursor.
    """
    shown = sa.exists().where(
        photographs.c.encounter_id == encounters.c.id,
        ~photographs.c.removed,
        *([] if seen.view is None else [photographs.c.view == seen.view]),
    )
    asked = sa.select(encounters).where(
        ~encounters.c.removed, shown, *_when_and_where(connection, seen)
    )
    moment, own = encounters.c.moment, encounters.c.id
    if cursor is not None:
        value, number = _place(cursor)
        if value is None:
            asked = asked.where(moment.is_(None), own < number)
        else:
            earlier = (moment < value) | ((moment == value) & (own < number))
            asked = asked.where(earlier | moment.is_(None))
    asked = asked.order_by(moment.is_(None), moment.desc(), own.desc()).limit(most + 1)
    rows = connection.execute(asked).all()
    page = rows[:most]
    animals: dict[int, dict[int, str]] = {row.id: {} for row in page}
    counts = dict.fromkeys(animals, 0)
    for photo in connection.execute(
        sa.select(photographs.c.encounter_id, individuals.c.id, individuals.c.name)
        .outerjoin(individuals, individuals.c.id == photographs.c.individual_id)
        .where(photographs.c.encounter_id.in_(list(animals)), ~photographs.c.removed)
        .order_by(photographs.c.row)
    ):
        counts[photo.encounter_id] += 1
        if photo.id is not None:
            animals[photo.encounter_id][photo.id] = photo.name
    found = [
        FoundEncounter(encounter_of(row), tuple(animals[row.id].items()), counts[row.id])
        for row in page
    ]
    following = _cursor(page[-1].moment, page[-1].id) if len(rows) > most else None
    return tuple(found), following


def list_places(connection: sa.Connection) -> tuple[str, ...]:
    """The names of all places, sorted."""
    return tuple(sorted(_places(connection)))


def list_views(connection: sa.Connection) -> tuple[str, ...]:
    """The views of all photographs, sorted."""
    asked = sa.select(photographs.c.view).where(
        ~photographs.c.removed, photographs.c.view.is_not(None)
    )
    return tuple(sorted(str(view) for view in connection.execute(asked.distinct()).scalars()))


def _named(name: str) -> sa.ColumnElement[bool]:
    wanted = spelling(name)
    return individuals.c.spelling.contains(wanted, autoescape=True) | sa.exists().where(
        aliases.c.individual_id == individuals.c.id,
        ~aliases.c.removed,
        aliases.c.spelling.contains(wanted, autoescape=True),
    )


def _when_and_where(connection: sa.Connection, seen: Seen) -> list[sa.ColumnElement[bool]]:
    conditions: list[sa.ColumnElement[bool]] = [~encounters.c.removed]
    moment = encounters.c.moment
    if seen.since is not None:
        begun = sa.func.substr(sa.literal(seen.since), 1, sa.func.length(moment))
        conditions.append(moment >= begun)
    if seen.until is not None:
        conditions.append(sa.func.substr(moment, 1, len(seen.until)) <= seen.until)
    if seen.place is not None:
        wanted = spelling(seen.place)
        there = [place for place in _places(connection) if wanted in spelling(place)]
        conditions.append(encounters.c.place.in_(there))
    return conditions


def _places(connection: sa.Connection) -> Sequence[str]:
    asked = sa.select(encounters.c.place).where(
        ~encounters.c.removed, encounters.c.place.is_not(None)
    )
    return connection.execute(asked.distinct()).scalars().all()


def _key(column: str, value: Any, number: int, turned: bool) -> tuple[Any, ...]:
    """What rows are sorted by; turned: from the last to the first."""
    if column == "photographs":
        return (-value if turned else value), number
    if column == "last_seen":
        return value is None, _turned(value or "", turned), number
    parts = [
        (0, int(part), "") if part.isdecimal() else (1, 0, part)
        for part in _DIGITS.split(_ACCENTS.sub("", unicodedata.normalize("NFKD", value)).casefold())
        if part
    ]
    return _turned(parts, turned), _turned(value, turned), number


class _Turned:
    """A value that sorts the other way round."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def __lt__(self, other: "_Turned") -> bool:
        return bool(other.value < self.value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Turned) and bool(self.value == other.value)

    def __hash__(self) -> int:
        return hash(repr(self.value))


def _turned(value: Any, turned: bool) -> Any:
    return _Turned(value) if turned else value


def _cursor(value: str | int | None, number: int) -> str:
    return base64.urlsafe_b64encode(json.dumps([value, number]).encode()).decode().rstrip("=")


def _place(cursor: str) -> tuple[str | int | None, int]:
    try:
        value, number = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    except (ValueError, TypeError, binascii.Error, RecursionError):
        raise _no_cursor() from None
    if not (value is None or type(value) in (str, int)) or type(number) is not int:
        raise _no_cursor()
    if not abs(number) < 2**62 or (isinstance(value, int) and not abs(value) < 2**62):
        raise _no_cursor()
    return value, number


def _no_cursor() -> FlukeprintError:
    return FlukeprintError("the cursor is none that was given with a page; begin without one")
