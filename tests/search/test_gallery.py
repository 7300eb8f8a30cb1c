"""Search against a twin that compares photograph by photograph, and with an index that proposes."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import flukeprint.search.exact as room
from flukeprint.data.embeddings import Embeddings
from flukeprint.errors import FlukeprintError
from flukeprint.search.gallery import Gallery
from flukeprint.search.index import Matches
from tests.search.crowded import crowded, embedded


def drawn(n, d=6, names=4, seed=0):
    """Small whole coordinates, so that equal photos and equal scores occur."""
    rng = np.random.default_rng(seed)
    vectors = rng.integers(-1, 2, (n, d))
    vectors[~vectors.any(axis=1), 0] = 1
    return embedded(vectors, [f"w{i}" for i in rng.integers(0, names, n)])


def naive_scores(queries, gallery):
    return [
        [np.float32(sum(float(a) * float(b) for a, b in zip(q, g, strict=True))) for g in gallery]
        for q in queries
    ]


@given(st.integers(1, 30), st.integers(0, 6), st.integers(1, 40), st.integers(0, 99))
def test_search_is_the_naive_one(n, q, k, seed):
    gallery, queries = drawn(n, seed=seed), drawn(q, seed=seed + 1)
    found = Gallery(gallery).search(queries, k)
    assert found.rows.shape == (q, min(k, n))
    for query, scores in enumerate(naive_scores(queries.vectors, gallery.vectors)):
        order = sorted(range(n), key=lambda row: (-scores[row], row))[:k]
        assert found.scores[query] == pytest.approx([scores[row] for row in order], abs=1e-6)
        assert found.rows[query].tolist() == order


@given(st.integers(1, 30), st.integers(1, 9), st.integers(1, 7), st.integers(0, 99))
def test_search_by_identity_is_the_naive_one(n, names, top, seed):
    gallery, queries = drawn(n, names=names, seed=seed), drawn(4, seed=seed + 1)
    found = Gallery(gallery).search_identities(queries, top)
    assert found.vocabulary == tuple(sorted(set(gallery.identities)))
    for query, scores in enumerate(naive_scores(queries.vectors, gallery.vectors)):
        best = {}
        for row in sorted(range(n), key=lambda row: (-scores[row], row)):
            best.setdefault(gallery.identities[row], row)
        expected = list(best.items())[:top]  # identities in order of their best photo
        assert [found.vocabulary[i] for i in found.labels[query]] == [name for name, _ in expected]
        assert found.rows[query].tolist() == [row for _, row in expected]
        assert found.scores[query] == pytest.approx([scores[row] for _, row in expected], abs=1e-6)


def test_one_identity_may_fill_every_near_place():
    vectors = [[1, 0.001 * i] for i in range(500)] + [[0.1 * i, 1] for i in range(5)]
    names = ["common"] * 500 + [f"rare{i}" for i in range(5)]
    found = Gallery(embedded(vectors, names)).search_identities(embedded([[1, 0]]), 5)
    answers = [found.vocabulary[i] for i in found.labels[0]]
    assert answers == ["common", "rare4", "rare3", "rare2", "rare1"]


def test_blocks_change_nothing(monkeypatch):
    rng = np.random.default_rng(0)
    gallery = embedded(rng.normal(size=(97, 33)), [f"w{i % 20}" for i in range(97)])
    gallery = Embeddings.concatenate([gallery, gallery.take([5, 3])])  # copies of two photos
    queries = embedded(rng.normal(size=(31, 33)))
    whole, by_name = Gallery(gallery).search(queries, 99), Gallery(gallery).search_identities
    identities = by_name(queries, 5)
    monkeypatch.setattr(room, "QUERIES_AT_ONCE", 4)
    monkeypatch.setattr(room, "ROWS_AT_ONCE", 7)
    for same in (
        Gallery(gallery).search(queries, 99),
        Matches(*_stacked(lambda one: Gallery(gallery).search(one, 99), queries)),
    ):
        assert np.array_equal(whole.scores, same.scores)
        assert np.array_equal(whole.rows, same.rows)
    assert np.array_equal(by_name(queries, 5).rows, identities.rows)
    places = whole.rows.tolist()
    assert all(row.index(5) + 1 == row.index(97) for row in places)  # the copy follows
    assert all(row.index(3) + 1 == row.index(98) for row in places)


def _stacked(search, queries):
    parts = [search(queries.take([i])) for i in range(len(queries))]
    return np.concatenate([p.scores for p in parts]), np.concatenate([p.rows for p in parts])


def test_a_gallery_refuses_another_network_and_nameless_photos():
    gallery = embedded([[1, 0], [0, 1]], ["a", "b"])
    with pytest.raises(FlukeprintError, match="two networks"):
        Gallery(gallery).search(embedded([[1, 0]], stamp="other"), 1)
    with pytest.raises(FlukeprintError, match="two networks"):
        Gallery(gallery).search_identities(embedded([[1, 0]], stamp="other"), 1)
    with pytest.raises(FlukeprintError, match=r"without an identity: 1\.jpg"):
        Gallery(embedded([[1, 0], [0, 1]], ["a", None]))
    with pytest.raises(FlukeprintError, match="empty"):
        Gallery(gallery.take([]))
    with pytest.raises(ValueError, match="at least one"):
        Gallery(gallery).search(gallery, 0)


class Some:
    """An index that finds only even rows, and no more than it likes."""

    name, exact, candidates = "some", False, 1

    def __init__(self, vectors, most=10_000):
        self.vectors, self.most, self.asked = vectors, most, []

    def __len__(self):
        return len(self.vectors)

    def search(self, queries, k):
        self.asked.append(k)
        scores = queries @ self.vectors.T
        scores[:, 1::2] = -np.inf
        rows = np.argsort(-scores, axis=1, kind="stable")[:, :k]
        best = np.take_along_axis(scores, rows, axis=1)
        best[:, self.most :] = -np.inf
        return Matches(best, np.where(np.isfinite(best), rows, -1))


class Contrary(Some):
    """An index that finds of equal scores those in the highest rows."""

    def search(self, queries, k):
        self.asked.append(k)
        scores = queries @ self.vectors.T
        rows = len(self) - 1 - np.argsort(-scores[:, ::-1], axis=1, kind="stable")[:, :k]
        return Matches(np.take_along_axis(scores, rows, axis=1), rows)


@pytest.mark.parametrize(("copies", "asked"), [(2, [6]), (10, [6, 24]), (30, [6, 24, 96])])
def test_an_index_is_asked_for_more_until_ties_are_seen_whole(copies, asked):
    vectors = np.concatenate([np.random.default_rng(0).normal(size=(100, 5)), np.ones((copies, 5))])
    gallery = embedded(vectors, [f"w{i}" for i in range(len(vectors))])
    index = Contrary(gallery.vectors)
    room, query = Gallery(gallery, index=index), embedded([[1, 1, 1, 1, 1.0]])
    want = Gallery(gallery).search(query, 3)
    found = room.search(query, 3)
    assert index.asked == asked
    np.testing.assert_array_equal(found.rows, want.rows)
    np.testing.assert_array_equal(
        room.search_identities(query, 3).rows, Gallery(gallery).search_identities(query, 3).rows
    )


def test_an_index_proposes_and_the_gallery_scores():
    gallery = crowded(200, 12, 3, 0.1)
    queries = embedded(gallery.vectors[:20] + 0.01)
    even = gallery.take(np.arange(0, 200, 2))
    room = Gallery(gallery, index=Some(gallery.vectors))
    for by_name, found, want in (
        (False, room.search(queries, 6), Gallery(even).search(queries, 6)),
        (True, room.search_identities(queries, 4), Gallery(even).search_identities(queries, 4)),
    ):
        np.testing.assert_array_equal(found.scores, want.scores, str(by_name))
        np.testing.assert_array_equal(found.rows, want.rows * 2)


def test_an_index_is_asked_for_more_until_there_are_enough_identities():
    names = ["common"] * 90 + [f"rare{i}" for i in range(10)]
    rng = np.random.default_rng(0)
    vectors = np.concatenate(
        [[1, 0, 0] + 0.01 * rng.normal(size=(90, 3)), rng.normal(size=(10, 3))]
    )
    gallery = embedded(vectors, names)
    index = Some(gallery.vectors)
    found = Gallery(gallery, index=index).search_identities(embedded([[1.0, 0, 0]]), 3)
    assert index.asked == [24, 96]
    assert len(set(found.labels[0].tolist())) == 3
    # One that finds too few whatever it is asked gives way to looking at all.
    few = Gallery(gallery, index=Some(gallery.vectors, most=2))
    whole = Gallery(gallery).search_identities(embedded([[1.0, 0, 0]]), 3)
    np.testing.assert_array_equal(
        few.search_identities(embedded([[1.0, 0, 0]]), 3).rows, whole.rows
    )


def test_an_index_of_other_photographs_is_refused():
    gallery = crowded(20, 4, 0, 0.1)
    with pytest.raises(FlukeprintError, match="19 photographs and the gallery 20"):
        Gallery(gallery, index=Some(gallery.vectors[:19]))


def test_nobody_is_asked_for():
    gallery = crowded(20, 4, 0, 0.1)
    nothing = replace(gallery.take([]), identities=())
    assert Gallery(gallery).search(nothing, 3).rows.shape == (0, 3)
    with pytest.raises(ValueError, match="at least one"):
        Gallery(gallery).search(gallery, 0)
