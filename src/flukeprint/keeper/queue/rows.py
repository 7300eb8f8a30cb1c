"""Rows of the queue's tables, read as batches and photographs."""

import json
from dataclasses import replace
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from flukeprint.data.readers.capture_times import Shot, bursts_by_time
from flukeprint.keeper.queue.kinds import (
    ITEM_STATES,
    NotThereError,
    NotYoursError,
    UploadBatch,
    UploadItem,
)
from flukeprint.keeper.queue.tables import has_queue, upload_batches, upload_items
from flukeprint.records.schema import events

LEASE = 600.0  # seconds that a person has for a photograph

UNDONE = sa.exists().where(events.c.id == upload_items.c.event_id, events.c.undone_by.is_not(None))
# An undone decision is none: the photograph waits again.
STATE = sa.case(
    ((upload_items.c.state == "decided") & UNDONE, "waiting"), else_=upload_items.c.state
)


def item_row(connection: sa.Connection, number: int) -> Any:
    """The row of a photograph, whose state is `shown`; raises NotThereError for none."""
    row = None
    if has_queue(connection) and 0 <= number < 2**31:
        row = connection.execute(all_items().where(upload_items.c.id == number)).first()
    if row is None:
        raise NotThereError(f"the queue has no photograph {number}")
    return row


def check_free(row: Any, person: str, now: float) -> None:
    """Refuse a photograph that is not open, or that another person has."""
    if row.shown != "waiting":
        by = f", by {row.decided_by}" if row.decided_by else ""
        raise NotYoursError(f"photograph {row.id} of the queue is {row.shown}{by}")
    if row.taken_by not in (None, person) and row.taken_until > now:
        raise NotYoursError(
            f"{row.taken_by} has photograph {row.id} of the queue for {row.taken_until - now:.0f} s"
        )


def take_item(connection: sa.Connection, number: int, person: str, now: float) -> None:
    """Give a photograph to a person for LEASE seconds."""
    connection.execute(
        upload_items.update()
        .where(upload_items.c.id == number)
        .values(taken_by=person, taken_until=now + LEASE)
    )


def encounter_start(connection: sa.Connection, number: int) -> str | None:
    """The time of the first photograph of the encounter of one; None where nothing is trusted."""
    row = item_row(connection, number)
    groups = encounters_of(connection, batch_row(connection, row.batch_id))
    return groups.get(number, (None, None))[1]


def all_items() -> sa.Select[Any]:
    """All photographs, with their state as `shown`."""
    return sa.select(upload_items, STATE.label("shown"))


def held_item(connection: sa.Connection, batch: str, digest: str) -> Any:
    """The photograph of a batch with a digest; None for none."""
    asked = all_items().where(upload_items.c.batch_id == batch, upload_items.c.digest == digest)
    return connection.execute(asked).first()


def batch_row(connection: sa.Connection, name: str) -> Any:
    """The row of a batch; raises NotThereError for none."""
    row = None
    if has_queue(connection):
        row = connection.execute(
            sa.select(upload_batches).where(upload_batches.c.id == name)
        ).first()
    if row is None:
        raise NotThereError("there is no such batch")
    return row


def batch_of(connection: sa.Connection, row: Any) -> UploadBatch:
    """A batch, with the number of its photographs in each state."""
    shown = sa.select(STATE.label("shown")).where(upload_items.c.batch_id == row.id).subquery()
    asked = sa.select(shown.c.shown, sa.func.count()).group_by(shown.c.shown)
    counts: dict[str, int] = dict(connection.execute(asked).tuples().all())
    return UploadBatch(
        row.id, row.title, row.author, row.created, row.pause, row.keep_photos, row.keep_dates,
        row.place, {state: counts.get(state, 0) for state in ITEM_STATES},
    )  # fmt: skip


def shot_columns(shot: Shot, batch: str) -> dict[str, Any]:
    """What a photograph's file says of when and by which camera it was taken, as columns."""
    # Each file has a folder of its own here; those of a batch came from one.
    camera = shot.camera if "serial" in shot.camera else (*shot.camera[:2], batch)
    return {
        "taken": None if shot.taken is None else shot.taken.isoformat(),
        "camera": json.dumps(camera),
        "numbered": None if shot.number is None else json.dumps(shot.number),
    }


def encounters_of(connection: sa.Connection, batch: Any) -> dict[int, tuple[int, str]]:
    """Photograph -> number of its encounter in the batch, and the time of the first one of it."""
    table = upload_items.c
    rows = connection.execute(
        sa.select(table.id, table.name, table.taken, table.camera, table.numbered)
        .where(table.batch_id == batch.id)
        .order_by(table.id)
    ).all()
    shots = []
    for row in rows:
        numbered = None if row.numbered is None else json.loads(row.numbered)
        shots.append(
            Shot(
                row.name,
                None if row.taken is None else datetime.fromisoformat(row.taken),
                tuple(json.loads(row.camera)),
                None if numbered is None else (str(numbered[0]), int(numbered[1])),
            )
        )
    timed = bursts_by_time(shots, batch.pause)
    groups: dict[str, list[int]] = {}
    for place in timed.trusted:
        groups.setdefault(timed.bursts[place] or f"alone {place}", []).append(place)
    found: dict[int, tuple[int, str]] = {}
    first = sorted((min(shots[p].taken for p in places), places) for places in groups.values())  # type: ignore[type-var]
    for number, (start, places) in enumerate(first, 1):
        assert start is not None
        for place in places:
            found[rows[place].id] = number, start.isoformat(timespec="seconds")
    return found


def item_of(row: Any, groups: dict[int, tuple[int, str]]) -> UploadItem:
    """The photograph of a row; groups: of `encounters_of`."""
    one = UploadItem(
        row.id, row.batch_id, row.digest, row.name, row.size, row.taken,
        groups[row.id][0] if row.id in groups else None, row.shown, row.error, row.answer,
        row.answer_event, row.taken_by, row.taken_until, row.decision, row.note, row.decided_by,
        row.decided_at, row.identity, row.event_id,
    )  # fmt: skip
    if row.shown != "decided":  # perhaps it was, and was taken back
        one = replace(
            one, decision=None, decided_by=None, decided_at=None, identity=None, event=None
        )
    return one
