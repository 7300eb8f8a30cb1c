"""Recall against a count by hand, and the effort that it takes."""

import numpy as np
import pytest

from flukeprint.search.faiss_kinds import Hnsw, IvfPq
from flukeprint.search.gallery import Gallery
from flukeprint.search.recall import exact_neighbours, measure_recall, sampled, tune
from tests.search.animals import drawn

pytest.importorskip("faiss")


@pytest.mark.parametrize("kind", [Hnsw, IvfPq])
def test_recall_is_that_of_a_count_by_hand(kind) -> None:
    photos = drawn(600)
    index = kind(photos.vectors)
    index.effort, index.candidates = index.EFFORTS[0]
    index.add(photos, np.arange(600))
    gallery = Gallery(photos, index=index)
    rows = sampled(photos, 100)
    exact = exact_neighbours(gallery, rows)
    scores = photos.vectors.astype(float) @ photos.vectors.T.astype(float)
    np.fill_diagonal(scores, -2)
    assert (np.sort(exact) == np.sort(np.argsort(-scores[rows], axis=1)[:, :5])).mean() > 0.999
    got = measure_recall(gallery, rows, exact)
    found = gallery.search(photos.take(rows), 6).rows
    hits = [
        len(({*mine} - {row}) & {*right})
        for row, mine, right in zip(rows, found, exact, strict=True)
    ]
    assert got.value == pytest.approx(sum(min(hit, 5) for hit in hits) / 500, abs=0.005)
    assert got.low <= got.value <= got.high
    assert got.queries == 100


def test_effort_rises_until_the_recall_is_there() -> None:
    photos = drawn(1500, d=48)
    index = IvfPq(photos.vectors)
    index.add(photos, np.arange(1500))
    gallery = Gallery(photos, index=index)
    modest = tune(gallery, 0.5)
    little = index.effort
    high = tune(gallery, 0.99)
    assert high.reached
    assert high.value >= 0.99
    assert index.effort >= little
    assert modest.effort == little
    assert "recall@5" in high.text()
    assert "out of reach" not in high.text()
    assert "out of reach" in tune(gallery, 1.1).text()
