"""Search a gallery in Qdrant, and replace it by that of a new network without an interruption.

With a URL the gallery is in a server or a cluster, else in this process: Qdrant's embedded mode,
which compares a query with every vector.  A collection is one gallery, written once and found by
aliases: `whales@STAMP` is the gallery of the network with that stamp, `whales` the current one.  So
a new network's gallery is filled beside the old one, and `switch` makes it the current one in one
step.
"""

import json
import time
import uuid
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np

from flukeprint.config.ranking import GalleryConfig
from flukeprint.data.embeddings import Embeddings, Floats, Ints, check_stamp
from flukeprint.errors import FlukeprintError, listed
from flukeprint.files import read_npz, written_whole
from flukeprint.search.index import NOTHING, Matches
from flukeprint.search.qdrant_client import QdrantLocation, SearchFilter, answering, connected
from flukeprint.search.qdrant_collection import EF, LINKS, QdrantCollection

_PAUSE = 1.0  # s between two looks at a server that builds its graph


class QdrantIndex:
    """An `Index` in Qdrant.  Raises FlukeprintError, in one line, for all errors of a server."""

    name = "qdrant"
    # (neighbours that a search keeps in view, candidates for the gallery); see `recall.tune`
    EFFORTS = ((64, 32), (EF, 32), (256, 64), (512, 128), (1024, 192), (2048, 256), (4096, 256))

    def __init__(self, collection: QdrantCollection) -> None:
        """Use `build`, `connect` or `load`."""
        self.location, self.collection = collection.location, collection
        self.exact = collection.exact
        self.candidates = 0 if self.exact else self.EFFORTS[1][1]
        self.shared = collection.location.url is not None

    @classmethod
    def build(
        cls, embeddings: Embeddings, config: GalleryConfig, rows: Ints | None = None
    ) -> "QdrantIndex":
        """Make a new collection of photographs under `rows` (n,), or 0..n-1.

        It replaces an earlier one of the same network.  It becomes the current gallery only where
        there is none yet: see `switch`.  Remains of a build that was killed are never found.
        """
        location = QdrantLocation.of(config, embeddings.stamp, embeddings.vectors.shape[1])
        name = f"{location.alias}.{uuid.uuid4().hex[:8]}"
        made = QdrantCollection(location, connected(location.url), name)
        with answering(location):
            made.create()
            made.put(embeddings, np.arange(len(embeddings)) if rows is None else rows)
            aliases = made.aliases()
            old = aliases.get(location.alias)
            first = aliases.get(location.collection) in (None, old)
            made.give_aliases(location.alias, *([location.collection] if first else []))
            if old is not None:
                made.client.delete_collection(old)
        made.name = location.alias
        return cls(made)

    @classmethod
    def connect(cls, config: GalleryConfig, stamp: str, dimension: int) -> "QdrantIndex":
        """Open the current gallery in a server, which must be of the network `stamp`."""
        location = QdrantLocation.of(config, stamp, dimension)
        if location.url is None:
            raise FlukeprintError("gallery.url is not set; name the server of the gallery")
        index = cls(QdrantCollection(location, connected(location.url), location.alias))
        current = index.current_stamp()
        if current != stamp:
            raise FlukeprintError(
                f"{location.label} has no gallery {location.collection}; build it first"
                if current is None
                else f"the gallery {location.collection} of {location.label} is of network "
                f"{current}, not {stamp}; embed it with this network and switch, or load the "
                f"network {current}"
            )
        index.collection.check()
        return index

    @property
    def effort(self) -> int:
        """How many neighbours a search of a server's graph keeps in view (`hnsw_ef`)."""
        return self.collection.effort

    @effort.setter
    def effort(self, effort: int) -> None:
        self.collection.effort = effort

    def wait(self, report: Callable[[str], None] | None = None) -> None:
        """Wait until the server has built the graph of what it was given.

        report: receives a line if there is something to wait for.
        """
        while True:
            with answering(self.location):
                status = self.collection.client.get_collection(self.collection.name).status
            if status != "yellow":  # of Qdrant: it is optimizing
                return
            if report is not None:
                report(f"{self.location.label} builds the graph of {self.location.alias}")
                report = None
            time.sleep(_PAUSE)

    # The interface `Index`.

    def __len__(self) -> int:
        """Number of vectors that can be found, as the server counts them."""
        with answering(self.location):
            return int(self.collection.client.count(self.collection.name, exact=True).count)

    def add(self, photos: Embeddings, rows: Ints) -> None:
        """Add photographs under `rows` (n,), none of which is in use yet.

        Raises:
            FlukeprintError: another network embedded them.
            ValueError: a row in use.
        """
        check_stamp(self.location.stamp, photos)
        with answering(self.location):
            there = self.collection.existing(rows)
            if there or len(np.unique(rows)) != len(rows):
                raise ValueError(f"rows in use or given twice: {listed(sorted(there))}")
            self.collection.put(photos, rows)

    def remove(self, rows: Ints) -> None:
        """Remove the photographs of `rows`; KeyError for a row that is not there."""
        with answering(self.location):
            missing = set(np.asarray(rows).tolist()) - self.collection.existing(rows)
            if missing:
                raise KeyError(f"no photographs under rows {listed(sorted(missing))}")
            if len(rows):
                self.collection.client.delete(
                    self.collection.name, np.asarray(rows).tolist(), wait=True
                )

    def search(self, queries: Floats, k: int, where: SearchFilter | None = None) -> Matches:
        """The nearest of (q, d) unit vectors: (q, min(k, len)), NOTHING where fewer were found.

        where: restricts the photographs that may be found.
        """
        if k < 1:
            raise ValueError(f"at least one match must be asked for, not {k}")
        if queries.ndim != 2 or queries.shape[1] != self.location.dimension:
            raise ValueError(f"queries are {queries.shape}, not (q, {self.location.dimension})")
        with answering(self.location):
            found = self.collection.nearest(queries, k, where)
        width = k if any(len(rows) >= k for _, rows in found) else min(k, len(self))
        scores = np.full((len(found), width), -np.inf, dtype=np.float32)
        rows = np.full((len(found), width), NOTHING, dtype=np.int64)
        for query, (near, places) in enumerate(found):
            order = np.lexsort((places, -near))[:width]
            scores[query, : len(order)], rows[query, : len(order)] = near[order], places[order]
        return Matches(scores, rows)

    def memory(self) -> int:
        """Upper estimate of main memory in bytes, of the server where there is one.

        A server keeps vectors (int8 where quantised), links and row numbers in memory, names on
        disk.  The embedded mode's arrays double when they are full, and names are objects.
        """
        n, d = len(self), self.location.dimension
        if self.location.url is None:
            return n * (2 * 4 * d + 800)
        return n * ((d if self.location.quantize else 4 * d) + 9 * LINKS + 24)

    def save(self, folder: Path) -> None:
        """Write into an empty folder the files that `load` reads: the location, or all points."""
        folder.mkdir(parents=True, exist_ok=True)
        if self.location.url is None:
            # Qdrant's own files hold pickles, which can run code when they are read.
            vectors, rows, facts = self.collection.read_all()
            text = np.frombuffer(json.dumps(facts).encode(), dtype=np.uint8)
            with written_whole(folder / "points.npz") as path, path.open("wb") as file:
                np.savez(file, vectors=vectors, rows=rows, facts=text)
        with written_whole(folder / "qdrant.json") as path:
            measured = {"effort": self.effort, "candidates": self.candidates}
            path.write_text(json.dumps(asdict(self.location) | measured, indent=2) + "\n")

    @classmethod
    def load(cls, folder: Path) -> "QdrantIndex":
        """Open the gallery that `save` wrote; in a server, that of the same network.

        So an identifier finds its own gallery, also when it is not the current one.
        """
        file = folder / "qdrant.json"
        try:
            known = json.loads(file.read_text())
            measured = {name: known.pop(name) for name in ("effort", "candidates") if name in known}
            location = QdrantLocation(**known)
        except (OSError, ValueError, TypeError, AttributeError) as error:
            raise FlukeprintError(f"{file} describes no gallery in Qdrant ({error})") from None
        found = QdrantCollection(location, connected(location.url), location.alias)
        if location.url is not None:
            found.check()
            index = cls(found)
            for name, value in measured.items():  # files of earlier versions have none
                setattr(index, name, int(value))
            return index
        with read_npz(folder / "points.npz", "points") as arrays:
            facts = json.loads(arrays["facts"].tobytes())
            found.name = f"{location.alias}.saved"
            found.create()
            found.give_aliases(location.alias, location.collection)
            found.upload(arrays["vectors"], arrays["rows"], facts)
        return cls(found)

    # Galleries of one collection.

    def current_stamp(self) -> str | None:
        """The network's stamp of the current gallery; None where there is none."""
        with answering(self.location):
            name = self.collection.aliases().get(self.location.collection)
        return None if name is None else name.rpartition("@")[2].rpartition(".")[0]

    def switch(self) -> None:
        """Make this the current gallery, in one step: every query finds one of the two."""
        with answering(self.location):
            self.collection.give_aliases(self.location.collection)

    def stamps(self) -> tuple[str, ...]:
        """Stamps of the networks that have a complete gallery here, sorted."""
        with answering(self.location):
            before = self.location.collection + "@"
            return tuple(
                sorted(
                    alias.removeprefix(before)
                    for alias in self.collection.aliases()
                    if alias.startswith(before)
                )
            )

    def drop(self, stamp: str) -> None:
        """Delete the gallery of a network, and the remains of builds of it that were killed.

        Raises:
            FlukeprintError: it is the current gallery.
        """
        if stamp == self.current_stamp():
            raise FlukeprintError(
                f"network {stamp} has the current gallery, {self.location.collection}; switch to "
                "another before it is dropped"
            )
        with answering(self.location):
            before = f"{self.location.collection}@{stamp}."
            for found in self.collection.client.get_collections().collections:
                if found.name.startswith(before):
                    self.collection.client.delete_collection(found.name)

    def close(self) -> None:
        """Close the connection."""
        self.collection.client.close()
