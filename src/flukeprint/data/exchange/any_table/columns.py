"""Which column of a table means what: by the names that are known, or as a person says."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from flukeprint.data.readers.boxes import CORNERS
from flukeprint.errors import FlukeprintError, listed, nearest

# Column of a table for `enroll` and `annotate` -> other names; case and blanks do not matter.
COLUMNS: Mapping[str, tuple[str, ...]] = {
    "image": ("file", "photo", "photograph", "filename"),
    "identity": ("id", "individual", "name", "animal"),
    "date": ("datetime", "time", "moment"),
    "latitude": ("lat",),
    "longitude": ("lon", "lng", "long"),
    "uncertainty": ("uncertainty_m",),
    "place": ("site", "location"),
    "observer": ("photographer",),
    "occasion": ("survey",),
    "encounter": ("encounter_id", "sighting"),
    "view": ("viewpoint", "side"),
    "sex": (),
    "life_stage": ("age",),
    "x0": (), "y0": (), "x1": (), "y1": (),
}  # fmt: skip
NOBODY = ("", "?", "unknown")  # what stands in the place of an animal's name
SHARES = ("share_x0", "share_y0", "share_x1", "share_y1")  # of the photograph, whatever the unit

# All that a table can tell when it is imported.
FIELDS: Mapping[str, tuple[str, ...]] = {
    **COLUMNS,
    "file_path": (),  # the file, where `image` is the record's name; empty without one
    "folder": ("relativepath",),  # in which `image` is
    "time": (),  # of the day, beside a date
    "offset": ("utc_offset",),
    "deployment": ("deployment_id", "deploymentid"),
    "species": ("scientific_name", "scientificname"),
    "notes": ("remarks", "comment", "comments"),
    "box": ("bbox",),  # [x, y, width, height]
    **dict.fromkeys(SHARES, ()),
    "confidence": (), "probability": (),
    "by": ("identified_by", "identifiedby"),
    "machine": (),
    "exactly": (),  # JSON of what no cell carries, which only our writer writes
}  # fmt: skip
NUMBERS = (
    "latitude", "longitude", "uncertainty", "confidence", "probability", *CORNERS, *SHARES,
)  # fmt: skip
EXACT = {*FIELDS} - {"exactly", "machine", "folder", "time", "box", *CORNERS}  # may stand there
MAIN = "image"
_NOT_ASKED = {"exactly", "file_path", *SHARES}  # of our own tables


@dataclass(frozen=True)
class Chosen:
    """places: field -> the number of its column, from 0.  ignored: headers that mean nothing."""

    places: Mapping[str, int]
    ignored: tuple[str, ...]


def plain(header: str) -> str:
    """A header as it is compared: without case and blanks at its ends, others as `_`."""
    return header.strip().casefold().replace(" ", "_")


def field_named(name: str) -> str | None:
    """The field of a name or of another word for it; None for neither."""
    name = plain(name)
    if name in FIELDS:
        return name
    return next((field for field, others in FIELDS.items() if name in others), None)


def check_fields(names: Sequence[str], where: str) -> None:
    """Refuse names of fields that there are not."""
    for name in names:
        if field_named(name) is None:
            known = nearest(name, (field for field in FIELDS if field not in _NOT_ASKED))
            raise FlukeprintError(f"{where}: nothing is called {name!r}; {known}")


def choose(headers: Sequence[str], asked: Mapping[str, str], where: str) -> Chosen:
    """Find the column of each field: as asked, else by a known name.

    Raises:
        FlukeprintError: a field or a header that there is not, or two columns for one field.
    """
    check_fields(list(asked), where)
    twice = [name for name, count in Counter(filter(None, headers)).items() if count > 1]
    if twice:
        raise FlukeprintError(f"{where}: column names listed twice: {listed(twice)}; rename one")
    places = {field_named(name) or name: _place(header, headers, where)
              for name, header in asked.items()}  # fmt: skip
    if len(places) < len(asked):
        raise FlukeprintError(f"{where}: {listed(asked)} name one thing twice; keep one")
    taken = set(places.values())
    found: dict[str, list[int]] = {}
    for place, header in enumerate(headers):
        field = field_named(header) if place not in taken else None
        if field is not None and field not in places:
            found.setdefault(field, []).append(place)
            taken.add(place)
    for field, several in found.items():
        if len(several) > 1:
            names = listed(headers[place] for place in several)
            raise FlukeprintError(
                f"{where}: columns {names} mean the same; say which is the {field}"
            )
        places[field] = several[0]
    if "date" not in places and "time" in places:  # a lone time is the whole of it
        places["date"] = places.pop("time")
    ignored = tuple(name for place, name in enumerate(headers) if name and place not in taken)
    return Chosen(places, ignored)


def is_recognised(headers: Sequence[str]) -> bool:
    """Whether headers tell of photographs: which, and something of them."""
    fields = {field_named(header) for header in headers if header} - {None}
    return MAIN in fields and len(fields) > 1


def _place(header: str, headers: Sequence[str], where: str) -> int:
    if header in headers:
        return list(headers).index(header)
    alike = [place for place, one in enumerate(headers) if plain(one) == plain(header)]
    if len(alike) != 1 or not header.strip():
        raise FlukeprintError(
            f"{where} has no column {header!r}: {nearest(header, filter(None, headers))}"
        )
    return alike[0]
