"""Train on test photographs too, under the labels of a table that `flukeprint pseudo-label` wrote.

They are training photographs only: never in the gallery, never queries of a validation.
"""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from flukeprint.config.data import DataConfig
from flukeprint.config.schema import Config
from flukeprint.data.catalog import Catalog
from flukeprint.data.doctor import check_readable
from flukeprint.data.names import identity_name
from flukeprint.data.readers.read import read_test
from flukeprint.data.splits import Split, group_photos
from flukeprint.data.tables import check_filled, check_once, lines, read_table
from flukeprint.errors import FlukeprintError, counted, listed
from flukeprint.identifier.runs import PSEUDO_LABEL_COLUMNS, Run
from flukeprint.output import say
from flukeprint.training.distillation import other_fold
from flukeprint.training.trainer import first_process


def train_photos(config: Config, catalog: Catalog, split: Split) -> Catalog:
    """The training photographs: those of the fold, then those with a pseudo-label.

    Individuals that the fold does not train on are left out, and so are copies and burst
    neighbours of its queries.  The number of the others is printed on stderr.

    Raises:
        FlukeprintError: as `read_pseudo`; or a table made by a run of another fold, which was
            trained on this fold's queries.
    """
    own = catalog.take(split.train)
    if config.data.pseudo_labels is None:
        return own
    pseudo, runs = read_pseudo(config.data, catalog)
    for run in runs:
        if (run.path / "config.yaml").is_file() and (other := other_fold(config, run.config())):
            raise FlukeprintError(
                f"{config.data.pseudo_labels} was made by {run.path}, a run of another fold: "
                f"its {other}; make it with a run of this one"
            )
    groups = group_photos(Catalog.concatenate([catalog, pseudo]))
    leaked = np.isin(groups[len(catalog) :], groups[split.queries])
    trained = np.array([name in own.counts() for name in pseudo.identities], dtype=bool)
    kept = pseudo.take(trained & ~leaked)
    if first_process():  # only the first process prints
        say(
            f"pseudo-labels: {counted(len(kept), 'test photograph')} added to the training "
            f"photographs ({len(pseudo) - len(kept):,} left out, of individuals outside this fold "
            "or copies of its queries)"
        )
    return Catalog.concatenate([own, kept])


def read_pseudo(data: DataConfig, labelled: Catalog) -> tuple[Catalog, tuple[Run, ...]]:
    """Read the test photos with enough confidence in `data.pseudo_labels`, and its runs.

    Raises:
        FlukeprintError: no such table, bad rows, a photo that is no test photograph, an identity
            that no labelled photo has, or no row with the confidence `data.pseudo_confidence`.
    """
    path = Path(str(data.pseudo_labels))
    table = read_table(path, PSEUDO_LABEL_COLUMNS, absent="write it with `flukeprint pseudo-label`")
    check_filled(table, PSEUDO_LABEL_COLUMNS, path)
    table["Id"] = table["Id"].map(identity_name)
    check_once(table, "Image", "Id", path)
    confidences = pd.to_numeric(table["confidence"], errors="coerce").to_numpy(dtype=np.float64)
    bad = np.flatnonzero(~((confidences >= 0) & (confidences <= 1)))  # NaN is bad too
    if len(bad):
        raise FlukeprintError(
            f"{path}: confidence is no number from 0 to 1 in {lines(table.index[bad])}"
        )
    test = read_test(data)
    place = {image: row for row, image in enumerate(test.images)}
    unlisted = [image for image in table["Image"] if image not in place]
    if unlisted:
        raise FlukeprintError(
            f"{path} names photos that are no test photographs: {listed(unlisted)}"
        )
    unknown = sorted(set(table["Id"]) - set(labelled.counts()))
    if unknown:
        raise FlukeprintError(
            f"{path} names individuals without a labelled photo: {listed(unknown)}"
        )
    table = table[confidences >= data.pseudo_confidence]
    if table.empty:
        raise FlukeprintError(
            f"{path}: none is as sure as data.pseudo_confidence={data.pseudo_confidence:g}, the "
            f"surest is {math.floor(confidences.max() * 1000) / 1000:g}; lower it"
        )
    photos = test.take([place[image] for image in table["Image"]])
    photos = replace(photos, identities=tuple(table["Id"]))
    runs = tuple(Run(Path(name)) for name in dict.fromkeys(table["run"]))
    # Otherwise they are looked at after everything else, as the labelled ones are.
    return check_readable(photos, True) if data.skip_unreadable else photos, runs
