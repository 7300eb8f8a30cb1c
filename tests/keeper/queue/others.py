"""What other processes do with a queue; imported without torch, so that they start at once."""

import hashlib
from collections.abc import Sequence
from multiprocessing.queues import Queue
from pathlib import Path

from flukeprint.keeper.queue.shared_queue import SharedQueue
from flukeprint.keeper.queue.tables import upload_items
from flukeprint.records.database import Database


def take_all(folder: Path, person: str, out: "Queue[list[int]]") -> None:
    """Take photographs and mark them decided, one after the other, until none is left."""
    queue = SharedQueue(folder, Database.open(folder))
    taken = []
    while (item := queue.next(person)) is not None:
        taken.append(item.id)
        with queue.database.writing() as connection:
            connection.execute(
                upload_items.update()
                .where(upload_items.c.id == item.id, upload_items.c.taken_by == person)
                .values(state="decided", decision="nobody", decided_by=person, taken_until=None)
            )
    out.put(taken)


def upload_for_ever(folder: Path, batch: str, photos: Sequence[bytes]) -> None:
    queue = SharedQueue(folder, Database.open(folder))
    for number in range(100_000):
        data = photos[number % len(photos)] + str(number).encode()
        digest = hashlib.sha256(data).hexdigest()
        queue.add_photo(batch, digest, f"IMG_{number:05}.jpg", data)
