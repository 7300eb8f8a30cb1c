"""Rows of the tables of a Camtrap DP that is written, a photograph's box each."""

import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime

from flukeprint.data.catalog import Box
from flukeprint.data.exchange.camtrap.cells import LEAST_WIDTH, UNKNOWN_RADIUS
from flukeprint.data.exchange.camtrap.reading import MISSING
from flukeprint.data.exchange.observed import ObservedPhoto

UNKNOWN_TIME = "1970-01-01T00:00:00+00:00"
_PATH = re.compile(r"(?![./~])((?!\.\.)[^\n\\])*")  # what the standard allows in `filePath`
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\x85\u2028\u2029]")
_SUFFIX = re.compile(r"(.+)#\d+")
_STAGES = ("adult", "subadult", "juvenile")
_SEXES = ("female", "male")
Row = Mapping[str, str]


def timestamp(photo: ObservedPhoto) -> str:
    """The time of a photograph in the standard's form; UNKNOWN_TIME where none is known."""
    if photo.date is None:
        return UNKNOWN_TIME
    filled = photo.date + "0000-01-01T00:00:00"[len(photo.date) :] + (photo.offset or "+00:00")
    try:
        return datetime.fromisoformat(filled).isoformat(timespec="seconds")
    except ValueError:
        return UNKNOWN_TIME


def deployment_row(photo: ObservedPhoto, key: str) -> dict[str, str]:
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


def widen(deployment: dict[str, str], stamp: str) -> None:
    """Let the deployment's time hold the photograph's; an unknown one only where there is none."""
    start, end = deployment["deploymentStart"], deployment["deploymentEnd"]
    if stamp == UNKNOWN_TIME:
        deployment["timestampIssues"] = "true"
    if not start or UNKNOWN_TIME == start == end:
        deployment["deploymentStart"] = deployment["deploymentEnd"] = stamp
    elif stamp != UNKNOWN_TIME:
        deployment["deploymentStart"] = min(start, stamp, key=seconds_of)
        deployment["deploymentEnd"] = max(end, stamp, key=seconds_of)


def seconds_of(stamp: str) -> float:
    """Seconds since 1970; years at the ends of the calendar have no time in UTC."""
    time = datetime.fromisoformat(stamp)
    offset = time.utcoffset()
    local = time.replace(tzinfo=None) - datetime(1970, 1, 1)
    return local.total_seconds() - (offset.total_seconds() if offset else 0)


def observation_row(
    photo: ObservedPhoto, medium: Row, key: str, classified: datetime | None
) -> dict[str, str]:
    animal = any(
        value is not None
        for value in (photo.identity, photo.species, photo.box, photo.sex, photo.life_stage)
    )
    named = photo.identity is not None
    by = "machine" if photo.machine else "human"
    share = photo.probability if named else photo.confidence
    corners = corners_of(photo.box)
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
        "classificationTimestamp": utc(classified) if named and classified else "",
        "classificationProbability": repr(share) if share is not None and 0 <= share <= 1 else "",
        "observationTags": f"view:{photo.view}" if plain_view else "",
        "observationComments": photo.notes or "",
    }


def corners_of(box: Box | None) -> dict[str, str]:
    if box is None:
        return {}
    x0, y0, x1, y1 = box
    width, height = size_of(x0, x1), size_of(y0, y1)
    if width <= LEAST_WIDTH or height <= LEAST_WIDTH:
        return {}
    return {
        "bboxX": repr(x0),
        "bboxY": repr(y0),
        "bboxWidth": repr(width),
        "bboxHeight": repr(height),
    }


def size_of(low: float, high: float) -> float:
    """The number that added to `low` gives `high`, which their difference need not."""
    size = high - low
    near = (size, math.nextafter(size, 2), math.nextafter(size, 0))
    return next((one for one in near if low + one == high and one <= 1), size)


def utc(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def base_name(image: str, images: set[str]) -> str:
    """The name of the photograph of which this is one of several boxes."""
    found = _SUFFIX.fullmatch(image)
    return found[1] if found and found[1] in images else image


def unused_key(name: str, taken: set[str]) -> str:
    """A key of that name, which none of the taken ones is nor counts as missing."""
    text = plain(name)
    key, number = text, 1
    while key in taken or key in MISSING:
        number += 1
        key = f"{text}-{number}"
    taken.add(key)
    return key


def allowed_path(name: str) -> str:
    """A relative path that the standard allows, with a % where it does not."""
    if _PATH.fullmatch(name) and name not in MISSING:
        return name
    coded = "".join(f"%{ord(one):02X}" if one in "%\n\r\\:" else one for one in name)
    coded = coded.replace("..", "%2E%2E")
    first = coded[:1] or "%"
    return coded if first not in "./~" and coded not in MISSING else f"%{ord(first):02X}{coded[1:]}"


def _text(value: object) -> str:
    return "" if value is None else str(value)


def plain(text: str) -> str:
    """Text that every reader of CSV takes for one cell."""
    return _CONTROLS.sub(" ", text).encode("utf-8", "replace").decode()
