"""A gallery in Qdrant: unit vectors (n, d) under row numbers enter, the nearest leave.

With a URL they lie in a server or a cluster, else in this process: Qdrant's embedded mode, which
compares with every vector.  There a collection is one gallery, written once and found by aliases:
`whales@STAMP` is the gallery of the network with that stamp, `whales` the one of today.  So a new
network's gallery is filled beside the old one, and `switch` puts it in its place in one step.
"""

import json
import uuid
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from flukeprint.config.schema import GalleryConfig
from flukeprint.data.embeddings import Embeddings, Floats, Ints
from flukeprint.errors import FlukeprintError, listed
from flukeprint.files import read_npz, written_whole
from flukeprint.search.index import NOTHING, Matches
from flukeprint.search.qdrant_client import Among, Place, answering, connected, filter_of

if TYPE_CHECKING:
    from qdrant_client import QdrantClient


UPSERT = 256  # points of a request: some 3 MB of JSON with 512 numbers each; 32 MB are allowed
QUERIES_PER_REQUEST = 64  # queries of a request
LINKS = 16  # m of HNSW: neighbours that a vector is linked with; twice as many on the ground level
EFFORT = 200  # candidates kept while the graph is built
EF = 128  # and while it is searched
OVERSAMPLING = 2.0  # int8 candidates for each answer, re-scored with the float32 vectors


class QdrantIndex:
    """An `Index`.  Raises FlukeprintError, in one line, for whatever a server may refuse."""

    name = "qdrant"
    candidates = 0

    def __init__(self, place: Place, client: "QdrantClient", points: str) -> None:
        """Of the collection or alias `points`; use `build`, `connect` or `load`."""
        self.place = place
        self.exact: bool = place.url is None or place.thorough
        self._client = client
        self._points = points

    @classmethod
    def build(
        cls, embeddings: Embeddings, config: GalleryConfig, rows: Ints | None = None
    ) -> "QdrantIndex":
        """A collection of its own for photographs under `rows` (n,), or 0..n-1.

        It replaces an earlier one of the same network.  It becomes the gallery of today only where
        there is none yet: see `switch`.  What a killed build left is never found.
        """
        place = Place.of(config, embeddings.stamp, embeddings.vectors.shape[1])
        index = cls(place, connected(place.url), f"{place.alias}.{uuid.uuid4().hex[:8]}")
        with answering(place):
            index._create()
            index._put(embeddings, np.arange(len(embeddings)) if rows is None else rows)
            aliases = index._aliases()
            old = aliases.get(place.alias)
            first = aliases.get(place.collection) in (None, old)
            index._name(place.alias, *([place.collection] if first else []))
            if old is not None:
                index._client.delete_collection(old)
        index._points = place.alias
        return index

    @classmethod
    def connect(cls, config: GalleryConfig, stamp: str, dimension: int) -> "QdrantIndex":
        """The gallery of today in a server, which must be of the network `stamp`."""
        place = Place.of(config, stamp, dimension)
        if place.url is None:
            raise FlukeprintError("gallery.url is not set; name the server of the gallery")
        index = cls(place, connected(place.url), place.alias)
        today = index.today()
        if today != stamp:
            raise FlukeprintError(
                f"{place.said} has no gallery {place.collection}; build it first"
                if today is None
                else f"the gallery {place.collection} of {place.said} is of network {today}, not "
                f"{stamp}; embed it with this network and switch, or load the network {today}"
            )
        index._check()
        return index

    # An Index.

    def __len__(self) -> int:
        """Vectors that can be found; the server counts them."""
        with answering(self.place):
            return int(self._client.count(self._points, exact=True).count)

    def add(self, photos: Embeddings, rows: Ints) -> None:
        """Take in photographs under `rows` (n,), none of which is there yet.

        Raises FlukeprintError when another network embedded them, ValueError for a row in use.
        """
        if photos.stamp != self.place.stamp:
            raise FlukeprintError(
                f"embeddings of two networks do not compare: {self.place.stamp} made the gallery, "
                f"{photos.stamp} these; embed both with one network"
            )
        with answering(self.place):
            there = self._there(rows)
            if there or len(np.unique(rows)) != len(rows):
                raise ValueError(f"rows in use or given twice: {listed(sorted(there))}")
            self._put(photos, rows)

    def remove(self, rows: Ints) -> None:
        """Never find the photographs of `rows` again.  Raises KeyError where one is not there."""
        with answering(self.place):
            missing = set(np.asarray(rows).tolist()) - self._there(rows)
            if missing:
                raise KeyError(f"no photographs under rows {listed(sorted(missing))}")
            if len(rows):
                self._client.delete(self._points, np.asarray(rows).tolist(), wait=True)

    def search(self, queries: Floats, k: int, among: Among | None = None) -> Matches:
        """(q, d) unit vectors -> (q, min(k, len)) the nearest, NOTHING where fewer were found.

        among: photographs that may be found; all without it.
        """
        if k < 1:
            raise ValueError(f"at least one match must be asked for, not {k}")
        if queries.ndim != 2 or queries.shape[1] != self.place.dimension:
            raise ValueError(f"queries are {queries.shape}, not (q, {self.place.dimension})")
        with answering(self.place):
            found = self._found(queries, k, among)
        width = k if any(len(rows) >= k for _, rows in found) else min(k, len(self))
        scores = np.full((len(found), width), -np.inf, dtype=np.float32)
        rows = np.full((len(found), width), NOTHING, dtype=np.int64)
        for query, (near, places) in enumerate(found):
            order = np.lexsort((places, -near))[:width]
            scores[query, : len(order)], rows[query, : len(order)] = near[order], places[order]
        return Matches(scores, rows)

    def memory(self) -> int:
        """Bytes of main memory, of the server where there is one: at most, as it is laid out.

        A server keeps vectors (int8 where quantised), links and row numbers in memory, names on
        the disk.  The embedded mode's arrays double when they are full, and names are objects.
        """
        n, d = len(self), self.place.dimension
        if self.place.url is None:
            return n * (2 * 4 * d + 800)
        return n * ((d if self.place.quantize else 4 * d) + 9 * LINKS + 24)

    def save(self, folder: Path) -> None:
        """Write to an empty folder what `load` reads: for a server only where the gallery lies."""
        folder.mkdir(parents=True, exist_ok=True)
        if self.place.url is None:
            # Qdrant's own files hold pickles, which can run code when they are read.
            vectors, rows, facts = self._all()
            text = np.frombuffer(json.dumps(facts).encode(), dtype=np.uint8)
            with written_whole(folder / "points.npz") as path, path.open("wb") as file:
                np.savez(file, vectors=vectors, rows=rows, facts=text)
        with written_whole(folder / "qdrant.json") as path:
            path.write_text(json.dumps(asdict(self.place), indent=2) + "\n")

    @classmethod
    def load(cls, folder: Path) -> "QdrantIndex":
        """What `save` wrote; a server's gallery is asked for by its network's stamp.

        So an identifier finds its own gallery, whichever is the one of today.
        """
        file = folder / "qdrant.json"
        try:
            place = Place(**json.loads(file.read_text()))
        except (OSError, ValueError, TypeError) as error:
            raise FlukeprintError(f"{file} says of no gallery in Qdrant ({error})") from None
        index = cls(place, connected(place.url), place.alias)
        if place.url is not None:
            index._check()
            return index
        with read_npz(folder / "points.npz", "points") as arrays:
            facts = json.loads(arrays["facts"].tobytes())
            index._points = f"{place.alias}.saved"
            index._create()
            index._name(place.alias, place.collection)
            index._upload(arrays["vectors"], arrays["rows"], facts)
        return index

    # Galleries of one collection.

    def today(self) -> str | None:
        """The stamp of the gallery that stands under `gallery.collection`, if any does."""
        with answering(self.place):
            name = self._aliases().get(self.place.collection)
        return None if name is None else name.rpartition("@")[2].rpartition(".")[0]

    def switch(self) -> None:
        """Make this the gallery of today, in one step: no query falls between the two."""
        with answering(self.place):
            self._name(self.place.collection)

    def stamps(self) -> tuple[str, ...]:
        """The networks that have a whole gallery here, sorted."""
        with answering(self.place):
            before = self.place.collection + "@"
            return tuple(
                sorted(
                    alias.removeprefix(before)
                    for alias in self._aliases()
                    if alias.startswith(before)
                )
            )

    def drop(self, stamp: str) -> None:
        """Delete the gallery of a network, and what killed builds of it left.

        Raises FlukeprintError for the gallery of today.
        """
        if stamp == self.today():
            raise FlukeprintError(
                f"network {stamp} has the gallery of today, {self.place.collection}; switch to "
                "another before it is dropped"
            )
        with answering(self.place):
            before = f"{self.place.collection}@{stamp}."
            for found in self._client.get_collections().collections:
                if found.name.startswith(before):
                    self._client.delete_collection(found.name)

    def close(self) -> None:
        """Let go of the connection."""
        self._client.close()

    # What the above are made of.

    def _create(self) -> None:
        from qdrant_client import models

        place = self.place
        int8 = models.ScalarQuantizationConfig(
            type=models.ScalarType.INT8, quantile=0.99, always_ram=True
        )
        # The embedded mode takes the size and the distance, and needs no more.
        self._client.create_collection(
            self._points,
            models.VectorParams(
                size=place.dimension, distance=models.Distance.DOT, on_disk=place.quantize
            ),
            hnsw_config=models.HnswConfigDiff(m=LINKS, ef_construct=EFFORT),
            quantization_config=models.ScalarQuantization(scalar=int8) if place.quantize else None,
            on_disk_payload=True,
            metadata={"stamp": place.stamp},
        )
        for field in ("identity", "view") if place.url is not None else ():
            self._client.create_payload_index(  # else a filter looks at every point
                self._points, field, models.PayloadSchemaType.KEYWORD, wait=True
            )

    def _put(self, photos: Embeddings, rows: Ints) -> None:
        views = photos.views or (None,) * len(photos)
        self._upload(
            photos.vectors,
            rows,
            [
                {"image": image, "identity": identity, "view": view}
                for image, identity, view in zip(
                    photos.images, photos.identities, views, strict=True
                )
            ],
        )

    def _upload(
        self, vectors: Floats, rows: Ints, payload: Sequence[dict[str, str | None]]
    ) -> None:
        self._client.upload_collection(
            self._points, vectors, payload, rows.tolist(), batch_size=UPSERT, wait=True
        )

    def _check(self) -> None:
        """Refuse a gallery that is not there or has vectors of another dimension."""
        place = self.place
        with answering(place):
            if place.alias not in self._aliases():
                raise FlukeprintError(
                    f"{place.said} has no gallery {place.collection} of network {place.stamp}; "
                    "build it with this network's embeddings"
                )
            params: Any = self._client.get_collection(self._points).config.params.vectors
        size = getattr(params, "size", None)
        if size != place.dimension:
            raise FlukeprintError(
                f"the gallery {place.alias} of {place.said} has vectors of {size} numbers, the "
                f"network has {place.dimension}; build it anew"
            )

    def _aliases(self) -> dict[str, str]:
        return {
            alias.alias_name: alias.collection_name for alias in self._client.get_aliases().aliases
        }

    def _name(self, *names: str) -> None:
        """Give this collection further names, which others may have had, all in one step."""
        from qdrant_client import models

        target = self._aliases().get(self._points, self._points)
        steps: list[Any] = []
        for name in names:
            free = models.DeleteAlias(alias_name=name)
            take = models.CreateAlias(alias_name=name, collection_name=target)
            steps.append(models.DeleteAliasOperation(delete_alias=free))
            steps.append(models.CreateAliasOperation(create_alias=take))
        self._client.update_collection_aliases(steps)

    def _there(self, rows: Ints) -> set[int]:
        ids = np.asarray(rows).tolist()
        there: set[int] = set()
        for start in range(0, len(ids), 4 * UPSERT):
            part = ids[start : start + 4 * UPSERT]
            found = self._client.retrieve(self._points, part, with_payload=False)
            there |= {int(point.id) for point in found}
        return there

    def _found(self, queries: Floats, k: int, among: Among | None) -> list[tuple[Floats, Ints]]:
        """(scores, rows) of at least k photographs, or all, for each query, in any order.

        Equal scores come from Qdrant as it likes: where the k-th place is shared, more are asked
        for until it is not, so that the lower rows win.
        """
        found: list[tuple[Floats, Ints]] = [(np.empty(0, np.float32), np.empty(0, np.int64))] * len(
            queries
        )
        left, limit = list(range(len(queries))), k + 1 if self.exact else k
        while left:
            shared = []
            for start in range(0, len(left), QUERIES_PER_REQUEST):
                part = left[start : start + QUERIES_PER_REQUEST]
                for query, hit in zip(
                    part, self._nearest(queries[part], limit, among), strict=True
                ):
                    found[query] = hit
                    scores = np.sort(hit[0])[::-1]
                    if len(scores) == limit > k and scores[k - 1] == scores[-1]:
                        shared.append(query)
            left, limit = shared, 4 * limit
        return found

    def _nearest(
        self, queries: Floats, limit: int, among: Among | None
    ) -> list[tuple[Floats, Ints]]:
        from qdrant_client import models

        rescored = models.QuantizationSearchParams(rescore=True, oversampling=OVERSAMPLING)
        params = None
        if self.place.url is not None:  # the embedded mode has nothing to set
            params = models.SearchParams(
                hnsw_ef=max(EF, 2 * limit),
                exact=self.exact,
                quantization=rescored if self.place.quantize else None,
            )
        rules = None if among is None else filter_of(among)
        answers = self._client.query_batch_points(
            self._points,
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

    def _all(self) -> tuple[Floats, Ints, list[dict[str, Any]]]:
        """Vectors, rows and what is known of every photograph, by row."""
        points: list[Any] = []
        place: Any = None
        while True:
            found, place = self._client.scroll(
                self._points, limit=4 * UPSERT, offset=place, with_vectors=True
            )
            points += found
            if place is None:
                break
        vectors = np.array([point.vector for point in points], dtype=np.float32)
        rows = np.array([point.id for point in points], dtype=np.int64)
        return (
            vectors.reshape(len(points), self.place.dimension),
            rows,
            [dict(point.payload or {}) for point in points],
        )
