"""Reads tables of the package wildlife-datasets: its DataFrame, or a CSV written from one.

The package itself is not needed.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from flukeprint.config.data import DataConfig
from flukeprint.data.catalog import Catalog
from flukeprint.data.readers.boxes import BoxUnit, box_of_cell
from flukeprint.data.readers.encounters import series_of, text
from flukeprint.data.readers.layout import how_to_get
from flukeprint.data.tables import check_filled, check_once, identities_of, lines, read_table
from flukeprint.errors import FlukeprintError, nearest
from flukeprint.storage import join

if TYPE_CHECKING:
    import pandas as pd

UNKNOWN = "unknown"  # the package's name for an individual that nobody knows
SPLIT_COLUMNS = ("split", "original_split")  # the first one that the table has
# Photographs held out for validation are labelled: they are trained on, in folds of our own.
SPLITS = {
    "train": "train", "training": "train", "database": "train", "gallery": "train",
    "val": "train", "valid": "train", "validation": "train", "": "train",
    "test": "test", "testing": "test", "query": "test",
}  # fmt: skip
WILDLIFE_COLUMNS = ["image_id", "path", "identity"]
# How pandas and Python write a missing identity where the column was made text before.
_MISSING = ("nan", "NaN", "None", "<NA>")


def labelled_wildlife(config: DataConfig) -> Catalog:
    """The rows of the table `data.labels` that are marked `train`, or all where none is marked."""
    return _read_wildlife(config, "train")


def unlabelled_wildlife(config: DataConfig) -> Catalog:
    """The rows of the same table that are marked `test`, without their identities."""
    return _read_wildlife(config, "test")


def from_wildlife(
    dataframe: "pd.DataFrame",
    root: Path,
    *,
    new_label: str = UNKNOWN,
    box_unit: BoxUnit = "pixels",
    same_day: bool = True,
) -> Catalog:
    """Convert a `wildlife-datasets` DataFrame, whose photo paths are relative to `root`.

    Columns: image_id, path, identity; optional view (also as orientation or position), bbox
    [x, y, width, height], split (also as original_split), and what `series_of` reads.  Identities
    `new_label` and "unknown", in any case, become None; rows of the test part may have none.
    """
    return _converted(
        dataframe.reset_index(drop=True), root, Path("wildlife table"), new_label, box_unit,
        same_day,
    )  # fmt: skip


def _converted(
    table: "pd.DataFrame",
    root: Path,
    where: Path,
    new_label: str,
    box_unit: BoxUnit,
    same_day: bool,
) -> Catalog:
    """The catalogue of a table whose index counts lines as `lines` does."""
    for column in WILDLIFE_COLUMNS:
        if column not in table:
            raise FlukeprintError(
                f"the wildlife table has no column {column}: {nearest(column, table.columns)}"
            )
    import pandas as pd

    cells = pd.DataFrame(
        {name: [text(cell) or "" for cell in table[name]] for name in WILDLIFE_COLUMNS},
        index=table.index,
    )
    cells["identity"] = cells["identity"].where(~cells["identity"].isin(_MISSING), "")
    parts = _parts(table, where)
    check_filled(cells, ("image_id", "path"), where)
    check_filled(cells[parts != "test"], ("identity",), where)
    check_once(cells, "image_id", "identity", where)
    cells["identity"] = cells["identity"].where(cells["identity"] != "", UNKNOWN)
    identities = identities_of(cells["identity"], new_label, UNKNOWN)
    views = next((name for name in ("view", "orientation", "position") if name in table), None)
    boxes = None
    if "bbox" in table:
        boxes = tuple(
            box_of_cell(cell, f"{where}, {lines([row])}: bbox of {image}", box_unit)
            for row, cell, image in zip(table.index, table["bbox"], cells["image_id"], strict=True)
        )
    return Catalog(
        images=tuple(cells["image_id"]),
        paths=tuple(join(root, path) for path in cells["path"]),
        identities=identities,
        views=None if views is None else tuple(text(cell) for cell in table[views]),
        boxes=boxes,
        bursts=series_of(table, identities, same_day=same_day),
    )


def _parts(table: "pd.DataFrame", where: Path) -> "pd.Series[str]":
    """`train` or `test` for each row; all are `train` where no column tells."""
    import pandas as pd

    column = next((name for name in SPLIT_COLUMNS if name in table), None)
    if column is None:
        return pd.Series("train", index=table.index)
    values = pd.Series([(text(cell) or "").lower() for cell in table[column]], index=table.index)
    for value in values.unique():
        if value not in SPLITS:
            known = nearest(value, filter(None, SPLITS))
            raise FlukeprintError(f"{where}: unknown {column} {value!r}: {known}")
    return values.map(SPLITS)


def _read_wildlife(config: DataConfig, part: Literal["train", "test"]) -> Catalog:
    """The rows of one part of the CSV `data.labels`, whose photo paths are relative to `data.root`.

    The column split, or else original_split, marks the part (`SPLITS`); without one all rows are
    train.  Test rows lose their identity, which may be empty there.
    """
    path = config.root / config.labels
    table = read_table(path, WILDLIFE_COLUMNS, absent=how_to_get(config))
    parts = _parts(table, path)
    rows = table[parts == part]
    if rows.empty and not any(column in table for column in SPLIT_COLUMNS):
        raise FlukeprintError(
            f"{path} has no column {' or '.join(SPLIT_COLUMNS)}: no row is marked `{part}`"
        )
    if rows.empty:
        raise FlukeprintError(f"{path} has no row marked `{part}`")
    if part == "test":
        rows = rows.assign(identity=UNKNOWN)
    check_once(table, "image_id", "identity", path)
    return _converted(rows, config.root, path, config.new_label, config.box_unit, config.same_day)
