"""Reads a Darwin Core Archive, as GBIF and iNaturalist give them, and iNaturalist's own export.

https://dwc.tdwg.org/text.  `organismID` is whom a photograph shows.  Photographs are the rows of
media of an occurrence, or what its `associatedMedia` lists; several share its encounter.  Regions
of interest of Audiovisual Core are boxes.  What `dynamicProperties` says is heeded only below the
key `flukeprint`, under which the writer puts what Darwin Core has no term for.
"""

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from flukeprint.data.catalog import Box
from flukeprint.data.exchange.camtrap.cells import (
    UNKNOWN_RADIUS,
    box_in,
    number_in,
    numbered,
)
from flukeprint.data.exchange.camtrap.data_package import is_address, leads_out
from flukeprint.data.exchange.darwin_core import terms
from flukeprint.data.exchange.darwin_core.archive import Archive, open_archive
from flukeprint.data.exchange.darwin_core.certainty import certainty_in
from flukeprint.data.exchange.darwin_core.dates import When, when
from flukeprint.data.exchange.darwin_core.inaturalist import (
    is_export,
    is_simple_download,
    read_export,
)
from flukeprint.data.exchange.darwin_core.meta import TableMeta, read_meta
from flukeprint.data.exchange.darwin_core.records import Medium, Records, of_events, of_occurrences
from flukeprint.data.exchange.darwin_core.tables import Rows, read_rows
from flukeprint.data.exchange.details import FIELDS, detail_in
from flukeprint.data.exchange.observed import LeftOut, Observed, ObservedPhoto
from flukeprint.errors import FlukeprintError, counted

FORM = "Darwin Core"
DETAILS = "flukeprint"  # the key in dynamicProperties
CAMERA_TRAP = "camera trap"
_WGS84 = ("", "wgs84", "epsg:4326", "worldgeodeticsystem1984", "unknown", "notrecorded")
_UNKNOWN = ("undetermined", "unknown", "indeterminate", "not determined", "not recorded")


@dataclass(frozen=True)
class ReadArchive:
    """What was read: the photographs, and beside each the identifier of its occurrence."""

    observed: Observed
    keys: tuple[str, ...]


def recognises(path: Path) -> bool:
    """Whether there is an archive at `path`, or an export of iNaturalist's observations."""
    try:
        with open_archive(path) as archive:
            return b"rs.tdwg.org/dwc/" in archive.description()
    except FlukeprintError:
        return is_export(Path(path)) or is_simple_download(Path(path))


def read_darwin_core(path: Path, root: Path | None = None) -> Observed:
    """Read the archive at `path`: a folder, its meta.xml, a ZIP file, or iNaturalist's CSV export.

    root: folder in which the photographs' relative names begin; the archive's by default.

    Raises:
        FlukeprintError: it is missing, damaged, has no occurrences, or its tables lead out of it.
    """
    if is_export(Path(path)):
        return read_export(Path(path))
    if is_simple_download(Path(path)):
        raise FlukeprintError(
            f"{path} is GBIF's simple download, which names no photographs: download it as a "
            "Darwin Core Archive"
        )
    return read_with_keys(path, root).observed


def read_with_keys(path: Path, root: Path | None = None, *, details: bool = True) -> ReadArchive:
    """Read an archive; details: whether to heed what the writer put in dynamicProperties."""
    with open_archive(path) as archive:
        return _Reading(archive, root).read(details)


class _Reading:
    def __init__(self, archive: Archive, root: Path | None) -> None:
        self.archive = archive
        self.root = archive.folder if root is None else Path(root)
        self.left_out = LeftOut()
        self.notes: dict[str, int] = {}  # what is said of how many photographs
        self._paths: dict[str, Path | None] = {}

    def read(self, details: bool) -> ReadArchive:
        records = self._records()
        photos, keys = self._photos(records, details)
        lines = [f"{counted(number, 'photograph')} {what}" for what, number in self.notes.items()]
        observed = Observed(
            FORM, "", tuple(photos), self.left_out.counts, self.left_out.examples, tuple(lines)
        )
        return ReadArchive(observed, tuple(keys))

    def _records(self) -> Records:
        core, extensions = read_meta(self.archive)
        media = self._media(extensions)
        if core.kind == terms.EVENT:
            seen = [one for one in extensions if one.kind == terms.OCCURRENCE]
            if not seen:
                raise FlukeprintError(
                    f"{self.archive.place}: its events have no table of occurrences, which tells "
                    "of animals"
                )
            return of_events(
                self._rows(core, terms.OF_OCCURRENCE),
                self._rows(seen[0], terms.OF_OCCURRENCE),
                media,
                self.left_out,
            )
        if core.kind not in (terms.OCCURRENCE, *terms.RECORDS):
            raise FlukeprintError(
                f"{self.archive.place}: its core is {core.kind}, of which no photographs are told: "
                "occurrences or events are read"
            )
        return of_occurrences(self._rows(core, terms.OF_OCCURRENCE), media, self.left_out)

    def _rows(self, meta: TableMeta, wanted: Sequence[str]) -> Rows:
        return read_rows(self.archive, meta, wanted)

    def _media(self, extensions: Sequence[TableMeta]) -> Rows | None:
        """The rows of all extensions of media, Audiovisual Core first, for it tells more."""
        kinds = (terms.AUDIOVISUAL_MEDIA, *terms.SIMPLE_MEDIA)
        known = [one for one in extensions if one.kind in kinds]
        known.sort(key=lambda one: kinds.index(one.kind))
        tables = [self._of_media(one) for one in known]
        if len(tables) < 2:
            return tables[0] if tables else None
        names = {term for table in tables for term in table.columns}
        return Rows(
            sum(table.size for table in tables),
            [key for table in tables for key in table.key],
            {name: [cell for table in tables for cell in table.first(name)] for name in names},
        )

    def _of_media(self, meta: TableMeta) -> Rows:
        rows = self._rows(meta, terms.OF_MEDIA)
        if meta.kind != terms.AUDIOVISUAL_MEDIA:  # there an identifier is where the file lies
            rows.columns[terms.ACCESS] = rows.first(*terms.IDENTIFIERS)
        return rows

    def _photos(self, records: Records, details: bool) -> tuple[list[ObservedPhoto], list[str]]:
        photos: list[ObservedPhoto] = []
        keys: list[str] = []
        used: dict[str, int] = {}
        taken = {medium.name for media in records.media for medium in media}
        cells = records.cells
        identities = _first(cells, terms.IDENTITY)
        places = _first(cells, terms.PLACE)
        for row, key in enumerate(records.keys):
            seen = self._seen(cells, row, identities[row] is not None)
            more = self._details(cells[terms.DYNAMIC][row], key) if details else {}
            stamp = self._stamp(cells, row)
            for medium in records.media[row]:
                box: Box | None = None
                if medium.region is not None:
                    why, box = box_in(medium.region)
                    if why:
                        self.left_out.note(why, key)
                        continue
                used[medium.name] = used.get(medium.name, 0) + 1
                image = medium.name
                if used[image] > 1:
                    image = numbered(image, used, taken)
                date, offset = self._own_stamp(medium, stamp)
                if date is None and cells[terms.EVENT_DATE][row] is not None:
                    self._note("whose date cannot be read, or is of several years")
                photo = ObservedPhoto(
                    image,
                    self._path(medium),
                    identities[row],
                    box,
                    medium.view,
                    date,
                    offset,
                    place=places[row],
                    encounter=records.group[row],
                    **seen,
                )
                photos.append(self._with_details(photo, more, key))
                keys.append(key)
        if records.unclear:
            self.notes["of an event with several animals: whom each shows is not said"] = (
                records.unclear
            )
        if len({photo.image for photo in photos}) != len(photos):
            raise FlukeprintError(
                f"{self.archive.place}: dynamicProperties give a name to two photographs; empty "
                f"what stands there under {DETAILS}"
            )
        return photos, keys

    def _seen(
        self, cells: Mapping[str, Sequence[str | None]], row: int, named: bool
    ) -> dict[str, Any]:
        """What the photographs of an occurrence share."""
        sex = cells[terms.SEX][row]
        machine, share = certainty_in(cells[terms.IDENTIFIED_HOW][row])
        protocol = (cells[terms.SAMPLING_PROTOCOL][row] or "").strip().lower()
        return {
            **self._position(cells, row),
            "observer": cells[terms.OBSERVER][row],
            # Camtrap DP's own mapping puts its deployments there
            "deployment": cells[terms.PARENT_EVENT_ID][row] if protocol == CAMERA_TRAP else None,
            "species": cells[terms.SPECIES][row],
            "sex": _known(sex, ("female", "male")),
            "life_stage": _known(cells[terms.LIFE_STAGE][row], ("adult", "subadult", "juvenile")),
            "notes": cells[terms.REMARKS][row],
            "by": cells[terms.IDENTIFIED_BY][row],
            "machine": machine,
            "probability": share if named else None,
            "confidence": None if named else share,
        }

    def _position(
        self, cells: Mapping[str, Sequence[str | None]], row: int
    ) -> dict[str, float | None]:
        latitude, longitude = (
            number_in(cells[term][row]) for term in (terms.LATITUDE, terms.LONGITUDE)
        )
        radius = number_in(cells[terms.UNCERTAINTY][row])
        if latitude is None or longitude is None:
            return {}
        if abs(latitude) > 90 or abs(longitude) > 180:
            self._note("whose position is not on Earth")
            return {}
        if radius is not None and radius >= UNKNOWN_RADIUS:
            return {}
        datum = "".join((cells[terms.DATUM][row] or "").lower().split())
        if datum not in _WGS84:
            self._note(f"with positions of the datum {datum[:40]}, taken as WGS 84")
        return {
            "latitude": latitude,
            "longitude": longitude,
            "uncertainty": radius if radius is not None and radius > 0 else None,
        }

    def _stamp(self, cells: Mapping[str, Sequence[str | None]], row: int) -> When:
        return when(
            cells[terms.EVENT_DATE][row],
            cells[terms.EVENT_TIME][row],
            cells[terms.YEAR][row],
            cells[terms.MONTH][row],
            cells[terms.DAY][row],
        )

    def _own_stamp(self, medium: Medium, stamp: When) -> When:
        """The photograph's own time where its medium tells one that is known better."""
        own = when(medium.taken)
        return own if own[0] is not None and len(own[0]) > len(stamp[0] or "") else stamp

    def _path(self, medium: Medium) -> Path | None:
        if medium.name in self._paths and medium.file:
            return self._paths[medium.name]
        path, reason = self._found(medium)
        if reason:
            self._note(reason)
        elif medium.file:
            self._paths[medium.name] = path
        return path

    def _found(self, medium: Medium) -> tuple[Path | None, str]:
        """Where the file is, or why there is none."""
        name = medium.name
        if is_address(name):
            return None, "at a web address: download them to read them"
        if leads_out(name):
            return None, "whose path leads out of the archive"
        inside = name.replace("\\", "/") if "/" not in name else name
        path = self.root / inside
        if self.archive.holds(inside) and not path.exists():
            return None, "in the ZIP file: unpack it to read them"
        if "%" in inside and not path.exists():
            decoded = unquote(inside)
            if not leads_out(decoded) and (self.root / decoded).is_file():
                return self.root / decoded, ""
        if not medium.file and not path.is_file():
            return None, "without a file or an address"
        return path, ""

    def _details(self, text: str | None, key: str) -> Mapping[str, Any]:
        """What the writer put there of one occurrence."""
        if text is None or DETAILS not in text:
            return {}
        try:
            found = json.loads(text)
        except (ValueError, RecursionError):
            return {}  # of others, who may write there what they like
        found = found.get(DETAILS) if isinstance(found, dict) else None
        if not isinstance(found, dict):
            return {}
        details = {}
        for name, value in found.items():
            try:
                if name in FIELDS:
                    details[name] = detail_in(name, value, self.root)
            except (ValueError, TypeError, OverflowError):
                self.left_out.note("details that cannot be read", f"{key} {name}")
        return details

    def _with_details(
        self, photo: ObservedPhoto, details: Mapping[str, Any], key: str
    ) -> ObservedPhoto:
        if details:
            with suppress(ValueError, TypeError):
                return replace(photo, **details)
            self.left_out.note("details that cannot be read", key)
        return photo

    def _note(self, what: str) -> None:
        self.notes[what] = self.notes.get(what, 0) + 1


def _first(cells: Mapping[str, Sequence[str | None]], names: Sequence[str]) -> list[str | None]:
    """The cells of the first of the terms that has a value."""
    return [
        next((cell for cell in row if cell is not None), None)
        for row in zip(*(cells[name] for name in names), strict=True)
    ]


def _known(cell: str | None, words: Sequence[str]) -> str | None:
    """A word of a vocabulary in its one spelling, other texts as they are, None for unknown."""
    plain = (cell or "").strip().lower()
    if plain in words:
        return plain
    return None if plain in _UNKNOWN else cell
