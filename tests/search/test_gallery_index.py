"""A gallery with an index: the index proposes, and the gallery scores."""

from dataclasses import replace

import numpy as np
import pytest

from flukeprint.errors import FlukeprintError
from flukeprint.search.gallery import Gallery
from flukeprint.search.index import Matches
from tests.search.crowded import crowded, embedded


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
