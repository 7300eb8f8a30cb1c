"""Writes Camtrap DP 1.0.2 from what any source told of photographs.

The standard asks for a time and a position of everything.  Where they are unknown the tables say
1970-01-01 and a radius of half the Earth, and a comment says so.  What the tables have no room for
stands in a table of its own, `flukeprint`: it is found by reading the package back.
"""

import csv
import json
import math
import mimetypes
import os
import re
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from flukeprint.data.catalog import Box
from flukeprint.data.exchange.camtrap_dp import (
    DETAIL_COLUMNS,
    DETAILS,
    LEAST_WIDTH,
    MISSING,
    UNKNOWN_RADIUS,
    read_with_ids,
)
from flukeprint.data.exchange.data_package import DESCRIPTION, is_address
from flukeprint.data.exchange.observed import Observed, ObservedPhoto
from flukeprint.errors import FlukeprintError
from flukeprint.files import written_whole
from flukeprint.storage import is_local

VERSION = "1.0.2"
_SOURCE = f"https://raw.githubusercontent.com/tdwg/camtrap-dp/{VERSION}"
UNKNOWN_TIME = "1970-01-01T00:00:00+00:00"
_PATH = re.compile(r"(?![./~])((?!\.\.)[^\n\\])*")  # what the standard allows in `filePath`
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\x85\u2028\u2029]")
_SUFFIX = re.compile(r"(.+)#\d+")

_Row = Mapping[str, str]
_DEPLOYMENTS = (
    "deploymentID", "locationID", "locationName", "latitude", "longitude",
    "coordinateUncertainty", "deploymentStart", "deploymentEnd", "setupBy", "cameraID",
    "cameraModel", "cameraDelay", "cameraHeight", "cameraDepth", "cameraTilt", "cameraHeading",
    "detectionDistance", "timestampIssues", "baitUse", "featureType", "habitat",
    "deploymentGroups", "deploymentTags", "deploymentComments",
)  # fmt: skip
_MEDIA = (
    "mediaID", "deploymentID", "captureMethod", "timestamp", "filePath", "filePublic", "fileName",
    "fileMediatype", "exifData", "favorite", "mediaComments",
)  # fmt: skip
_OBSERVATIONS = (
    "observationID", "deploymentID", "mediaID", "eventID", "eventStart", "eventEnd",
    "observationLevel", "observationType", "cameraSetupType", "scientificName", "count",
    "lifeStage", "sex", "behavior", "individualID", "individualPositionRadius",
    "individualPositionAngle", "individualSpeed", "bboxX", "bboxY", "bboxWidth", "bboxHeight",
    "classificationMethod", "classifiedBy", "classificationTimestamp",
    "classificationProbability", "observationTags", "observationComments",
)  # fmt: skip
# frictionless guesses what is not said, and takes a | in few rows for the separator
_DIALECT = {
    "delimiter": ",", "quoteChar": '"', "doubleQuote": True, "skipInitialSpace": False,
}  # fmt: skip
_STAGES = ("adult", "subadult", "juvenile")
_SEXES = ("female", "male")
_FIELDS = tuple(field.name for field in fields(ObservedPhoto))
_COLUMNS = {"deployments": _DEPLOYMENTS, "media": _MEDIA, "observations": _OBSERVATIONS}


def write_camtrap_dp(
    observed: Observed,
    folder: Path,
    *,
    root: Path | None = None,
    title: str = "Photographs of animals",
    contributor: str = "unknown",
    classified: datetime | None = None,
) -> Path:
    """Write the package into `folder`, and return the folder where its `filePath`s begin.

    root: that folder; by default `folder` where all photographs lie in it, else the deepest one
        that holds them all.
    contributor: who made it; the standard asks for a name.
    classified: when the identities were given.

    Raises:
        FlukeprintError: there is a package already, or the folder cannot be written.
    """
    folder = Path(folder)
    if (folder / DESCRIPTION).exists():
        raise FlukeprintError(f"{folder} holds a package already; name another folder")
    writing = _Writing(observed.photos, folder if root is None else Path(root), root is not None)
    tables = writing.tables(classified)
    description = _description(observed.photos, title, contributor)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".camtrap-", dir=folder) as name:
            draft = Path(name)
            for table, rows in tables.items():
                _write_table(draft / f"{table}.csv", _COLUMNS[table], rows)
            _write_description(draft / DESCRIPTION, description)
            details = writing.details(draft)
        for table, rows in tables.items():
            with written_whole(folder / f"{table}.csv") as file:
                _write_table(file, _COLUMNS[table], rows)
        if details:
            description["resources"].append(_details_resource())
            with written_whole(folder / f"{DETAILS}.csv") as file:
                _write_table(file, DETAIL_COLUMNS, details)
        with written_whole(folder / DESCRIPTION) as file:
            _write_description(file, description)
    except OSError as error:
        raise FlukeprintError(
            f"{folder} cannot be written: {error.strerror or type(error).__name__}"
        ) from None
    return writing.root


class _Writing:
    """The tables of some photographs."""

    def __init__(self, photos: Sequence[ObservedPhoto], root: Path, asked: bool) -> None:
        self.photos = photos
        self.root = root if asked else _root(photos, root)
        self._ids: list[str] = []  # of the photographs' observations

    def tables(self, classified: datetime | None) -> dict[str, list[dict[str, str]]]:
        """Rows of the standard's tables."""
        deployments: dict[tuple[Any, ...], dict[str, str]] = {}
        media: dict[tuple[str, str, str], dict[str, str]] = {}
        observations = []
        images = {photo.image for photo in self.photos}
        taken: dict[str, set[str]] = {"deployments": set(), "media": set(), "observations": set()}
        for photo in self.photos:
            stamp = timestamp(photo)
            where = (
                photo.deployment, photo.latitude, photo.longitude, photo.uncertainty,
                photo.place, photo.observer,
            )  # fmt: skip
            if where not in deployments:
                key = _unused(photo.deployment or "deployment", taken["deployments"])
                deployments[where] = _deployment(photo, key)
            deployment = deployments[where]
            _widen(deployment, stamp)
            base = _base(photo.image, images)
            picture = base if photo.path is None else str(photo.path)
            what = (picture, deployment["deploymentID"], stamp)
            if what not in media:
                media[what] = self._medium(photo, base, stamp) | {
                    "mediaID": _unused(base, taken["media"]),
                    "deploymentID": deployment["deploymentID"],
                }
            key = _unused(photo.image, taken["observations"])
            observations.append(_observation(photo, media[what], key, classified))
        self._ids = [row["observationID"] for row in observations]
        return {
            "deployments": list(deployments.values()),
            "media": list(media.values()),
            "observations": observations,
        }

    def details(self, draft: Path) -> list[dict[str, str]]:
        """What the package in `draft` tells otherwise than the photographs do."""
        read = read_with_ids(draft, self.root, details=False)
        back = dict(zip(read.observations, read.observed.photos, strict=True))
        rows = []
        for key, photo in zip(self._ids, self.photos, strict=True):
            for name in _FIELDS:
                value = getattr(photo, name)
                found = getattr(back[key], name)
                if name == "path":
                    value, found = self._relative(value), self._relative(found)
                if value != found:
                    text = json.dumps(value)
                    rows.append({"observationID": key, "field": name, "value": text})
        return rows

    def _relative(self, path: Path | None) -> str | None:
        """The name of a local file below the root; None for what has none."""
        if path is None or not is_local(path):
            return None
        try:
            inside = _absolute(path).relative_to(_absolute(self.root))
        except ValueError:
            return None
        return inside.as_posix()

    def _medium(self, photo: ObservedPhoto, base: str, stamp: str) -> dict[str, str]:
        name = self._relative(photo.path)
        if name is None:
            name = base if photo.path is None or is_local(photo.path) else str(photo.path)
        kind = mimetypes.guess_type(name.rpartition("/")[2])[0] or ""
        return {
            "timestamp": stamp,
            "filePath": name if is_address(name) else _allowed(name),
            "filePublic": "true" if photo.path is not None or is_address(name) else "false",
            "fileName": name.rpartition("/")[2],
            "fileMediatype": kind if kind.startswith("image/") else "image/x-unknown",
            "mediaComments": "time unknown" if stamp == UNKNOWN_TIME else "",
        }


def timestamp(photo: ObservedPhoto) -> str:
    """The time of a photograph in the standard's form; UNKNOWN_TIME where none is known."""
    if photo.date is None:
        return UNKNOWN_TIME
    filled = photo.date + "0000-01-01T00:00:00"[len(photo.date) :] + (photo.offset or "+00:00")
    try:
        return datetime.fromisoformat(filled).isoformat(timespec="seconds")
    except ValueError:
        return UNKNOWN_TIME


def _absolute(path: Path) -> Path:
    """The whole path without `..`; links stay, for their names are what a package tells."""
    return Path(os.path.normpath(path.absolute()))


def _root(photos: Sequence[ObservedPhoto], folder: Path) -> Path:
    """The folder where names of files begin, so that they are the photographs' where possible."""
    local = [(one.path, one.image) for one in photos if one.path and is_local(one.path)]
    parents = {_absolute(path.parent) for path, _ in local}
    own = _absolute(folder)
    try:
        if not parents or Path(os.path.commonpath([own, *parents])) == own:
            return folder
        images = {photo.image for photo in photos}
        begins = {
            text.removesuffix("/" + name)
            for path, image in local
            if (text := _absolute(path).as_posix()).endswith("/" + (name := _base(image, images)))
        }
        shared = Path(os.path.commonpath(parents))
        if len(begins) == 1 and shared.is_relative_to(begin := Path(begins.pop())):
            return begin
        return shared
    except ValueError:  # several drives have no folder in common
        return folder


def _deployment(photo: ObservedPhoto, key: str) -> dict[str, str]:
    latitude, longitude = photo.latitude, photo.longitude
    known = latitude is not None and longitude is not None
    known = known and abs(latitude or 0) <= 90 and abs(longitude or 0) <= 180
    radius = photo.uncertainty
    if known and radius is not None:
        radius = min(max(math.ceil(radius), 1), UNKNOWN_RADIUS - 1)
    return {
        "deploymentID": key,
        "locationName": photo.place or "",
        "latitude": repr(latitude) if known else "0",
        "longitude": repr(longitude) if known else "0",
        "coordinateUncertainty": _text(radius) if known else str(UNKNOWN_RADIUS),
        "deploymentStart": "",
        "deploymentEnd": "",
        "setupBy": photo.observer or "",
        "timestampIssues": "false",
        "deploymentComments": "" if known else "position unknown",
    }


def _widen(deployment: dict[str, str], stamp: str) -> None:
    """Let the deployment's time hold the photograph's; an unknown one only where there is none."""
    start, end = deployment["deploymentStart"], deployment["deploymentEnd"]
    if stamp == UNKNOWN_TIME:
        deployment["timestampIssues"] = "true"
    if not start or UNKNOWN_TIME == start == end:
        deployment["deploymentStart"] = deployment["deploymentEnd"] = stamp
    elif stamp != UNKNOWN_TIME:
        deployment["deploymentStart"] = min(start, stamp, key=_moment)
        deployment["deploymentEnd"] = max(end, stamp, key=_moment)


def _moment(stamp: str) -> float:
    """Seconds since 1970; years at the ends of the calendar have no time in UTC."""
    time = datetime.fromisoformat(stamp)
    offset = time.utcoffset()
    local = time.replace(tzinfo=None) - datetime(1970, 1, 1)
    return local.total_seconds() - (offset.total_seconds() if offset else 0)


def _observation(
    photo: ObservedPhoto, medium: _Row, key: str, classified: datetime | None
) -> dict[str, str]:
    animal = any(
        value is not None
        for value in (photo.identity, photo.species, photo.box, photo.sex, photo.life_stage)
    )
    named = photo.identity is not None
    by = "machine" if photo.machine else "human"
    share = photo.probability if named else photo.confidence
    corners = _corners(photo.box)
    plain_view = photo.view is not None and "|" not in photo.view
    return {
        "observationID": key,
        "deploymentID": medium["deploymentID"],
        "mediaID": medium["mediaID"],
        "eventID": photo.encounter or "",
        "eventStart": medium["timestamp"],
        "eventEnd": medium["timestamp"],
        "observationLevel": "media",
        "observationType": "animal" if animal else "unclassified",
        "scientificName": photo.species or "",
        "count": "1" if named or corners else "",
        "lifeStage": photo.life_stage if photo.life_stage in _STAGES else "",
        "sex": photo.sex if photo.sex in _SEXES else "",
        "individualID": photo.identity or "",
        **corners,
        "classificationMethod": by if animal or photo.machine or photo.by else "",
        "classifiedBy": photo.by or "",
        "classificationTimestamp": _utc(classified) if named and classified else "",
        "classificationProbability": repr(share) if share is not None and 0 <= share <= 1 else "",
        "observationTags": f"view:{photo.view}" if plain_view else "",
        "observationComments": photo.notes or "",
    }


def _corners(box: Box | None) -> dict[str, str]:
    if box is None:
        return {}
    x0, y0, x1, y1 = box
    width, height = _size(x0, x1), _size(y0, y1)
    if width <= LEAST_WIDTH or height <= LEAST_WIDTH:
        return {}
    return {
        "bboxX": repr(x0),
        "bboxY": repr(y0),
        "bboxWidth": repr(width),
        "bboxHeight": repr(height),
    }


def _size(low: float, high: float) -> float:
    """The number that added to `low` gives `high`, which their difference need not."""
    size = high - low
    near = (size, math.nextafter(size, 2), math.nextafter(size, 0))
    return next((one for one in near if low + one == high and one <= 1), size)


def _utc(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _base(image: str, images: set[str]) -> str:
    """The name of the photograph of which this is one of several boxes."""
    found = _SUFFIX.fullmatch(image)
    return found[1] if found and found[1] in images else image


def _unused(name: str, taken: set[str]) -> str:
    """A key of that name, which none of the taken ones is nor counts as missing."""
    plain = _plain(name)
    key, number = plain, 1
    while key in taken or key in MISSING:
        number += 1
        key = f"{plain}-{number}"
    taken.add(key)
    return key


def _allowed(name: str) -> str:
    """A relative path that the standard allows, with a % where it does not."""
    if _PATH.fullmatch(name) and name not in MISSING:
        return name
    coded = "".join(f"%{ord(one):02X}" if one in "%\n\r\\:" else one for one in name)
    coded = coded.replace("..", "%2E%2E")
    first = coded[:1] or "%"
    return coded if first not in "./~" and coded not in MISSING else f"%{ord(first):02X}{coded[1:]}"


def _text(value: object) -> str:
    return "" if value is None else str(value)


def _plain(text: str) -> str:
    """Text that every reader of CSV takes for one cell."""
    return _CONTROLS.sub(" ", text).encode("utf-8", "replace").decode()


def _write_table(path: Path, columns: Sequence[str], rows: Iterable[_Row]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows([_plain(row.get(column, "")) for column in columns] for row in rows)


def _write_description(path: Path, description: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(description, indent=2), encoding="utf-8")


def _description(photos: Sequence[ObservedPhoto], title: str, contributor: str) -> dict[str, Any]:
    known = [stamp for photo in photos if (stamp := timestamp(photo)) != UNKNOWN_TIME]
    days = sorted(stamp[:10] for stamp in known) or [UNKNOWN_TIME[:10]]
    species = sorted({_plain(photo.species) for photo in photos if photo.species})
    return {
        "resources": [
            {
                "name": name,
                "path": f"{name}.csv",
                "profile": "tabular-data-resource",
                "format": "csv",
                "mediatype": "text/csv",
                "encoding": "utf-8",
                "dialect": _DIALECT,
                "schema": f"{_SOURCE}/{name}-table-schema.json",
            }
            for name in _COLUMNS
        ],
        "profile": f"{_SOURCE}/camtrap-dp-profile.json",
        "created": _utc(datetime.now(UTC)),
        "title": title,
        "contributors": [{"title": contributor}],
        "project": {
            "title": title,
            "samplingDesign": "opportunistic",
            "captureMethod": ["activityDetection"],
            "individualAnimals": True,
            "observationLevel": ["media"],
        },
        "spatial": _spatial(photos),
        "temporal": {"start": days[0], "end": days[-1]},
        "taxonomic": [{"scientificName": name} for name in species],
    }


def _spatial(photos: Iterable[ObservedPhoto]) -> dict[str, Any]:
    """GeoJSON of the rectangle that holds all positions; nothing where none is known."""
    spots = [(one.longitude, one.latitude) for one in photos]
    east = [x for x, y in spots if x is not None and y is not None]
    north = [y for x, y in spots if x is not None and y is not None]
    if not east:
        return {"type": "GeometryCollection", "geometries": []}
    west, south, right, top = min(east), min(north), max(east), max(north)
    if west == right and south == top:
        return {"type": "Point", "coordinates": [west, south]}
    ring = [[west, south], [right, south], [right, top], [west, top], [west, south]]
    return {"type": "Polygon", "coordinates": [ring]}


def _details_resource() -> dict[str, Any]:
    return {
        "name": DETAILS,
        "description": "What flukeprint knows and the other tables have no room for, as JSON.",
        "path": f"{DETAILS}.csv",
        "profile": "tabular-data-resource",
        "format": "csv",
        "mediatype": "text/csv",
        "encoding": "utf-8",
        "dialect": _DIALECT,
        "schema": {"fields": [{"name": name, "type": "string"} for name in DETAIL_COLUMNS]},
    }
