"""What requests hold: filters, settings, and batches."""

from typing import Any

import numpy as np
import pytest

from flukeprint.search import qdrant_collection
from flukeprint.search.index import NOTHING
from flukeprint.search.qdrant_client import SearchFilter
from flukeprint.search.qdrant_index import QdrantIndex
from tests.search.contract import DIM, drawn
from tests.search.qdrant_server import Server, config


@pytest.mark.parametrize("mode", ["embedded", "server", "engine"])
def test_filters_find_only_what_they_let_through(mode: str, server: Server, engine_server: Server):
    photos, queries = drawn(60), drawn(8, seed=1).vectors
    url = {"embedded": None, "server": server.url, "engine": engine_server.url}[mode]
    index = QdrantIndex.build(photos, config(url, recall_at_5=1))

    def right(query: Any, allowed: list[int]) -> list[int]:
        return sorted(allowed, key=lambda row: -float(photos.vectors[row] @ query))[:5]

    for among, lets in [
        (SearchFilter(views=("left",)), lambda row: row % 2 == 1),
        (SearchFilter(identities=("w1", "w7", "w12")), lambda row: row // 3 in (1, 7, 12)),
        (SearchFilter(without=("w0", "w19")), lambda row: row // 3 not in (0, 19)),
        (
            SearchFilter(views=("right",), identities=("w2", "w3"), without=("w3",)),
            lambda row: row % 2 == 0 and row // 3 == 2,
        ),
        (SearchFilter(identities=()), lambda row: False),
    ]:
        allowed = [row for row in range(60) if lets(row)]
        found = index.search(queries, 5, among)
        for query, rows, scores in zip(queries, found.rows, found.scores, strict=True):
            wanted = right(query, allowed)
            assert rows.tolist() == wanted + [NOTHING] * (5 - len(wanted))
            assert np.all(np.isneginf(scores[len(wanted) :]))


def test_a_server_is_told_how_to_keep_and_search(server: Server):
    photos = drawn(5)
    index = QdrantIndex.build(photos, config(server.url, quantize=True))
    assert not index.exact
    created = next(body for method, path, body in server.seen if method == "PUT")
    assert created["vectors"]["distance"] == "Dot"
    assert created["vectors"]["size"] == DIM
    assert created["vectors"]["on_disk"] is True
    assert created["quantization_config"]["scalar"]["type"] == "int8"
    assert created["quantization_config"]["scalar"]["always_ram"] is True
    assert created["metadata"] == {"stamp": photos.stamp}
    assert {body["field_name"] for body in server.bodies("/index")} == {"identity", "view"}
    index.search(photos.vectors[:2], 3)
    asked = server.bodies("/points/query/batch")[-1]["searches"]
    assert len(asked) == 2
    assert asked[0]["params"]["exact"] is False
    assert asked[0]["params"]["quantization"]["rescore"] is True
    plain = QdrantIndex.build(photos, config(server.url, collection="plain", recall_at_5=1))
    assert plain.exact
    plain.search(photos.vectors[:1], 3)
    assert server.bodies("/points/query/batch")[-1]["searches"][0]["params"]["exact"] is True


def test_points_and_queries_go_in_batches(server: Server, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(qdrant_collection, "UPSERT", 16)
    monkeypatch.setattr(qdrant_collection, "QUERIES_PER_REQUEST", 8)
    photos = drawn(50)
    index = QdrantIndex.build(photos, config(server.url))
    sizes = [len(body["points"]) for body in server.bodies("/points") if "points" in body]
    assert sizes == [16, 16, 16, 2]
    point = next(body["points"][1] for body in server.bodies("/points") if "points" in body)
    assert point["payload"] == {"image": "1.jpg", "identity": "w0", "view": "left"}
    found = index.search(photos.vectors[:20], 1)
    assert found.rows[:, 0].tolist() == list(range(20))
    assert [len(body["searches"]) for body in server.bodies("/batch")] == [8, 8, 4]
