"""Readers: a `DataConfig` enters, a `Catalog` of labelled or of test photographs leaves.

A reader is a pair of functions in `READERS`, chosen by `data.reader`.  Nothing is opened here
but tables: whether photographs can be decoded is the doctor's question.  The layouts are shown
in `input/README.md`.  Names of identities are stripped of blanks at both ends.
"""

from dataclasses import replace
from pathlib import Path

from flukeprint.config.schema import DataConfig
from flukeprint.data.catalog import Catalog
from flukeprint.data.readers.layout import _absent, _photos_below, _sample
from flukeprint.data.tables import (
    CORNERS,
    boxes_of,
    check_filled,
    check_once,
    identities_of,
    read_sample,
    read_table,
)
from flukeprint.storage import join


def read_label_table(
    path: Path, new_label: str, *, folder: str = "train", absent: str = "check the path"
) -> Catalog:
    """The table `Image,Id` at `path`, its photos supposed (not checked) in `folder` beside it.

    Optional columns: view; x0, y0, x1, y1; burst.  Rows labelled `new_label` get identity None.
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
    if "burst" in table:
        catalog = replace(catalog, bursts=tuple(burst or None for burst in table["burst"]))
    if set(CORNERS) <= set(table.columns):
        catalog = replace(catalog, boxes=tuple(boxes_of(table, path)))
    return catalog


# kaggle_csv, synthetic
def _kaggle_csv(config: DataConfig) -> Catalog:
    return read_label_table(
        config.root / config.labels, config.new_label, folder=config.train, absent=_absent(config)
    )


def _test_folder(config: DataConfig) -> Catalog:
    folder = config.root / str(config.test)
    sample = _sample(config)
    images = tuple(_photos_below(folder, config)) if sample is None else read_sample(sample).images
    return Catalog(images=images, paths=tuple(join(folder, image) for image in images))
