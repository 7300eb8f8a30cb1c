"""Reads the CSV file that iNaturalist exports of observations, recognised by its header.

It has the address of the first photograph of each observation only, and times in UTC beside what
the observer typed; both together tell the local time and its offset.
"""

import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path

import pandas as pd

from flukeprint.data.exchange.camtrap.cells import number_in, numbered
from flukeprint.data.exchange.darwin_core.dates import When, when
from flukeprint.data.exchange.darwin_core.tables import Column
from flukeprint.data.exchange.observed import LeftOut, Observed, ObservedPhoto
from flukeprint.data.table_format import open_table
from flukeprint.errors import FlukeprintError, counted

FORM = "iNaturalist's export"
_HEADER = ("id", "observed_on", "image_url")  # and one of a name
_NAMES = ("scientific_name", "species_guess", "quality_grade", "user_login")
# Observation fields have the names that people gave them: these can mean nothing else
_IDENTITIES = ("organismid", "individualid", "individual", "individualname", "animalid")
_TYPED = re.compile(
    r"(\d{4})[-/](\d\d?)[-/](\d\d?)[T ](\d\d?):(\d\d)(?::(\d\d))?(?:\.\d+)?\s*([AP]M)?",
    re.IGNORECASE,
)
_BROWSER = re.compile(r"[A-Z][a-z]{2} ([A-Z][a-z]{2}) (\d\d) (\d{4}) (\d\d:\d\d:\d\d) GMT")
_MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]


def is_export(path: Path) -> bool:
    """Whether the file's first line names the columns of such an export, or it is a ZIP of one."""
    return any(_has(path, (*_HEADER, name)) for name in _NAMES)


def is_simple_download(path: Path) -> bool:
    """Whether it is GBIF's simple download, which names no photographs, or a ZIP file of one."""
    return _has(path, ("gbifID", "datasetKey", "occurrenceID"))


def read_export(path: Path) -> Observed:
    """Read the export at `path`, a row each photograph, which all lie at web addresses.

    Raises:
        FlukeprintError: it cannot be read as a table.
    """
    table = open_table(path, _HEADER).read()
    columns = {name: _cells(table[name]) for name in table.columns}
    nothing: Column = [None] * len(table)

    def column(name: str) -> Column:
        return columns.get(name, nothing)

    named = [
        name
        for name in table.columns
        if name.startswith("field:")
        and re.sub(r"[^a-z]", "", name[len("field:") :].lower()) in _IDENTITIES
    ]
    left_out = LeftOut()
    photos: list[ObservedPhoto] = []
    used: dict[str, int] = {}
    taken = {name for name in column("image_url") if name}
    for row, url in enumerate(column("image_url")):
        if url is None:
            left_out.note("observations without a photograph", column("id")[row] or "?")
            continue
        used[url] = used.get(url, 0) + 1
        identity = next((columns[name][row] for name in named if columns[name][row]), None)
        private = column("private_latitude")[row] is not None
        side = "private_" if private else ""
        latitude = number_in(column(f"{side}latitude")[row])
        longitude = number_in(column(f"{side}longitude")[row])
        # the public position of an obscured observation is drawn at random in a large circle
        radius = number_in(column("positional_accuracy")[row]) if private else None
        radius = radius or number_in(column("public_positional_accuracy")[row])
        radius = radius or number_in(column("positional_accuracy")[row])
        known = latitude is not None and longitude is not None
        date, offset = local_time(
            column("observed_on")[row],
            column("observed_on_string")[row],
            column("time_observed_at")[row],
        )
        photos.append(
            ObservedPhoto(
                url if used[url] == 1 else numbered(url, used, taken),
                None,
                identity,
                date=date,
                offset=offset,
                latitude=latitude if known else None,
                longitude=longitude if known else None,
                uncertainty=radius if known and radius and radius > 0 else None,
                place=column(f"{side}place_guess")[row] or column("place_guess")[row],
                observer=column("user_name")[row] or column("user_login")[row],
                species=column("scientific_name")[row],
                notes=column("description")[row],
            )
        )
    notes = [f"{counted(len(photos), 'photograph')} at a web address, the first of an observation"]
    if named:
        notes.append(f"identities of the column {' or '.join(named)}")
    return Observed(
        FORM, "", tuple(photos), left_out.counts, left_out.examples, tuple(notes if photos else ())
    )


def local_time(day: str | None, typed: str | None, moment: str | None) -> When:
    """Local time and offset, from the day, what the observer typed, and the moment in UTC."""
    date = when(day)[0]
    clock = _clock(typed or "")
    if date is None or clock is None or clock.date().isoformat() != date:
        return date, None
    local = clock.isoformat(timespec="seconds")
    found = when((moment or "").removesuffix(" UTC") or None)[0]
    if found is None or len(found) != 19 or not (moment or "").endswith(" UTC"):
        return local, None
    apart = clock - datetime.fromisoformat(found)
    quarters, rest = divmod(apart, timedelta(minutes=15))
    if rest or abs(apart) > timedelta(hours=14):
        return local, None
    sign, minutes = "-" if quarters < 0 else "+", abs(quarters) * 15
    return local, f"{sign}{minutes // 60:02d}:{minutes % 60:02d}"


def _clock(typed: str) -> datetime | None:
    """The local time in what an observer, or a browser, wrote."""
    browser = _BROWSER.match(typed)
    try:
        if browser is not None:
            month = _MONTHS.index(browser[1]) + 1
            return datetime.fromisoformat(f"{browser[3]}-{month:02d}-{browser[2]}T{browser[4]}")
        found = _TYPED.match(typed)
        if found is None:
            return None
        year, month, day, hour, minute = (int(found[part]) for part in range(1, 6))
        if found[7]:
            if not 1 <= hour <= 12:
                return None
            hour = hour % 12 + (12 if found[7].upper() == "PM" else 0)
        return datetime(year, month, day, hour, minute, int(found[6] or 0))
    except ValueError:
        return None


def _has(path: Path, names: Sequence[str]) -> bool:
    """Whether it is a table with these columns, or a ZIP file of one."""
    if path.suffix.lower() not in (".csv", ".zip") or not path.is_file():
        return False
    try:
        return set(names) <= set(open_table(path, names).names)
    except FlukeprintError:
        return False


def _cells(column: "pd.Series[str]") -> Column:
    return [cell if isinstance(cell, str) and cell != "" else None for cell in column.tolist()]
