"""Tables of the package wildlife-datasets: its DataFrame as CSV, read and written.

Without the package; its columns are image_id, path, identity, and where they are known species,
date, orientation, bbox [x, y, width, height] in pixels, latitude, longitude and encounter.
"""

import json
import unicodedata
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from flukeprint.data.catalog import Box
from flukeprint.data.exchange.any_table.sheets import headers_of
from flukeprint.data.exchange.camtrap.data_package import leads_out
from flukeprint.data.exchange.camtrap.writing import absolute_of, root_of
from flukeprint.data.exchange.details import detail_in, details_of
from flukeprint.data.exchange.json_files import local_date
from flukeprint.data.exchange.observed import LeftOut, Observed, ObservedPhoto
from flukeprint.data.readers.boxes import box_of_cell, upright_size
from flukeprint.data.readers.encounters import text
from flukeprint.data.readers.wildlife import UNKNOWN, WILDLIFE_COLUMNS
from flukeprint.data.tables import lines, read_table
from flukeprint.errors import FlukeprintError, counted
from flukeprint.files import written_whole
from flukeprint.storage import is_local

FORM = "wildlife-datasets"
DETAILS = "flukeprint"  # a column, of what the others have no room for
_VIEWS = ("orientation", "view", "position")
_SAME = ("species", "encounter", "place", "sex", "notes")  # columns with our own names
_IGNORED = ("segmentation", "keypoints")
_NOBODY = ("", UNKNOWN, "nan", "None", "<NA>")


def recognises(path: Path) -> bool:
    """Whether a CSV has the package's columns."""
    if path.suffix.lower() != ".csv":
        return False
    try:
        return set(WILDLIFE_COLUMNS) <= set(headers_of(path))
    except FlukeprintError:
        return False


def read_wildlife_frame(path: Path, root: Path | None = None) -> Observed:
    """Read a CSV of the package.

    root: where its paths begin; the table's folder by default.

    Raises:
        FlukeprintError: missing columns, or a box that cannot be read, with its line.
    """
    table = read_table(path, WILDLIFE_COLUMNS)
    begin = root or path.parent
    left, photos = LeftOut(), []
    sizes: dict[Path, tuple[int, int] | None] = {}
    for line, row in zip(table.index, table.to_dict("records"), strict=True):
        where = f"{path}, {lines([line])}"
        cells = {name: text(cell) for name, cell in row.items()}
        image, name = cells["image_id"], cells["path"]
        if image is None:
            left.note("rows without an image_id", where)
            continue
        if name is not None and leads_out(name):
            left.note("photographs outside the folder", f"{where}: {name}")
            name = None
        file = None if name is None else begin / name
        facts = _facts(cells, where, left)
        pixels = box_of_cell(row.get("bbox"), f"{where}: bbox of {image}")
        if pixels is not None and file is not None:
            facts["box"] = _share(pixels, file, sizes)
            if facts["box"] is None:
                left.note("boxes of photographs that cannot be measured", image)
        facts |= {"image": image, "path": file}
        facts |= _details(cells.get(DETAILS), begin, where)
        photos.append(ObservedPhoto(**facts))
    ignored = [name for name in _IGNORED if name in table.columns]
    notes = (f"not read: {', '.join(ignored)}",) if ignored else ()
    return Observed(FORM, "", tuple(photos), left.counts, left.examples, notes)


def _facts(cells: Mapping[str, str | None], where: str, left: LeftOut) -> dict[str, Any]:
    identity = cells["identity"]
    facts: dict[str, Any] = {
        "identity": None if (identity or "") in _NOBODY else identity,
        "view": next((cells[name] for name in _VIEWS if cells.get(name)), None),
        **{name: cells.get(name) for name in _SAME},
    }
    dated = local_date(cells.get("date"))
    if dated is None:
        left.note("dates that are none", where)
    else:
        facts |= {"date": dated[0], "offset": dated[1]}
    try:
        north, east = (float(cells[name] or "") for name in ("latitude", "longitude"))
        if abs(north) <= 90 and abs(east) <= 180:
            facts |= {"latitude": north, "longitude": east}
    except (KeyError, ValueError):
        pass  # no position
    return facts


def _share(pixels: Box, path: Path, sizes: dict[Path, tuple[int, int] | None]) -> Box | None:
    """A box in shares of its photograph, cut to it; None where that cannot be measured."""
    if path not in sizes:
        sizes[path] = upright_size(path) if is_local(path) and path.is_file() else None
    size = sizes[path]
    if size is None:
        return None
    x0, y0, x1, y1 = (
        min(max(side / length, 0.0), 1.0) for side, length in zip(pixels, size * 2, strict=True)
    )
    return (x0, y0, x1, y1) if x0 < x1 and y0 < y1 else None


def _details(cell: str | None, begin: Path, where: str) -> dict[str, Any]:
    if cell is None:
        return {}
    try:
        return {name: detail_in(name, value, begin) for name, value in json.loads(cell).items()}
    except (ValueError, TypeError, AttributeError, OverflowError) as error:
        raise FlukeprintError(f"{where}: column {DETAILS}: {error}; empty the cell") from None


def to_wildlife(observed: Observed, root: Path) -> pd.DataFrame:
    """The DataFrame that `WildlifeDataset` of the package takes.

    root: the folder that its paths are relative to.  Records without a file are left out.
    """
    begin = absolute_of(root)
    rows = []
    sizes: dict[Path, tuple[int, int] | None] = {}
    taken: dict[str, int] = {}
    for photo in observed.photos:
        if photo.path is None or not is_local(photo.path):
            continue
        path = absolute_of(photo.path)
        if not path.is_relative_to(begin):
            raise FlukeprintError(f"{path} is not below {begin}; name the folder of all of them")
        key = " ".join(_plain(photo.image).split()) or "photograph"
        taken[key] = taken.get(key, 0) + 1
        row: dict[str, Any] = {
            "image_id": key if taken[key] == 1 else f"{key}#{taken[key]}",
            "path": path.relative_to(begin).as_posix(),
            "identity": None if photo.identity in _NOBODY else _plain(photo.identity or ""),
            "orientation": _plain(photo.view or "") or None,
            "date": photo.date,
            "latitude": photo.latitude,
            "longitude": photo.longitude,
            **{name: _plain(getattr(photo, name) or "") or None for name in _SAME},
        }
        row["identity"] = row["identity"] or UNKNOWN
        if photo.box is not None:
            row["bbox"] = _pixels(photo.box, path, sizes)
        rows.append((photo, row))
    names = [name for name in _ORDER if any(row.get(name) is not None for _, row in rows)]
    back = _read_back(rows, names, begin, sizes)
    for (photo, row), found in zip(rows, back, strict=True):
        told = details_of(
            photo, found,
            lambda path: None if path is None else absolute_of(path).relative_to(begin).as_posix(),
        )  # fmt: skip
        row[DETAILS] = json.dumps(dict(told)) if told else None
    if any(row[DETAILS] for _, row in rows):
        names.append(DETAILS)
    return pd.DataFrame(
        {name: pd.Series([row.get(name) for _, row in rows], dtype=object) for name in names}
        or {name: pd.Series(dtype=object) for name in WILDLIFE_COLUMNS}
    )


def _plain(words: str) -> str:
    """A text without signs that end a line for some readers of tables."""
    return "".join(
        " " if unicodedata.category(sign) in ("Cc", "Zl", "Zp") else sign for sign in words
    ).strip()


_ORDER = (
    *WILDLIFE_COLUMNS, "species", "date", "orientation", "bbox", "latitude", "longitude",
    "encounter", "place", "sex", "notes",
)  # fmt: skip


def _read_back(
    rows: list[tuple[ObservedPhoto, dict[str, Any]]],
    names: list[str],
    begin: Path,
    sizes: dict[Path, tuple[int, int] | None],
) -> list[ObservedPhoto]:
    """What the reader makes of the rows without their details."""
    found = []
    for photo, row in rows:
        cells = {name: _as_read(row.get(name)) for name in names}
        facts = _facts(cells, "", LeftOut())
        path = begin / row["path"]
        box = row.get("bbox")
        if box is not None:
            x, y, width, height = box
            facts["box"] = _share((x, y, x + width, y + height), absolute_of(path), sizes)
        facts |= {"image": cells["image_id"] or photo.image, "path": path}
        found.append(ObservedPhoto(**facts))
    return found


def _as_read(value: Any) -> str | None:
    """A cell as a table's reader has it: without blanks at its ends."""
    return text(repr(value) if isinstance(value, float) else value)


def _pixels(box: Box, path: Path, sizes: dict[Path, tuple[int, int] | None]) -> list[float] | None:
    """[x, y, width, height]; None where the photograph cannot be measured, or nothing is left."""
    if path not in sizes:
        sizes[path] = upright_size(path) if path.is_file() else None
    size = sizes[path]
    if size is None:
        return None
    x0, y0, x1, y1 = (round(side * length, 3) for side, length in zip(box, size * 2, strict=True))
    if max(x1, y1) < 2 or x1 - x0 <= 0 or y1 - y0 <= 0:  # read as shares, or as nothing
        return None
    return [x0, y0, round(x1 - x0, 3), round(y1 - y0, 3)]


def write_wildlife_frame(observed: Observed, path: Path) -> tuple[str, ...]:
    """Write the CSV; its paths are relative to the table's folder where that holds the photographs.

    Returns lines for people.

    Raises:
        FlukeprintError: no photograph has a file here, or the table cannot be written.
    """
    root = root_of(observed.photos, path.parent)
    frame = to_wildlife(observed, root)
    if not len(frame):
        raise FlukeprintError("none of these photographs is a file here; nothing was written")
    try:
        with written_whole(path) as partial:
            frame.to_csv(partial, index=False, encoding="utf-8")
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise FlukeprintError(f"{path} cannot be written: {reason}") from None
    said = []
    if absolute_of(root) != absolute_of(path.parent):
        said.append(f"paths of photographs begin in {root}")
    without = len(observed.photos) - len(frame)
    if without:
        said.append(f"{counted(without, 'record')} without a file here left out")
    return tuple(said)
