"""Upsert embedded partitions into a collection of Qdrant, each photograph under its row's number.

A number depends on the source alone, so a partition that is sent twice, because the first time was
interrupted, is there once.
"""

import json
import uuid
from pathlib import Path

import numpy as np

from flukeprint.bulk.embedded_files import blocks_of, embedded_file
from flukeprint.bulk.tables import Source
from flukeprint.config.ranking import GalleryConfig
from flukeprint.errors import FlukeprintError
from flukeprint.files import written_whole
from flukeprint.search.qdrant_client import QdrantLocation, answering, connected
from flukeprint.search.qdrant_collection import QdrantCollection

FILE = "qdrant.json"  # in the folder of embeddings: into which collection they go


class QdrantPoints:
    """The points of one source in the gallery of a network."""

    def __init__(
        self,
        config: GalleryConfig,
        stamp: str,
        dimension: int,
        *,
        first_row: int,
        new_label: str,
    ) -> None:
        """Name the collection of a server; nothing is asked of it yet.

        first_row: number of the source's first row.  new_label: what is no animal's name.

        Raises:
            FlukeprintError: no server is named.
        """
        self._location = QdrantLocation.of(config, stamp, dimension)
        if self._location.url is None:
            raise FlukeprintError("gallery.url is not set; name Qdrant's server with --qdrant-url")
        self._collection = QdrantCollection(
            self._location, connected(self._location.url), self._location.alias
        )
        self._first, self._new = first_row, new_label

    def begin(self, folder: Path, source: Source) -> None:
        """Make the collection where there is none, and see that nobody else's rows are in the way.

        Raises:
            FlukeprintError: the server does not answer, the folder's embeddings go elsewhere, or
                rows of the source are in use.
        """
        file = folder / FILE
        mine = {"collection": self._location.collection, "first_row": self._first}
        begun = file.is_file()
        if begun and (was := json.loads(file.read_text())) != mine:
            raise FlukeprintError(
                f"the embeddings of {folder} go into {was['collection']} from row "
                f"{was['first_row']} on, not into {mine['collection']} from {self._first}; leave "
                "that as it was"
            )
        with answering(self._location):
            if self._location.alias in self._collection.aliases():
                self._collection.check()
                first = [self._first + part.first for part in source.partitions]
                first.append(self._first + source.rows - 1)
                if not begun and self._collection.existing(np.array(first)):
                    raise FlukeprintError(
                        f"{self._location.label} has photographs under rows {self._first:,} to "
                        f"{first[-1]:,} of {self._location.alias} already; give --first-row"
                    )
            else:
                self._make()
        if not begun:
            with written_whole(file) as path:
                path.write_text(json.dumps(mine) + "\n")

    def _make(self) -> None:
        """An empty collection under the aliases of the network's gallery."""
        name = f"{self._location.alias}.{uuid.uuid4().hex[:8]}"
        made = QdrantCollection(self._location, self._collection.client, name)
        made.create()
        first = self._location.collection not in made.aliases()
        made.give_aliases(self._location.alias, *([self._location.collection] if first else []))

    def upsert(self, file: Path) -> None:
        """Send the file of a partition.

        Raises:
            FlukeprintError: the server does not answer, or refuses.
        """
        for photos, rows in blocks_of(embedded_file(file), self._new):
            with answering(self._location):
                self._collection.put(photos, self._first + rows)
