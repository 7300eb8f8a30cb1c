"""Tables and folders of photographs that are to come into a catalogue."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from math import isfinite
from pathlib import Path
from typing import Any

import pandas as pd

from flukeprint.data.exchange.any_table.columns import COLUMNS, NOBODY, plain
from flukeprint.data.formats.photo_formats import SUFFIXES, named_like_photo
from flukeprint.data.names import identity_name, spelling
from flukeprint.data.readers.boxes import CORNERS
from flukeprint.data.tables import lines, read_table
from flukeprint.errors import FlukeprintError, ProblemsError, listed, nearest
from flukeprint.keeper.new_photographs import NewPhotograph
from flukeprint.records.edits import described
from flukeprint.records.kinds import Encounter, Moment, Position, read_moment

_NUMBERS = ("latitude", "longitude", "uncertainty", *CORNERS)


@dataclass(frozen=True)
class PhotoTable:
    """The photographs of a table or of folders.

    described: name of an animal -> what the table says of it.  ignored: columns that mean nothing.
    """

    photographs: tuple[NewPhotograph, ...]
    described: Mapping[str, Mapping[str, str | None]] = field(default_factory=dict)
    ignored: tuple[str, ...] = ()


def photographs_in_folders(folder: Path) -> PhotoTable:
    """The photographs below a folder in which each animal has a folder of its name.

    Raises:
        FlukeprintError: photographs beside these folders, or none at all.
    """
    beside = [path.name for path in sorted(folder.iterdir()) if named_like_photo(path)]
    if beside:
        raise FlukeprintError(
            f"{folder} holds photographs outside the folders of animals: {listed(beside)}; give "
            "--identity, or move each into the folder of its animal"
        )
    found = [
        NewPhotograph.of_file(path, identity_name(animal.name))
        for animal in sorted(path for path in folder.iterdir() if path.is_dir())
        if not animal.name.startswith(".")
        for path in sorted(animal.rglob("*"))
        if path.is_file() and named_like_photo(path) and not path.name.startswith(".")
    ]
    if not found:
        raise FlukeprintError(f"{folder} holds no folders with photographs ({', '.join(SUFFIXES)})")
    return PhotoTable(tuple(found))


def photographs_in_table(path: Path) -> PhotoTable:
    """The photographs that a table names, with what it says of each.

    Photographs are looked up from the table's folder.  Rows of one `encounter` are of one
    encounter; without that column, those with the same date and place are.

    Raises:
        ProblemsError: what is wrong, with the line of each; all at once.
        FlukeprintError: no such table, or without photographs.
    """
    table, ignored = named_columns(path, ("image", "identity"))
    problems: list[tuple[int, str]] = []
    rows = [dict(zip(table.columns, cells, strict=True)) for cells in table.itertuples(index=False)]
    encounters = _encounters(table, rows, problems)
    photographs: list[NewPhotograph] = []
    animals: dict[str, dict[str, str | None]] = {}
    seen: dict[tuple[str, Any], int] = {}
    for line, row, encounter in zip(table.index, rows, encounters, strict=True):
        where = f"{path}, {lines([line])}"
        try:
            box = _box(row)
            photo = path.parent / row["image"]
            name = row["identity"].strip()
            if not row["image"]:
                raise FlukeprintError("no photograph is named")
            if not photo.is_file():
                raise FlukeprintError(f"there is no photograph {photo}")
            if (row["image"], box) in seen:
                other = lines([seen[row["image"], box]])
                raise FlukeprintError(f"{row['image']} is in {other} as well; keep one row")
            seen[row["image"], box] = line
            if name.casefold() not in NOBODY:
                known = described({key: row[key] for key in ("sex", "life_stage") if row.get(key)})
                before = animals.setdefault(identity_name(name), {})
                for key, value in known.items():
                    if before.setdefault(key, value) != value:
                        raise FlukeprintError(
                            f"{name} has {key} {value} here and {before[key]} before"
                        )
            photographs.append(
                NewPhotograph(
                    photo, f"{where}: {photo}", photo.name,
                    None if name.casefold() in NOBODY else identity_name(name),
                    encounter, row.get("view") or None, box,
                )
            )  # fmt: skip
        except FlukeprintError as error:
            problems.append((line, str(error)))
    told = [f"{path}, {lines([line])}: {problem}" for line, problem in sorted(problems)]
    told += two_spellings(row["identity"] for row in rows)
    if told:
        raise ProblemsError(told, str(path))
    return PhotoTable(tuple(photographs), animals, ignored)


def two_spellings(names: Iterable[str]) -> list[str]:
    """Say of each animal whose name is spelt in several ways how it is."""
    spelt: dict[str, dict[str, None]] = {}
    for name in map(identity_name, names):
        if name.casefold() not in NOBODY:
            spelt.setdefault(spelling(name), {})[name] = None
    return [
        f"{' and '.join(several)} are one name in several spellings; write it alike"
        for several in spelt.values()
        if len(several) > 1
    ]


def named_columns(path: Path, wanted: Iterable[str]) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Read a table with its columns called as in `COLUMNS`, and its numbers with a decimal point.

    Returns:
        The table, and the names of columns that mean nothing here.

    Raises:
        FlukeprintError: no table, a column of `wanted` is missing, or one is given twice.
    """
    table = read_table(path, ())
    known = {name: name for name in COLUMNS} | {
        other: name for name, others in COLUMNS.items() for other in others
    }
    new_names = {name: known.get(plain(str(name))) for name in table.columns}
    given = [name for name in new_names.values() if name is not None]
    twice = sorted({name for name in given if given.count(name) > 1})
    if twice:
        columns = [name for name, meant in new_names.items() if meant in twice]
        raise FlukeprintError(f"{path}: columns {listed(columns)} mean the same; keep one")
    for name in wanted:
        if name not in given:
            raise FlukeprintError(
                f"{path} has no column {name}: {nearest(name, map(str, table.columns))}"
            )
    ignored = tuple(str(name) for name, meant in new_names.items() if meant is None)
    kept = {name: meant for name, meant in new_names.items() if meant is not None}
    named = table[list(kept)].rename(columns=kept)
    if table.attrs["decimal"] == ",":
        for name in named.columns.intersection(_NUMBERS):
            named[name] = named[name].str.replace(",", ".", regex=False)
    return named, ignored


def _encounters(
    table: pd.DataFrame, rows: list[dict[str, str]], problems: list[tuple[int, str]]
) -> list[Encounter | None]:
    """The encounter of each row; what is wrong with them is added to the problems."""
    found: list[Encounter | None] = []
    joined: dict[str, Encounter] = {}
    for line, row in zip(table.index, rows, strict=True):
        one, wrong = encounter_from(row)
        problems += [(line, problem) for problem in wrong]
        key = row.get("encounter", "")
        if key:
            # Its own number keeps it apart from another of the same date and place.
            before = joined.setdefault(key, replace(one or Encounter(0), id=-1 - len(joined)))
            if one is not None and one != replace(before, id=0):
                problems.append(
                    (
                        line,
                        f"encounter {key} has another date, place or observer before; "
                        "write it alike in all its rows",
                    )
                )
            one = before
        found.append(one)
    return found


def encounter_from(row: Mapping[str, str]) -> tuple[Encounter | None, list[str]]:
    """The encounter that cells tell of, None where they are empty; and what is wrong with them."""
    wrong: list[str] = []

    def tried(read: Callable[[], Any]) -> Any:
        try:
            return read()
        except FlukeprintError as error:
            wrong.append(str(error))
            return None

    date: Moment | None = tried(lambda: read_moment(row["date"])) if row.get("date") else None
    place: Position | None = tried(lambda: _position(row))
    words = [row.get(name) or None for name in ("place", "observer", "occasion")]
    if wrong or (date is None and place is None and not any(words)):
        return None, wrong
    return Encounter(0, date, place, *words), wrong


def _position(row: Mapping[str, str]) -> Position | None:
    numbers = {}
    for name in ("latitude", "longitude", "uncertainty"):
        if row.get(name):
            try:
                numbers[name] = float(row[name])
            except ValueError:
                raise FlukeprintError(f"{name} {row[name]!r} is no number") from None
    if not numbers:
        return None
    if "latitude" not in numbers or "longitude" not in numbers:
        raise FlukeprintError("a position needs latitude and longitude")
    return Position(numbers["latitude"], numbers["longitude"], numbers.get("uncertainty"))


def _box(row: Mapping[str, str]) -> tuple[float, float, float, float] | None:
    cells = [row.get(name, "") for name in CORNERS]
    if not any(cells):
        return None
    try:
        x0, y0, x1, y1 = (float(cell) for cell in cells)
    except ValueError:
        raise FlukeprintError(f"x0, y0, x1, y1 {cells} are not four numbers") from None
    if not (0 <= x0 < x1 and 0 <= y0 < y1 and isfinite(x1) and isfinite(y1)):
        raise FlukeprintError(f"the box {x0:g}, {y0:g}, {x1:g}, {y1:g} has no area")
    return x0, y0, x1, y1
