"""Writes a Darwin Core Archive from what any source told of photographs.

Each record is an occurrence, with its photograph as a medium and its box as a region of interest
of that.  What Darwin Core has no term for, or cannot hold as it is, stands as JSON in the
occurrence's `dynamicProperties` under the key `flukeprint`, which reading heeds.
"""

import csv
import json
import mimetypes
import tempfile
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from flukeprint.data.exchange.camtrap.data_package import is_address
from flukeprint.data.exchange.camtrap.rows import base_name, corners_of, unused_key
from flukeprint.data.exchange.camtrap.rows import plain as one_cell
from flukeprint.data.exchange.camtrap.writing import absolute_of, root_of
from flukeprint.data.exchange.darwin_core import terms
from flukeprint.data.exchange.darwin_core.archive import DESCRIPTION
from flukeprint.data.exchange.darwin_core.certainty import certainty_text
from flukeprint.data.exchange.darwin_core.dates import when
from flukeprint.data.exchange.darwin_core.documents import (
    MEDIA,
    MEDIA_TERMS,
    METADATA,
    OCCURRENCE_TERMS,
    OCCURRENCES,
    eml_text,
    header,
    meta_text,
)
from flukeprint.data.exchange.darwin_core.reading import CAMERA_TRAP, DETAILS, read_with_keys
from flukeprint.data.exchange.details import details_of
from flukeprint.data.exchange.observed import Observed, ObservedPhoto
from flukeprint.errors import FlukeprintError
from flukeprint.files import written_whole
from flukeprint.storage import is_local

_CORNERS = ("bboxX", "bboxY", "bboxWidth", "bboxHeight")
Row = Mapping[str, str]


def write_darwin_core(
    observed: Observed,
    target: Path,
    *,
    root: Path | None = None,
    title: str = "Photographs of animals",
    contact: str = "unknown",
) -> Path:
    """Write the archive, and return the folder where its photographs' relative names begin.

    target: a folder, or a ZIP file where it ends in .zip.
    root: the folder of names; by default that of the archive where all photographs lie in it, else
        the deepest one that holds them all.
    contact: who made it; the metadata ask for a name.

    Raises:
        FlukeprintError: there is an archive already, or it cannot be written.
    """
    target = Path(target)
    zipped = target.suffix.lower() == ".zip"
    if (target if zipped else target / DESCRIPTION).exists():
        raise FlukeprintError(f"{target} holds an archive already; name another")
    folder = target.parent if zipped else target
    writing = _Writing(observed.photos, folder if root is None else Path(root), root is not None)
    try:
        with tempfile.TemporaryDirectory(prefix="darwin-") as name:
            draft = Path(name)
            writing.write(draft)
            (draft / DESCRIPTION).write_text(meta_text(), encoding="utf-8")
            (draft / METADATA).write_text(eml_text(title, contact), encoding="utf-8")
            if writing.add_details(draft):
                writing.write(draft)
            names = (OCCURRENCES, MEDIA, METADATA, DESCRIPTION)  # the last makes it an archive
            if zipped:
                with (
                    written_whole(target) as file,
                    zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive,
                ):
                    for each in names:
                        archive.write(draft / each, each)
                return writing.root
            for each in names:
                with written_whole(folder / each) as file:
                    file.write_bytes((draft / each).read_bytes())
    except OSError as error:
        raise FlukeprintError(
            f"{target} cannot be written: {error.strerror or type(error).__name__}"
        ) from None
    return writing.root


class _Writing:
    """The tables of some photographs."""

    def __init__(self, photos: Sequence[ObservedPhoto], root: Path, asked: bool) -> None:
        self.photos = photos
        self.root = root if asked else root_of(photos, root)
        self._begin = absolute_of(self.root)
        self._occurrences: list[dict[str, str]] = []
        self._media: list[dict[str, str]] = []
        images = {photo.image for photo in photos}
        keys: set[str] = set()
        regions: set[str] = set()
        for photo in photos:
            key = unused_key(photo.image, keys)
            self._occurrences.append(_occurrence(photo, key))
            medium = self._medium(photo, base_name(photo.image, images))
            self._media.append({"coreid": key, **medium})
            corners = corners_of(photo.box)
            if photo.box is not None and corners:
                name = medium[terms.IDENTIFIER]
                box = zip(terms.REGION, (corners[one] for one in _CORNERS), strict=True)
                region = {
                    "coreid": key,
                    terms.IDENTIFIER: unused_key(f"{name}#region", regions),
                    terms.TYPE: "StillImage",
                    terms.REGION_OF: name,
                    **{term: _decimal(float(side)) for term, side in box},
                }
                self._media.append(region)

    def write(self, folder: Path) -> None:
        _write_table(folder / OCCURRENCES, OCCURRENCE_TERMS, self._occurrences)
        _write_table(folder / MEDIA, ("coreid", *MEDIA_TERMS), self._media)

    def add_details(self, draft: Path) -> bool:
        """Add what the archive in `draft` tells otherwise than the photographs do."""
        read = read_with_keys(draft, self.root, details=False)
        back = dict(zip(read.keys, read.observed.photos, strict=True))
        added = False
        for row, photo in zip(self._occurrences, self.photos, strict=True):
            details = details_of(photo, back[row[terms.OCCURRENCE_ID]], self._relative)
            if details:
                row[terms.DYNAMIC] = json.dumps({DETAILS: details})
                added = True
        return added

    def _relative(self, path: Path | None) -> str | None:
        """The name of a local file below the root; None for what has none."""
        if path is None or not is_local(path):
            return None
        try:
            return absolute_of(path).relative_to(self._begin).as_posix()
        except ValueError:
            return None

    def _medium(self, photo: ObservedPhoto, base: str) -> dict[str, str]:
        name = self._relative(photo.path)
        there = name is not None or is_address(base)
        if name is None:
            there = there or (photo.path is not None and not is_local(photo.path))
            name = base if photo.path is None or is_local(photo.path) else str(photo.path)
        kind = mimetypes.guess_type(name.rpartition("/")[2])[0] or ""
        name = one_cell(name) or "?"
        return {
            terms.IDENTIFIER: name,
            terms.TYPE: "StillImage",
            terms.FORMAT: kind if kind.startswith("image/") else "",
            terms.ACCESS: name if there else "",
            terms.VIEW: photo.view or "",
        }


def _occurrence(photo: ObservedPhoto, key: str) -> dict[str, str]:
    latitude, longitude = photo.latitude, photo.longitude
    known = latitude is not None and longitude is not None
    radius = photo.uncertainty if known else None
    return {
        terms.OCCURRENCE_ID: key,
        terms.BASIS: f"{'Machine' if photo.machine or photo.deployment else 'Human'}Observation",
        terms.EVENT_ID: photo.encounter or "",
        terms.PARENT_EVENT_ID: photo.deployment or "",
        terms.SAMPLING_PROTOCOL: CAMERA_TRAP if photo.deployment else "",
        terms.EVENT_DATE: _date(photo),
        terms.PLACE[0]: photo.place or "",
        terms.LATITUDE: _decimal(latitude) if known else "",
        terms.LONGITUDE: _decimal(longitude) if known else "",
        terms.DATUM: "WGS84" if known else "",
        terms.UNCERTAINTY: _decimal(radius) if radius is not None and radius > 0 else "",
        terms.OBSERVER: photo.observer or "",
        terms.IDENTITY[0]: photo.identity or "",
        terms.SEX: photo.sex or "",
        terms.LIFE_STAGE: photo.life_stage or "",
        terms.SPECIES: photo.species or "",
        terms.IDENTIFIED_BY: photo.by or "",
        terms.IDENTIFIED_HOW: certainty_text(photo),
        terms.REMARKS: photo.notes or "",
        terms.DYNAMIC: "",
    }


def _date(photo: ObservedPhoto) -> str:
    """The date in ISO 8601, with its offset where it has a time; "" for what is no date."""
    if photo.date is None or when(photo.date)[0] != photo.date:
        return ""
    return photo.date + (photo.offset or "" if len(photo.date) > 10 else "")


def _decimal(number: float | None) -> str:
    """The number with all its digits and without an exponent, which decimals may not have."""
    return "" if number is None else np.format_float_positional(number, trim="-")


def _write_table(path: Path, names: Sequence[str], rows: Iterable[Row]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header(names))
        writer.writerows([_cell(row.get(name, "")) for name in names] for row in rows)


def _cell(text: str) -> str:
    """Text without line breaks or tabs, which many readers of archives take for ends of cells."""
    if text.isprintable():  # as nearly all are
        return text
    return " ".join(one_cell(text).replace("\t", " ").split("\n"))
