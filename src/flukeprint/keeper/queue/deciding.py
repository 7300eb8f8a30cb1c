"""Decide a photograph of the queue: it becomes one of the catalogue, or is put aside.

Who decides has taken it, or nobody has.  A decision that a process did not finish is finished by
the next one of the same: the photograph is found in the catalogue then.
"""

from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from flukeprint.errors import FlukeprintError
from flukeprint.keeper.keeper import Keeper
from flukeprint.keeper.new_photographs import NewPhotograph
from flukeprint.keeper.queue.files import place_of
from flukeprint.keeper.queue.kinds import ItemDecision, UploadItem
from flukeprint.keeper.queue.rows import check_free, encounter_start, item_row, take_item
from flukeprint.keeper.queue.shared_queue import SharedQueue
from flukeprint.keeper.queue.tables import upload_batches, upload_items
from flukeprint.records.events import event_of
from flukeprint.records.journal import Note
from flukeprint.records.kinds import Encounter, Event, Moment
from flukeprint.records.names import find_individual, ids_of_names
from flukeprint.records.schema import changes, events, individuals, photographs


@dataclass(frozen=True)
class DecidedUpload:
    """A photograph that was decided; event: what the catalogue notes of it, None for nothing."""

    item: UploadItem
    event: Event | None


def decide(
    queue: SharedQueue, keeper: Keeper, number: int, person: str, decision: ItemDecision
) -> DecidedUpload:
    """Decide a photograph, in the name of a person.

    Raises:
        NotThereError: no such photograph, or its file is kept no longer.
        NotYoursError: another person has it, or it is decided already.
        FlukeprintError: what `Keeper.enroll` refuses; the photograph stays with the person.
    """
    with queue.database.writing() as connection:
        row = item_row(connection, number)
        check_free(row, person, queue.now)
        take_item(connection, number, person, queue.now)
        batch = connection.execute(
            sa.select(upload_batches).where(upload_batches.c.id == row.batch_id)
        ).one()
        start = encounter_start(connection, number) if batch.keep_dates else None
        there = _in_catalogue(connection, row.kept_digest)
        new = decision.identity if decision.verdict == "new" and there is None else None
        if new is not None and ids_of_names(connection, [new], exactly=True):
            raise FlukeprintError(f"an animal is called {new} already; was it meant as known?")
    event: Event | None = None
    identity: str | None = None
    if decision.verdict in ("known", "new"):
        if there is not None:
            event, identity = _as_there(queue, there, decision)
        else:
            event, identity = _enrolled(queue, keeper, row, batch, start, person, decision)
    with queue.database.writing() as connection:
        connection.execute(
            upload_items.update().where(upload_items.c.id == number).values(
                state="decided", decision=decision.verdict, identity=identity, note=decision.note,
                decided_by=person, decided_at=queue.now, taken_by=None, taken_until=None,
                event_id=None if event is None else event.id,
            )
        )  # fmt: skip
    return DecidedUpload(queue.item(number), event)


def _in_catalogue(connection: sa.Connection, digest: str) -> Any:
    """The photograph of the catalogue that is this file, with its animal; None for none."""
    return connection.execute(
        sa.select(photographs.c.id, photographs.c.image, individuals.c.name)
        .outerjoin(individuals, individuals.c.id == photographs.c.individual_id)
        .where(photographs.c.digest == digest, ~photographs.c.removed)
    ).first()


def _as_there(queue: SharedQueue, there: Any, decision: ItemDecision) -> tuple[Event, str]:
    """The event that enrolled a photograph, where that is what is decided now."""
    with queue.database.reading() as connection:
        same = False
        if decision.identity is not None and there.name is not None:
            known = ids_of_names(connection, [decision.identity])
            same = known.get(decision.identity) == find_individual(connection, there.name)
        made = connection.execute(
            sa.select(events)
            .join(changes, changes.c.event_id == events.c.id)
            .where(
                changes.c.of_table == photographs.name, changes.c.of_row == there.id,
                changes.c.before.is_(None),
            )
        ).first()  # fmt: skip
    if not same or made is None:
        raise FlukeprintError(
            f"this photograph is in the catalogue already, as {there.image} of "
            f"{there.name or 'nobody'}; decide for that animal, or nobody"
        )
    return event_of(made), str(there.name)


def _enrolled(
    queue: SharedQueue,
    keeper: Keeper,
    row: Any,
    batch: Any,
    start: str | None,
    person: str,
    decision: ItemDecision,
) -> tuple[Event, str]:
    path = place_of(queue.folder, row.batch_id, row.digest, row.name)
    data = queue.photo(row.id)
    encounter = None
    if start is not None or batch.place is not None:
        moment = None if start is None else Moment(start)
        encounter = Encounter(0, moment, place=batch.place, occasion=batch.title)
    photo = NewPhotograph(
        path if batch.keep_photos else data, row.name, row.name, decision.identity,
        encounter=encounter, decided_by="person", decider=person,
    )  # fmt: skip
    done = keeper.enroll(
        [photo], Note(person, decision.note), new=decision.verdict == "new",
        force=decision.force, kind="review",
    )  # fmt: skip
    return done.event, done.identities[0]
