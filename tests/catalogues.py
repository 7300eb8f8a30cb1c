"""Small catalogues of drawn animals, and what stands in their records."""

from collections.abc import Sequence
from pathlib import Path

import sqlalchemy as sa

from flukeprint.data.names import spelling
from flukeprint.records.database import Database
from flukeprint.records.gallery import read_gallery_records
from flukeprint.records.schema import (
    VERSION,
    aliases,
    catalogue,
    encounters,
    events,
    individuals,
    photographs,
)

NEW = "new_whale"  # label of unknown individuals
OF_FILES = {"changed", "renamed", "label"}  # columns that say how rows lie in the gallery's files


def begun(folder: Path, url: str | None, animals: Sequence[tuple[str, int]]) -> Database:
    """The catalogue of animals with so many photographs each, without a gallery.

    Photographs are called NAME/0.jpg, NAME/1.jpg and so on.
    """
    images = [(f"{name}/{k}.jpg", at) for at, (name, n) in enumerate(animals, 1) for k in range(n)]

    def fill(connection: sa.Connection) -> None:
        connection.execute(
            catalogue.insert().values(
                id=1, version=VERSION, name="tiny", born="b", stamp="s", store="{}",
                first_photos=len(images), last_event=1,
            )
        )  # fmt: skip
        connection.execute(
            events.insert().values(
                id=1, time="2025-01-01T00:00:00Z", author="ana", kind="begin", summary="begun",
                undoable=False,
            )
        )  # fmt: skip
        connection.execute(
            individuals.insert(),
            [{"id": at, "label": at - 1, "name": name, "spelling": spelling(name),
              "renamed": False, "removed": False} for at, (name, _) in enumerate(animals, 1)],
        )  # fmt: skip
        connection.execute(
            photographs.insert(),
            [{"id": row + 1, "row": row, "image": image, "individual_id": who,
              "decided_by": "person", "changed": False, "removed": False}
             for row, (image, who) in enumerate(images)],
        )  # fmt: skip

    folder.mkdir(exist_ok=True)
    return Database.make(folder, url, fill)


def whose(database: Database) -> dict[str, str]:
    """Image -> name of its animal now, of all photographs that are not removed."""
    with database.reading() as connection:
        asked = (
            sa.select(photographs.c.image, individuals.c.name, individuals.c.removed)
            .join(individuals, individuals.c.id == photographs.c.individual_id)
            .where(~photographs.c.removed)
        )
        found = connection.execute(asked).all()
    assert not any(row.removed for row in found)
    return {row.image: row.name for row in found}


def state(database: Database) -> dict[str, object]:
    """All that is there, without what is removed and without how it lies in files."""
    found: dict[str, object] = {}
    with database.reading() as connection:
        for table in (individuals, aliases, photographs, encounters):
            columns = [column for column in table.c if column.name not in OF_FILES]
            rows = connection.execute(
                sa.select(*columns).where(~table.c.removed).order_by(table.c.id)
            )
            found[table.name] = [tuple(row) for row in rows]
    return found


def as_files_say(database: Database, animals: Sequence[tuple[str, int]]) -> dict[str, str]:
    """As `whose`, by what a reader of the gallery's files is told of later changes."""
    with database.reading() as connection:
        records = read_gallery_records(connection)
        rows = dict(
            connection.execute(sa.select(photographs.c.row, photographs.c.image)).tuples().all()
        )
    stored = [
        records.renamed.get(number, name)
        for number, (name, count) in enumerate(animals)
        for _ in range(count)
    ]
    now = {row: records.changed.get(row, name) for row, name in enumerate(stored)}
    return {rows[row]: name for row, name in now.items() if name is not None}
