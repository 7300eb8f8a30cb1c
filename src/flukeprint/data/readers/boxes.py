"""Boxes of animals in tables: how cells give them, and in which unit."""

import math
import re
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import IO, TYPE_CHECKING, Literal

from PIL import Image

from flukeprint.data.catalog import Box, Catalog
from flukeprint.data.decoding import JUDGED, look, read_photo
from flukeprint.data.formats.photo_formats import UnusableError, formats
from flukeprint.data.tables import check_filled, check_once, lines, read_table
from flukeprint.errors import FlukeprintError, listed
from flukeprint.storage import source

if TYPE_CHECKING:
    import pandas as pd

BoxUnit = Literal["pixels", "share"]
CORNERS = ("x0", "y0", "x1", "y1")
FEW_PIXELS = 2  # a box within the first 2 x 2 pixels was meant in shares
_SLACK = 0.01  # by which rounding may take a share beyond 0 or 1
_DECIMAL_COMMA = re.compile(r"[-+]?\d+,\d+")
# What Python, numpy, pandas and torch write around a number and a list.
_AROUND = re.compile(
    r"(?:np\.|numpy\.|torch\.)?(?:float|int|uint)\d*\s*\(([^()]*)\)"
    r"|(?:np\.|numpy\.|torch\.)?(?:array|asarray|tensor)\s*\(([^()]*?)(?:,\s*dtype\s*=[^()]*)?\)"
)
_NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?|[-+]?inf(?:inity)?", re.IGNORECASE)
_NOTHING = ("nan", "none", "null", "<na>", "nat")
_ROUNDED = 1e-3  # by which a box of a request may reach beyond the photograph
_ORIENTATION = 0x0112  # EXIF 2.32, 4.6.4


def boxes_of(table: "pd.DataFrame", path: Path, unit: BoxUnit = "pixels") -> list[Box | None]:
    """Parse the boxes in the columns x0, y0, x1, y1, None where all four are empty."""
    comma = table.attrs.get("decimal") == ","
    boxes: list[Box | None] = []
    rows = table[list(CORNERS)].itertuples(index=False, name=None)
    for row, cells in zip(table.index, rows, strict=True):
        where = f"{path}, {lines([row])}"
        if not any(cells):
            boxes.append(None)
            continue
        numbers = [
            cell.replace(",", ".") if comma and _DECIMAL_COMMA.fullmatch(cell) else cell
            for cell in cells
        ]
        try:
            x0, y0, x1, y1 = (float(number) for number in numbers)
        except ValueError:
            raise FlukeprintError(
                f"{where}: a box is four numbers, found {listed(cells)}"
            ) from None
        if not (all(map(math.isfinite, (x0, y0, x1, y1))) and x0 < x1 and y0 < y1):
            raise FlukeprintError(
                f"{where}: a box needs x0 < x1 and y0 < y1, found {listed(cells)}"
            )
        boxes.append(in_unit((x0, y0, x1, y1), unit, where))
    return boxes


def read_boxes(path: Path, unit: BoxUnit = "pixels") -> dict[str, Box | None]:
    """Read a table `Image,x0,y0,x1,y1` as photo -> box; four empty cells are None."""
    table = read_table(path, ("Image", *CORNERS))
    check_filled(table, ("Image",), path)
    check_once(table, "Image", None, path)
    return dict(zip(table["Image"], boxes_of(table, path, unit), strict=True))


def box_of_cell(cell: object, where: str, unit: BoxUnit = "pixels") -> Box | None:
    """The box of one cell `[x, y, width, height]`, as a list, an array or the text of one.

    Text is what Python, numpy or pandas write of it; it is not evaluated.  None where the cell, or
    each of the four, is empty or NaN.
    """
    given = " ".join(str(cell).split())
    numbers = _numbers(cell)
    if numbers is None:
        raise FlukeprintError(f"{where} is not [x, y, w, h]: {given!r}")
    if all(number is None for number in numbers):
        return None
    if len(numbers) != 4 or None in numbers:
        raise FlukeprintError(f"{where} is not [x, y, w, h]: {given!r}")
    x, y, width, height = (float(number) for number in numbers if number is not None)
    if not all(map(math.isfinite, (x, y, width, height))):
        raise FlukeprintError(f"{where} is not [x, y, w, h]: {given!r}")
    if not (width > 0 and height > 0):
        raise FlukeprintError(f"{where} has no area: {given!r}")
    return in_unit((x, y, x + width, y + height), unit, where)


def asked_box(text: str) -> Box:
    """The box `X,Y,WIDTH,HEIGHT` of a request, in shares of the upright photograph, as corners.

    Raises FlukeprintError, without the text, for anything else, and for a box that is empty or not
    inside the photograph.
    """
    advice = "write X,Y,WIDTH,HEIGHT in shares of the upright photograph, such as 0.25,0.1,0.5,0.6"
    try:
        x, y, width, height = (float(part) for part in text.split(","))
    except ValueError:
        raise FlukeprintError(f"a box is four numbers; {advice}") from None
    if not all(map(math.isfinite, (x, y, width, height))):
        raise FlukeprintError(f"a box is four finite numbers; {advice}")
    if not (width > 0 and height > 0):
        raise FlukeprintError(f"the box is empty; {advice}")
    if min(x, y) < -_ROUNDED or max(x + width, y + height) > 1 + _ROUNDED:
        raise FlukeprintError(f"the box is not inside the photograph, whose sides are 1; {advice}")
    x0, y0, x1, y1 = (min(max(side, 0.0), 1.0) for side in (x, y, x + width, y + height))
    if not (x0 < x1 and y0 < y1):
        raise FlukeprintError(f"the box is not inside the photograph, whose sides are 1; {advice}")
    return x0, y0, x1, y1


def shares_in_pixels(box: Box, photo: bytes) -> Box | None:
    """A box in shares of an encoded photograph in pixels of it; None where it cannot be read."""
    size = _upright_size(lambda: BytesIO(photo), lambda: photo)
    if size is None:
        return None
    width, height = size
    # Boxes are cut rounded outwards, so that an error of the last digit would add a row of pixels.
    x0, x1 = (round(share * width, 6) for share in box[::2])
    y0, y1 = (round(share * height, 6) for share in box[1::2])
    return x0, y0, x1, y1


def in_unit(box: Box, unit: BoxUnit, where: str) -> Box:
    """Refuse a box that cannot be in this unit: shares taken for pixels, or pixels for shares."""
    numbers = ", ".join(f"{number:g}" for number in box)
    if unit == "pixels" and max(box[2:]) < FEW_PIXELS:
        raise FlukeprintError(
            f"{where}: the box {numbers} holds hardly a pixel; if its numbers are shares of the "
            "photograph's width and height, set data.box_unit=share"
        )
    if unit == "share":
        if min(box[:2]) < -_SLACK or max(box[2:]) > 1 + _SLACK:
            raise FlukeprintError(
                f"{where}: the box {numbers} is not in shares of the photograph, which lie in "
                "0..1; set data.box_unit=pixels"
            )
        x0, y0, x1, y1 = (min(max(number, 0.0), 1.0) for number in box)
        return x0, y0, x1, y1
    return box


def boxes_in_pixels(catalog: Catalog) -> Catalog:
    """Convert boxes in shares of the upright photographs to pixels, by the photographs' headers.

    One whose header cannot be read keeps a box of the whole photograph: whoever decodes it will
    refuse it.
    """
    if catalog.boxes is None or not any(catalog.boxes):
        return catalog

    def converted(row: int) -> Box | None:
        assert catalog.boxes is not None
        box = catalog.boxes[row]
        if box is None:
            return None
        if catalog.pixels is not None:
            height, width = catalog.pixels.shape[1:3]
        else:
            assert catalog.paths is not None
            size = upright_size(catalog.paths[row])
            if size is None:
                return None
            width, height = size
        return box[0] * width, box[1] * height, box[2] * width, box[3] * height

    with ThreadPoolExecutor(8) as pool:
        return replace(catalog, boxes=tuple(pool.map(converted, range(len(catalog)))))


def upright_size(path: Path) -> tuple[int, int] | None:
    """Width and height of an upright photograph, from its header; None if unreadable."""
    return _upright_size(lambda: source(path), lambda: read_photo(path))


def _upright_size(
    opened: Callable[[], Path | IO[bytes]], read: Callable[[], bytes]
) -> tuple[int, int] | None:
    try:
        with Image.open(opened(), formats=formats()) as image:
            if image.format != "TIFF":  # of which the first picture may be a thumbnail
                width, height = image.size
                turned = image.getexif().get(_ORIENTATION, 1) in (5, 6, 7, 8)
                return (height, width) if turned else (width, height)
    except Exception:  # a parser of foreign bytes may fail in any way
        pass  # Pillow does not know every TIFF
    try:
        width, height = map(round, look(read(), min_size=JUDGED).size)
        return width, height
    except UnusableError:
        return None


def _numbers(cell: object) -> list[float | None] | None:
    """The numbers of a cell, None for each that is missing; None for something else."""
    import pandas as pd

    if cell is None or (isinstance(cell, float) and math.isnan(cell)) or cell is pd.NA:
        return []
    if isinstance(cell, str):
        return _parsed(cell)
    if not isinstance(cell, Iterable) or isinstance(cell, bytes | dict):
        return None
    found: list[float | None] = []
    for number in cell:
        if number is None or number is pd.NA:
            found.append(None)
            continue
        try:
            value = float(number)
        except (TypeError, ValueError):
            return None
        found.append(None if math.isnan(value) else value)
    return found


def _parsed(text: str) -> list[float | None] | None:
    plain, more = text.strip(), 1
    while more:
        plain, more = _AROUND.subn(lambda found: found[1] or found[2] or "", plain)
    plain = plain.strip()
    for opening, closing in ("[]", "()"):
        if plain.startswith(opening) and plain.endswith(closing):
            plain = plain[1:-1].strip().removesuffix(",")
            break
    cells: Sequence[str] = [] if not plain else re.split(r"\s*[,;]\s*|\s+", plain)
    found: list[float | None] = []
    for cell in cells:
        if cell.lower() in _NOTHING:
            found.append(None)
        elif _NUMBER.fullmatch(cell):
            found.append(float(cell))
        else:
            return None
    return found
