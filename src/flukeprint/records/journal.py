"""Events: every change of a catalogue is noted row by row, so that it can be taken back."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from flukeprint.errors import FlukeprintError
from flukeprint.records.batches import batches
from flukeprint.records.database import Database
from flukeprint.records.events import event_of, time_now, undone_event
from flukeprint.records.kinds import Event
from flukeprint.records.schema import (
    catalogue,
    changes,
    events,
    individuals,
    photographs,
    tables,
)
from flukeprint.records.undoing import check_whole, refuse_built_on


@dataclass(frozen=True)
class Note:
    """Who changes a catalogue and why, and whether it is only tried."""

    author: str
    reason: str | None = None
    dry_run: bool = False

    def __post_init__(self) -> None:
        if not self.author.strip():
            raise FlukeprintError("an event needs an author; give --author")


class _Tried(Exception):
    """Ends the transaction of a dry run."""


class Edit:
    """One event in the making; all rows that it changes are changed through it.

    id: number of the event.  connection: of the transaction.
    """

    def __init__(self, connection: sa.Connection, kind: str, note: Note) -> None:
        self.connection, self.kind, self.note = connection, kind, note
        self.undoes: int | None = None
        last = connection.scalar(sa.select(sa.func.max(events.c.id)))
        self.id: int = (last or 0) + 1
        self._noted: list[dict[str, Any]] = []
        self._free: dict[str, int] = {}

    def insert(self, table: sa.Table, rows: Sequence[Mapping[str, Any]]) -> list[int]:
        """Add rows, all with the same columns, and return their ids."""
        if not rows:
            return []
        if table.name not in self._free:
            last = self.connection.scalar(sa.select(sa.func.max(table.c.id)))
            self._free[table.name] = (last or 0) + 1
        first = self._free[table.name]
        ids = list(range(first, first + len(rows)))
        self._free[table.name] += len(rows)
        whole = [{"id": number, **row} for number, row in zip(ids, rows, strict=True)]
        for batch in batches(whole):
            self.connection.execute(table.insert(), batch)
        self._noted += [_noted(table, row["id"], None, row) for row in whole]
        return ids

    def update(self, table: sa.Table, ids: Sequence[int], values: Mapping[str, Any]) -> list[int]:
        """Give columns of rows new values; returns the ids of those in which one was another.

        Rows that no longer agree with the gallery's files are marked, for whoever reads both.
        """
        marks = {}
        if table is photographs and values.keys() & {"individual_id", "removed"}:
            marks = {"changed": True}
        if table is individuals and "name" in values:
            marks = {"renamed": True}
        touched = []
        columns = [table.c.id, *(table.c[name] for name in values)]
        for part in batches(ids):
            for row in self.connection.execute(sa.select(*columns).where(table.c.id.in_(part))):
                before = dict(row._mapping)
                number = before.pop("id")
                fresh = {name: value for name, value in values.items() if before[name] != value}
                if fresh:
                    touched.append(number)
                    old = {name: before[name] for name in fresh}
                    self._noted.append(_noted(table, number, old, fresh))
        for part in batches(touched):
            self.connection.execute(
                table.update().where(table.c.id.in_(part)).values(**values, **marks)
            )
        return touched

    def finish(self, summary: str) -> Event | None:
        """Write the event itself; None, and nothing is written, where nothing was changed."""
        if not self._noted:
            return None
        event = Event(
            self.id, time_now(), self.note.author.strip(),
            self.kind, summary, self.note.reason, self.undoes,
        )  # fmt: skip
        self.connection.execute(
            events.insert().values(
                id=event.id, time=event.time, author=event.author, reason=event.reason,
                kind=event.kind, summary=summary, undoes=event.undoes, undoable=True,
            )
        )  # fmt: skip
        for part in batches(self._noted):
            rows = [{"event_id": self.id, **row} for row in part]
            self.connection.execute(changes.insert(), rows)
        self.connection.execute(catalogue.update().values(last_event=self.id))
        return event


def _noted(
    table: sa.Table, number: int, before: Mapping[str, Any] | None, after: Mapping[str, Any]
) -> dict[str, Any]:
    return {
        "of_table": table.name,
        "of_row": number,
        "before": None if before is None else json.dumps(before),
        "after": json.dumps(dict(after)),
    }


@contextmanager
def editing(database: Database, kind: str, note: Note) -> Iterator[Edit]:
    """A writing transaction for one event; of a dry run nothing is kept.

    The body calls `Edit.finish` last.
    """
    try:
        with database.writing() as connection:
            yield Edit(connection, kind, note)
            if note.dry_run:
                raise _Tried
    except _Tried:
        pass


def undo(database: Database, note: Note, number: int | None = None) -> Event:
    """Take an event back: every row becomes what it was before it.

    number: of the event; the last one that is not taken back yet by default.  An undo is an event
        too, and can be taken back.

    Raises:
        FlukeprintError: no such event, or later ones build on it.
    """
    with editing(database, "undo", note) as edit:
        event = _event_to_undo(edit.connection, number)
        rows = edit.connection.execute(
            sa.select(changes).where(changes.c.event_id == event.id).order_by(changes.c.id.desc())
        ).all()
        refuse_built_on(edit.connection, event, rows)
        for row in rows:
            table = tables.tables[row.of_table]
            before = {"removed": True} if row.before is None else json.loads(row.before)
            if row.before is None and "removed" not in table.c:
                continue  # rows that nothing points to any more
            edit.update(table, [row.of_row], before)
        edit.undoes = event.id
        check_whole(edit.connection, event, rows)
        done = edit.finish(f"takes back event {event.id}: {event.summary}")
        if done is None:
            raise FlukeprintError(f"event {event.id} changed nothing that could be taken back")
        _note_undone(edit.connection, event, done.id)
        return done


def _note_undone(connection: sa.Connection, event: Event, by: int) -> None:
    """Note which events hold now: what an undo had taken back does so again, and so on."""
    undone: int | None = by
    one: Event | None = event
    while one is not None:
        connection.execute(events.update().where(events.c.id == one.id).values(undone_by=undone))
        undone = one.id if undone is None else None
        one = undone_event(connection, one)


def _event_to_undo(connection: sa.Connection, number: int | None) -> Event:
    asked = sa.select(events)
    if number is None:
        asked = asked.where(events.c.undone_by.is_(None), events.c.undoes.is_(None))
        asked = asked.where(events.c.undoable)
    else:
        asked = asked.where(events.c.id == number)
    row = connection.execute(asked.order_by(events.c.id.desc()).limit(1)).first()
    if row is None:
        what = "there is no event to take back" if number is None else f"there is no event {number}"
        raise FlukeprintError(f"{what}; see flukeprint history")
    if row.undone_by is not None:
        raise FlukeprintError(
            f"event {row.id} is taken back already, by event {row.undone_by}; to do it again take "
            "that one back"
        )
    if not row.undoable:
        raise FlukeprintError(f"event {row.id} cannot be taken back: {row.summary}")
    return event_of(row)
