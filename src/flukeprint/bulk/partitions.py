"""Embed one partition: its rows, read, decoded and embedded, as the bytes of a Parquet file.

Every engine, here or on a cluster, embeds a partition by `PartitionEmbedder`, so that what is
written depends on the rows, the network and the settings alone.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch

from flukeprint.bulk.photographs import PartitionPhotos
from flukeprint.bulk.tables import ADDED, Partition, SourceTable, read_rows
from flukeprint.config.ranking import EngineName, PrecisionName
from flukeprint.data.embeddings import Floats
from flukeprint.embedding.embed import embed
from flukeprint.embedding.recipe import Compute, EmbeddingRecipe
from flukeprint.models.network import FlukeNet
from flukeprint.storage import parse_path

NumberType = Literal["float32", "float16"]
ABOUT = b"flukeprint"  # key of a file's metadata


@dataclass(frozen=True)
class Damaged:
    """A photograph that could not be used: its row over all tables, its name, and why."""

    source_row: int
    image: str | None
    reason: str


@dataclass(frozen=True)
class EmbeddedPartition:
    """The file of a partition.

    data: bytes of the Parquet file.  rows: photographs that it holds.
    """

    partition: Partition
    data: bytes
    rows: int
    damaged: tuple[Damaged, ...]


@dataclass(frozen=True)
class PartitionSettings:
    """What the embeddings of a partition depend on, besides its rows and the network.

    columns: field of `photographs.FIELDS` -> header.
    root: address at which names of photographs begin.
    numbers: type of what is written.
    engine, precision, batch_size: as of `Compute`.
    """

    columns: Mapping[str, str]
    root: str
    numbers: NumberType
    engine: EngineName
    precision: PrecisionName
    batch_size: int
    list_unreachable: bool = False


class PartitionEmbedder:
    """Embeds one partition after the other with one network on one device."""

    def __init__(
        self,
        net: FlukeNet,
        recipe: EmbeddingRecipe,
        tables: tuple[SourceTable, ...],
        settings: PartitionSettings,
        *,
        device: torch.device,
        readers: int,
    ) -> None:
        """Prepare the network; readers: threads that read and decode photographs."""
        self._net = net.eval().to(device)
        self._recipe, self._tables, self._settings = recipe, tables, settings
        self._device = device
        self._compute = Compute(settings.batch_size, readers, settings.engine, settings.precision)

    def __call__(self, partition: Partition) -> EmbeddedPartition:
        """Embed a partition.

        Raises:
            FlukeprintError: its table or the storage of its photographs cannot be read.
        """
        settings = self._settings
        rows = read_rows(self._tables[partition.table], partition)
        photos = PartitionPhotos(
            rows, settings.columns, parse_path(settings.root), self._recipe.image,
            list_unreachable=settings.list_unreachable,
        )  # fmt: skip
        found = embed(
            self._net, photos.catalog(), self._recipe, self._compute, device=self._device,
            photos=photos,
        )  # fmt: skip
        names = photos.names()
        damaged = tuple(
            Damaged(partition.first + row, names[row], reason)
            for row, reason in sorted(photos.damaged.items())
        )
        return _written(partition, rows, found.vectors, damaged, self._recipe.stamp, settings)


def _written(
    partition: Partition,
    rows: Any,
    vectors: Floats,
    damaged: tuple[Damaged, ...],
    stamp: str,
    settings: PartitionSettings,
) -> EmbeddedPartition:
    import pyarrow as pa
    import pyarrow.parquet as pq

    whole = np.ones(len(rows), dtype=bool)
    whole[[one.source_row - partition.first for one in damaged]] = False
    kept = rows.filter(pa.array(whole)).combine_chunks()
    numbers = np.ascontiguousarray(vectors[whole].astype(settings.numbers))
    row_numbers = partition.first + np.flatnonzero(whole)
    added = (
        pa.array(row_numbers, pa.int64()),
        pa.FixedSizeListArray.from_arrays(pa.array(numbers.ravel()), vectors.shape[1]),
    )
    for name, column in zip(ADDED, added, strict=True):
        kept = kept.append_column(name, column)
    about = {
        "stamp": stamp, "precision": settings.precision, "engine": settings.engine,
        "columns": dict(settings.columns), "source_rows": [partition.first, partition.rows],
        "damaged": len(damaged),
    }  # fmt: skip
    kept = kept.replace_schema_metadata({ABOUT: json.dumps(about, sort_keys=True)})
    out = pa.BufferOutputStream()
    words = [name for name in kept.column_names if name != ADDED[1]]  # vectors do not compress
    pq.write_table(
        kept, out, use_dictionary=words, row_group_size=max(len(kept), 1), write_page_checksum=True,
        compression={**dict.fromkeys(words, "ZSTD"), f"{ADDED[1]}.list.element": "NONE"},
    )  # fmt: skip
    return EmbeddedPartition(partition, out.getvalue().to_pybytes(), len(kept), damaged)
