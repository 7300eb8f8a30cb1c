"""Read the triplets that `sampler.triplets` names, as rows of a fold's training photographs."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from flukeprint.data.catalog import Catalog
from flukeprint.data.embeddings import Ints
from flukeprint.data.tables import check_filled, lines, read_table
from flukeprint.errors import FlukeprintError, listed
from flukeprint.evaluation.studies.triplets import PHOTO_COLUMNS
from flukeprint.training.sampling.triplet_draws import NO_TRIPLETS


@dataclass(frozen=True)
class GivenTriplets:
    """Triplets (t, 3), rows of anchor, positive and negative.

    digest: SHA-256 of their names in order, which a resumed run must have again; empty for none.
    """

    rows: Ints
    digest: str


def read_triplets(path: Path | None, photos: Catalog, labels: Ints) -> GivenTriplets:
    """Read a CSV with the columns anchor, positive and negative; further ones are not looked at.

    path: None for no triplets.
    photos: the training photographs of the fold, labels: their classes (n,), -1 for new ones.

    Raises:
        FlukeprintError: a table that cannot be read or has no rows; names of other photographs than
            those, such as the fold's queries; a photograph twice in a triplet, or a triplet twice;
            an anchor and a positive of two classes, or a negative of the anchor's class.
    """
    if path is None:
        return GivenTriplets(NO_TRIPLETS, "")
    table = read_table(path, PHOTO_COLUMNS, absent="flukeprint triplets RUN writes it")
    check_filled(table, PHOTO_COLUMNS, path)
    names = table[list(PHOTO_COLUMNS)].to_numpy(dtype=str)
    place = {image: row for row, image in enumerate(photos.images)}
    strange = [name for name in dict.fromkeys(names.ravel().tolist()) if name not in place]
    if strange:
        raise FlukeprintError(
            f"{path} names {len(strange)} photographs that are not training photographs of this "
            f"fold: {listed(strange)}; make it with flukeprint triplets from a run of this fold"
        )
    rows = np.array([[place[name] for name in row] for row in names.tolist()], dtype=np.int64)
    anchor, positive, negative = rows.T
    twice = (anchor == positive) | (anchor == negative) | (positive == negative)
    _refuse(path, table.index.to_numpy(), twice, "a triplet has one photograph twice")
    other = (labels[anchor] < 0) | (labels[anchor] != labels[positive])
    _refuse(path, table.index.to_numpy(), other, "anchor and positive are not of one class")
    same = labels[anchor] == labels[negative]
    _refuse(path, table.index.to_numpy(), same, "anchor and negative are of one class")
    first = np.zeros(len(rows), dtype=bool)
    first[np.unique(rows, axis=0, return_index=True)[1]] = True
    _refuse(path, table.index.to_numpy(), ~first, "a triplet is there already")
    text = "\n".join("\t".join(row) for row in names.tolist())
    return GivenTriplets(rows, hashlib.sha256(text.encode()).hexdigest())


def _refuse(path: Path, index: Ints, wrong: np.ndarray, what: str) -> None:
    if wrong.any():
        raise FlukeprintError(f"{path}: {what} in {lines(index[wrong])}; correct or remove it")
