"""Camtrap DP packages for tests, and the standard's tables as frictionless checks them."""

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

PROFILE = "https://raw.githubusercontent.com/tdwg/camtrap-dp/{}/camtrap-dp-profile.json"
START = "2023-04-01T06:00:00+02:00"
END = "2023-05-01T06:00:00+02:00"

_TIME = {"type": "datetime", "format": "%Y-%m-%dT%H:%M:%S%z"}


def _share(least: float = 0) -> dict[str, Any]:
    return {"type": "number", "constraints": {"minimum": least, "maximum": 1}}


# Of version 1.0.2; a name with ! is required, with !! unique too.  Others are plain text.
FIELDS: dict[str, dict[str, dict[str, Any]]] = {
    "deployments": {
        "deploymentID!!": {},
        "locationID": {},
        "locationName": {},
        "latitude!": {"type": "number", "constraints": {"minimum": -90, "maximum": 90}},
        "longitude!": {"type": "number", "constraints": {"minimum": -180, "maximum": 180}},
        "coordinateUncertainty": {"type": "integer", "constraints": {"minimum": 1}},
        "deploymentStart!": _TIME,
        "deploymentEnd!": _TIME,
        "setupBy": {}, "cameraID": {}, "cameraModel": {}, "cameraDelay": {}, "cameraHeight": {},
        "cameraDepth": {}, "cameraTilt": {}, "cameraHeading": {}, "detectionDistance": {},
        "timestampIssues": {"type": "boolean"},
        "baitUse": {"type": "boolean"},
        "featureType": {}, "habitat": {}, "deploymentGroups": {}, "deploymentTags": {},
        "deploymentComments": {},
    },
    "media": {
        "mediaID!!": {},
        "deploymentID!": {},
        "captureMethod": {"constraints": {"enum": ["activityDetection", "timeLapse"]}},
        "timestamp!": _TIME,
        "filePath!": {"constraints": {"pattern": r"^(?=^[^./~])(^((?!\.{2}).)*$).*$"}},
        "filePublic!": {"type": "boolean"},
        "fileName": {},
        "fileMediatype!": {"constraints": {"pattern": "^(image|video|audio)/.*$"}},
        "exifData": {}, "favorite": {"type": "boolean"}, "mediaComments": {},
    },
    "observations": {
        "observationID!!": {},
        "deploymentID!": {},
        "mediaID": {},
        "eventID": {},
        "eventStart!": _TIME,
        "eventEnd!": _TIME,
        "observationLevel!": {"constraints": {"enum": ["media", "event"]}},
        "observationType!": {
            "constraints": {
                "enum": ["animal", "human", "vehicle", "blank", "unknown", "unclassified"]
            }
        },
        "cameraSetupType": {},
        "scientificName": {},
        "count": {"type": "integer", "constraints": {"minimum": 1}},
        "lifeStage": {"constraints": {"enum": ["adult", "subadult", "juvenile"]}},
        "sex": {"constraints": {"enum": ["female", "male"]}},
        "behavior": {}, "individualID": {}, "individualPositionRadius": {},
        "individualPositionAngle": {}, "individualSpeed": {},
        "bboxX": _share(),
        "bboxY": _share(),
        "bboxWidth": _share(1e-15),
        "bboxHeight": _share(1e-15),
        "classificationMethod": {"constraints": {"enum": ["human", "machine"]}},
        "classifiedBy": {},
        "classificationTimestamp": _TIME,
        "classificationProbability": _share(),
        "observationTags": {},
        "observationComments": {},
    },
}  # fmt: skip
KEYS = {"deployments": "deploymentID", "media": "mediaID"}  # that other tables name


def schema(table: str) -> dict[str, Any]:
    """The table's schema, so that frictionless needs no network."""
    fields = []
    for marked, field in FIELDS[table].items():
        name = marked.rstrip("!")
        constraints = dict(field.get("constraints", {}))
        if marked != name:
            constraints["required"] = True
        if marked.endswith("!!"):
            constraints["unique"] = True
        fields.append({"type": "string"} | field | {"name": name, "constraints": constraints})
    others = [
        {"fields": key, "reference": {"resource": other, "fields": key}}
        for other, key in KEYS.items()
        if other != table and key in {field["name"] for field in fields}
    ]
    return {"fields": fields, "missingValues": ["", "NA", "NaN", "nan"], "foreignKeys": others}


def write_package(
    folder: Path,
    tables: Mapping[str, Sequence[Mapping[str, str]]],
    *,
    version: str = "1.0.1",
    **resource: Any,
) -> Path:
    """Write a package of these rows; resource: more of what describes each table."""
    folder.mkdir(parents=True, exist_ok=True)
    delimiter = resource.get("dialect", {}).get("delimiter", ",")
    for name, rows in tables.items():
        columns = list(dict.fromkeys(column for row in rows for column in row)) or ["mediaID"]
        encoding = resource.get("encoding", "utf-8")
        with (folder / f"{name}.csv").open("w", newline="", encoding=encoding) as file:
            writer = csv.DictWriter(file, columns, delimiter=delimiter)
            writer.writeheader()
            writer.writerows(rows)
    description = {
        "profile": PROFILE.format(version),
        "resources": [{"name": name, "path": f"{name}.csv"} | resource for name in tables],
    }
    (folder / "datapackage.json").write_text(json.dumps(description), encoding="utf-8")
    return folder


def deployment(key: str = "d1", **more: str) -> dict[str, str]:
    return {
        "deploymentID": key, "locationName": "Bach", "latitude": "50.5", "longitude": "4.25",
        "coordinateUncertainty": "187", "deploymentStart": START, "deploymentEnd": END,
    } | more  # fmt: skip


def medium(key: str, **more: str) -> dict[str, str]:
    return {
        "mediaID": key, "deploymentID": "d1", "captureMethod": "timeLapse",
        "timestamp": "2023-04-02T10:00:00+02:00", "filePath": f"media/{key}.jpg",
        "filePublic": "true", "fileMediatype": "image/jpeg",
    } | more  # fmt: skip


def observation(key: str, media: str = "", **more: str) -> dict[str, str]:
    return {
        "observationID": key, "deploymentID": "d1", "mediaID": media, "eventID": "",
        "eventStart": "2023-04-02T08:00:00Z", "eventEnd": "2023-04-02T08:00:00Z",
        "observationLevel": "media" if media else "event", "observationType": "animal",
        "scientificName": "Lynx lynx", "individualID": "",
    } | more  # fmt: skip
