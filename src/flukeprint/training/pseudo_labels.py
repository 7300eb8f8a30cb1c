"""Pseudo-labels: write the test photos that a run identifies with confidence, and train on them.

They are training photographs only: never in the gallery, never queries of a validation.
"""

import math
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from flukeprint.config.schema import Config, DataConfig
from flukeprint.data.catalog import Catalog
from flukeprint.data.doctor import check_readable
from flukeprint.data.embeddings import Embeddings
from flukeprint.data.readers.read import read_labelled, read_test
from flukeprint.data.splits import Split, group_photos, split_for
from flukeprint.data.tables import check_filled, check_once, lines, read_table
from flukeprint.embedding.sharding import first_process
from flukeprint.errors import FlukeprintError, counted, listed
from flukeprint.files import written_whole
from flukeprint.identifier.identifier import Identifier
from flukeprint.identifier.runs import Run
from flukeprint.ranking.features import extract_features
from flukeprint.training.distillation import other_fold

PSEUDO_LABEL_COLUMNS = ("Image", "Id", "confidence", "run")


def pseudo_label(
    run: Run, confidence: float = 0.6, probabilities: npt.NDArray[np.float64] | None = None
) -> Path:
    """Write `pseudo_labels.csv` in the run: test photos that are identified with confidence.

    They are ranked against the gallery of the run's own fold, without its queries, so that the
    table tells a training on the same fold nothing about these.

    Args:
        run: a finished run with the test.npz that `infer` writes.
        confidence: least probability that the first answer is right, as predicted by the run's
            calibration.
        probabilities: (q,) used instead of these, one for each photo of test.npz.

    Returns:
        The table's path; columns Image, Id, confidence, run; the most confident first.

    Raises:
        FlukeprintError: no test.npz, no calibration, or no photo with that confidence.
    """
    config = run.config()
    file = run.path / "test.npz"
    if not file.is_file():
        raise FlukeprintError(f"{file} is missing; identify the test photographs with infer.py")
    identifier = _of_fold(Identifier.load(run.identifier), config)
    test = check_readable(read_test(config.data), config.data.skip_unreadable)
    queries = extract_features(Embeddings.load(file), test, config.image, config.rank)
    ranking = identifier.rank(queries)
    if probabilities is None:
        probabilities = identifier.probabilities(ranking)
    if probabilities is None:
        raise FlukeprintError(
            f"run {run.name} has no calibration: its fold has too few queries to tell how sure an "
            "answer is; train with more labelled photographs"
        )
    if probabilities.shape != (len(ranking),):
        raise ValueError(f"{probabilities.shape} probabilities for {len(ranking)} photos")
    rows = [
        (image, answers[0], float(probability), str(run.path))
        for image, answers, probability in zip(
            ranking.images, ranking.identities, probabilities, strict=True
        )
        if answers and answers[0] is not None and probability >= confidence
    ]
    if not rows:
        raise FlukeprintError(
            f"no test photograph is recognised with confidence {confidence:g}; lower --confidence"
        )
    target = run.path / "pseudo_labels.csv"
    table = pd.DataFrame(rows, columns=list(PSEUDO_LABEL_COLUMNS)).sort_values(
        ["confidence", "Image"], ascending=[False, True]
    )
    with written_whole(target) as partial:
        table.to_csv(partial, index=False, float_format="%.6f")
    return target


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
        print(
            f"pseudo-labels: {counted(len(kept), 'test photograph')} added to the training "
            f"photographs ({len(pseudo) - len(kept):,} left out, of individuals outside this fold "
            "or copies of its queries)",
            file=sys.stderr,
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
    check_once(table, "Image", "Id", path)
    confidences = pd.to_numeric(table["confidence"], errors="coerce").to_numpy(dtype=np.float64)
    bad = np.flatnonzero(~((confidences >= 0) & (confidences <= 1)))  # NaN is bad too
    if len(bad):
        raise FlukeprintError(f"{path}: confidence is no number from 0 to 1 in {lines(bad)}")
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
    return check_readable(photos, data.skip_unreadable), runs


def _of_fold(identifier: Identifier, config: Config) -> Identifier:
    """The identifier with the gallery of its training fold instead of all known photographs."""
    catalog = check_readable(read_labelled(config.data), config.data.skip_unreadable)
    known = set(catalog.take(split_for(config, catalog).gallery).images)
    rows = [row for row, image in enumerate(identifier.gallery.images) if image in known]
    keypoints = None if identifier.keypoints is None else identifier.keypoints.take(rows)
    gallery = identifier.gallery.take(rows)
    return replace(identifier, gallery=gallery, keypoints=keypoints, showcase=None)
