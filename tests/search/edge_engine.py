"""Qdrant's own engine in this process, behind the calls that `qdrant_server.py` makes.

`qdrant-edge-py` is the engine of a server without its network: names and aliases of collections,
which are the server's, are kept by the client's embedded mode, and points by the engine.
"""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import qdrant_edge as edge
from qdrant_client import QdrantClient
from qdrant_client.http import models

_SMALL = 1  # kB of vectors from which a segment is quantised and gets its graph


class EdgeEngine:
    """As far as galleries need it; codes and graph are made before an approximate search."""

    def __init__(self) -> None:
        self._names = QdrantClient(":memory:")
        self._folder = tempfile.TemporaryDirectory(prefix="edge-")
        self._shards: dict[str, edge.EdgeShard] = {}
        self._changed: set[str] = set()
        self.get_aliases = self._names.get_aliases
        self.get_collections = self._names.get_collections
        self.get_collection = self._names.get_collection
        self.update_collection_aliases = self._names.update_collection_aliases

    def close(self) -> None:
        for shard in self._shards.values():
            shard.close()
        self._folder.cleanup()

    def create_collection(
        self,
        name: str,
        vectors_config: Any,
        *,
        hnsw_config: Any,
        quantization_config: Any,
        metadata: Any,
    ) -> bool:
        made = self._names.create_collection(name, vectors_config, metadata=metadata)
        int8 = None if quantization_config is None else quantization_config.scalar
        self._shards[name] = edge.EdgeShard.create(
            str(Path(self._folder.name) / str(len(self._shards))),
            edge.EdgeConfig(
                vectors=edge.EdgeVectorParams(
                    size=vectors_config.size,
                    distance=edge.Distance.Dot,
                    on_disk=vectors_config.on_disk,
                ),
                on_disk_payload=True,
                wal_enabled=False,
                hnsw_config=edge.HnswIndexConfig(
                    m=hnsw_config.m, ef_construct=hnsw_config.ef_construct,
                    full_scan_threshold=_SMALL,
                ),
                quantization_config=None if int8 is None else edge.ScalarQuantizationConfig(
                    edge.ScalarType.Int8, quantile=int8.quantile, always_ram=int8.always_ram
                ),
                optimizers=edge.EdgeOptimizersConfig(
                    indexing_threshold=_SMALL, default_segment_number=1
                ),
            ),
        )  # fmt: skip
        return bool(made)

    def delete_collection(self, name: str) -> bool:
        self._shards.pop(name).close()
        return bool(self._names.delete_collection(name))

    def create_payload_index(self, name: str, field: str, kind: Any) -> None:
        assert kind == models.PayloadSchemaType.KEYWORD
        self._update(
            name, edge.UpdateOperation.create_field_index(field, edge.PayloadSchemaType.Keyword)
        )

    def upsert(self, name: str, points: Sequence[Any]) -> None:
        self._update(
            name,
            edge.UpdateOperation.upsert_points(
                [edge.Point(point.id, point.vector, point.payload) for point in points]
            ),
        )

    def delete(self, name: str, points: models.PointIdsList) -> None:
        self._update(name, edge.UpdateOperation.delete_points(points.points))

    def retrieve(self, name: str, ids: Sequence[int], with_payload: bool) -> list[models.Record]:
        found = self._shard(name).retrieve(list(ids), with_payload, False)
        return [models.Record(id=one.id, payload=one.payload) for one in found]

    def count(self, name: str) -> models.CountResult:
        return models.CountResult(count=self._shard(name).count(edge.CountRequest(exact=True)))

    def query_batch_points(
        self, name: str, searches: Sequence[models.QueryRequest]
    ) -> list[models.QueryResponse]:
        shard = self._shard(name)
        approximate = any(one.params is None or not one.params.exact for one in searches)
        if approximate and (collection := self._named(name)) in self._changed:
            shard.optimize()  # a server does it by itself, some time after an upsert
            self._changed.discard(collection)
        found = shard.query_batch(edge.QueryBatchRequest([_request(one) for one in searches]))
        return [
            models.QueryResponse(
                points=[models.ScoredPoint(id=p.id, version=p.version, score=p.score) for p in hits]
            )
            for hits in found
        ]

    def _update(self, name: str, operation: Any) -> None:
        self._shard(name).update(operation)
        self._changed.add(self._named(name))

    def _shard(self, name: str) -> Any:
        self._names.get_collection(name)  # a ValueError that says so where there is none
        return self._shards[self._named(name)]

    def _named(self, name: str) -> str:
        """The collection of an alias, or of its own name."""
        aliases = {one.alias_name: one.collection_name for one in self.get_aliases().aliases}
        return str(aliases.get(name, name))


def _request(asked: models.QueryRequest) -> Any:
    params, quantization = asked.params, None
    assert isinstance(asked.query, models.NearestQuery)
    if params is not None and params.quantization is not None:
        how = params.quantization
        quantization = edge.QuantizationSearchParams(
            rescore=how.rescore, oversampling=how.oversampling
        )
    return edge.QueryRequest(
        limit=asked.limit,
        query=edge.Query.Nearest(asked.query.nearest),
        filter=None if asked.filter is None else _filter(asked.filter),
        params=None
        if params is None
        else edge.SearchParams(
            hnsw_ef=params.hnsw_ef, exact=bool(params.exact), quantization=quantization
        ),
    )


def _filter(asked: models.Filter) -> Any:
    def conditions(some: Any) -> Any:
        if some is None:
            return None
        assert all(isinstance(one.match, models.MatchAny) for one in some)
        return [edge.FieldCondition(one.key, match=edge.MatchAny(one.match.any)) for one in some]

    assert asked.should is None
    return edge.Filter(must=conditions(asked.must), must_not=conditions(asked.must_not))
