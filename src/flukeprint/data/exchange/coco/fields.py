"""The keys under which COCO files have what is known of a photograph and of the animal in it."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

from flukeprint.data.exchange.json_files import local_date, number, text
from flukeprint.data.names import identity_name

# Keys of our fields, in annotations or else in images; the first of each is the one we write.
OF_PHOTO = {
    "place": ("location", "location_id", "place"),
    "observer": ("photographer", "observer"),
    "occasion": ("occasion",),
    "encounter": ("seq_id", "encounter_id", "encounter"),
    "deployment": ("deployment",),
}
OF_ANIMAL = {
    "view": ("viewpoint", "view"),
    "sex": ("sex",),
    "life_stage": ("life_stage",),
    "notes": ("notes",),
    "by": ("identified_by",),
}
NUMBERS = {
    "latitude": ("gps_lat_captured", "latitude"),
    "longitude": ("gps_lon_captured", "longitude"),
    "uncertainty": ("coordinate_uncertainty",),
}
SHARES = {"probability": ("probability",), "confidence": ("confidence", "score")}
DATES = ("datetime", "date_captured")
OFFSET, MACHINE, NO_FILE, NAME = "utc_offset", "by_machine", "no_file", "photograph_name"
ANIMAL = "animal"  # category of a species that nobody told

# `individual_ids` is not among them: in WBIA's exports it lists the annotations of the animal.
_NAMES = ("name", "individual_name", "individual", "identity", "individual_id", "individualID")
_UUIDS = ("individual_uuid", "name_uuid")
_NOBODY = {"____", "unknown", "unidentified", "none", "null", "nan", "na", "n/a", "-1"}
NO_SPECIES = {"", ANIMAL, "unknown", "unidentified", "object", "none"}
_NOWHERE = "-1.000000"  # WBIA's latitude and longitude, as text, where it knows none
_TEXTS = tuple((OF_PHOTO | OF_ANIMAL).items())
_NUMBERS = tuple((NUMBERS | SHARES).items())

Value = TypeVar("Value")
Trees = Sequence[Mapping[str, Any]]


def fields_of(trees: Trees) -> dict[str, Any]:
    """The fields of `OF_PHOTO`, `OF_ANIMAL`, `NUMBERS` and `SHARES`; earlier trees go first."""
    values: dict[str, Any] = {field: _first(text, keys, trees) for field, keys in _TEXTS}
    for field, keys in _NUMBERS:
        values[field] = _first(number, keys, trees)
    for field in SHARES:
        if values[field] is not None and not 0 <= values[field] <= 1:
            values[field] = None
    where = values["latitude"], values["longitude"]
    if not _on_earth(*where) or (where == (-1, -1) and _nowhere(trees)):
        values["latitude"] = values["longitude"] = None
    if (values["view"] or "").casefold() in _NOBODY:
        values["view"] = None
    return values


def date_of(trees: Trees) -> tuple[str | None, str | None] | None:
    """The first date there is and its offset, each None where there is none.

    None where there are only dates that cannot be read.
    """
    odd = False
    offset = _first(text, (OFFSET,), trees)
    for tree in trees:
        for key in DATES:
            if key not in tree:
                continue
            found = local_date(tree[key])
            odd |= found is None
            if found is not None and found[0] is not None:
                return found[0], offset or found[1]
    return None if odd else (None, offset)


def unambiguous(annotation: Mapping[str, Any], bearers: Mapping[str, set[str]]) -> str | None:
    """Whom an annotation shows, with the id behind the name where several have that name."""
    name, uuid = identity_of(annotation), text(annotation.get(_UUIDS[0]))
    if name is not None and uuid is not None and len(bearers.get(name, ())) > 1:
        return f"{name} ({uuid})"
    return name


def _first(
    convert: Callable[[object], Value | None], keys: Sequence[str], trees: Trees
) -> Value | None:
    """The first value that means something."""
    for tree in trees:
        for key in keys:
            if key in tree and (value := convert(tree[key])) is not None:
                return value
    return None


def identity_of(annotation: Mapping[str, Any]) -> str | None:
    """Whom an annotation shows: the first key that names somebody."""
    for key in (*_NAMES, *_UUIDS):
        if annotation.get(key) is None:
            continue
        name = identity_name(text(annotation.get(key)) or "")
        if name and name.casefold() not in _NOBODY:
            return name
    return None


def key_of_name(annotation: Mapping[str, Any]) -> str | None:
    """The key from which `identity_of` takes the name; None where it finds none."""
    return next(
        (key for key in (*_NAMES, *_UUIDS) if identity_of({key: annotation.get(key)})), None
    )


def usual_key(annotations: Iterable[Any]) -> str:
    """The key under which most annotations have a name or room for one; ours if none has."""
    found: Counter[str] = Counter()
    for one in annotations:
        if isinstance(one, dict):
            found.update(key for key in _NAMES if key in one)
    # Of several in all annotations the first is read, so it is written.
    return max(_NAMES, key=lambda key: found[key])


def forget_name(annotation: dict[str, Any]) -> None:
    """Remove whom an annotation shows; the keys of names stay."""
    for key in _NAMES:
        if key in annotation:
            annotation[key] = None
    for key in _UUIDS:
        annotation.pop(key, None)


def bearers_of(annotations: list[Any]) -> dict[str, set[str]]:
    """The ids of individuals by their names: in Wildbook two may have one name."""
    found: defaultdict[str, set[str]] = defaultdict(set)
    for one in annotations:
        if isinstance(one, dict) and (uuid := text(one.get(_UUIDS[0]))):
            found[identity_of(one) or uuid].add(uuid)
    return found


def _nowhere(trees: Trees) -> bool:
    """Whether a position is what WBIA writes where it knows none."""
    return all(_first(text, NUMBERS[key], trees) == _NOWHERE for key in ("latitude", "longitude"))


def _on_earth(latitude: float | None, longitude: float | None) -> bool:
    """Whether both are given and possible."""
    if latitude is None or longitude is None:
        return False
    return abs(latitude) <= 90 and abs(longitude) <= 180
