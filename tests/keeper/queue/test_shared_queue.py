"""The shared queue: leases, order, answers, batches, and what is left by processes that died."""

import multiprocessing
import os
import re
import signal
import time
from collections.abc import Callable
from multiprocessing.queues import Queue
from pathlib import Path

import pytest
import sqlalchemy as sa

from flukeprint.errors import FlukeprintError
from flukeprint.keeper.queue.files import FOLDER, keep_file, place_of
from flukeprint.keeper.queue.kinds import NotThereError, NotYoursError
from flukeprint.keeper.queue.rows import LEASE
from flukeprint.keeper.queue.shared_queue import ANSWERING, GRACE, SharedQueue
from flukeprint.keeper.queue.tables import queue_state, upload_items
from tests.catalogues import begun
from tests.keeper.queue.others import take_all, upload_for_ever
from tests.keeper.queue.uploads import sha256, shot


class Time:
    now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Time:
    return Time()


@pytest.fixture
def queue(tmp_path: Path, catalogue_url: str | None, clock: Time) -> SharedQueue:
    folder = tmp_path / "kept"
    return SharedQueue(folder, begun(folder, catalogue_url, [("n_1", 2)]), clock)


def filled(queue: SharedQueue, count: int, *, answered: bool = True) -> tuple[str, list[int]]:
    """A batch of so many photographs, the last one the most unsure."""
    batch = queue.make_batch("a folder", "ana").id
    numbers = []
    for number in range(count):
        data = shot(number, 0)
        numbers.append(queue.add_photo(batch, sha256(data), f"IMG_{number:04}.jpg", data).id)
    if answered:
        for place, number in enumerate(numbers):
            queue.keep_answer(number, "{}", 1 - place / 100, 1)
    return batch, numbers


def test_a_catalogue_without_a_queue_has_an_empty_one(queue: SharedQueue) -> None:
    assert queue.next("ana") is None
    assert queue.claim(9) == ()
    assert queue.batches() == ()
    assert queue.to_do() == (0, 0)
    assert queue.sweep() == 0
    for call in (
        lambda: queue.item(1), lambda: queue.batch("0" * 16), lambda: queue.items("0" * 16),
        lambda: queue.add_photo("0" * 16, "0" * 64, "a", b""), lambda: queue.release(1, "ana"),
    ):  # fmt: skip
        with pytest.raises(NotThereError):
            call()


def test_the_tables_of_another_version_are_refused(queue: SharedQueue) -> None:
    filled(queue, 1)
    with queue.database.writing() as connection:
        connection.execute(queue_state.update().values(version=99))
    with pytest.raises(FlukeprintError, match="of version 99"):
        queue.next("ana")


def test_two_people_never_have_one_photograph(queue: SharedQueue, clock: Time) -> None:
    _, numbers = filled(queue, 3)
    first = queue.next("ana")
    second = queue.next("bea")
    third = queue.next("cy")
    assert [one and one.id for one in (first, second, third)] == numbers[::-1]  # unsure ones first
    assert queue.next("di") is None
    again = queue.next("ana")
    assert again is not None
    assert again.id == numbers[2]  # what one has comes again
    assert again.taken_by == "ana"
    with pytest.raises(NotYoursError, match="ana has photograph"):
        queue.release(numbers[2], "bea")
    queue.release(numbers[2], "ana")
    taken = queue.next("di")
    assert taken is not None
    assert taken.id == numbers[2]
    clock.now += LEASE + 1
    late = queue.next("eve")  # all leases are over
    assert late is not None
    assert late.id == numbers[2]
    assert queue.to_do() == (3, 0)


def test_a_person_who_asks_again_keeps_the_photograph(queue: SharedQueue, clock: Time) -> None:
    filled(queue, 1)
    queue.next("ana")
    for _ in range(3):
        clock.now += LEASE - 1
        assert queue.next("ana") is not None
        assert queue.next("bea") is None


def test_what_has_no_answer_or_failed_waits_for_nobody(queue: SharedQueue) -> None:
    batch, numbers = filled(queue, 2, answered=False)
    assert queue.next("ana") is None
    assert queue.to_do() == queue.to_do(batch) == (2, 2)
    queue.keep_failure(numbers[0], "damaged")
    assert queue.to_do() == (1, 1)
    queue.keep_answer(numbers[1], '{"a": 1}', 0.5, 7)
    found = queue.next("ana", batch)
    assert found is not None
    assert (found.id, found.answer, found.answer_event) == (numbers[1], '{"a": 1}', 7)
    assert queue.batch(batch).counts == {"pending": 0, "waiting": 1, "failed": 1, "decided": 0}
    assert queue.item(numbers[0]).error == "damaged"
    assert queue.reopen(numbers[0], "ana", of_others=False).state == "pending"
    other = queue.make_batch("another", "ana").id
    assert queue.next("bea", other) is None


def test_each_answer_is_claimed_once_until_its_process_is_late(
    queue: SharedQueue, clock: Time
) -> None:
    _, numbers = filled(queue, 3, answered=False)
    assert queue.claim(2) == tuple(numbers[:2])
    assert queue.claim(2) == (numbers[2],)
    assert queue.claim(2) == ()
    clock.now += ANSWERING
    assert queue.claim(9) == tuple(numbers)
    queue.unclaim(numbers[:1])
    assert queue.claim(9) == (numbers[0],)


def test_an_upload_goes_on_where_it_was_cut_off(queue: SharedQueue) -> None:
    batch, numbers = filled(queue, 2)
    photos = [shot(number, 0) for number in range(4)]
    digests = [sha256(data) for data in photos]
    assert queue.missing(batch, digests) == tuple(digests[2:])
    again = queue.add_photo(batch, digests[0], "other name.jpg", photos[0])
    assert (again.id, again.name) == (numbers[0], "IMG_0000.jpg")
    assert [one.id for one in queue.items(batch)] == numbers
    assert [one.id for one in queue.items(batch, after=numbers[0])] == numbers[1:]
    with pytest.raises(FlukeprintError, match="not the one of its SHA-256"):
        queue.add_photo(batch, digests[2], "a.jpg", photos[3])
    # The file without its row is what a killed process leaves.
    path = place_of(queue.folder, batch, digests[2], "c.jpg")
    keep_file(path, photos[2], digests[2])
    (path.parent / ".a.part").write_bytes(b"half")
    assert queue.missing(batch, digests) == tuple(digests[2:])
    assert queue.photo(queue.add_photo(batch, digests[2], "c.jpg", photos[2]).id) == photos[2]
    # A row whose file is gone is sent again.
    path.unlink()
    assert queue.missing(batch, digests) == tuple(digests[2:])
    with pytest.raises(NotThereError, match="upload it again"):
        queue.photo(3)
    queue.add_photo(batch, digests[2], "c.jpg", photos[2])
    assert queue.photo(3) == photos[2]


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("../../etc/passwd", "passwd"), ("C:\\x\\IMG 1.jpg", "IMG_1.jpg"), ("", "photo"),
        ("...", "photo"), (".hidden", "hidden"), ("a" * 300 + ".jpg", "a" * 76 + ".jpg"),
        ("ñandú\n.jpg", "ñandú_.jpg"), ("/", "photo"),
    ],
)  # fmt: skip
def test_a_name_leads_nowhere_else(tmp_path: Path, name: str, kept: str) -> None:
    path = place_of(tmp_path, "0" * 16, "a" * 64, name)
    assert path == tmp_path / FOLDER / ("0" * 16) / ("a" * 64) / kept
    for batch, digest in (("..", "a" * 64), ("0" * 16, "../x"), ("0" * 16, "A" * 64)):
        with pytest.raises(FlukeprintError, match="a batch is 16"):
            place_of(tmp_path, batch, digest, name)


def test_photographs_of_a_burst_are_of_one_encounter(queue: SharedQueue) -> None:
    batch = queue.make_batch("a folder", "ana", pause=60).id
    times = [
        ("2026:05:12 14:10:00", "Cam"), ("2026:05:12 13:55:00", "Cam"),
        ("2026:05:12 13:55:50", "Cam"), ("2026:05:12 13:55:20", "Other"), (None, "Cam"),
    ]  # fmt: skip
    for number, (taken, camera) in enumerate(times):
        data = shot(number, 0, taken, camera)
        queue.add_photo(batch, sha256(data), f"p{number}.jpg", data)
    found = [one.encounter for one in queue.items(batch)]
    assert found[4] is None
    assert found[1] == found[2] == 1
    assert len({found[0], found[1], found[3]}) == 3


def test_a_batch_that_is_removed_leaves_nothing(queue: SharedQueue) -> None:
    batch, _ = filled(queue, 2)
    other, _ = filled(queue, 1)
    queue.remove_batch(batch)
    assert not (queue.folder / FOLDER / batch).exists()
    assert [one.id for one in queue.batches()] == [other]
    assert (queue.folder / FOLDER / other).exists()
    with pytest.raises(NotThereError):
        queue.items(batch)


def test_files_of_what_is_nobodys_go_after_a_while(queue: SharedQueue, clock: Time) -> None:
    _, numbers = filled(queue, 2)
    with queue.database.writing() as connection:
        connection.execute(
            upload_items.update()
            .where(upload_items.c.id == numbers[0])
            .values(state="decided", decision="nobody", decided_by="ana", decided_at=clock.now)
        )
    assert queue.sweep() == 0
    clock.now += GRACE + 1
    assert queue.sweep() == 1
    assert queue.photo(numbers[1])
    with pytest.raises(NotThereError):
        queue.photo(numbers[0])


@pytest.mark.parametrize("title", ["", "  ", "\x07"])
def test_a_batch_without_a_title_is_refused(queue: SharedQueue, title: str) -> None:
    with pytest.raises(FlukeprintError, match="title"):
        queue.make_batch(title, "ana")


def test_processes_share_a_queue_and_none_gets_what_another_has(queue: SharedQueue) -> None:
    _, numbers = filled(queue, 12)
    spawn = multiprocessing.get_context("spawn")
    out: Queue[list[int]] = spawn.Queue()
    people = [
        spawn.Process(target=take_all, args=(queue.folder, name, out)) for name in ("ana", "bea")
    ]
    for person in people:
        person.start()
    both = [out.get(timeout=120) for _ in people]
    for person in people:
        person.join(60)
    assert sorted(both[0] + both[1]) == numbers


def until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not true():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_what_a_killed_upload_left_is_whole(queue: SharedQueue) -> None:
    batch = queue.make_batch("a folder", "ana").id
    photos = [shot(number, 0) for number in range(3)]
    spawn = multiprocessing.get_context("spawn")
    process = spawn.Process(target=upload_for_ever, args=(queue.folder, batch, photos))
    process.start()
    until(lambda: queue.batch(batch).counts["pending"] >= 5)
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    process.join(60)
    items = queue.items(batch, most=100_000)
    assert len(items) >= 5
    for one in items:
        assert sha256(queue.photo(one.id)) == one.digest
    numbers = [int(re.findall(r"\d+", one.name)[0]) for one in items]
    assert numbers == list(range(len(items)))
    queue.add_photo(batch, sha256(b"more"), "more.jpg", b"more")  # and it goes on
    with queue.database.reading() as connection:
        assert connection.scalar(sa.select(queue_state.c.version)) == 1
