"""Recall against a count by hand, and the effort that it takes."""

from pathlib import Path

import numpy as np
import pytest

from flukeprint.data.embeddings import unit_rows
from flukeprint.search.backends import BACKENDS
from flukeprint.search.faiss_kinds import Hnsw, IvfPq
from flukeprint.search.gallery import Gallery
from flukeprint.search.qdrant_index import QdrantIndex
from flukeprint.search.recall import exact_neighbours, measure_recall, sampled, tune
from tests.search.animals import drawn
from tests.search.contract import named
from tests.search.qdrant_server import Server, config

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


def test_a_server_searches_as_thoroughly_as_the_recall_needs(
    engine_server: Server, tmp_path: Path
) -> None:
    # Nearly one direction, as a network's embeddings often are: its int8 codes tell little apart.
    noise = np.random.default_rng(0).normal(size=(600, 64))
    vectors = unit_rows(0.2 * noise + np.random.default_rng(1).normal(size=64))
    photos = named(vectors)
    said: list[str] = []
    index = BACKENDS["qdrant"].build(
        photos, config(engine_server.url, quantize=True, recall_at_5=0.99), said.append
    )
    assert isinstance(index, QdrantIndex)
    assert said[0].startswith("qdrant: recall@5 ")
    assert "out of reach" not in said[0]
    asked = engine_server.bodies("/points/query/batch")[-1]["searches"][0]
    assert asked["params"]["hnsw_ef"] >= index.effort
    assert asked["limit"] >= index.candidates
    index.save(tmp_path)
    again = QdrantIndex.load(tmp_path)
    assert (again.effort, again.candidates) == (index.effort, index.candidates)
