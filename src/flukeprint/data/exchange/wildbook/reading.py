"""Reads encounters as Wildbook exports and imports them: a spreadsheet, or a folder of these."""

import csv
import hashlib
import json
import math
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from flukeprint.data.exchange.any_table.sheets import headers_of, read_sheet
from flukeprint.data.exchange.camtrap.data_package import is_address, leads_out
from flukeprint.data.exchange.details import detail_in
from flukeprint.data.exchange.json_files import posix_name
from flukeprint.data.exchange.observed import LeftOut, Observed, ObservedPhoto
from flukeprint.data.exchange.wildbook.columns import (
    DATE,
    DETAILS,
    INDIVIDUAL,
    LATITUDE,
    LIFE_STAGE,
    LONGITUDE,
    MEDIA,
    MILLISECONDS,
    NOTES,
    OBSERVER,
    OCCURRENCE,
    PHOTOGRAPHS,
    PLACE,
    SEX,
    SPECIES,
    is_wildbook,
)
from flukeprint.errors import FlukeprintError

FORM = "Wildbook"
_SUFFIXES = (".xlsx", ".csv")
_NOBODY = ("", "unassigned", "unknown", "none", "null")
_WHOLE = re.compile(r"(\d+)(?:\.0*)?")


def recognises(path: Path) -> bool:
    """Whether a table, or the first one of a folder, has Wildbook's columns."""
    try:
        return any(is_wildbook(headers_of(file)) for file in _files(path)[:1])
    except FlukeprintError:
        return False


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path] if path.suffix.lower() in _SUFFIXES else []
    found = [
        file for file in path.iterdir()
        if file.suffix.lower() in _SUFFIXES and file.name != DETAILS
        and not file.name.startswith((".", "~$"))
    ]  # fmt: skip
    return sorted(found, key=lambda file: (len(file.name), file.name))


def read_wildbook(path: Path, root: Path | None = None) -> Observed:
    """Read a spreadsheet, or all of a folder.

    root: the folder of the photographs; by default that of the spreadsheets, or `photographs` in
        it.

    Raises:
        FlukeprintError: no such table, or one that is damaged.
    """
    folder = path if path.is_dir() else path.parent
    files = [file for file in _files(path) if is_wildbook(headers_of(file))]
    if not files:
        raise FlukeprintError(f"{path} has no table with columns of Wildbook")
    begin = root or (folder / PHOTOGRAPHS if (folder / PHOTOGRAPHS).is_dir() else folder)
    details = _details(folder / DETAILS)
    left, photos = LeftOut(), []
    taken: set[str] = set()
    for file in files:
        sheet = read_sheet(file)
        for place, line in enumerate(sheet.rows):
            cells = {
                header: text
                for header, column in zip(sheet.headers, sheet.columns, strict=True)
                if header and (text := _text(column[place]))
            }
            more = details.get((file.name, line))
            if more is not None and more[0] != digest_of(cells):
                more = None  # a person has changed the row
            rows = _rows(cells, f"{file.name}, line {line}", begin, left)
            for row in rows:
                if more is not None:
                    row = _with_details(row, more[1], begin)
                row["image"] = _free(row["image"], taken)
                photos.append(ObservedPhoto(**row))
    return Observed(FORM, "", tuple(photos), left.counts, left.examples)


def digest_of(cells: Mapping[str, str]) -> str:
    """A digest of a row's cells, by which a row that a person changed is told."""
    return hashlib.sha256(json.dumps(sorted(cells.items())).encode()).hexdigest()[:16]


def _details(path: Path) -> dict[tuple[str, int], tuple[str, Mapping[str, Any]]]:
    """(file, line) -> digest of its cells, and what they have no room for; nothing where absent."""
    if not path.is_file():
        return {}
    found: dict[tuple[str, int], tuple[str, Mapping[str, Any]]] = {}
    try:
        with path.open(newline="", encoding="utf-8") as file:
            for row in csv.DictReader(file):
                told = json.loads(row["details"])
                if isinstance(told, dict):
                    found[row["file"], int(row["line"])] = (row["cells"], told)
    except (OSError, ValueError, KeyError, TypeError, csv.Error):
        raise FlukeprintError(
            f"{path} is damaged; remove it to read the spreadsheets alone"
        ) from None
    return found


def _with_details(row: dict[str, Any], told: Mapping[str, Any], begin: Path) -> dict[str, Any]:
    try:
        return {**row, **{name: detail_in(name, value, begin) for name, value in told.items()}}
    except (ValueError, TypeError, OverflowError) as error:
        raise FlukeprintError(f"{DETAILS}: {row['image']}: {error}; remove the row") from None


def _rows(cells: Mapping[str, str], where: str, begin: Path, left: LeftOut) -> list[dict[str, Any]]:
    """The photographs of an encounter."""
    numbered = sorted(
        (int(found[1] or 0), cells[header])
        for header in cells
        if (found := MEDIA.fullmatch(header.strip())) is not None
    )
    names = [posix_name(name) for _, name in numbered]
    if not names:
        left.note("encounters without a photograph", where)
        return []
    encounter = _first(cells, OCCURRENCE)
    if encounter is None and len(names) > 1:
        encounter = where
    genus, epithet = (cells.get(column) for column in SPECIES)
    sex = (cells.get(SEX) or "").casefold()
    identity = _first(cells, INDIVIDUAL)
    date, offset = _date(cells, where, left)
    north, east = _number(_first(cells, LATITUDE)), _number(_first(cells, LONGITUDE))
    there = north is not None and east is not None and abs(north) <= 90 and abs(east) <= 180
    facts = {
        "identity": None if (identity or "").casefold() in _NOBODY else identity,
        "date": date,
        "offset": offset,
        "latitude": north if there else None,
        "longitude": east if there else None,
        "place": _first(cells, PLACE),
        "observer": _first(cells, OBSERVER),
        "notes": _first(cells, NOTES),
        "encounter": encounter,
        "species": " ".join(filter(None, (genus, epithet))) or None,
        "sex": sex if sex in ("female", "male") else None,
        "life_stage": cells.get(LIFE_STAGE),
    }
    rows = []
    for name in names:
        if is_address(name):
            path = None
        elif leads_out(name):
            left.note("photographs outside the folder", f"{where}: {name}")
            continue
        else:
            path = begin / name
        rows.append({"image": name, "path": path, **facts})
    return rows


def _date(cells: Mapping[str, str], where: str, left: LeftOut) -> tuple[str | None, str | None]:
    """The date of an encounter, and its offset where it is a moment of UTC."""
    year, month, day, hour, minutes = (_whole(cells.get(column)) for column in DATE)
    if year is None:
        moment = _number(cells.get(MILLISECONDS))
        if moment is None:
            return None, None
        try:
            at = datetime.fromtimestamp(moment / 1000, UTC)
        except (ValueError, OverflowError, OSError):
            left.note("dates that are none", where)
            return None, None
        return at.replace(tzinfo=None).isoformat(timespec="seconds"), "+00:00"
    text = f"{year:04d}"
    for number, sign in ((month, "-"), (day, "-")):
        if number is None:
            break
        text += f"{sign}{number:02d}"
    else:
        if hour is not None and 0 < hour < 24:
            text += f"T{hour:02d}:{minutes or 0:02d}"
    try:
        datetime.fromisoformat(text + "0000-01-01T00:00"[len(text) :] if len(text) < 16 else text)
    except ValueError:
        left.note("dates that are none", where)
        return None, None
    return text, None


def _free(name: str, taken: set[str]) -> str:
    """A name that no photograph has yet."""
    free, number = name, 1
    while free in taken:
        number += 1
        free = f"{name}#{number}"
    taken.add(free)
    return free


def _first(cells: Mapping[str, str], columns: Sequence[str]) -> str | None:
    return next((cells[column] for column in columns if cells.get(column)), None)


def _text(cell: object) -> str:
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    return "" if cell is None else str(cell).strip()


def _whole(text: str | None) -> int | None:
    found = _WHOLE.fullmatch(text or "")
    return None if found is None else int(found[1])


def _number(text: str | None) -> float | None:
    try:
        number = float(text or "")
    except ValueError:
        return None
    return number if math.isfinite(number) else None
