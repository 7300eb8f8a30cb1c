"""A collection of points in Qdrant: writing, searching and reading it by the client's requests.

A point is a photograph: its row number, its vector, and image, identity and view as payload.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from flukeprint.data.embeddings import Embeddings, Floats, Ints
from flukeprint.errors import FlukeprintError
from flukeprint.search.qdrant_client import (
    QdrantLocation,
    SearchFilter,
    answering,
    qdrant_filter,
)

if TYPE_CHECKING:
    from qdrant_client import QdrantClient


UPSERT = 256  # points of a request: some 3 MB of JSON with 512 numbers each; 32 MB are allowed
_PUT_AT_ONCE = 1 << 14  # points whose payload is made at once
QUERIES_PER_REQUEST = 64
LINKS = 16  # m of HNSW: neighbours that a vector is linked with; twice as many on the ground level
EFFORT = 200  # candidates kept while the graph is built
EF = 128  # and while it is searched, if nothing is measured
TIES = 1024  # results among which an approximate search looks for equals of the last one
OVERSAMPLING = 2.0  # int8 candidates for each result, re-scored with the float32 vectors


class QdrantCollection:
    """The points under `name`, a collection or an alias of one."""

    def __init__(self, location: QdrantLocation, client: "QdrantClient", name: str) -> None:
        self.location, self.client, self.name = location, client, name
        self.exact: bool = location.url is None or location.thorough
        self.effort = EF

    def create(self) -> None:
        """Make the collection, empty."""
        from qdrant_client import models

        location = self.location
        int8 = models.ScalarQuantization(
            scalar=models.ScalarQuantizationConfig(
                type=models.ScalarType.INT8, quantile=0.99, always_ram=True
            )
        )
        # The embedded mode uses the size and the distance only.
        self.client.create_collection(
            self.name,
            models.VectorParams(
                size=location.dimension, distance=models.Distance.DOT, on_disk=location.quantize
            ),
            hnsw_config=models.HnswConfigDiff(m=LINKS, ef_construct=EFFORT),
            quantization_config=int8 if location.quantize else None,
            on_disk_payload=True,
            metadata={"stamp": location.stamp},
        )
        for field in ("identity", "view") if location.url is not None else ():
            self.client.create_payload_index(  # otherwise a filter reads every point
                self.name, field, models.PayloadSchemaType.KEYWORD, wait=True
            )

    def put(self, photos: Embeddings, rows: Ints) -> None:
        """Add photographs under `rows` (n,)."""
        views = photos.views or (None,) * len(photos)
        for start in range(0, len(photos), _PUT_AT_ONCE):
            part = slice(start, start + _PUT_AT_ONCE)
            self.upload(
                photos.vectors[part],
                rows[part],
                [
                    {"image": image, "identity": identity, "view": view}
                    for image, identity, view in zip(
                        photos.images[part], photos.identities[part], views[part], strict=True
                    )
                ],
            )

    def upload(self, vectors: Floats, rows: Ints, payload: Sequence[dict[str, str | None]]) -> None:
        """Add points: vectors (n, d), rows (n,), and a payload of each."""
        self.client.upload_collection(
            self.name, vectors, payload, rows.tolist(), batch_size=UPSERT, wait=True
        )

    def check(self) -> None:
        """Raise FlukeprintError if it is not there or has vectors of another dimension."""
        location = self.location
        with answering(location):
            if location.alias not in self.aliases():
                raise FlukeprintError(
                    f"{location.label} has no gallery {location.collection} of network "
                    f"{location.stamp}; build it with this network's embeddings"
                )
            params: Any = self.client.get_collection(self.name).config.params.vectors
        size = getattr(params, "size", None)
        if size != location.dimension:
            raise FlukeprintError(
                f"the gallery {location.alias} of {location.label} has vectors of {size} numbers, "
                f"the network has {location.dimension}; build it anew"
            )

    def aliases(self) -> dict[str, str]:
        """Every alias on the server, with the collection that it stands for."""
        return {
            alias.alias_name: alias.collection_name for alias in self.client.get_aliases().aliases
        }

    def give_aliases(self, *names: str) -> None:
        """Point aliases at this collection, in one step; another may have had them."""
        from qdrant_client import models

        target = self.aliases().get(self.name, self.name)
        steps: list[Any] = []
        for name in names:
            free = models.DeleteAlias(alias_name=name)
            take = models.CreateAlias(alias_name=name, collection_name=target)
            steps.append(models.DeleteAliasOperation(delete_alias=free))
            steps.append(models.CreateAliasOperation(create_alias=take))
        self.client.update_collection_aliases(steps)

    def existing(self, rows: Ints) -> set[int]:
        """Those of `rows` that are in use."""
        ids = np.asarray(rows).tolist()
        there: set[int] = set()
        for start in range(0, len(ids), 4 * UPSERT):
            part = ids[start : start + 4 * UPSERT]
            found = self.client.retrieve(self.name, part, with_payload=False)
            there |= {int(point.id) for point in found}
        return there

    def nearest(
        self, queries: Floats, k: int, where: SearchFilter | None
    ) -> list[tuple[Floats, Ints]]:
        """(scores, rows) of at least k photographs, or all, for each query, in any order.

        Qdrant orders equal scores arbitrarily: where the k-th place is shared, more are requested
        until it is not, so that the lower rows win.  Of an approximate search they are the lower
        ones of the first `TIES`.
        """
        found: list[tuple[Floats, Ints]] = [(np.empty(0, np.float32), np.empty(0, np.int64))] * len(
            queries
        )
        left, limit = list(range(len(queries))), k + 1
        while left:
            shared = []
            for start in range(0, len(left), QUERIES_PER_REQUEST):
                part = left[start : start + QUERIES_PER_REQUEST]
                for query, hit in zip(
                    part, self._request(queries[part], limit, where), strict=True
                ):
                    found[query] = hit
                    scores = np.sort(hit[0])[::-1]
                    if len(scores) == limit > k and scores[k - 1] == scores[-1]:
                        shared.append(query)
            left, limit = shared if self.exact or limit < TIES else [], 4 * limit
        return found

    def _request(
        self, queries: Floats, limit: int, where: SearchFilter | None
    ) -> list[tuple[Floats, Ints]]:
        from qdrant_client import models

        rescored = models.QuantizationSearchParams(rescore=True, oversampling=OVERSAMPLING)
        params = None
        if self.location.url is not None:  # the embedded mode has no parameters
            params = models.SearchParams(
                hnsw_ef=max(self.effort, 2 * limit),
                exact=self.exact,
                quantization=rescored if self.location.quantize else None,
            )
        rules = None if where is None else qdrant_filter(where)
        answers = self.client.query_batch_points(
            self.name,
            [
                models.QueryRequest(query=query.tolist(), limit=limit, params=params, filter=rules)
                for query in queries
            ],
        )
        return [
            (
                np.array([point.score for point in answer.points], dtype=np.float32),
                np.array([point.id for point in answer.points], dtype=np.int64),
            )
            for answer in answers
        ]

    def read_all(self) -> tuple[Floats, Ints, list[dict[str, Any]]]:
        """Vectors, rows and payloads of all points, by row."""
        points: list[Any] = []
        following: Any = None
        while True:
            found, following = self.client.scroll(
                self.name, limit=4 * UPSERT, offset=following, with_vectors=True
            )
            points += found
            if following is None:
                break
        vectors = np.array([point.vector for point in points], dtype=np.float32)
        rows = np.array([point.id for point in points], dtype=np.int64)
        return (
            vectors.reshape(len(points), self.location.dimension),
            rows,
            [dict(point.payload or {}) for point in points],
        )
