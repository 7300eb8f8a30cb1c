"""Cells that are found by groups give the index that cells found at once give."""

from pathlib import Path

import numpy as np
import pytest

from flukeprint.config.ranking import LocalConfig
from flukeprint.ranking.local import descriptor_codes
from flukeprint.ranking.local.descriptor_index import DescriptorIndex
from flukeprint.ranking.local.keypoint_store import KeypointStore
from flukeprint.ranking.local.keypoints import Keypoints

pytest.importorskip("faiss")


def drawn(photographs: int, seed: int) -> KeypointStore:
    """Noisy copies of 300 descriptors, 60 in each photograph."""
    kinds = np.random.default_rng(7).integers(0, 120, (300, 128))
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(photographs):
        noisy = kinds[rng.integers(0, len(kinds), 60)] + rng.integers(0, 16, (60, 128))
        points = rng.uniform(0, 320, (60, 2)).astype(np.float32)
        found.append(Keypoints(points, noisy.astype(np.uint8), (320, 320)))
    return KeypointStore.pack(found, LocalConfig(matcher="lnbnn"))


def test_an_index_of_groups_finds_what_all_distances_find(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    store = drawn(150, seed=1)
    queries = store.descriptors[::97]
    plain = DescriptorIndex.build(store).search(queries, 2).distances[:, 1]
    monkeypatch.setattr(descriptor_codes, "_MOST_AT_ONCE", 4)
    monkeypatch.setattr(descriptor_codes, "_AT_ONCE", 1_000)
    index = DescriptorIndex.build(store)
    found = index.search(queries, 1)
    owners = np.repeat(np.arange(150), 60)[::97]
    assert (found.photographs[:, 0] == owners).mean() > 0.97
    np.testing.assert_allclose(
        found.points[:, 0][found.photographs[:, 0] == owners],
        store.points[::97].astype(np.float16)[found.photographs[:, 0] == owners],
    )
    second = index.search(queries, 2).distances[:, 1]
    assert np.abs(second - plain).mean() < 0.1 * plain.mean()  # other cells, other codes
    index.save(tmp_path / "index")
    again = DescriptorIndex.load(tmp_path / "index").search(queries, 2)
    np.testing.assert_array_equal(again.photographs[:, 0], found.photographs[:, 0])
    np.testing.assert_array_equal(again.distances[:, 1], second)


def test_groups_grow_and_forget(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(descriptor_codes, "_MOST_AT_ONCE", 4)
    index, fresh = DescriptorIndex.build(drawn(80, seed=2)), drawn(3, seed=3)
    grown = index.grown(fresh)
    assert (grown.search(fresh.descriptors, 1).photographs[:, 0] >= 80).mean() > 0.97
    assert (index.search(fresh.descriptors, 1).photographs < 80).all()
    less = grown.without([80, 81, 82])
    assert len(less) == 80
    assert (less.search(fresh.descriptors, 1).photographs < 80).all()


def test_all_cells_are_visited_where_all_are_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(descriptor_codes, "_MOST_AT_ONCE", 4)
    monkeypatch.setattr(descriptor_codes, "CELL", 40)
    store = drawn(150, seed=4)
    some = store.descriptors[:3]
    everything = DescriptorIndex.build(store, probes=10**6).search(some, len(store.points))
    assert (everything.photographs >= 0).all()
    few = DescriptorIndex.build(store, probes=2).search(some, len(store.points))
    assert (few.photographs < 0).any()
