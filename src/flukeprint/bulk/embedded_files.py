"""The Parquet files of an embedding job: what they say of themselves, and their photographs."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from flukeprint.bulk.partitions import ABOUT
from flukeprint.bulk.tables import ADDED
from flukeprint.bulk.target import FOLDER
from flukeprint.data.embeddings import PRECISIONS, Embeddings, Floats, Ints, check_stamp, unit_rows
from flukeprint.data.exchange.any_table.columns import NOBODY
from flukeprint.data.readers.boxes import CORNERS
from flukeprint.errors import FlukeprintError, needs
from flukeprint.identifier.identifier import Identifier

_AT_ONCE = 1 << 13  # photographs in memory together


@dataclass(frozen=True)
class EmbeddedFile:
    """One Parquet file of an embedding job, with what its metadata says."""

    path: Path
    rows: int
    dimension: int
    stamp: str
    precision: str
    columns: Mapping[str, str]  # field -> header


def embedded_files(source: Path) -> tuple[EmbeddedFile, ...]:
    """The files of an embedding job, of the folder that was given as its target.

    Raises:
        FlukeprintError: there are none, they cannot be read, or they are not of such a job.
    """
    folder = source / FOLDER if (source / FOLDER).is_dir() else source
    paths = [source] if source.is_file() else sorted(folder.glob("*.parquet"))
    if not paths:
        raise FlukeprintError(
            f"{source} holds no .parquet; give the folder that embed-all wrote with --to"
        )
    return tuple(map(embedded_file, paths))


def embedded_file(path: Path) -> EmbeddedFile:
    """What a file of an embedding job says of itself.

    Raises:
        FlukeprintError: it cannot be read, or is not of such a job.
    """
    with needs("tables"):
        import pyarrow as pa
        import pyarrow.parquet as pq
    try:
        with pq.ParquetFile(path) as file:
            schema, rows = file.schema_arrow, file.metadata.num_rows
        about = json.loads((schema.metadata or {})[ABOUT])
        kind = schema.field(ADDED[1]).type
        if not pa.types.is_fixed_size_list(kind):
            raise ValueError(f"{ADDED[1]} is {kind}")
        return EmbeddedFile(
            path, rows, kind.list_size, about["stamp"], about["precision"], about["columns"]
        )
    except (KeyError, TypeError) as error:
        raise FlukeprintError(
            f"{path} does not say which network embedded it ({error}); make it with embed-all"
        ) from None
    except (pa.ArrowException, OSError, ValueError) as error:
        reason = " ".join(str(error).split())[:200]
        raise FlukeprintError(f"{path} holds no whole embeddings: {reason}") from None


def check_fit(files: Sequence[EmbeddedFile], known: Identifier, folder: Path, instead: str) -> None:
    """Refuse embeddings of another network than the identifier's, and an identifier by keypoints.

    instead: what to do with an identifier that ranks by keypoints.
    """
    if known.card.method.rules.local.candidates:
        raise FlukeprintError(
            f"{folder} ranks by keypoints, which embeddings do not have; {instead}"
        )
    for file in files:
        check_stamp(known.gallery, file.stamp, second=str(file.path))


def blocks_of(file: EmbeddedFile, new_label: str) -> Iterator[tuple[Embeddings, Ints]]:
    """The photographs of a file and their rows in the source, some thousands at once.

    Those without an animal have None: without a name, or with one that stands for nobody.
    Of several boxes of one photograph each has a name of its own.
    new_label: the identifier's name for what is no known animal.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = file.columns
    image = columns.get("image", columns.get("file_path", ""))
    boxed = any(field in columns for field in ("box", *CORNERS))
    view, identity = columns.get("view"), columns.get("identity")
    wanted = [name for name in (image, identity, view, *ADDED) if name]
    nobody = {name.casefold() for name in (*NOBODY, new_label)}
    try:
        with pq.ParquetFile(file.path, page_checksum_verification=True) as table:
            for batch in table.iter_batches(batch_size=_AT_ONCE, columns=wanted):
                names = [str(name) for name in batch.column(image).to_pylist()]
                rows = batch.column(ADDED[0]).to_numpy()
                if boxed:
                    names = [f"{name}#{row}" for name, row in zip(names, rows, strict=True)]
                told = _texts(batch, identity) or (None,) * len(names)
                photos = Embeddings(
                    _vectors(batch.column(ADDED[1]), file.dimension),
                    tuple(names),
                    tuple(None if one is None or one.casefold() in nobody else one for one in told),
                    _texts(batch, view),
                    file.stamp,
                    next((one for one in PRECISIONS if one == file.precision), "fp32"),
                )
                yield photos, rows
    except (pa.ArrowException, OSError, ValueError, KeyError) as error:
        reason = " ".join(str(error).split())[:200]
        raise FlukeprintError(f"{file.path} holds no whole embeddings: {reason}") from None


def _vectors(column: Any, dimension: int) -> Floats:
    if column.null_count:
        raise ValueError("a row has no embedding")
    numbers = column.flatten().to_numpy(zero_copy_only=False)
    if not len(numbers):
        return _none(dimension)
    rows = numbers.reshape(-1, dimension)
    return rows if rows.dtype == np.float32 else unit_rows(rows)  # float16 is rounded


def _none(dimension: int) -> Floats:
    return np.empty((0, dimension), np.float32)


def _texts(batch: Any, name: str | None) -> tuple[str | None, ...] | None:
    if name is None:
        return None
    cells = batch.column(name).to_pylist()
    return tuple(None if cell is None else str(cell).strip() or None for cell in cells)
