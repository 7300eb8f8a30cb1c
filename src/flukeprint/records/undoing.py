"""Whether an event can be taken back: nothing that holds may build on it, or be torn by it."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from flukeprint.errors import FlukeprintError
from flukeprint.records.batches import batches
from flukeprint.records.events import event_of, undone_event
from flukeprint.records.kinds import Event
from flukeprint.records.names import doubled_names
from flukeprint.records.schema import (
    aliases,
    changes,
    encounters,
    events,
    individuals,
    photographs,
    tables,
)

# Of how rows lie in the gallery's files; what an event says of them need not hold later.
_OF_FILES = ("changed", "renamed", "label")


def refuse_built_on(connection: sa.Connection, event: Event, rows: Sequence[Any]) -> None:
    """Refuse to take back an event whose rows are no longer as it left them.

    rows: of the table `changes`, the last one first.

    An undo that is to be taken back stands for the first event, which it brings back: events on the
    same rows that hold were always made, or brought back, in the order of their numbers.
    """
    first = event
    while (before := undone_event(connection, first)) is not None:
        first = before
    later = changes.alias()
    found = connection.execute(
        sa.select(events)
        .where(
            events.c.id > first.id,
            events.c.undone_by.is_(None),
            events.c.undoes.is_(None),
            sa.exists().where(
                changes.c.event_id == event.id,
                later.c.event_id == events.c.id,
                later.c.of_table == changes.c.of_table,
                later.c.of_row == changes.c.of_row,
            ),
        )
        .order_by(events.c.id)
    ).all()
    if found:
        raise _built_on(event, [event_of(row) for row in found])
    left: dict[str, dict[int, dict[str, Any]]] = {}
    for row in reversed(rows):
        values = json.loads(row.after)
        left.setdefault(row.of_table, {}).setdefault(row.of_row, {}).update(values)
    for name, wanted in left.items():
        table = tables.tables[name]
        for part in batches(sorted(wanted)):
            for now in connection.execute(sa.select(table).where(table.c.id.in_(part))).mappings():
                for column, value in wanted[now["id"]].items():
                    if column not in _OF_FILES and now[column] != value:
                        raise _built_on(event, _touching(connection, event, {name: [now["id"]]}))
    _refuse_taken_names(connection, event, rows)


def _refuse_taken_names(connection: sa.Connection, event: Event, rows: Sequence[Any]) -> None:
    """Refuse to bring back an animal or a name while another animal is called so."""
    back: dict[int, dict[str, Any]] = {}
    for row in rows:
        if row.of_table == individuals.name and row.before is not None:
            back.setdefault(row.of_row, {}).update(json.loads(row.before))
    for part in batches(sorted(back)):
        for now in connection.execute(
            sa.select(individuals).where(individuals.c.id.in_(part))
        ).mappings():
            then = {**now, **back[now["id"]]}
            other = connection.scalar(
                sa.select(individuals.c.id).where(
                    individuals.c.name == then["name"], ~individuals.c.removed,
                    individuals.c.id != now["id"],
                )
            )  # fmt: skip
            if not then["removed"] and other is not None and other not in back:
                raise _doubled(event, then["name"])


def check_whole(connection: sa.Connection, event: Event, rows: Sequence[Any]) -> None:
    """Refuse a state in which a photograph shows an animal that is removed, or a name names two.

    event: which is being taken back; rows: what it changed.
    """
    touched: dict[str, set[int]] = {}
    for row in rows:
        touched.setdefault(row.of_table, set()).add(row.of_row)
    for table, column in (
        (individuals, photographs.c.individual_id),
        (encounters, photographs.c.encounter_id),
    ):
        for own, numbers in (
            (photographs.c.id, touched.get(photographs.name, ())),
            (column, touched.get(table.name, ())),
        ):
            for part in batches(sorted(numbers)):
                orphans = connection.execute(
                    sa.select(photographs.c.id, column)
                    .join(table, table.c.id == column)
                    .where(own.in_(part), ~photographs.c.removed, table.c.removed)
                    .limit(1000)
                ).all()
                if orphans:
                    theirs = {
                        photographs.name: [row[0] for row in orphans],
                        table.name: sorted({row[1] for row in orphans}),
                    }
                    raise _built_on(event, _touching(connection, event, theirs))
    twin = photographs.alias()
    for part in batches(sorted(touched.get(photographs.name, ()))):
        again = connection.execute(
            sa.select(photographs.c.image, twin.c.image)
            .join(twin, (twin.c.digest == photographs.c.digest) & (twin.c.id != photographs.c.id))
            .where(
                photographs.c.id.in_(part), ~photographs.c.removed, ~twin.c.removed,
                sa.func.coalesce(twin.c.box, "") == sa.func.coalesce(photographs.c.box, ""),
            )
            .limit(1)
        ).first()  # fmt: skip
        if again is not None:
            raise FlukeprintError(
                f"event {event.id} cannot be taken back, because {again[0]} is in the catalogue "
                f"again, as {again[1]}; remove that one first"
            )
    spelt: set[str] = set()
    for table in (individuals, aliases):
        for part in batches(sorted(touched.get(table.name, ()))):
            asked = sa.select(table.c.spelling).where(table.c.id.in_(part), ~table.c.removed)
            spelt.update(connection.execute(asked).scalars())
    # An animal that comes back brings its aliases.
    for part in batches(sorted(touched.get(individuals.name, ()))):
        asked = sa.select(aliases.c.spelling).where(
            aliases.c.individual_id.in_(part), ~aliases.c.removed
        )
        spelt.update(connection.execute(asked).scalars())
    doubled = doubled_names(connection, spelt)
    if doubled:
        raise _doubled(event, doubled[0])


def _touching(
    connection: sa.Connection, event: Event, rows: Mapping[str, Sequence[int]]
) -> list[Event]:
    """The events after `event` that hold and changed some of these rows, by table."""
    of_rows = sa.or_(
        *(
            sa.and_(changes.c.of_table == name, changes.c.of_row.in_(list(numbers)))
            for name, numbers in rows.items()
        )
    )
    asked = sa.select(events).where(
        events.c.undone_by.is_(None),
        events.c.id.in_(sa.select(changes.c.event_id).where(of_rows)),
        events.c.id != event.id,
    )
    found = connection.execute(asked.order_by(events.c.id)).all()
    return [event_of(row) for row in found if row.id > event.id] or [event_of(found[-1])]


def _built_on(event: Event, later: Sequence[Event]) -> FlukeprintError:
    named = "; ".join(f"event {one.id} ({one.kind}: {one.summary})" for one in later[:3])
    more = f" and {len(later) - 3} more" if len(later) > 3 else ""
    return FlukeprintError(
        f"event {event.id} cannot be taken back, because what came later builds on it: "
        f"{named}{more}; take those back first, the last one first"
    )


def _doubled(event: Event, name: str) -> FlukeprintError:
    return FlukeprintError(
        f"event {event.id} cannot be taken back, because two animals would have the name {name}; "
        "rename the other one first"
    )
