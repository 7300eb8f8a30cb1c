"""From photographs to identities, with class centres and prototypes."""

import numpy as np
import pytest

from flukeprint.config.ranking import RankConfig
from flukeprint.data.embeddings import Embeddings, unit_rows
from flukeprint.ranking.neighbours import cosines
from flukeprint.search.gallery import Gallery
from tests.ranking.embeddings import centers_of, drawn, same, search


def test_one_photo_an_identity_makes_no_difference():
    gallery = drawn(8)
    gallery = Embeddings(
        gallery.vectors, gallery.images, tuple(f"w{i}" for i in range(8)), None, "net"
    )
    queries = drawn(5, seed=4)
    plain = Gallery(gallery).search_identities(queries, 8)
    for rules in ({"identity": "mean"}, {"identity": "prototype"}, {"prototype": 0.5}):
        found = search(queries, Gallery(gallery), RankConfig(**rules), top=8)
        assert np.array_equal(found.rows, plain.rows)
        assert found.scores == pytest.approx(plain.scores, abs=1e-6)


def test_an_enrolled_identity_is_neither_favoured_nor_punished():
    gallery, queries = Gallery(drawn(20)), drawn(6, seed=3)
    plain = gallery.search_identities(queries, 5)
    # Centers that are all as far below the photos: trained or enrolled, all fall alike.
    names = gallery.vocabulary
    query = queries.take([0])
    target = plain.scores[0][np.argsort(plain.labels[0])] - np.float32(0.2)
    axis = unit_rows(np.random.default_rng(0).normal(size=(5, 6)))
    axis = unit_rows(axis - (axis @ query.vectors[0])[:, None] * query.vectors)
    vectors = target[:, None] * query.vectors + np.sqrt(1 - target**2)[:, None] * axis
    centers = Embeddings(unit_rows(vectors), names, names, None, "net")
    rules = RankConfig(head=0.5)
    for some in ([0, 1, 2, 3, 4], [1, 2], [4]):
        found = search(query, gallery, rules, top=5, centers=centers.take(some))
        assert np.array_equal(found.labels[0], plain.labels[0])
        assert found.scores[0] == pytest.approx(plain.scores[0] - 0.1, abs=1e-6)
    stranger = centers_of(["nobody"])
    assert same(search(queries, gallery, rules, top=5, centers=stranger), plain)
    only = search(queries, gallery, RankConfig(head=1.0), top=5, centers=centers_of(["w2"]))
    near = cosines(queries.vectors, centers_of(["w2"]).vectors).max(axis=1)
    assert only.scores[only.labels == names.index("w2")] == pytest.approx(near)


def test_equal_scores_come_by_row():
    vectors = unit_rows([[1, 0]] * 4)
    gallery = Gallery(Embeddings(vectors, tuple("pqrs"), ("d", "c", "d", "a"), None, "net"))
    query = Embeddings(vectors[:1], ("x",), (None,), None, "net")
    for rules in ({"identity": "mean"}, {"identity": "prototype"}, {"hubness": 2}):
        found = search(query, gallery, RankConfig(**rules), top=3)
        assert found.rows.tolist() == [[0, 1, 3]]
        assert [found.vocabulary[label] for label in found.labels[0]] == ["d", "c", "a"]
