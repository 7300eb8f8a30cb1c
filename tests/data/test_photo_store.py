"""A store that is shared, killed, damaged and too small: never a wrong pixel, never too large."""

import errno
import hashlib
import os
import pickle
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flukeprint.data import photo_store
from flukeprint.data.cache_entries import Entry
from flukeprint.data.decoding import Pixels
from flukeprint.data.photo_store import PhotoStore
from flukeprint.errors import FlukeprintError

SHAPE = (16, 20, 3)
SLOT = 4096 + 64  # a page of pixels, a header
TINY = 8 * SLOT + 4096  # room for eight


def entry(name: int, state: int = 0) -> Entry:
    """Of a photograph in one of its states."""
    place = Path("nowhere") / hashlib.sha256(f"{name}".encode()).hexdigest()[:32]
    return Entry(place, hashlib.sha256(f"{name} {state}".encode()).digest()[:16])


def photo(name: int, state: int = 0, shape: tuple[int, int, int] = SHAPE) -> Pixels:
    return np.random.default_rng([name, state]).integers(0, 256, shape, dtype=np.uint8)


def store(folder: Path, max_bytes: int = TINY, shape: tuple[int, int, int] = SHAPE) -> PhotoStore:
    return PhotoStore(folder / "size", shape, max_bytes)


def read(kept: PhotoStore, name: int, state: int = 0) -> bool:
    """As a cache reads: True for a hit.  Fails on a wrong pixel."""
    want = photo(name, state)
    got = kept.get(entry(name, state))
    if got is None:
        kept.put(entry(name, state), want)
        return False
    np.testing.assert_array_equal(got, want)
    return True


def disk(folder: Path) -> int:
    return sum(p.stat().st_blocks * 512 for p in folder.rglob("*") if p.is_file())


# ---------------------------------------------------------------- one process


@pytest.mark.parametrize("shape", [(16, 20, 3), (5, 7, 3), (40, 50, 3), (1, 1, 3)])
def test_what_was_put_is_got(tmp_path: Path, shape: tuple[int, int, int]) -> None:
    kept = store(tmp_path, 10**7, shape)
    for name in range(20):
        assert kept.get(entry(name)) is None
        kept.put(entry(name), photo(name, shape=shape))
    for again in (kept, store(tmp_path, 10**7, shape), pickle.loads(pickle.dumps(kept))):
        for name in range(20):
            got = again.get(entry(name))
            np.testing.assert_array_equal(got, photo(name, shape=shape))
            assert got.flags.writeable
            assert got.flags.c_contiguous
            assert again.get(entry(name, 1)) is None
            got[:] = 0  # the caller's own
    assert kept.path.stat().st_size <= 10**7
    with pytest.raises(ValueError, match="store of"):
        kept.put(entry(0), photo(0, shape=(2, 2, 3)))


@settings(deadline=None, max_examples=60)
@given(
    reads=st.lists(
        st.tuples(st.integers(0, 11), st.integers(0, 1), st.integers(0, 2)), max_size=120
    ),
    sets=st.integers(1, 2),
)
def test_any_reads_give_the_right_pixels(
    tmp_path_factory: pytest.TempPathFactory, reads: list[tuple[int, int, int]], sets: int
) -> None:
    """Two users of one tiny store, photographs that change to and fro, hours that pass."""
    folder = tmp_path_factory.mktemp("model")
    users = [store(folder, TINY + (sets - 1) * 8 * SLOT) for _ in range(2)]
    hour = 400_000
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(photo_store, "_hour", lambda: hour.to_bytes(8, "little"))
        for turn, (name, state, pause) in enumerate(reads):
            hour += pause == 2
            read(users[turn % 2], name, state)
    assert disk(folder) <= TINY + (sets - 1) * 8 * SLOT


def test_an_older_state_gives_its_place(tmp_path: Path) -> None:
    kept = store(tmp_path)
    for state in range(3):
        assert not read(kept, 0, state)
        assert read(kept, 0, state)
        assert kept.get(entry(0, state - 1)) is None
    for name in range(1, 8):
        read(kept, name)
    assert all(read(kept, name) for name in range(1, 8))
    assert read(kept, 0, 2)


def test_who_was_not_used_for_longest_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hour = 400_000
    monkeypatch.setattr(photo_store, "_hour", lambda: hour.to_bytes(8, "little"))
    kept = store(tmp_path)
    for name in range(8):
        read(kept, name)
        hour += 1
    assert read(kept, 0)  # the oldest is used again
    for name in range(8, 11):
        assert not read(kept, name)
        assert read(kept, name)
    assert [name for name in range(8) if kept.get(entry(name)) is not None] == [0, 4, 5, 6, 7]


def test_a_catalogue_larger_than_the_store_finds_a_part(tmp_path: Path) -> None:
    kept = store(tmp_path, 32 * SLOT + 4096)
    rng = np.random.default_rng(0)
    hits = [sum(read(kept, int(name)) for name in rng.permutation(64)) for _ in range(12)]
    # The last used alone would be found in one of 7; always the same half, in one of 2.
    assert np.mean(hits[2:]) > 64 * 0.3


def test_nothing_is_made_before_something_is_put(tmp_path: Path) -> None:
    assert store(tmp_path).get(entry(0)) is None
    assert list(tmp_path.iterdir()) == []


# ---------------------------------------------------------------- bounds


def test_the_bound_holds_for_all_sizes_together(tmp_path: Path) -> None:
    bound = 40 * SLOT
    old, new = (PhotoStore(tmp_path / name, SHAPE, bound) for name in ("old", "new"))
    for name in range(60):
        read(old, name)
    assert 20 * 4096 < disk(tmp_path) <= bound
    for name in range(60):
        read(new, name)
    assert disk(tmp_path) <= bound
    assert old.path.exists()  # it was used just now

    past = time.time() - 3600 * (photo_store.IDLE_HOURS + 1)
    os.utime(old.path, (past, past))
    for name in range(60):
        read(new, name)
    assert not old.path.exists()
    assert disk(tmp_path) <= bound
    assert sum(new.get(entry(name)) is not None for name in range(60)) > 20
    read(old, 0)  # whose file is gone under it


def test_another_bound_is_another_file(tmp_path: Path) -> None:
    large, small = store(tmp_path, 100 * SLOT), store(tmp_path, 20 * SLOT)
    assert large.slots > small.slots
    read(large, 0)
    read(small, 0)
    assert not large.path.exists()
    for _ in range(3):  # two at a time do not remove each other's in turns
        read(large, 0)
        read(small, 0)
    assert read(large, 0)
    assert read(small, 0)


def test_a_store_that_another_makes_meanwhile_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two start at once: the second looked before the first had made the file."""
    first, second = store(tmp_path), store(tmp_path)
    read(first, 0)
    exists = Path.exists
    with monkeypatch.context() as patch:
        patch.setattr(Path, "exists", lambda path: path != second.path and exists(path))
        second.put(entry(1), photo(1))  # not read before, which would find the file
    assert read(store(tmp_path), 0)
    assert read(store(tmp_path), 1)


def test_a_file_that_another_has_not_sized_yet_is_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept, make = store(tmp_path), PhotoStore._make

    def made_anew(self: PhotoStore) -> None:
        make(self)
        self.path.unlink()
        self.path.touch()

    with monkeypatch.context() as patch:
        patch.setattr(PhotoStore, "_make", made_anew)
        assert not read(kept, 0)
    assert not read(kept, 0)
    assert read(kept, 0)


@pytest.mark.parametrize("max_bytes", [1, 8 * SLOT, TINY - 1])
def test_a_bound_that_holds_nothing_is_refused(tmp_path: Path, max_bytes: int) -> None:
    with pytest.raises(FlukeprintError, match=r"image\.cache_gb: .*no 8 photographs of 16 x 20"):
        store(tmp_path, max_bytes)
    assert store(tmp_path).slots == 8


# ---------------------------------------------------------------- damage


def slots_of(kept: PhotoStore) -> tuple[int, int]:
    """(place of the pixels of slot 0, bytes from one slot to the next)."""
    begin = -(-kept.slots * 64 // 4096) * 4096
    return begin, (kept.path.stat().st_size - begin) // kept.slots


@settings(deadline=None, max_examples=80)
@given(data=st.data())
def test_no_changed_bit_is_missed(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    kept = store(tmp_path_factory.mktemp("bits"))
    assert not read(kept, 0)
    begin, _ = slots_of(kept)
    content = bytearray(kept.path.read_bytes())
    places = data.draw(st.lists(st.integers(0, 16 * 20 * 3 - 1), min_size=1, unique=True))
    for place in places:
        content[begin + place] ^= data.draw(st.integers(1, 255))
    with kept.path.open("r+b") as file:
        file.write(content)
    assert kept.get(entry(0)) is None
    assert not read(kept, 0)  # made anew
    assert read(kept, 0)


def test_highest_bits_alone_are_seen(tmp_path: Path) -> None:
    pixels = np.zeros(960, np.uint8)
    checks = {photo_store._check(pixels, b"0" * 16)}
    for word in range(120):
        other = pixels.copy()
        other[[8 * word + 7, 8 * ((word + 1) % 120) + 7]] ^= 128
        checks.add(photo_store._check(other, b"0" * 16))
    assert len(checks) == 121


def test_pixels_of_another_photograph_are_refused(tmp_path: Path) -> None:
    """A header whose pixels were overwritten, as by a writer killed before its own header."""
    kept = store(tmp_path)
    read(kept, 0)
    read(kept, 1)
    begin, step = slots_of(kept)
    with kept.path.open("r+b") as file:
        file.seek(begin + step)
        pixels = file.read(step)
        file.seek(begin)
        file.write(pixels)
    assert kept.get(entry(0)) is None
    assert read(kept, 1)


@pytest.mark.parametrize("damage", [b"", b"short", bytes(3 * TINY), None])
def test_a_file_of_another_length_is_made_anew(tmp_path: Path, damage: bytes | None) -> None:
    kept = store(tmp_path)
    read(kept, 0)
    if damage is None:
        kept.path.unlink()
    else:
        kept.path.write_bytes(damage)
    for user in (kept, store(tmp_path)):
        assert user.get(entry(0)) is None
    assert not read(kept, 0)
    assert read(kept, 0)
    assert read(store(tmp_path), 0)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (errno.ENOSPC, "is full; make room"),
        (errno.EDQUOT, "is full; make room"),
        (errno.EACCES, "denied"),
    ],
)
@pytest.mark.parametrize("after", [0, 1])
def test_a_write_that_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: int, reason: str, after: int
) -> None:
    kept = store(tmp_path)
    read(kept, 0)
    write, calls = photo_store._write_at, 0

    def full(*args: object) -> None:
        nonlocal calls
        calls += 1
        if calls > after:
            raise OSError(error, os.strerror(error))
        write(*args)

    with monkeypatch.context() as patch:
        patch.setattr(photo_store, "_write_at", full)
        with pytest.raises(FlukeprintError, match=rf"image\.cache: .*{reason}.*cache=null"):
            kept.put(entry(1), photo(1))
        patch.setattr(photo_store, "_hour", lambda: bytes(8))
        assert read(kept, 0)  # though its last use cannot be written
    assert read(kept, 0)
    assert not read(kept, 1)
    assert read(kept, 1)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written_is_read(tmp_path: Path) -> None:
    kept = store(tmp_path)
    read(kept, 0)
    kept.path.chmod(0o400)
    kept.path.parent.chmod(0o500)
    try:
        assert read(store(tmp_path), 0)
        with pytest.raises(FlukeprintError, match=r"image\.cache: cannot write below .*denied"):
            store(tmp_path).put(entry(1), photo(1))
    finally:
        kept.path.parent.chmod(0o700)


def test_a_file_in_the_way_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "size").write_text("in the way")
    assert store(tmp_path).get(entry(0)) is None
    with pytest.raises(FlukeprintError, match=r"image\.cache: cannot write below"):
        store(tmp_path).put(entry(0), photo(0))


# ---------------------------------------------------------------- many at once


def hammer(kept: PhotoStore, seed: int, seconds: float) -> tuple[int, int]:
    """(hits, reads), every one right, of photographs that fight for eight slots."""
    rng = np.random.default_rng(seed)
    hits = reads = 0
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        hits += read(kept, int(rng.integers(10)), int(rng.integers(2)))
        reads += 1
    return hits, reads


@pytest.mark.parametrize("start", ["fork", "spawn"])
def test_processes_share_a_tiny_store(tmp_path: Path, start: str) -> None:
    kept = store(tmp_path)
    read(kept, 0)  # open before the fork
    with ProcessPoolExecutor(2, mp_context=get_context(start)) as pool:
        done = [job.result(60) for job in [pool.submit(hammer, kept, i, 1.0) for i in range(2)]]
    assert min(hits for hits, _ in done) > 10
    assert all(hits < reads for hits, reads in done)
    assert disk(tmp_path) <= TINY


def test_threads_share_a_tiny_store(tmp_path: Path) -> None:
    kept = store(tmp_path)
    with ThreadPoolExecutor(4) as pool:
        done = [job.result(60) for job in [pool.submit(hammer, kept, i, 0.5) for i in range(4)]]
    assert min(hits for hits, _ in done) > 10


def test_reading_while_the_file_is_removed(tmp_path: Path) -> None:
    kept = store(tmp_path)
    stop = threading.Event()

    def remove() -> None:
        while not stop.wait(0.01):
            kept.path.unlink(missing_ok=True)

    thread = threading.Thread(target=remove)
    thread.start()
    try:
        hits, reads = hammer(kept, 0, 0.5)
    finally:
        stop.set()
        thread.join()
    assert 0 < hits < reads


@pytest.mark.parametrize("seed", range(6))
def test_a_killed_writer_leaves_a_store(tmp_path: Path, seed: int) -> None:
    kept = store(tmp_path)
    writer = get_context("fork").Process(target=hammer, args=(store(tmp_path), seed, 60.0))
    writer.start()
    until = time.monotonic() + 30
    while not kept.path.exists() and time.monotonic() < until:
        time.sleep(0.001)
    time.sleep(0.02 + 0.007 * seed)
    os.kill(writer.pid, signal.SIGKILL)
    writer.join(10)
    assert writer.exitcode == -signal.SIGKILL
    for name in range(10):
        for state in range(2):
            got = kept.get(entry(name, state))
            assert got is None or np.array_equal(got, photo(name, state))
    hits, _ = hammer(kept, seed, 0.1)
    assert hits > 0


class Killed(Exception):
    pass


@pytest.mark.parametrize("written", [0, 1, 500, 959, 960, 960 + 1, 960 + 20, 960 + 40, 960 + 47])
def test_killed_after_any_byte(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, written: int
) -> None:
    """Pixels and header are 960 + 48 bytes; the slot held another photograph before."""
    monkeypatch.setattr(photo_store, "WAYS", 1)
    kept = store(tmp_path, SLOT + 4096)
    hour = 400_000
    monkeypatch.setattr(photo_store, "_hour", lambda: hour.to_bytes(8, "little"))
    read(kept, 0)
    hour += 1
    left = written
    write: Callable[..., None] = photo_store._write_at

    def killed(file: object, place: int, data: bytes) -> None:
        nonlocal left
        part = memoryview(data)[:left]
        write(file, place, part)
        left -= len(part)
        if len(part) < len(memoryview(data)):
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(photo_store, "_write_at", killed)
        with pytest.raises(Killed):
            kept.put(entry(1), photo(1))
    for name in (0, 1):
        got = kept.get(entry(name))
        assert got is None or np.array_equal(got, photo(name))
    assert not read(kept, 2)
    assert read(kept, 2)
