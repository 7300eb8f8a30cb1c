"""Keypoints that stay in their file: only what is asked for is read, and old files are read too."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flukeprint.errors import FlukeprintError
from flukeprint.ranking.local import keypoint_parts, keypoint_store
from flukeprint.ranking.local.keypoint_parts import FiledKeypoints
from flukeprint.ranking.local.keypoint_store import KeypointStore
from flukeprint.ranking.local.keypoints import Keypoints, extraction_digest
from tests.ranking.local.textures import CONFIG, same


def drawn(n: int, seed: int = 0, kind: Any = np.uint8) -> list[Keypoints]:
    """Keypoints of n photographs, some of them without any."""
    rng = np.random.default_rng(seed)
    return [
        Keypoints(
            rng.uniform(0, 300, (k, 2)).astype(np.float32),
            rng.integers(0, 255, (k, 128)).astype(kind),
            (200 + k, 300),
        )
        for k in rng.integers(0, 9, n).tolist()
    ]


@pytest.fixture
def filed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keypoint_parts, "WORTH_A_FILE", 0)


def saved_by_numpy(path: Path, found: list[Keypoints]) -> None:
    """As versions before this one have saved them."""
    np.savez(
        path,
        points=np.concatenate([one.points for one in found]),
        descriptors=np.concatenate([one.descriptors for one in found]),
        offsets=np.cumsum([0, *map(len, found)]),
        sizes=np.array([one.size for one in found]),
        stamp=np.frombuffer(extraction_digest(CONFIG).encode(), np.uint8),
    )


@pytest.mark.usefixtures("filed")
@pytest.mark.parametrize("kind", [np.uint8, np.float16])
def test_a_file_of_an_earlier_version_is_read_photograph_by_photograph(
    tmp_path: Path, kind: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = drawn(40, kind=kind)
    saved_by_numpy(tmp_path / "k.npz", found)
    store = KeypointStore.load(tmp_path / "k.npz")
    (part,) = store.parts
    assert isinstance(part, FiledKeypoints)
    taken: list[int] = []
    read = FiledKeypoints._bytes

    def counted(self: FiledKeypoints, start: int, length: int) -> bytes:
        taken.append(length)
        return read(self, start, length)

    monkeypatch.setattr(FiledKeypoints, "_bytes", counted)
    some = store.take([7, 30, 7])
    assert not taken
    assert all(same(some[place], found[row]) for place, row in enumerate([7, 30, 7]))
    each = 8 + 128 * np.dtype(kind).itemsize
    assert sum(taken) == each * sum(len(found[row]) for row in (7, 30, 7))


@pytest.mark.usefixtures("filed")
def test_what_is_saved_is_what_numpy_reads(tmp_path: Path) -> None:
    found = drawn(30)
    KeypointStore.packed(found, extraction_digest(CONFIG)).save(tmp_path / "a.npz")
    saved_by_numpy(tmp_path / "b.npz", found)
    with np.load(tmp_path / "a.npz") as ours, np.load(tmp_path / "b.npz") as theirs:
        assert set(ours) == set(theirs)
        for name in theirs:
            assert ours[name].dtype == theirs[name].dtype
            assert np.array_equal(ours[name], theirs[name])


@pytest.mark.usefixtures("filed")
def test_a_gallery_in_a_file_grows_and_loses_photographs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keypoint_store, "_MOST_PARTS", 4)
    monkeypatch.setattr(keypoint_store, "_AT_ONCE", 3)
    found = drawn(20)
    KeypointStore.packed(found, "s").save(tmp_path / "k.npz")
    store = KeypointStore.load(tmp_path / "k.npz")
    for seed in range(1, 9):
        fresh = drawn(2, seed)
        store = KeypointStore.concatenate([store, KeypointStore.packed(fresh, "s")])
        found += fresh
    kept = np.delete(np.arange(len(found)), [0, 3, 21])[::-1]
    left, right = store.take(kept), [found[row] for row in kept]
    assert len(store.parts) <= 5
    assert sum(isinstance(part, FiledKeypoints) for part in store.parts) == 1
    left.save(tmp_path / "left.npz")
    for one in (left, KeypointStore.load(tmp_path / "left.npz")):
        assert len(one) == len(right)
        assert all(same(one[row], keypoints) for row, keypoints in enumerate(right))
    assert np.array_equal(left.descriptors, np.concatenate([one.descriptors for one in right]))


@pytest.mark.usefixtures("filed")
def test_a_file_that_was_cut_or_compressed_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "k.npz"
    saved_by_numpy(path, drawn(30))
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(FlukeprintError, match="no whole keypoints"):
        KeypointStore.load(path)
    with np.load(_written(path, whole)) as arrays:
        known = dict(arrays)
    np.savez_compressed(path, **known)
    with pytest.raises(FlukeprintError, match="are compressed"):
        KeypointStore.load(path)
    np.savez(path, **(known | {"descriptors": known["descriptors"][:-1]}))
    with pytest.raises(FlukeprintError, match="no whole keypoints"):
        KeypointStore.load(path)


def _written(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path
