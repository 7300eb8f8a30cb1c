"""Writes the spreadsheets that Wildbook's bulk import takes, with the photographs beside them.

Each record is an encounter: who is who, a person decides there.  What the columns have no room for
stands in `flukeprint.csv`, which Wildbook does not look at.
"""

import csv
import json
import os
import re
import shutil
import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from flukeprint.data.exchange.any_table.sheets import EXTRA
from flukeprint.data.exchange.details import details_of
from flukeprint.data.exchange.observed import Observed, ObservedPhoto
from flukeprint.data.exchange.wildbook.columns import (
    DATE,
    DETAIL_COLUMNS,
    DETAILS,
    KEYWORDS,
    LATITUDE,
    LIFE_STAGE,
    LONGITUDE,
    MOST,
    NOTES,
    OBSERVER,
    OCCURRENCE,
    PHOTOGRAPHS,
    PLACE,
    SEX,
    SPECIES,
    STATE,
    WRITTEN,
)
from flukeprint.data.exchange.wildbook.reading import digest_of, read_wildbook
from flukeprint.errors import FlukeprintError, counted, listed, needs
from flukeprint.files import folder_written_whole
from flukeprint.storage import is_file, is_local

_UNFIT = re.compile(r"[^A-Za-z0-9. ]+")  # Wildbook takes other signs out of names of files
_KEY = re.compile(r"[^A-Za-z0-9_-]+")  # and refuses them in the ids of occurrences
_CLOCK = re.compile(r"T(\d{2}):(\d{2})")
_BREAKS = ("Cc", "Zl", "Zp", "Cn", "Cs")
_LONGEST = 32_000  # letters of a cell


def write_wildbook(observed: Observed, folder: Path) -> tuple[str, ...]:
    """Write spreadsheets of at most 200 encounters each, and the photographs, into a new folder.

    Photographs are hard links where the disk has these, else copies.

    Returns lines for people: what Wildbook needs and the records lack.

    Raises:
        FlukeprintError: there is something already, no photograph has a file here, or the folder
            cannot be written.
    """
    with needs(EXTRA):
        from flukeprint.data.exchange.any_table.workbooks import write_workbook
    if folder.exists():
        raise FlukeprintError(f"{folder} is there already; name another folder")
    there = [one for one in observed.photos if _is_there(one)]
    if not there:
        raise FlukeprintError("none of these photographs is a file here; nothing was written")
    names = _names(there)
    keys = _keys(there)
    rows = [_cells(one, names, keys) for one in there]
    try:
        with folder_written_whole(folder) as draft:
            (draft / PHOTOGRAPHS).mkdir()
            for path, name in names.items():
                _place(path, draft / PHOTOGRAPHS / name)
            for number, start in enumerate(range(0, len(rows), MOST), 1):
                part = rows[start : start + MOST]
                columns = [name for name in WRITTEN if any(name in row for row in part)]
                cells = [[row.get(name) for name in columns] for row in part]
                write_workbook(draft / f"wildbook-{number}.xlsx", columns, cells)
            _write_details(draft, there, rows, names)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise FlukeprintError(f"{folder} cannot be written: {reason}") from None
    return _lines(observed.photos, there, rows)


def _is_there(photo: ObservedPhoto) -> bool:
    return photo.path is not None and is_local(photo.path) and is_file(photo.path)


def _names(photos: Sequence[ObservedPhoto]) -> dict[Path, str]:
    """File -> a name of its own that Wildbook leaves as it is."""
    names: dict[Path, str] = {}
    taken: set[str] = set()
    for photo in photos:
        assert photo.path is not None
        path = photo.path.absolute()
        if path in names:
            continue
        plain = unicodedata.normalize("NFKD", path.stem)
        stem = _UNFIT.sub(" ", "".join(c for c in plain if not unicodedata.combining(c))).strip(
            " ."
        )
        suffix = _UNFIT.sub("", path.suffix.lower())
        name, number = f"{stem or 'photograph'}{suffix}", 1
        while name.casefold() in taken:
            number += 1
            name = f"{stem or 'photograph'} {number}{suffix}"
        taken.add(name.casefold())
        names[path] = name
    return names


def _keys(photos: Sequence[ObservedPhoto]) -> dict[str, str]:
    """Encounter -> an id of letters that Wildbook allows, another one for each."""
    keys: dict[str, str] = {}
    taken: set[str] = set()
    for photo in photos:
        if photo.encounter is None or photo.encounter in keys:
            continue
        stem = _KEY.sub("-", photo.encounter).strip("-")[:60] or "encounter"
        key, number = stem, 1
        while key in taken:
            number += 1
            key = f"{stem}-{number}"
        taken.add(key)
        keys[photo.encounter] = key
    return keys


def _cells(
    photo: ObservedPhoto, names: Mapping[Path, str], keys: Mapping[str, str]
) -> dict[str, object]:
    """The filled cells of an encounter."""
    assert photo.path is not None
    words = (photo.species or "").split()
    cells: dict[str, object | None] = {
        "Encounter.mediaAsset0": names[photo.path.absolute()],
        "MarkedIndividual.individualID": photo.identity,
        SPECIES[0]: words[0].capitalize() if words else None,
        SPECIES[1]: " ".join(words[1:]).lower() if words else None,
        LATITUDE[0]: photo.latitude,
        LONGITUDE[0]: photo.longitude,
        PLACE[1]: photo.place,
        SEX: photo.sex if photo.sex in ("female", "male") else None,
        LIFE_STAGE: photo.life_stage,
        OCCURRENCE[0]: None if photo.encounter is None else keys[photo.encounter],
        OBSERVER[0]: photo.observer,
        KEYWORDS: None if photo.view is None else photo.view.replace("_", " "),
        NOTES[0]: photo.notes,
        STATE: "unapproved" if photo.machine else "approved",
        **_date(photo.date),
    }
    filled: dict[str, object] = {}
    for name, value in cells.items():
        if isinstance(value, str):
            value = "".join(
                " " if unicodedata.category(sign) in _BREAKS else sign for sign in value
            ).strip()[:_LONGEST]
        elif isinstance(value, float):
            value = float(f"{value:.16g}")  # as many digits as a workbook keeps
        if value is not None and value != "":
            filled[name] = value
    return filled


def _date(date: str | None) -> dict[str, object | None]:
    """The columns of a date, as far as it is known; Wildbook keeps no seconds.

    An hour of 0 has no number there (1 to 24), and 24 would mean another day to some readers.
    """
    found = re.match(r"(\d{4})(?:-(\d{2})(?:-(\d{2}))?)?", date or "")
    if found is None:
        return {}
    cells: dict[str, object | None] = {
        name: None if part is None else int(part)
        for name, part in zip(DATE, found.groups(), strict=False)
    }
    clock = _CLOCK.search(date or "")
    if clock is not None and found[3] and int(clock[1]) > 0:
        cells |= {DATE[3]: int(clock[1]), DATE[4]: clock[2]}
    return cells


def _place(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # another disk, or one without links
        shutil.copyfile(source, target)


def _write_details(
    draft: Path, photos: Sequence[ObservedPhoto], rows: Sequence[Mapping[str, object]],
    names: Mapping[Path, str],
) -> None:  # fmt: skip
    """Write what the spreadsheets tell otherwise than the records, for lack of room."""
    back = read_wildbook(draft).photos
    if len(back) != len(photos):
        raise FlukeprintError("Wildbook's spreadsheets could not be read back; nothing was written")

    def relative(path: Path | None) -> str | None:
        return None if path is None else names.get(path.absolute(), path.name)

    with (draft / DETAILS).open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(DETAIL_COLUMNS)
        for place, (photo, found, row) in enumerate(zip(photos, back, rows, strict=True)):
            told = details_of(photo, found, relative)
            if told:
                cells = {name: _as_read(value) for name, value in row.items()}
                table.writerow(
                    [
                        f"wildbook-{place // MOST + 1}.xlsx", place % MOST + 2,
                        digest_of(cells), json.dumps(dict(told)),
                    ]
                )  # fmt: skip


def _as_read(value: object) -> str:
    """A cell as the reader has it."""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


def _lines(
    all_: Sequence[ObservedPhoto], there: Sequence[ObservedPhoto], rows: Sequence[Mapping[str, Any]]
) -> tuple[str, ...]:
    lines = []
    gone = [one.image for one in all_ if not _is_there(one)]
    if gone:
        lines.append(f"{counted(len(gone), 'record')} without a file here left out: {listed(gone)}")
    for what, lacking in (
        ("a year", sum(DATE[0] not in row for row in rows)),
        ("a species", sum(SPECIES[1] not in row for row in rows)),
        ("a place", sum(PLACE[1] not in row and LATITUDE[0] not in row for row in rows)),
    ):
        if lacking:
            lines.append(
                f"{counted(lacking, 'encounter')} without {what}, which Wildbook needs: fill it in"
            )
    if any(one.box is not None for one in there):
        lines.append(f"boxes have no column in Wildbook; they are kept in {DETAILS}")
    return tuple(lines)
