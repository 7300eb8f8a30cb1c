"""The index of a gallery's descriptors: it grows without a copy, on disk too, and mixes nothing."""

import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from flukeprint.ranking.local.descriptor_index import DescriptorIndex, NearestDescriptors
from flukeprint.ranking.local.keypoint_store import KeypointStore
from flukeprint.ranking.local.keypoints import Keypoints
from flukeprint.ranking.local.naive_bayes import nearest_exactly
from tests.ranking.local.drawn_descriptors import CONFIG, SIZE, drawn_store
from tests.refusals import refused

COUNTS = [12, 0, 7, 20, 1, 0]
ALL = 1 << 16


@pytest.fixture
def store() -> KeypointStore:
    return drawn_store(COUNTS, 0)


@pytest.fixture
def index(store: KeypointStore) -> DescriptorIndex:
    return DescriptorIndex.build(store)


def found_in(index: DescriptorIndex, store: KeypointStore) -> list[int]:
    """The photograph of the nearest descriptor, for each of a store's."""
    near = index.search(store.descriptors, 1)
    return [int(row) for row in near.photographs[:, 0]]


def owners(store: KeypointStore) -> list[int]:
    return np.repeat(np.arange(len(store)), np.diff(store.offsets)).tolist()


def holds(index: DescriptorIndex, store: KeypointStore) -> bool:
    """Whether an index has a store's photographs and no other."""
    near = index.search(store.descriptors, 1 + len(store.points))
    return (
        len(index) == len(store)
        and near.photographs[:, 0].tolist() == owners(store)
        and np.allclose(near.points[:, 0], store.points, atol=0.05)
        and bool((np.sort(near.photographs[:, :-1], axis=1) == owners(store)).all())
        and bool((near.photographs[:, -1] == -1).all())
    )


def alike(one: NearestDescriptors, other: NearestDescriptors) -> bool:
    return (
        np.array_equal(one.distances, other.distances)
        and np.array_equal(one.photographs, other.photographs)
        and np.array_equal(one.points, other.points, equal_nan=True)
    )


# ---------------------------------------------------------------- search


def test_it_finds_what_all_distances_find_but_for_four_bits() -> None:
    store = drawn_store([100] * 15, 0)
    query = drawn_store([60], 1, near=store)[0]
    index = DescriptorIndex.build(store, probes=ALL)
    near, exact = (
        index.search(query.descriptors, 4),
        nearest_exactly(query, store, np.arange(15), 4),
    )
    copies = exact.distances[:, 0] < 0.3  # every other descriptor is nearly one of the store's
    assert copies.sum() == 30
    np.testing.assert_array_equal(near.photographs[copies, 0], exact.photographs[copies, 0])
    np.testing.assert_allclose(near.points[copies, 0], exact.points[copies, 0], atol=0.05)
    assert (np.diff(near.distances, axis=1) >= 0).all()


def test_a_few_cells_miss_little() -> None:
    """Gallery descriptors in bunches, as those of photographs are; 8 of 20 cells are visited."""
    rng = np.random.default_rng(0)
    middles = rng.integers(0, 256, (60, 128))

    def bunched(count: int) -> Keypoints:
        chosen = middles[rng.integers(60, size=count)]
        near = np.clip(chosen + rng.integers(-60, 61, chosen.shape), 0, 255).astype(np.uint8)
        return Keypoints(rng.uniform(0, 70, (count, 2)).astype(np.float32), near, SIZE)

    store = KeypointStore.pack([bunched(300) for _ in range(40)], CONFIG)
    query = bunched(200)
    some = DescriptorIndex.build(store).search(query.descriptors, 1)
    every = DescriptorIndex.build(store, probes=ALL).search(query.descriptors, 1)
    assert (some.photographs == every.photographs).mean() > 0.95
    assert (some.distances >= every.distances - 1e-6).all()


@pytest.mark.parametrize("counts", [[], [0], [0, 0, 0], [1], [0, 2, 0], [1, 1]])
def test_small_galleries(counts: list[int]) -> None:
    store = drawn_store(counts, 0)
    index = DescriptorIndex.build(store)
    total = sum(counts)
    near = index.search(drawn_store([3], 1).descriptors, 4)
    assert np.isfinite(near.distances).sum(axis=1).tolist() == [min(total, 4)] * 3
    assert (near.photographs >= 0).sum() == 3 * min(total, 4)
    assert holds(index, store)
    assert holds(index.grown(drawn_store([2, 0, 3], 9)),
                 KeypointStore.concatenate([store, drawn_store([2, 0, 3], 9)]))  # fmt: skip


def test_a_query_without_descriptors_finds_nothing(index: DescriptorIndex) -> None:
    near = index.search(np.empty((0, 128), np.uint8), 3)
    assert near.photographs.shape == near.distances.shape == (0, 3)
    assert near.points.shape == (0, 3, 2)


# ---------------------------------------------------------------- growing and forgetting


def test_it_grows_without_a_copy(index: DescriptorIndex, store: KeypointStore) -> None:
    more = drawn_store([5, 0, 9], 1)
    grown = index.grown(more)
    assert grown._codes.index is index._codes.index
    assert holds(grown, KeypointStore.concatenate([store, more]))
    assert holds(index, store)  # the older state does not see them
    assert grown.nbytes > 0


def test_two_that_grow_from_one_do_not_see_each_other(
    index: DescriptorIndex, store: KeypointStore
) -> None:
    first, second, third = (drawn_store([6, 4], seed) for seed in (1, 2, 3))
    one, two = index.grown(first), index.grown(second)
    further = index.grown(third).grown(first)
    assert holds(one, KeypointStore.concatenate([store, first]))
    assert holds(two, KeypointStore.concatenate([store, second]))
    assert holds(further, KeypointStore.concatenate([store, third, first]))
    assert holds(index, store)


@pytest.mark.parametrize("gone", [[], [0], [3], [5], [4, 5], [0, 1, 2, 3, 4, 5], [3, 3, 2]])
def test_what_is_forgotten_is_never_answered(
    index: DescriptorIndex, store: KeypointStore, gone: list[int]
) -> None:
    kept = [row for row in range(6) if row not in gone]
    left = index.without(gone)
    assert holds(left, store.take(kept))
    assert holds(index, store)
    more = drawn_store([5, 3], 7)
    assert holds(left.grown(more), KeypointStore.concatenate([store.take(kept), more]))
    taken = index.take(kept)
    assert alike(taken.search(store.descriptors, 3), left.search(store.descriptors, 3))


def test_of_a_grown_one_old_and_new_photographs_are_forgotten(
    index: DescriptorIndex, store: KeypointStore
) -> None:
    more = drawn_store([5, 3, 4], 7)
    every = KeypointStore.concatenate([store, more])
    left = index.grown(more).without([0, 7])
    kept = [1, 2, 3, 4, 5, 6, 8]
    assert holds(left, every.take(kept))
    late = left.recent([5, 6])
    np.testing.assert_array_equal(late.descriptors, more.take([0, 2]).descriptors)


def test_rows_that_are_not_there_are_refused(index: DescriptorIndex) -> None:
    for rows in ([6], [-1], [0, 99]):
        with pytest.raises(IndexError, match="of 6 photographs"):
            index.without(rows)
        with pytest.raises(IndexError, match="of 6 photographs"):
            index.take(rows)
    for rows in ([1, 0], [2, 2]):
        with pytest.raises(ValueError, match="its own order"):
            index.take(rows)
    with pytest.raises(IndexError, match="kept as they were found"):
        index.grown(drawn_store([3], 1)).recent([5])


def test_keypoints_of_other_settings_are_refused(index: DescriptorIndex) -> None:
    foreign = drawn_store([3], 1, CONFIG.model_copy(update={"side": 80}))
    refused(lambda: index.grown(foreign), "different settings of rank.local")


def test_threads_search_while_others_grow(index: DescriptorIndex, store: KeypointStore) -> None:
    want = index.search(store.descriptors, 3)
    parts = [drawn_store([15, 4], seed) for seed in range(10, 16)]

    def searches(_: int) -> bool:
        return all(alike(index.search(store.descriptors, 3), want) for _ in range(20))

    def grows(part: KeypointStore) -> DescriptorIndex:
        return index.grown(part).grown(part)

    with ThreadPoolExecutor(4) as pool:
        asked = [pool.submit(searches, number) for number in range(2)]
        grown = list(pool.map(grows, parts))
        assert all(future.result() for future in asked)
    for part, one in zip(parts, grown, strict=True):
        assert len(one) == len(index) + 4
        # Each was added twice; a descriptor finds both.
        twice = np.sort(one.search(part.descriptors, 2).photographs, axis=1)
        first = np.array(owners(part)) + len(index)
        np.testing.assert_array_equal(twice, np.stack([first, first + 2], axis=1))


# ---------------------------------------------------------------- on disk


def inode(folder: Path) -> int:
    return (folder / "index.faiss").stat().st_ino


def files(folder: Path) -> set[str]:
    return {file.name for file in folder.iterdir()}


def test_what_is_saved_is_loaded(
    index: DescriptorIndex, store: KeypointStore, tmp_path: Path
) -> None:
    for number, state in enumerate(
        [index, index.grown(drawn_store([4], 1)), index.without([0, 4, 5]), index.take([])]
    ):
        kept = state.save(tmp_path / f"{number}")
        loaded = DescriptorIndex.load(tmp_path / f"{number}")
        assert len(loaded) == len(state)
        assert loaded.stamp == store.stamp
        for other in (kept, loaded):
            assert alike(other.search(store.descriptors, 4), state.search(store.descriptors, 4))
    assert holds(loaded.grown(store), store)


def test_an_older_state_is_saved_without_later_photographs(
    index: DescriptorIndex, store: KeypointStore, tmp_path: Path
) -> None:
    index.grown(drawn_store([9], 1))
    kept = index.save(tmp_path / "kept")
    assert holds(kept, store)
    assert holds(DescriptorIndex.load(tmp_path / "kept"), store)


def test_few_later_photographs_are_written_beside_a_link(tmp_path: Path) -> None:
    store, more, last = drawn_store([3] * 40, 0), drawn_store([4, 0], 1), drawn_store([5], 2)
    DescriptorIndex.build(store).save(tmp_path / "a")
    grown = DescriptorIndex.load(tmp_path / "a").grown(more).save(tmp_path / "b", tmp_path / "a")
    assert inode(tmp_path / "b") == inode(tmp_path / "a")
    assert files(tmp_path / "b") == {"index.faiss", "photographs.npz", "later.npz"}
    loaded = DescriptorIndex.load(tmp_path / "b")
    for one in (grown, loaded):
        assert holds(one, KeypointStore.concatenate([store, more]))
        np.testing.assert_array_equal(one.recent([40]).descriptors, more.take([0]).descriptors)
    # The third of 43 is more than a twentieth.
    whole = loaded.grown(last).save(tmp_path / "c", tmp_path / "b")
    assert inode(tmp_path / "c") != inode(tmp_path / "b")
    assert files(tmp_path / "c") == {"index.faiss", "photographs.npz"}
    assert holds(whole, KeypointStore.concatenate([store, more, last]))
    with pytest.raises(IndexError):
        whole.recent([40])


def test_what_was_forgotten_is_not_in_a_linked_file(tmp_path: Path) -> None:
    store, more = drawn_store([3] * 60, 0), drawn_store([4, 2], 1)
    DescriptorIndex.build(store).save(tmp_path / "a")
    grown = DescriptorIndex.load(tmp_path / "a").grown(more)
    every = KeypointStore.concatenate([store, more])
    # A later one alone is gone: the file is as it was.
    grown.without([60]).save(tmp_path / "b", tmp_path / "a")
    assert inode(tmp_path / "b") == inode(tmp_path / "a")
    assert holds(DescriptorIndex.load(tmp_path / "b"), every.take([*range(60), 61]))
    # One of the file is gone.
    grown.without([3]).save(tmp_path / "c", tmp_path / "a")
    assert inode(tmp_path / "c") != inode(tmp_path / "a")
    assert holds(DescriptorIndex.load(tmp_path / "c"), every.take([*range(3), *range(4, 62)]))


def test_a_file_of_other_photographs_is_not_linked(tmp_path: Path) -> None:
    """Of as many photographs with as many keypoints."""
    mine, theirs = drawn_store([5] * 4, 0), drawn_store([5] * 4, 1)
    DescriptorIndex.build(theirs).save(tmp_path / "theirs")
    one = DescriptorIndex.build(mine)
    one.save(tmp_path / "new", tmp_path / "theirs")
    kept = one.save(tmp_path / "mine")
    kept.save(tmp_path / "again", tmp_path / "theirs")
    for name in ("new", "again"):
        assert holds(DescriptorIndex.load(tmp_path / name), mine)
    assert inode(tmp_path / "again") != inode(tmp_path / "theirs")
    kept.save(tmp_path / "same", tmp_path / "mine")
    assert inode(tmp_path / "same") == inode(tmp_path / "mine")
    kept.save(tmp_path / "nothing there", tmp_path / "absent")
    assert holds(DescriptorIndex.load(tmp_path / "nothing there"), mine)


def test_where_there_are_no_links_files_are_copied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, store: KeypointStore
) -> None:
    def no_links(*_: object) -> None:
        raise OSError(1, "Operation not permitted")

    kept = DescriptorIndex.build(store).save(tmp_path / "a")
    monkeypatch.setattr("os.link", no_links)
    kept.save(tmp_path / "b", tmp_path / "a")
    assert inode(tmp_path / "b") != inode(tmp_path / "a")
    assert holds(DescriptorIndex.load(tmp_path / "b"), store)


def rewritten(folder: Path, **changes: npt.NDArray[np.generic]) -> None:
    file = folder / "photographs.npz"
    with np.load(file) as arrays:
        facts = {**arrays, **changes}
    np.savez(file, **facts)


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("absent", "no descriptors at"), ("cut", "holds no whole descriptors"),
        ("index absent", "cannot be read as an index"), ("index cut", "cannot be read as an index"),
        ("index of nothing", "cannot be read as an index"), ("mixed", "do not belong together"),
        ("places", "are not those of"), ("sizes", "are not those of"),
        ("later", "different settings"), ("later cut", "holds no whole keypoints"),
    ],
)  # fmt: skip
def test_files_that_do_not_fit_are_refused(
    index: DescriptorIndex, tmp_path: Path, what: str, said: str
) -> None:
    folder = tmp_path / "kept"
    index.save(folder)
    other = tmp_path / "other"
    DescriptorIndex.build(drawn_store([4, 4], 1)).save(other)
    whole = (folder / "index.faiss").read_bytes()
    if what == "absent":
        (folder / "photographs.npz").unlink()
    elif what == "cut":
        data = (folder / "photographs.npz").read_bytes()
        (folder / "photographs.npz").write_bytes(data[: len(data) // 2])
    elif what == "index absent":
        (folder / "index.faiss").unlink()
    elif what == "index cut":
        (folder / "index.faiss").write_bytes(whole[: len(whole) // 2])
    elif what == "index of nothing":
        (folder / "index.faiss").write_bytes(b"nothing")
    elif what == "mixed":
        shutil.copyfile(other / "index.faiss", folder / "index.faiss")
    elif what == "places":
        rewritten(folder, ends=np.arange(6)[::-1])
    elif what == "sizes":
        rewritten(folder, sizes=np.zeros((2, 2), np.int32))
    elif what == "later":
        foreign = CONFIG.model_copy(update={"side": 80})
        drawn_store([3], 1, foreign).save(folder / "later.npz")
    else:
        (folder / "later.npz").write_bytes(b"PK nothing")
    refused(lambda: DescriptorIndex.load(folder), said)


def test_a_full_disk_is_an_error_of_the_disk(
    index: DescriptorIndex, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise RuntimeError("Error in void faiss::FileIOWriter\nwrite error: No space left")

    monkeypatch.setattr(index._codes.faiss, "write_index", full)
    with pytest.raises(OSError, match="No space left"):
        index.save(tmp_path / "kept")
