"""The shared queue: photographs are uploaded, answered, taken by one person each, and decided.

A photograph that is taken is nobody else's for LEASE seconds.  Every step is a transaction of the
catalogue's database, so it holds between processes too.
"""

import time
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from flukeprint.data.readers.capture_times import read_shot
from flukeprint.errors import FlukeprintError
from flukeprint.identifier.integrity import bytes_digest
from flukeprint.keeper.queue.files import (
    keep_file,
    place_of,
    remove_batch_folder,
    remove_file,
)
from flukeprint.keeper.queue.kinds import (
    NotThereError,
    NotYoursError,
    UploadBatch,
    UploadItem,
)
from flukeprint.keeper.queue.rows import (
    STATE,
    UNDONE,
    all_items,
    batch_of,
    batch_row,
    check_free,
    encounters_of,
    held_item,
    item_of,
    item_row,
    shot_columns,
    take_item,
)
from flukeprint.keeper.queue.tables import has_queue, make_tables, upload_batches, upload_items
from flukeprint.records.database import Database
from flukeprint.records.events import time_now

ANSWERING = 30.0  # seconds that a process has for an answer; twice the same does no harm
GRACE = 24 * 3600.0  # seconds that the file of a decided photograph stays, so that undo finds it
LONGEST_TITLE = 200


class SharedQueue:
    """The queue of a catalogue.  clock: UTC seconds since 1970."""

    def __init__(
        self, folder: Path, database: Database, clock: Callable[[], float] = time.time
    ) -> None:
        self.folder, self.database, self._clock = folder, database, clock

    # -- batches

    def make_batch(
        self,
        title: str,
        author: str,
        *,
        pause: float = 60.0,
        keep_photos: bool = True,
        keep_dates: bool = False,
        place: str | None = None,
    ) -> UploadBatch:
        """Begin a batch; the first one makes the queue."""
        plain = " ".join(title.split())[:LONGEST_TITLE]
        if not plain or not plain.isprintable():
            raise FlukeprintError("a batch needs a title of printable text")
        name = uuid.uuid4().hex[:16]
        with self.database.writing() as connection:
            make_tables(connection)
            last = connection.scalar(sa.select(sa.func.max(upload_batches.c.number)))
            connection.execute(
                upload_batches.insert().values(
                    id=name, number=(last or 0) + 1, title=plain, author=author,
                    created=time_now(), pause=pause, keep_photos=keep_photos,
                    keep_dates=keep_dates, place=place,
                )
            )  # fmt: skip
        self.sweep()
        return self.batch(name)

    def batches(self, most: int = 50) -> tuple[UploadBatch, ...]:
        """The last batches, the last one first."""
        with self.database.reading() as connection:
            if not has_queue(connection):
                return ()
            asked = sa.select(upload_batches).order_by(upload_batches.c.number.desc()).limit(most)
            return tuple(batch_of(connection, row) for row in connection.execute(asked).all())

    def batch(self, name: str) -> UploadBatch:
        """A batch and how far it is; raises NotThereError for none."""
        with self.database.reading() as connection:
            return batch_of(connection, batch_row(connection, name))

    def items(self, batch: str, *, after: int = 0, most: int = 200) -> tuple[UploadItem, ...]:
        """Photographs of a batch in the order in which they came, after the one numbered so."""
        with self.database.reading() as connection:
            row = batch_row(connection, batch)
            asked = all_items().where(upload_items.c.batch_id == batch, upload_items.c.id > after)
            found = connection.execute(asked.order_by(upload_items.c.id).limit(most)).all()
            groups = encounters_of(connection, row)
            return tuple(item_of(one, groups) for one in found)

    def missing(self, batch: str, digests: Sequence[str]) -> tuple[str, ...]:
        """Which of the photographs with these digests a batch lacks, so that they must be sent."""
        with self.database.reading() as connection:
            batch_row(connection, batch)
            there = all_items().where(upload_items.c.batch_id == batch)
            held = {one.digest: one for one in connection.execute(there)}
        return tuple(
            digest
            for digest in dict.fromkeys(digests)
            if digest not in held
            or (held[digest].shown != "decided" and not self._path(held[digest]).is_file())
        )

    def remove_batch(self, name: str) -> None:
        """Forget a batch and remove its photographs; what was enrolled of it stays enrolled."""
        with self.database.writing() as connection:
            row = batch_row(connection, name)
            all_of = all_items().where(upload_items.c.batch_id == name)
            found = connection.execute(all_of).all()
            connection.execute(upload_items.delete().where(upload_items.c.batch_id == name))
            connection.execute(upload_batches.delete().where(upload_batches.c.id == name))
        kept = False
        for one in found:
            if row.keep_photos and one.shown == "decided" and one.event_id is not None:
                kept = True
            else:
                remove_file(self._path(one))
        if not kept:
            remove_batch_folder(self.folder, name)

    def sweep(self) -> int:
        """Remove files of photographs that were decided some time ago and are not to be kept."""
        long_ago = self._clock() - GRACE
        removed = 0
        with self.database.reading() as connection:
            if not has_queue(connection):
                return 0
            old = all_items().join(upload_batches, upload_batches.c.id == upload_items.c.batch_id)
            found = connection.execute(
                old.where(
                    upload_items.c.state == "decided", ~UNDONE,
                    upload_items.c.decided_at < long_ago,
                    ~upload_batches.c.keep_photos | upload_items.c.event_id.is_(None),
                )
            ).all()  # fmt: skip
        for one in found:
            path = self._path(one)
            if path.is_file():
                remove_file(path)
                removed += 1
        return removed

    # -- photographs

    def add_photo(self, batch: str, digest: str, name: str, data: bytes) -> UploadItem:
        """Take a photograph into a batch; one that is there already is left as it is.

        The file is written before the row: what a killed process left counts for nothing, and is
        written again.

        Raises:
            NotThereError: no such batch.
            FlukeprintError: another digest, or a disk that cannot be written.
        """
        with self.database.reading() as connection:
            batch_row(connection, batch)
            held = held_item(connection, batch, digest)
        path = place_of(self.folder, batch, digest, held.name if held is not None else name)
        if held is None or not path.is_file():
            keep_file(path, data, digest)
        if held is None:
            shot = read_shot(path, name)
            with self.database.writing() as connection:
                batch_row(connection, batch)
                if held_item(connection, batch, digest) is None:
                    last = connection.scalar(sa.select(sa.func.max(upload_items.c.id)))
                    connection.execute(
                        upload_items.insert().values(
                            id=(last or 0) + 1, batch_id=batch, digest=digest,
                            kept_digest=bytes_digest(data), name=name, size=len(data),
                            state="pending", **shot_columns(shot, batch),
                        )
                    )  # fmt: skip
        with self.database.reading() as connection:
            found = held_item(connection, batch, digest)
            if found is None:
                raise NotThereError("the batch was removed meanwhile")
            return item_of(found, encounters_of(connection, batch_row(connection, batch)))

    def item(self, number: int) -> UploadItem:
        """A photograph of the queue; raises NotThereError for none."""
        with self.database.reading() as connection:
            row = item_row(connection, number)
            return item_of(row, encounters_of(connection, batch_row(connection, row.batch_id)))

    def photo(self, number: int) -> bytes:
        """The file of a photograph; raises NotThereError where it is not kept any more."""
        with self.database.reading() as connection:
            path = self._path(item_row(connection, number))
        try:
            return path.read_bytes()
        except OSError:
            raise NotThereError(
                f"photograph {number} of the queue is kept no longer; upload it again"
            ) from None

    # -- answers

    def claim(self, most: int) -> tuple[int, ...]:
        """Photographs without an answer, which this process is to give within ANSWERING seconds."""
        now = self._clock()
        free = (upload_items.c.state == "pending") & (
            upload_items.c.answering_until.is_(None) | (upload_items.c.answering_until <= now)
        )
        asked = sa.select(upload_items.c.id).where(free).order_by(upload_items.c.id).limit(most)
        with self.database.reading() as connection:
            if not has_queue(connection) or connection.execute(asked).first() is None:
                return ()  # nobody is kept from writing
        with self.database.writing() as connection:
            found = tuple(connection.execute(asked).scalars())
            connection.execute(
                upload_items.update()
                .where(upload_items.c.id.in_(found))
                .values(answering_until=now + ANSWERING)
            )
        return found

    def keep_answer(self, number: int, answer: str, sure: float, event: int) -> None:
        """Keep an answer (JSON).

        sure: how sure it is; unsure ones are decided first.
        event: the catalogue's last one when it was made.
        """
        self._answered(
            number, answer=answer, sure=sure, answer_event=event, error=None,
            state=sa.case((upload_items.c.state == "pending", "waiting"),
                          else_=upload_items.c.state),
        )  # fmt: skip

    def unclaim(self, numbers: Sequence[int]) -> None:
        """Leave photographs that were claimed to others."""
        with self.database.writing() as connection:
            connection.execute(
                upload_items.update()
                .where(upload_items.c.id.in_(list(numbers)))
                .values(answering_until=None)
            )

    def keep_failure(self, number: int, error: str) -> None:
        """Keep why a photograph has no answer; it is in nobody's way then."""
        self._answered(number, state="failed", error=error)

    def _answered(self, number: int, **values: Any) -> None:
        with self.database.writing() as connection:
            connection.execute(
                upload_items.update()
                .where(upload_items.c.id == number)
                .values(answering_until=None, **values)
            )

    # -- people

    def next(self, person: str, batch: str | None = None) -> UploadItem | None:
        """The next photograph for a person, who has it for LEASE seconds; None: none waits.

        One that the person has already comes first, then the most unsure.
        """
        now = self._clock()
        with self.database.reading() as connection:
            if not has_queue(connection):
                return None
        with self.database.writing() as connection:
            asked = all_items().where(STATE == "waiting")
            if batch is not None:
                batch_row(connection, batch)
                asked = asked.where(upload_items.c.batch_id == batch)
            until = upload_items.c.taken_until
            own = (upload_items.c.taken_by == person) & (until > now)
            free = until.is_(None) | (until <= now)
            sure = upload_items.c.sure
            row = connection.execute(
                asked.where(own | free)
                .order_by(sa.case((own, 0), else_=1), sure.is_(None), sure, upload_items.c.id)
                .limit(1)
            ).first()
            if row is None:
                return None
            take_item(connection, row.id, person, now)
            row = item_row(connection, row.id)
            return item_of(row, encounters_of(connection, batch_row(connection, row.batch_id)))

    def to_do(self, batch: str | None = None) -> tuple[int, int]:
        """How many photographs are still to be decided, and how many of them have no answer yet."""
        unanswered = sa.func.sum(sa.case((STATE == "pending", 1), else_=0))
        asked = sa.select(sa.func.count(), unanswered).where(STATE.in_(("pending", "waiting")))
        if batch is not None:
            asked = asked.where(upload_items.c.batch_id == batch)
        with self.database.reading() as connection:
            if not has_queue(connection):
                return 0, 0
            count, pending = connection.execute(asked).one()
        return int(count), int(pending or 0)

    def release(self, number: int, person: str) -> None:
        """Give a photograph back undecided; raises NotYoursError where another one has it."""
        with self.database.writing() as connection:
            row = item_row(connection, number)
            check_free(row, person, self._clock())
            connection.execute(
                upload_items.update()
                .where(upload_items.c.id == number)
                .values(taken_by=None, taken_until=None)
            )

    def reopen(self, number: int, person: str, *, of_others: bool) -> UploadItem:
        """Take back a decision that made no event, or another try after a failure.

        of_others: also what another person decided.

        Raises:
            NotYoursError: another one decided it, or an event must be undone.
        """
        with self.database.writing() as connection:
            row = item_row(connection, number)
            if row.shown not in ("decided", "failed"):
                raise NotYoursError(f"photograph {number} of the queue is not decided")
            if row.event_id is not None and row.shown == "decided":
                raise NotYoursError(
                    f"photograph {number} was enrolled; take event {row.event_id} back"
                )
            if row.shown == "decided" and row.decided_by != person and not of_others:
                raise NotYoursError(f"photograph {number} was decided by {row.decided_by}")
            state = "pending" if row.answer is None else "waiting"
            connection.execute(
                upload_items.update().where(upload_items.c.id == number).values(
                    state=state, error=None, decision=None, decided_by=None, decided_at=None,
                    identity=None, event_id=None, note=None,
                )
            )  # fmt: skip
        return self.item(number)

    @property
    def now(self) -> float:
        """UTC seconds since 1970."""
        return self._clock()

    def _path(self, row: Any) -> Path:
        return place_of(self.folder, row.batch_id, row.digest, row.name)
