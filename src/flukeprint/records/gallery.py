"""What the records say of a gallery: whose its photographs are now, and how many of them count."""

from collections.abc import Iterator
from dataclasses import dataclass

import sqlalchemy as sa

from flukeprint.records.schema import catalogue, fits, individuals, parts, photographs


@dataclass(frozen=True)
class GalleryRecords:
    """The difference between a gallery's files and the records.

    store: JSON, counts of what is valid in the files.
    born, event: which catalogue, and its last event; nothing below changes without a new event.
    renamed: number of a name in the files -> the name now.
    changed: row -> whose photograph it is now; None for one that is removed or nobody's.
    fit: JSON, threshold and calibration in use; None: those of the training.
    """

    store: str
    born: str
    event: int
    renamed: dict[int, str]
    changed: dict[int, str | None]
    fit: str | None


@dataclass(frozen=True)
class PhotoParts:
    """What a gallery keeps of one photograph that was added later.

    thumbnail: JPEG.  keypoints: `.npz`.  x, y: its place on the map.
    """

    row: int
    thumbnail: bytes | None = None
    keypoints: bytes | None = None
    x: float | None = None
    y: float | None = None


def read_gallery_records(connection: sa.Connection) -> GalleryRecords:
    """Read the difference; its cost grows with the changes, not with the gallery."""
    state = connection.execute(sa.select(catalogue)).one()
    owner = sa.select(photographs.c.row, individuals.c.name, photographs.c.removed).outerjoin(
        individuals, individuals.c.id == photographs.c.individual_id
    )
    renamed = sa.select(individuals.c.label, individuals.c.name).where(
        individuals.c.renamed, individuals.c.label.is_not(None)
    )
    fit = None
    if state.fit is not None:
        fit = connection.scalar(sa.select(fits.c.content).where(fits.c.id == state.fit))
    return GalleryRecords(
        store=state.store,
        born=state.born,
        event=state.last_event,
        renamed={row.label: row.name for row in connection.execute(renamed)},
        changed={
            row.row: None if row.removed else row.name
            for row in connection.execute(owner.where(photographs.c.changed))
        },
        fit=fit,
    )


def read_parts(connection: sa.Connection, first: int, end: int) -> Iterator[PhotoParts]:
    """What is kept of the photographs in the rows from `first` to before `end`, by row."""
    asked = sa.select(parts).where(parts.c.row >= first, parts.c.row < end).order_by(parts.c.row)
    for row in connection.execute(asked):
        yield PhotoParts(row.row, row.thumbnail, row.keypoints, row.x, row.y)
