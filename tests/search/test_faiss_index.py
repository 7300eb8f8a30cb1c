"""FAISS indexes find, grow, shrink and are read back."""

from pathlib import Path

import numpy as np
import pytest

from flukeprint.search import faiss_index
from flukeprint.search.backends import BACKENDS
from flukeprint.search.faiss_kinds import Hnsw
from flukeprint.search.gallery import Gallery
from flukeprint.search.index import NOTHING
from tests.search.animals import KINDS, built, drawn

pytest.importorskip("faiss")


@pytest.mark.parametrize("kind", KINDS)
def test_every_photograph_finds_itself_through_the_gallery(kind) -> None:
    photos = drawn(400)
    found = Gallery(photos, index=built(kind, photos)).search(photos, 5)
    want = Gallery(photos).search(photos, 5)
    assert (found.rows[:, 0] == np.arange(400)).mean() == 1
    assert (found.rows == want.rows).mean() > 0.99
    right = found.rows == want.rows
    np.testing.assert_array_equal(found.scores[right], want.scores[right])


@pytest.mark.parametrize("kind", KINDS)
def test_rows_are_added_removed_and_kept(kind, tmp_path: Path) -> None:
    photos = drawn(300)
    rows = np.arange(300) * 3 + 7
    index = built(kind, photos.take(np.arange(200)), rows[:200])
    index.add(photos.take(np.arange(200, 300)), rows[200:])
    index.remove(rows[[0, 150, 299]])
    assert len(index) == 297
    folder = tmp_path / "index"
    folder.mkdir()
    index.save(folder)
    for one in (index, BACKENDS[kind.name].load(folder)):
        found = one.search(photos.vectors, 30)
        kept = np.setdiff1d(np.arange(300), [0, 150, 299])
        assert (found.rows == rows[:, None]).any(axis=1)[kept].mean() > 0.97
        assert not np.isin(found.rows, rows[[0, 150, 299]]).any()
        assert len(one) == 297
        with pytest.raises(KeyError):
            one.remove(rows[[0]])
        with pytest.raises(KeyError):
            one.remove(np.array([8]))
        with pytest.raises(ValueError, match="ascend"):
            one.add(photos.take([0]), rows[[5]])


@pytest.mark.parametrize("kind", KINDS)
def test_where_there_are_fewer_nothing_is_said(kind) -> None:
    photos = drawn(40)
    index = built(kind, photos)
    found = index.search(photos.vectors[:2], 99)
    assert found.rows.shape == (2, 40)
    there = found.rows != NOTHING
    assert np.isneginf(found.scores[~there]).all()
    assert index.search(photos.vectors[:0], 3).rows.shape == (0, 3)
    index.remove(np.arange(40))
    assert index.search(photos.vectors[:2], 3).rows.shape == (2, 0)


@pytest.mark.parametrize("kind", KINDS)
def test_copies_of_one_photograph_come_by_row(kind) -> None:
    photos = drawn(1, d=64).take(np.zeros(300, np.int64))
    gallery = Gallery(photos, index=built(kind, photos))
    assert gallery.search(photos.take([0]), 5).rows[0].tolist() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("kind", KINDS)
def test_an_index_read_from_disk_grows_and_shrinks(kind, tmp_path: Path) -> None:
    photos = drawn(400, d=64)
    folder = tmp_path / "index"
    folder.mkdir()
    built(kind, photos.take(np.arange(300))).save(folder)
    index = kind.load(folder)
    index.effort, index.candidates = index.EFFORTS[-1]
    before = index.search(photos.vectors[:300], 20).rows
    assert (before == np.arange(300)[:, None]).any(axis=1).mean() > 0.99
    index.add(photos.take(np.arange(300, 400)), np.arange(300, 400))
    index.remove(np.arange(0, 400, 2))  # half: a graph is then made anew
    assert len(index) == 200
    found = index.search(photos.vectors, 20).rows
    assert not (found % 2 == 0).any()
    assert (found[1::2] == np.arange(1, 400, 2)[:, None]).any(axis=1).mean() > 0.97
    with pytest.raises(KeyError):
        index.remove(np.array([2]))
    again = tmp_path / "again"
    again.mkdir()
    index.save(again)
    np.testing.assert_array_equal(kind.load(again).search(photos.vectors, 20).rows, found)


@pytest.mark.parametrize("d", [64, 256])  # a graph keeps some axes only of the second
def test_what_comes_late_to_a_mapped_index_waits_beside_it(d, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(faiss_index, "_MOST_LATE", 60)
    photos = drawn(400, d=d)
    folder = tmp_path / "index"
    folder.mkdir()
    built(Hnsw, photos.take(np.arange(300))).save(folder)
    index = Hnsw.load(folder)
    index.effort, index.candidates = index.EFFORTS[-1]
    for row in range(300, 360):
        index.add(photos.take([row]), np.array([row]))
    assert index._index.ntotal == 300  # a copy of the file's vectors was not needed
    index.remove(np.array([10, 305, 359]))
    found = index.search(photos.vectors[:360], 8)
    assert found.rows.shape == (360, 8)
    kept = np.setdiff1d(np.arange(360), [10, 305, 359])
    assert (found.rows[:, 0] == np.arange(360))[kept].mean() > 0.99
    assert not np.isin(found.rows, [10, 305, 359]).any()
    assert (np.diff(found.scores, axis=1) <= 0).all()

    index.add(photos.take(np.arange(360, 400)), np.arange(360, 400))
    assert index._index.ntotal == 400  # too many to wait
    after = index.search(photos.vectors[:360], 8).rows
    assert (after[:, 0] == np.arange(360))[kept].mean() > 0.99
    assert not np.isin(after, [10, 305, 359]).any()
    assert len(index) == 397


def test_a_mapped_index_is_saved_with_what_came_late(tmp_path: Path) -> None:
    photos = drawn(200, d=64)
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
    built(Hnsw, photos.take(np.arange(150))).save(tmp_path / "first")
    index = Hnsw.load(tmp_path / "first")
    index.add(photos.take(np.arange(150, 200)), np.arange(150, 200))
    index.save(tmp_path / "second")
    again = Hnsw.load(tmp_path / "second")
    assert len(again) == 200
    np.testing.assert_array_equal(again.search(photos.vectors, 1).rows[:, 0], np.arange(200))
