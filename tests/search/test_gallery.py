"""Search against a twin that compares photograph by photograph."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import flukeprint.search.exact as room
from flukeprint.data.embeddings import Embeddings, unit_rows
from flukeprint.errors import FlukeprintError
from flukeprint.search.gallery import Gallery
from flukeprint.search.index import Matches


def embedded(vectors, identities=None, views=None, stamp="net"):
    vectors = unit_rows(vectors)
    n = len(vectors)
    return Embeddings(
        vectors=vectors,
        images=tuple(f"{i}.jpg" for i in range(n)),
        identities=(None,) * n if identities is None else tuple(identities),
        views=views,
        stamp=stamp,
    )


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
