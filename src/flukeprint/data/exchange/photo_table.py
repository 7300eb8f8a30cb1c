"""The table that photographs of any format become, for `flukeprint enroll` and `annotate`."""

import csv
from pathlib import Path
from typing import Any

from flukeprint.data.catalog import Catalog
from flukeprint.data.exchange.any_table.columns import COLUMNS
from flukeprint.data.exchange.observed import Observed, ObservedPhoto
from flukeprint.data.readers.boxes import CORNERS, boxes_in_pixels
from flukeprint.errors import FlukeprintError
from flukeprint.files import written_whole


def write_photo_table(observed: Observed, path: Path) -> int:
    """Write the photographs that can be read as a table for `flukeprint enroll` and `annotate`.

    Boxes become pixels of the upright photographs.  Photographs without a file are left out.  Those
    of one encounter get the earliest of its dates.

    Returns:
        The number of rows.

    Raises:
        FlukeprintError: no photograph has a file, or the table cannot be written.
    """
    there = [one for one in observed.photos if one.path is not None and one.path.is_file()]
    if not there:
        raise FlukeprintError("none of these photographs has a file here; say where with --root")
    catalog = boxes_in_pixels(
        Catalog(
            images=tuple(str(number) for number in range(len(there))),
            paths=tuple(one.path for one in there if one.path is not None),
            boxes=tuple(one.box for one in there),
        )
    )
    assert catalog.boxes is not None
    first: dict[str, ObservedPhoto] = {}
    for one in there:
        if one.encounter is not None and one.date is not None:
            known = first.setdefault(one.encounter, one)
            first[one.encounter] = min(known, one, key=lambda each: each.date or "")
    with written_whole(path) as partial, partial.open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, list(COLUMNS))
        table.writeheader()
        for one, box in zip(there, catalog.boxes, strict=True):
            table.writerow(_row(one, box, first.get(one.encounter or "", one)))
    return len(there)


def _row(one: ObservedPhoto, box: tuple[float, ...] | None, dated: ObservedPhoto) -> dict[str, Any]:
    assert one.path is not None
    corners = ("", "", "", "") if box is None else tuple(f"{side:.2f}" for side in box)
    return {
        "image": str(one.path.absolute()),
        "identity": one.identity or "",
        "date": "" if dated.date is None else dated.date + (dated.offset or ""),
        "latitude": one.latitude,
        "longitude": one.longitude,
        "uncertainty": one.uncertainty,
        "place": one.place,
        "observer": one.observer,
        "occasion": one.occasion,
        "encounter": one.encounter,
        "view": one.view,
        "sex": "" if one.sex == "unknown" else one.sex,
        "life_stage": one.life_stage,
        **dict(zip(CORNERS, corners, strict=True)),
    }
