"""Writes what is known of photographs as COCO, with the keys of camera traps and of Wild Me."""

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from flukeprint.data.catalog import Box
from flukeprint.data.exchange.coco.boxes import (
    SHARE_DECIMALS,
    Rectangle,
    file_size,
    is_there,
    pixels_of,
)
from flukeprint.data.exchange.coco.fields import (
    ANIMAL,
    DATES,
    MACHINE,
    NAME,
    NO_FILE,
    NUMBERS,
    OF_ANIMAL,
    OF_PHOTO,
    OFFSET,
    SHARES,
)
from flukeprint.data.exchange.json_files import box_name, posix_name
from flukeprint.data.exchange.observed import Observed, ObservedPhoto
from flukeprint.errors import counted
from flukeprint.files import written_whole
from flukeprint.storage import is_local

Size = tuple[float, float]
_SHARED = {field: keys[0] for field, keys in (OF_PHOTO | NUMBERS).items()}
_OWN = {field: keys[0] for field, keys in (OF_ANIMAL | SHARES).items()}


def write_coco(
    observed: Observed,
    path: Path,
    *,
    root: Path | None = None,
    sizes: Mapping[Path, Size] | None = None,
) -> tuple[str, ...]:
    """Write a COCO file that `read_coco` reads back to the same photographs.

    Files below `root`, by default the folder of `path`, are named relative to it, other ones by
    their whole path.  Boxes are pixels of the upright photographs, whose widths and heights come
    from `sizes` or from the files; where neither tells, they are shares, as camera traps have them.

    Returns lines for people on what is not as every program expects it.

    Raises FlukeprintError where the file cannot be written.
    """
    rows: defaultdict[object, list[ObservedPhoto]] = defaultdict(list)
    for photo in observed.photos:
        rows[photo.path if photo.path is not None else photo.image].append(photo)
    categories: dict[str, int] = {}
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    unmeasured = 0
    for place, photos in enumerate(rows.values(), 1):
        size = _size(photos[0].path, sizes or {})
        unmeasured += size is None
        image = _image(place, photos, root or path.parent, size)
        images.append(image)
        if len(photos) == 1 and _is_bare(photos[0]):
            if photos[0].image != image["file_name"]:
                image[NAME] = photos[0].image
            continue
        for number, photo in enumerate(photos, 1):
            category = categories.setdefault(photo.species or ANIMAL, len(categories) + 1)
            annotation = _annotation(photo, photos, size)
            if photo.image != box_name(image["file_name"], number, len(photos)):
                annotation[NAME] = photo.image
            ids = {"id": len(annotations) + 1, "image_id": place, "category_id": category}
            annotations.append({**ids, **annotation})
    tree = {
        "info": {
            "version": "1.0",
            "description": "Photographs of animals, with individuals and views",
            "contributor": "flukeprint",
        },
        "licenses": [],
        "images": images,
        "annotations": annotations,
        "categories": [
            {"id": number, "name": name, "supercategory": ANIMAL}
            for name, number in categories.items()
        ],
    }
    with written_whole(path) as partial, partial.open("w", encoding="ascii") as file:
        json.dump(tree, file, allow_nan=False)
    if not unmeasured:
        return ()
    return (
        f"{counted(unmeasured, 'photograph')} could not be measured: no width and height, boxes as "
        "shares (`bbox_relative`), which only programs for camera traps read",
    )


def _size(path: Path | None, sizes: Mapping[Path, Size]) -> Size | None:
    """Width and height of an upright photograph; None where nothing tells them."""
    if path is None:
        return None
    if path in sizes:
        return sizes[path]
    found = file_size(path) if is_there(path) else None
    return None if found is None else (found.width, found.height)


def _image(
    place: int, photos: Sequence[ObservedPhoto], root: Path, size: Size | None
) -> dict[str, Any]:
    """An entry of `images`: what all rows of a photograph share."""
    path = photos[0].path
    image: dict[str, Any] = {"id": place}
    image["file_name"] = posix_name(photos[0].image) if path is None else _name(path, root)
    if path is None:
        image[NO_FILE] = True
    if size is not None:
        image["width"], image["height"] = (
            int(side) if side == int(side) else side for side in size
        )
    for field, key in _SHARED.items():
        if (value := getattr(photos[0], field)) is not None and _agree(photos, field):
            image[key] = value
    if _agree(photos, "date", "offset"):
        image |= _date(photos[0])
    return image


def _annotation(
    photo: ObservedPhoto, photos: Sequence[ObservedPhoto], size: Size | None
) -> dict[str, Any]:
    """An entry of `annotations` without its ids: its box, and what its photograph's rows differ in.

    `name` and `viewpoint` are always there, as Wild Me's readers expect.
    """
    annotation: dict[str, Any] = {"iscrowd": 0, "name": photo.identity, "viewpoint": photo.view}
    annotation |= _box(photo.box, size)
    own = {field: key for field, key in _SHARED.items() if not _agree(photos, field)}
    for field, key in (own | _OWN).items():
        if (value := getattr(photo, field)) is not None:
            annotation[key] = value
    if not _agree(photos, "date", "offset"):
        annotation |= _date(photo)
    if photo.machine:
        annotation[MACHINE] = True
    return annotation


def _box(box: Box | None, size: Size | None) -> dict[str, Any]:
    """The keys of a box; none for the whole photograph, where no box was drawn."""
    if box is None:
        return {}
    if size is None:
        x0, y0, x1, y1 = box
        least = 10.0**-SHARE_DECIMALS
        sides = (max(round(side, SHARE_DECIMALS), least) for side in (x1 - x0, y1 - y0))
        return {"bbox_relative": [x0, y0, *sides]}
    found = pixels_of(box, *size)
    area = found.width * found.height
    return {"bbox": list(found), "area": area, "segmentation": [_corners(found)]}


def _corners(box: Rectangle) -> list[float]:
    x0, y0, x1, y1 = box.x, box.y, box.x + box.width, box.y + box.height
    return [x0, y0, x1, y0, x1, y1, x0, y1]


def _date(photo: ObservedPhoto) -> dict[str, str]:
    """The date under the keys of camera traps and of COCO, as Python writes it."""
    found = {} if photo.date is None else dict.fromkeys(DATES, photo.date.replace("T", " "))
    return found if photo.offset is None else {**found, OFFSET: photo.offset}


def _agree(photos: Sequence[ObservedPhoto], *fields: str) -> bool:
    """Whether all rows have one value of each field."""
    if len(photos) == 1:
        return True
    return all(len({getattr(photo, field) for photo in photos}) == 1 for field in fields)


def _is_bare(photo: ObservedPhoto) -> bool:
    """Whether nothing is known of the animal, so that the photograph needs no annotation."""
    fields = ("identity", "box", "species", *_OWN)
    return not photo.machine and all(getattr(photo, field) is None for field in fields)


def _name(path: Path, root: Path) -> str:
    """A file's name in `root`, or its whole path."""
    if not is_local(path):
        return str(path)
    whole, base = path.absolute(), root.absolute()
    return (whole.relative_to(base) if whole.is_relative_to(base) else whole).as_posix()
