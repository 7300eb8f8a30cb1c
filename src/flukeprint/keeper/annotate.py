"""Record when and where photographs of the catalogue were taken, from a table."""

from collections.abc import Sequence
from pathlib import Path

import sqlalchemy as sa

from flukeprint.data.tables import lines
from flukeprint.errors import FlukeprintError, ProblemsError, counted
from flukeprint.keeper.photo_tables import encounter_from, named_columns
from flukeprint.records.batches import batches
from flukeprint.records.database import Database
from flukeprint.records.journal import Note, editing
from flukeprint.records.kinds import Encounter, Event
from flukeprint.records.lookup import encounter_values, find_photographs
from flukeprint.records.schema import encounters, photographs


def annotate(database: Database, path: Path, note: Note) -> Event:
    """Give photographs of the catalogue the dates, places, observers and views of a table.

    Whom they show is not changed.  Rows with one `encounter`, or else with the same date and
    place, become one encounter.

    Raises:
        ProblemsError: what is wrong, with the line of each; nothing is changed then.
    """
    table, _ = named_columns(path, ("image",))
    rows = [dict(zip(table.columns, cells, strict=True)) for cells in table.itertuples(index=False)]
    problems: list[str] = []
    told: list[Encounter | None] = []
    seen: dict[str, int] = {}
    for line, row in zip(table.index, rows, strict=True):
        one, wrong = encounter_from(row)
        told.append(one)
        if row["image"] in seen:
            wrong.append(f"{row['image']} is in {lines([seen[row['image']]])} as well")
        seen.setdefault(row["image"], line)
        problems += [f"{path}, {lines([line])}: {problem}" for problem in wrong]
    if problems:
        raise ProblemsError(problems, str(path))
    with editing(database, "annotate", note) as edit:
        ids = find_photographs(edit.connection, [row["image"] for row in rows])
        before = _encounters_of(edit.connection, list(ids.values()))
        keys = [(row.get("encounter", ""), one) for row, one in zip(rows, told, strict=True)]
        distinct = [key for key in dict.fromkeys(keys) if key[1] is not None]
        made = edit.insert(encounters, [encounter_values(one) for _, one in distinct if one])
        numbers = dict(zip(distinct, made, strict=True))
        same: dict[tuple[int | None, str | None], list[int]] = {}
        for row, key in zip(rows, keys, strict=True):
            what = numbers.get(key), row.get("view") or None
            same.setdefault(what, []).append(ids[row["image"]])
        touched: set[int] = set()
        for (encounter, view), photos in same.items():
            values = {"encounter_id": encounter, "view": view}
            values = {name: value for name, value in values.items() if value is not None}
            if values:
                touched.update(edit.update(photographs, photos, values))
        left = [number for number in before if not _is_used(edit.connection, number)]
        edit.update(encounters, left, {"removed": True})
        event = edit.finish(
            f"{counted(len(touched), 'photograph')} in {counted(len(made), 'encounter')} dated"
        )
        if event is None:
            raise FlukeprintError(f"{path} says nothing new of these photographs")
    return event


def _encounters_of(connection: sa.Connection, photos: Sequence[int]) -> list[int]:
    """The encounters of photographs, by number."""
    found: set[int] = set()
    for batch in batches(photos):
        asked = sa.select(photographs.c.encounter_id).where(
            photographs.c.id.in_(batch), photographs.c.encounter_id.is_not(None)
        )
        found.update(connection.execute(asked).scalars())
    return sorted(found)


def _is_used(connection: sa.Connection, encounter: int) -> bool:
    """Whether any photograph is of an encounter, also one that is removed and may come back."""
    asked = sa.select(photographs.c.id).where(photographs.c.encounter_id == encounter).limit(1)
    return connection.scalar(asked) is not None
