"""Read a catalogue's records: animals, their photographs and encounters, and its history."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from flukeprint.data.names import spelling
from flukeprint.errors import FlukeprintError, listed
from flukeprint.records.batches import batches
from flukeprint.records.events import event_of
from flukeprint.records.kinds import Encounter, Event, Individual, Moment, PhotoRecord, Position
from flukeprint.records.names import find_individual, kept_text
from flukeprint.records.schema import (
    aliases,
    catalogue,
    changes,
    encounters,
    events,
    individuals,
    photographs,
)


def last_event(connection: sa.Connection) -> int:
    """The number of the last event."""
    return int(connection.execute(sa.select(catalogue.c.last_event)).scalar_one())


def count_individuals(connection: sa.Connection) -> int:
    """How many animals there are."""
    asked = sa.select(sa.func.count()).select_from(individuals).where(~individuals.c.removed)
    return int(connection.execute(asked).scalar_one())


def list_individuals(
    connection: sa.Connection, search: str | None = None, ids: Sequence[int] | None = None
) -> tuple[Individual, ...]:
    """All animals, by name.

    search: only those with a name or alias that holds it, whatever its case and accents.
    ids: only these.
    """
    told = sa.select(aliases.c.individual_id, aliases.c.name).where(~aliases.c.removed)
    grouped = (
        sa.select(
            photographs.c.individual_id.label("who"),
            sa.func.count().label("photographs"),
            sa.func.count(sa.distinct(photographs.c.encounter_id)).label("encounters"),
            sa.func.min(encounters.c.moment).label("first"),
            sa.func.max(encounters.c.moment).label("last"),
        )
        .outerjoin(encounters, encounters.c.id == photographs.c.encounter_id)
        .where(~photographs.c.removed)
        .group_by(photographs.c.individual_id)
    )
    if ids is not None:  # so that it takes no longer the more others there are
        told = told.where(aliases.c.individual_id.in_(list(ids)))
        grouped = grouped.where(photographs.c.individual_id.in_(list(ids)))
    other_names: dict[int, list[str]] = {}
    for owner, name in connection.execute(told.order_by(aliases.c.name)):
        other_names.setdefault(owner, []).append(name)
    counts = grouped.subquery()
    asked = (
        sa.select(individuals, counts)
        .outerjoin(counts, counts.c.who == individuals.c.id)
        .where(~individuals.c.removed)
    )
    if ids is not None:
        asked = asked.where(individuals.c.id.in_(list(ids)))
    if search is not None:
        wanted = f"%{_escaped(spelling(search))}%"
        asked = asked.where(
            individuals.c.spelling.like(wanted, escape="\\")
            | sa.exists().where(
                aliases.c.individual_id == individuals.c.id,
                ~aliases.c.removed,
                aliases.c.spelling.like(wanted, escape="\\"),
            )
        )
    found = [
        Individual(
            row.id, row.name, tuple(other_names.get(row.id, ())), row.sex, row.life_stage,
            _moment(row.died), row.notes, row.photographs or 0, row.encounters or 0,
            _moment(row.first), _moment(row.last),
        )
        for row in connection.execute(asked)
    ]  # fmt: skip
    return tuple(sorted(found, key=lambda one: one.name))


@dataclass(frozen=True)
class IndividualPage:
    """All that is known of one animal.

    encounters: by date, with the photographs of this animal in each; history: the events that
    changed the animal or a photograph of it, the last one first.
    """

    individual: Individual
    photographs: tuple[PhotoRecord, ...]
    encounters: tuple[Encounter, ...]
    history: tuple[Event, ...]


def individual_page(connection: sa.Connection, name: str) -> IndividualPage:
    """All that is known of the animal that a name or alias means; FlukeprintError for nobody."""
    return page_of(connection, find_individual(connection, name))


def page_of(connection: sa.Connection, who: int) -> IndividualPage:
    """All that is known of an animal that is there, by its id."""
    photos = list_photographs(connection, photographs.c.individual_id == who)
    numbers = sorted({photo.encounter for photo in photos if photo.encounter is not None})
    return IndividualPage(
        list_individuals(connection, ids=[who])[0],
        photos,
        list_encounters(connection, numbers),
        history_of(connection, who),
    )


def list_photographs(
    connection: sa.Connection, *conditions: sa.ColumnElement[bool]
) -> tuple[PhotoRecord, ...]:
    """Photographs that are not removed, in the order in which they came."""
    asked = (
        sa.select(photographs, individuals.c.name.label("who"))
        .outerjoin(individuals, individuals.c.id == photographs.c.individual_id)
        .where(~photographs.c.removed, *conditions)
        .order_by(photographs.c.row)
    )
    return tuple(
        PhotoRecord(
            row.id, row.image, row.row, row.who, row.view, row.file, row.digest,
            None if row.box is None else tuple(json.loads(row.box)), row.quality,
            row.encounter_id, row.decided_by, row.decider, row.probability,
        )
        for row in connection.execute(asked)
    )  # fmt: skip


def individuals_of(connection: sa.Connection, rows: Sequence[int]) -> dict[int, int]:
    """Ids of the animals that photographs show, by the photographs' rows; of nobody, none."""
    shows = photographs.c.individual_id
    asked = sa.select(photographs.c.row, shows).where(
        photographs.c.row.in_(list(rows)), ~photographs.c.removed, shows.is_not(None)
    )
    return {row.row: row.individual_id for row in connection.execute(asked)}


def list_encounters(
    connection: sa.Connection, ids: Sequence[int] | None = None
) -> tuple[Encounter, ...]:
    """Encounters by date, those without one last; ids: only these."""
    asked = sa.select(encounters).where(~encounters.c.removed)
    if ids is not None:
        asked = asked.where(encounters.c.id.in_(list(ids)))
    found = [encounter_of(row) for row in connection.execute(asked)]
    return tuple(sorted(found, key=lambda one: (one.moment is None, str(one.moment or ""), one.id)))


def encounter_of(row: Any) -> Encounter:
    """The encounter of a row of the table `encounters`."""
    return Encounter(
        row.id,
        None if row.moment is None else Moment(row.moment, row.utc_offset),
        None if row.latitude is None else Position(row.latitude, row.longitude, row.uncertainty),
        row.place,
        row.observer,
        row.occasion,
        row.notes,
    )


def encounter_values(one: Encounter) -> dict[str, Any]:
    """The columns of the table `encounters` for an encounter, without its number."""
    moment, position = one.moment, one.position
    return {
        "moment": None if moment is None else moment.text,
        "precision": None if moment is None else moment.precision,
        "utc_offset": None if moment is None else moment.offset,
        "latitude": None if position is None else position.latitude,
        "longitude": None if position is None else position.longitude,
        "uncertainty": None if position is None else position.uncertainty,
        "place": one.place,
        "observer": one.observer,
        "occasion": one.occasion,
        "notes": one.notes,
        "removed": False,
    }


def find_photographs(connection: sa.Connection, images: Sequence[str]) -> dict[str, int]:
    """The ids of photographs, by their names in the catalogue.

    Raises:
        FlukeprintError: none is given, or some are not in the catalogue; all are named at once.
    """
    if not images:
        raise FlukeprintError("no photograph is named")
    found: dict[str, int] = {}
    for batch in batches(images):
        given = {kept_text(image): image for image in batch}
        for row in connection.execute(
            sa.select(photographs.c.image, photographs.c.id).where(
                photographs.c.image.in_(list(given)), ~photographs.c.removed
            )
        ):
            found[given[row.image]] = row.id
    missing = [image for image in images if image not in found]
    if missing:
        raise FlukeprintError(
            f"the catalogue has no photographs {listed(missing)}; flukeprint individuals NAME "
            "shows what they are called"
        )
    return found


def history(
    connection: sa.Connection,
    most: int | None = None,
    *,
    before: int | None = None,
    author: str | None = None,
    kind: str | None = None,
) -> tuple[Event, ...]:
    """The events of a catalogue, the last one first.

    most: how many.  before: those with smaller numbers alone.  author, kind: those alone.
    """
    asked = sa.select(events).order_by(events.c.id.desc())
    if before is not None:
        asked = asked.where(events.c.id < before)
    if author is not None:
        asked = asked.where(events.c.author == author)
    if kind is not None:
        asked = asked.where(events.c.kind == kind)
    return tuple(event_of(row) for row in connection.execute(asked.limit(most)))


def events_about(connection: sa.Connection, who: int) -> tuple[Event, ...]:
    """The events that changed an animal or a photograph of it, the last one first."""
    about = (changes.c.of_table == "individuals") & (changes.c.of_row == who)
    about |= (changes.c.of_table == "photographs") & changes.c.of_row.in_(
        sa.select(photographs.c.id).where(photographs.c.individual_id == who)
    )
    asked = sa.select(events).where(events.c.id.in_(sa.select(changes.c.event_id).where(about)))
    return tuple(event_of(row) for row in connection.execute(asked.order_by(events.c.id.desc())))


def history_of(connection: sa.Connection, who: int) -> tuple[Event, ...]:
    """All events of an animal, the last one first: also those by which it lost photographs or
    names, and what was taken back, so that this can be taken back too.
    """
    named = (changes.c.of_table == "aliases") & changes.c.of_row.in_(
        sa.select(aliases.c.id).where(aliases.c.individual_id == who)
    )
    # What moves photographs notes whose they were and whose they become.
    told = f'%"individual_id": {int(who)}'
    moved = (
        (changes.c.of_table == "photographs")
        & events.c.kind.in_(("merge", "split", "move", "undo"))
        & sa.or_(
            *(
                side.like(told + end)
                for side in (changes.c.before, changes.c.after)
                for end in ("}", ",%")
            )
        )
    )
    asked = sa.select(changes.c.event_id).join(events, events.c.id == changes.c.event_id)
    more = {*connection.scalars(asked.where(named | moved)).all()}
    about = events_about(connection, who)
    known = {event.id for event in about}
    found = connection.execute(sa.select(events).where(events.c.id.in_(more - known)))
    others = tuple(event_of(row) for row in found)
    return tuple(sorted((*about, *others), key=lambda event: -event.id))


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")


def _moment(text: str | None) -> Moment | None:
    return None if text is None else Moment(text)
