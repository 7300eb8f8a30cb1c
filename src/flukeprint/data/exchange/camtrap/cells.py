"""The cells of Camtrap DP's tables: numbers, times, boxes, names of photographs and places."""

import math
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from flukeprint.data.catalog import Box
from flukeprint.data.exchange.observed import clipped_shares

UNKNOWN_RADIUS = 20_037_508  # metres, half around the Earth: a position that says nothing
LEAST_WIDTH = 1e-12  # of a box; the standard's least is 1e-15, which writers give to a point
_TIME = re.compile(
    r"(\d{4}-\d\d-\d\d)(?:[T ](\d\d:\d\d(?::\d\d)?)(?:\.\d+)?\s*(Z|[+-]\d\d(?::?\d\d)?)?)?"
)

Cells = npt.NDArray[np.object_]  # of a column, None where there is no value, and None at the end


class Columns:
    """A table's columns as cells."""

    def __init__(self, table: pd.DataFrame) -> None:
        self._table = table
        self.size = len(table)

    def __getitem__(self, name: str) -> Cells:
        cells = np.full(self.size + 1, None, dtype=object)
        if name in self._table:
            column = self._table[name]
            known = column.notna().to_numpy()
            cells[:-1][known] = column.to_numpy(dtype=object)[known]
        return cells


def whole(table: pd.DataFrame, columns: Sequence[str]) -> pd.DataFrame:
    """The table with all columns; absent ones are empty."""
    return table.reindex(columns=list(columns)).astype(object)


def names_of(files: Cells, ids: Cells, number: int) -> list[str]:
    """A name for each photograph: its file's, or its mediaID where that names another too."""
    counts: dict[str, int] = {}
    for name in files[:number]:
        if name is not None:
            counts[name] = counts.get(name, 0) + 1
    names = [
        str(file) if file is not None and counts[file] == 1 else None for file in files[:number]
    ]
    taken = {name for name in names if name is not None}
    found = []
    for name, key in zip(names, ids[:number], strict=True):
        if name is None:
            name = str(key)
            while name in taken:
                name += "'"
            taken.add(name)
        found.append(name)
    return [*found, ""]


def numbered(image: str, used: dict[str, int], taken: set[str]) -> str:
    while True:
        name = f"{image}#{used[image]}"
        if name not in taken:
            taken.add(name)
            return name
        used[image] += 1


def places_of(deployments: pd.DataFrame, keys: Cells) -> list[Mapping[str, Any]]:
    """Position, place and observer of each photograph."""
    table = Columns(deployments)
    nothing: Mapping[str, Any] = {}
    known: dict[str, Mapping[str, Any]] = {}
    names = ("deploymentID", "latitude", "longitude", "coordinateUncertainty", "locationName",
             "locationID", "setupBy")  # fmt: skip
    for key, north, east, radius, name, identifier, who in zip(
        *(table[name][:-1] for name in names), strict=True
    ):
        latitude, longitude, uncertainty = number_in(north), number_in(east), number_in(radius)
        place: dict[str, Any] = {"place": identifier if name is None else name, "observer": who}
        vague = uncertainty is not None and uncertainty >= UNKNOWN_RADIUS
        if latitude is None or longitude is None or vague:
            pass
        elif abs(latitude) <= 90 and abs(longitude) <= 180:
            place |= {"latitude": latitude, "longitude": longitude}
            if uncertainty is not None and uncertainty > 0:
                place["uncertainty"] = uncertainty
        known[key] = place
    return [known.get(key, nothing) for key in keys[:-1].tolist()]


def number_in(text: str | None) -> float | None:
    try:
        value = math.nan if text is None else float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def time_in(stamp: str) -> tuple[str | None, str | None]:
    """Local time and its offset from UTC; None for what is not told or no time."""
    found = _TIME.fullmatch(stamp.strip())
    if found is None:
        return None, None
    day, time, offset = found.groups()
    date = day if time is None else f"{day}T{time}"
    try:
        datetime.fromisoformat(date)
    except ValueError:
        return None, None
    if offset is None or offset == "Z":
        return date, None if offset is None else "+00:00"
    digits = offset[1:].replace(":", "").ljust(4, "0")
    return date, f"{offset[0]}{digits[:2]}:{digits[2:]}"


def box_in(cells: Sequence[str | None]) -> tuple[str, Box | None]:
    """Why a box cannot be read, "" if it can, and the box."""
    numbers = [number_in(cell) for cell in cells]
    x, y, width, height = numbers
    if x is None or y is None or width is None or height is None:
        return "boxes that are not four numbers", None
    if width <= LEAST_WIDTH or height <= LEAST_WIDTH:
        return "boxes without an area", None
    box = clipped_shares(x, y, width, height)
    return ("" if box else "boxes without an area in the photograph"), box
