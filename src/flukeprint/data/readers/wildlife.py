"""Wildlife-datasets: its DataFrame, or a CSV written from one, enters; a `Catalog` leaves.

The package itself is not needed to read such a table.
"""

import ast
from pathlib import Path
from typing import Literal

import pandas as pd

from flukeprint.config.schema import DataConfig
from flukeprint.data.catalog import Box, Catalog
from flukeprint.data.readers.layout import _absent
from flukeprint.data.tables import check_filled, check_once, identities_of, read_table
from flukeprint.errors import FlukeprintError, nearest
from flukeprint.storage import join

UNKNOWN = "unknown"  # the package's name for an individual that nobody knows
SPLITS = {"train": "train", "database": "train", "test": "test", "query": "test"}
WILDLIFE_COLUMNS = ["image_id", "path", "identity"]


def _wildlife(config: DataConfig) -> Catalog:
    table = config.root / config.labels
    return read_wildlife(
        table, config.root, "train", new_label=config.new_label, absent=_absent(config)
    )


def _wildlife_test(config: DataConfig) -> Catalog:
    table = config.root / config.labels
    return read_wildlife(
        table, config.root, "test", new_label=config.new_label, absent=_absent(config)
    )


def from_wildlife(dataframe: pd.DataFrame, root: Path, *, new_label: str = UNKNOWN) -> Catalog:
    """The catalogue of a `wildlife-datasets` DataFrame whose paths are relative to `root`.

    Columns: image_id, path, identity; optional view (also as orientation or position) and bbox
    [x, y, width, height] in pixels.  Identities `new_label` and "unknown" become None.
    """
    for column in WILDLIFE_COLUMNS:
        if column not in dataframe:
            raise FlukeprintError(
                f"the wildlife table has no column {column}: {nearest(column, dataframe.columns)}"
            )
    table = dataframe.reset_index(drop=True)
    where = Path("wildlife table")
    named = table[WILDLIFE_COLUMNS]
    text = named.astype(object).where(named.notna(), "").map(lambda cell: str(cell).strip())
    check_filled(text, WILDLIFE_COLUMNS, where)
    check_once(text, "image_id", "identity", where)
    views = next((name for name in ("view", "orientation", "position") if name in table), None)
    boxes = None
    if "bbox" in table:
        boxes = tuple(
            _box(cell, image) for cell, image in zip(table["bbox"], text["image_id"], strict=True)
        )
    return Catalog(
        images=tuple(text["image_id"]),
        paths=tuple(join(root, path) for path in text["path"]),
        identities=identities_of(text["identity"], new_label, UNKNOWN),
        views=None if views is None else tuple(_view(cell) for cell in table[views]),
        boxes=boxes,
    )


def read_wildlife(
    path: Path, root: Path, part: Literal["train", "test"], *, new_label: str, absent: str
) -> Catalog:
    """The rows of one part of the CSV at `path`, whose photo paths are relative to `root`.

    The column split marks the part (database counts as train, query as test); without it all
    rows are train.  Test rows lose their identity, which may be empty there.
    """
    table = read_table(path, WILDLIFE_COLUMNS, absent=absent)
    check_filled(table, ("image_id", "path"), path)
    check_once(table, "image_id", "identity", path)
    if "split" not in table:
        if part == "test":
            raise FlukeprintError(f"{path} has no column split: no row is marked `test`")
        check_filled(table, ("identity",), path)
        return from_wildlife(table, root, new_label=new_label)
    for value in table["split"].unique():
        if value not in SPLITS:
            raise FlukeprintError(f"{path}: unknown split {value!r}: {nearest(value, SPLITS)}")
    rows = table[table["split"].map(SPLITS) == part]
    if rows.empty:
        raise FlukeprintError(f"{path}: column split has no row marked `{part}`")
    if part == "test":
        rows = rows.assign(identity=UNKNOWN)
    check_filled(rows, ("identity",), path)
    return from_wildlife(rows, root, new_label=new_label)


def _view(cell: object) -> str | None:
    text = "" if cell is None or cell != cell else str(cell).strip()  # NaN differs from itself
    return text or None


def _box(cell: object, image: str) -> Box | None:
    if isinstance(cell, str):
        try:
            cell = ast.literal_eval(cell) if cell.strip() else None
        except (SyntaxError, ValueError):
            raise FlukeprintError(f"bbox of {image} is not [x, y, w, h]: {cell!r}") from None
    if cell is None or (isinstance(cell, float) and cell != cell):
        return None
    try:
        x, y, width, height = (float(number) for number in cell)  # type: ignore[attr-defined]
    except (TypeError, ValueError):
        raise FlukeprintError(f"bbox of {image} is not [x, y, w, h]: {cell!r}") from None
    if not (width > 0 and height > 0):
        raise FlukeprintError(f"bbox of {image} has no area: {cell!r}")
    return x, y, x + width, y + height
