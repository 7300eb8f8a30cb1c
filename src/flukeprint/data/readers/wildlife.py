"""Reads tables of the package wildlife-datasets: its DataFrame, or a CSV written from one.

The package itself is not needed.
"""

import ast
from pathlib import Path
from typing import Literal

import pandas as pd

from flukeprint.config.data import DataConfig
from flukeprint.data.catalog import Box, Catalog
from flukeprint.data.readers.layout import how_to_get
from flukeprint.data.tables import check_filled, check_once, identities_of, read_table
from flukeprint.errors import FlukeprintError, nearest
from flukeprint.storage import join

UNKNOWN = "unknown"  # the package's name for an individual that nobody knows
SPLITS = {"train": "train", "database": "train", "test": "test", "query": "test"}
WILDLIFE_COLUMNS = ["image_id", "path", "identity"]


def labelled_wildlife(config: DataConfig) -> Catalog:
    """The rows of the table `data.labels` that are marked `train`, or all where none is marked."""
    return _read_wildlife(config, "train")


def unlabelled_wildlife(config: DataConfig) -> Catalog:
    """The rows of the same table that are marked `test`, without their identities."""
    return _read_wildlife(config, "test")


def from_wildlife(dataframe: pd.DataFrame, root: Path, *, new_label: str = UNKNOWN) -> Catalog:
    """Convert a `wildlife-datasets` DataFrame, whose photo paths are relative to `root`.

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


def _read_wildlife(config: DataConfig, part: Literal["train", "test"]) -> Catalog:
    """The rows of one part of the CSV `data.labels`, whose photo paths are relative to `data.root`.

    The column split marks the part (database counts as train, query as test); without it all
    rows are train.  Test rows lose their identity, which may be empty there.
    """
    path = config.root / config.labels
    table = read_table(path, WILDLIFE_COLUMNS, absent=how_to_get(config))
    check_filled(table, ("image_id", "path"), path)
    check_once(table, "image_id", "identity", path)
    if "split" not in table:
        if part == "test":
            raise FlukeprintError(f"{path} has no column split: no row is marked `test`")
        check_filled(table, ("identity",), path)
        return from_wildlife(table, config.root, new_label=config.new_label)
    for value in table["split"].unique():
        if value not in SPLITS:
            raise FlukeprintError(f"{path}: unknown split {value!r}: {nearest(value, SPLITS)}")
    rows = table[table["split"].map(SPLITS) == part]
    if rows.empty:
        raise FlukeprintError(f"{path}: column split has no row marked `{part}`")
    if part == "test":
        rows = rows.assign(identity=UNKNOWN)
    check_filled(rows, ("identity",), path)
    return from_wildlife(rows, config.root, new_label=config.new_label)


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
