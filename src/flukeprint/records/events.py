"""Events as they are read: rows of the table, and which event another one takes back."""

from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from flukeprint.records.kinds import Event
from flukeprint.records.schema import events


def time_now() -> str:
    """The time of an event that happens now: UTC, ISO 8601."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def event_of(row: Any) -> Event:
    """The event of a row of the table `events`."""
    return Event(
        row.id, row.time, row.author, row.kind, row.summary, row.reason, row.undoes, row.undone_by
    )


def undone_event(connection: sa.Connection, event: Event) -> Event | None:
    """The event that an undo took back; None for an event that is no undo."""
    if event.undoes is None:
        return None
    return event_of(connection.execute(sa.select(events).where(events.c.id == event.undoes)).one())
