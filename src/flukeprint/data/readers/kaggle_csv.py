"""Reads Kaggle's layout: a table `train.csv` of photographs and identities beside their folder."""

from dataclasses import replace
from pathlib import Path

from flukeprint.config.data import DataConfig
from flukeprint.data.catalog import Catalog
from flukeprint.data.readers.boxes import CORNERS, BoxUnit, boxes_of
from flukeprint.data.readers.encounters import series_of
from flukeprint.data.readers.layout import how_to_get
from flukeprint.data.tables import check_filled, check_once, identities_of, read_table
from flukeprint.storage import join


def labelled_kaggle_csv(config: DataConfig) -> Catalog:
    """The photographs of the label table that `config` names."""
    return read_label_table(
        config.root / config.labels,
        config.new_label,
        folder=config.train,
        absent=how_to_get(config),
        box_unit=config.box_unit,
        same_day=config.same_day,
    )


def read_label_table(
    path: Path,
    new_label: str,
    *,
    folder: str = "train",
    absent: str = "check the path",
    box_unit: BoxUnit = "pixels",
    same_day: bool = True,
) -> Catalog:
    """Read the table `Image,Id` at `path`; whether its photographs are in `folder` is not checked.

    Optional columns: view; x0, y0, x1, y1; what `series_of` reads.  Rows labelled `new_label` get
    identity None.

    folder: of the photographs, relative to the table's own.
    absent: what the error message advises where there is no such table.
    """
    table = read_table(path, ("Image", "Id"), absent=absent)
    check_filled(table, ("Image", "Id"), path)
    check_once(table, "Image", "Id", path)
    catalog = Catalog(
        images=tuple(table["Image"]),
        paths=tuple(join(path.parent / folder, name) for name in table["Image"]),
        identities=identities_of(table["Id"], new_label),
    )
    if "view" in table:
        catalog = replace(catalog, views=tuple(view or None for view in table["view"]))
    bursts = series_of(table, catalog.identities, same_day=same_day)
    if bursts is not None:
        catalog = replace(catalog, bursts=bursts)
    if set(CORNERS) <= set(table.columns):
        catalog = replace(catalog, boxes=tuple(boxes_of(table, path, box_unit)))
    return catalog
