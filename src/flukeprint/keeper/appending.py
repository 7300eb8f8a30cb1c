"""Append photographs to a gallery's files and record them, as one part of an enrolment.

The files are written before the transaction commits that counts what is in them: what a process
that died left there counts for nothing, and the next one overwrites it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import sqlalchemy as sa

from flukeprint.data.embeddings import Embeddings, Ints
from flukeprint.errors import FlukeprintError
from flukeprint.identifier.files import GALLERY
from flukeprint.identifier.gallery_map import placed
from flukeprint.identifier.identifier import Identifier
from flukeprint.identifier.kept_gallery import keypoint_bytes
from flukeprint.identifier.photo_input import free_name
from flukeprint.keeper.copies import RowsSince
from flukeprint.keeper.new_photographs import NewPhotograph
from flukeprint.ranking.features import Features
from flukeprint.records.batches import batches
from flukeprint.records.journal import Edit
from flukeprint.records.names import kept_text
from flukeprint.records.schema import catalogue, individuals, parts, photographs
from flukeprint.search.gallery_files import StoreFacts, write_at
from flukeprint.search.gallery_store import appended


@dataclass(frozen=True)
class Examined:
    """What is kept of photographs that are to be enrolled: one entry for each in all fields."""

    features: Features
    hashes: tuple[int, ...]
    digests: tuple[str | None, ...]
    thumbnails: tuple[bytes | None, ...]


def rows_since(folder: Path, edit: Edit, known: Identifier, facts: StoreFacts) -> RowsSince:
    """The photographs that `known` lacks: they were added, or brought back, since it was read.

    Those that were removed since are among both.
    """
    assert known.kept is not None
    first, there = known.kept.stored, known.kept.rows
    rows = np.arange(first, facts.photos)
    if not known.kept.all_present:
        asked = sa.select(photographs.c.row).where(
            photographs.c.changed, ~photographs.c.removed, photographs.c.row < first
        )
        now = np.array(sorted(edit.connection.execute(asked).scalars()), np.int64)
        at = np.minimum(np.searchsorted(there, now), len(there) - 1)
        rows = np.concatenate([now[there[at] != now], rows])
    if not len(rows):
        return RowsSince(rows, np.empty((0, facts.dimension), np.float32))
    shape = (facts.photos, facts.dimension)
    file = np.memmap(folder / GALLERY / "vectors.f32", np.float32, "r", shape=shape)
    return RowsSince(rows, np.asarray(file[rows]))


def free_images(edit: Edit, photos: Sequence[NewPhotograph]) -> list[str]:
    """Names for photographs that none in the catalogue has, not even a removed one."""
    taken: set[str] = set()
    images = []
    for photo in photos:
        plain = kept_text(" ".join(photo.name.splitlines()))
        while True:
            name = free_name(plain, taken)
            held = edit.connection.scalar(
                sa.select(photographs.c.id).where(photographs.c.image == name)
            )
            if held is None:
                images.append(name)
                break
    return images


def append_photographs(
    folder: Path,
    edit: Edit,
    facts: StoreFacts,
    fresh: Embeddings,
    photos: Sequence[NewPhotograph],
    ids: Sequence[int],
    images: Sequence[str],
) -> list[int]:
    """Write the embeddings behind those that count, and count them; returns their rows."""
    labels = {
        row.id: (row.label, row.name)
        for batch in batches(sorted(set(ids)))
        for row in edit.connection.execute(
            sa.select(individuals.c.id, individuals.c.label, individuals.c.name).where(
                individuals.c.id.in_(batch)
            )
        )
    }
    new_names: list[str] = []
    numbers = {}
    for who in dict.fromkeys(ids):
        label, name = labels[who]
        if label is None:
            label = facts.identities + len(new_names)
            new_names.append(name)
            edit.connection.execute(
                individuals.update().where(individuals.c.id == who).values(label=label)
            )
        numbers[who] = label
    named = Embeddings.trusted(
        fresh.vectors, tuple(images), tuple(labels[who][1] for who in ids),
        tuple(photo.view for photo in photos) if any(photo.view for photo in photos) else None,
        fresh.stamp, fresh.precision,
    )  # fmt: skip
    written, grown = appended(facts, named, [numbers[who] for who in ids], new_names)
    if not edit.note.dry_run:
        try:
            for name, start, data in written:
                write_at(folder / GALLERY / name, start, data)
        except OSError as error:
            raise FlukeprintError(
                f"cannot write {folder / GALLERY}: {error.strerror or error}; nothing was changed"
            ) from None
    edit.connection.execute(catalogue.update().values(store=grown.text()))
    return list(range(facts.photos, grown.photos))


def keep_parts(
    edit: Edit,
    known: Identifier,
    near: Ints,
    examined: Examined,
    numbers: Sequence[int],
    rows: Sequence[int],
) -> None:
    """Keep what the gallery has of each photograph besides its embedding.

    near: (n, k) the nearest photographs of the gallery, which decide the place on the map.
    """
    keypoints = examined.features.keypoints
    places = None
    if known.showcase is not None:
        fresh, xy = examined.features.embeddings.vectors, known.showcase.xy
        places = np.concatenate(
            [placed(known.gallery.vectors[some], xy[some], fresh[place : place + 1])
             for place, some in enumerate(np.sort(near, axis=1))]
        )  # fmt: skip
    kept: list[dict[str, Any]] = [
        {"photograph_id": number, "row": row, "thumbnail": examined.thumbnails[place],
         "hash": f"{examined.hashes[place]:016x}",
         "keypoints": None if keypoints is None else keypoint_bytes(keypoints[place]),
         "x": None if places is None else float(places[place, 0]),
         "y": None if places is None else float(places[place, 1])}
        for place, (number, row) in enumerate(zip(numbers, rows, strict=True))
    ]  # fmt: skip
    edit.connection.execute(parts.insert(), kept)
