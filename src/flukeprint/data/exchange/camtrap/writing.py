"""Writes Camtrap DP 1.0.2 from what any source told of photographs.

The standard asks for a time and a position of everything.  Where they are unknown the tables say
1970-01-01 and a radius of half the Earth, and a comment says so.  What the tables have no room for
stands in a table of its own, `flukeprint`: it is found by reading the package back.
"""

import csv
import json
import mimetypes
import os
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from flukeprint.data.exchange.camtrap.data_package import DESCRIPTION, is_address
from flukeprint.data.exchange.camtrap.reading import (
    DETAIL_COLUMNS,
    DETAILS,
    read_with_ids,
)
from flukeprint.data.exchange.camtrap.rows import (
    UNKNOWN_TIME,
    Row,
    allowed_path,
    base_name,
    deployment_row,
    observation_row,
    plain,
    timestamp,
    unused_key,
    utc,
    widen,
)
from flukeprint.data.exchange.details import details_of
from flukeprint.data.exchange.observed import Observed, ObservedPhoto
from flukeprint.errors import FlukeprintError
from flukeprint.files import written_whole
from flukeprint.storage import is_local

VERSION = "1.0.2"
_SOURCE = f"https://raw.githubusercontent.com/tdwg/camtrap-dp/{VERSION}"

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
OBSERVATIONS = (
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
_COLUMNS = {"deployments": _DEPLOYMENTS, "media": _MEDIA, "observations": OBSERVATIONS}


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
        self.root = root if asked else root_of(photos, root)
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
                key = unused_key(photo.deployment or "deployment", taken["deployments"])
                deployments[where] = deployment_row(photo, key)
            deployment = deployments[where]
            widen(deployment, stamp)
            base = base_name(photo.image, images)
            picture = base if photo.path is None else str(photo.path)
            what = (picture, deployment["deploymentID"], stamp)
            if what not in media:
                media[what] = self._medium(photo, base, stamp) | {
                    "mediaID": unused_key(base, taken["media"]),
                    "deploymentID": deployment["deploymentID"],
                }
            key = unused_key(photo.image, taken["observations"])
            observations.append(observation_row(photo, media[what], key, classified))
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
            for name, value in details_of(photo, back[key], self._relative).items():
                rows.append({"observationID": key, "field": name, "value": json.dumps(value)})
        return rows

    def _relative(self, path: Path | None) -> str | None:
        """The name of a local file below the root; None for what has none."""
        if path is None or not is_local(path):
            return None
        try:
            inside = absolute_of(path).relative_to(absolute_of(self.root))
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
            "filePath": name if is_address(name) else allowed_path(name),
            "filePublic": "true" if photo.path is not None or is_address(name) else "false",
            "fileName": name.rpartition("/")[2],
            "fileMediatype": kind if kind.startswith("image/") else "image/x-unknown",
            "mediaComments": "time unknown" if stamp == UNKNOWN_TIME else "",
        }


def absolute_of(path: Path) -> Path:
    """The whole path without `..`; links stay, for their names are what a package tells."""
    return Path(os.path.normpath(path.absolute()))


def root_of(photos: Sequence[ObservedPhoto], folder: Path) -> Path:
    """The folder where names of files begin, so that they are the photographs' where possible."""
    local = [(one.path, one.image) for one in photos if one.path and is_local(one.path)]
    parents = {absolute_of(path.parent) for path, _ in local}
    own = absolute_of(folder)
    try:
        if not parents or Path(os.path.commonpath([own, *parents])) == own:
            return folder
        images = {photo.image for photo in photos}
        begins = set()
        for path, image in local:
            name = "/" + base_name(image, images)
            text = absolute_of(path).as_posix()
            begins.add(text.removesuffix(name) if text.endswith(name) else "")
        shared = Path(os.path.commonpath(parents))
        begin = Path(begins.pop() if len(begins) == 1 else "")
        if begin.is_absolute() and shared.is_relative_to(begin):
            return begin
        return shared
    except ValueError:  # several drives have no folder in common
        return folder


def _write_table(path: Path, columns: Sequence[str], rows: Iterable[Row]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows([plain(row.get(column, "")) for column in columns] for row in rows)


def _write_description(path: Path, description: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(description, indent=2), encoding="utf-8")


def _description(photos: Sequence[ObservedPhoto], title: str, contributor: str) -> dict[str, Any]:
    known = [stamp for photo in photos if (stamp := timestamp(photo)) != UNKNOWN_TIME]
    days = sorted(stamp[:10] for stamp in known) or [UNKNOWN_TIME[:10]]
    species = sorted({plain(photo.species) for photo in photos if photo.species})
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
        "created": utc(datetime.now(UTC)),
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
