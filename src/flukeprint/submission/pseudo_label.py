"""Write pseudo-labels: the test photographs of a run that its identifier names with confidence."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from flukeprint.config.schema import Config
from flukeprint.data.doctor import check_readable
from flukeprint.data.embeddings import Embeddings
from flukeprint.data.readers.read import read_labelled, read_test
from flukeprint.data.splits import split_for
from flukeprint.embedding.embed import pick_device
from flukeprint.embedding.recipe import Compute
from flukeprint.errors import FlukeprintError, counted
from flukeprint.files import written_whole
from flukeprint.identifier.build import measured_identifier
from flukeprint.identifier.identifier import Identifier
from flukeprint.identifier.runs import PSEUDO_LABEL_COLUMNS, Run
from flukeprint.ranking.features import extract_features
from flukeprint.ranking.ranking import Ranking

CONFIDENCE = 0.6  # of the table without a confidence in its name


def pseudo_label(
    run: Run, confidence: float = CONFIDENCE, probabilities: npt.NDArray[np.float64] | None = None
) -> Path:
    """Write a table of pseudo-labels in the run: test photos that are identified with confidence.

    It is `pseudo_labels.csv`, and with another confidence than 0.6 such as `pseudo_labels-0.8.csv`.

    They are ranked against the gallery of the run's own fold, without its queries, so that the
    table tells a training on the same fold nothing about these.  A run that was trained further on
    all photographs embeds the test photographs again, with its network before that.

    Args:
        run: a finished run with the test.npz that `infer` writes.
        confidence: least probability that the first answer is right, as predicted by the run's
            calibration.
        probabilities: (q,) used instead of these, one for each test photograph.

    Returns:
        The table's path; columns Image, Id, confidence, run; the most confident first.

    Raises:
        FlukeprintError: no test.npz, no calibration, or no photo with that confidence.
    """
    config = run.config()
    file = run.path / "test.npz"
    if not file.is_file() and not run.measured.is_dir():
        raise FlukeprintError(f"{file} is missing; identify the test photographs with infer.py")
    known = measured_identifier(run)
    if probabilities is None:
        check_calibrated(known, run)
    identifier = _of_fold(known, config)
    test = check_readable(read_test(config.data), config.data.skip_unreadable)
    if run.measured.is_dir():  # test.npz is of the network that has learned the fold's queries
        identifier.net.to(pick_device(config.train.accelerator))
        queries = identifier.examine(test, compute=Compute.of(config), progress=True)
    else:
        queries = extract_features(Embeddings.load(file), test, config.image, config.rank)
    ranking = identifier.rank(queries)
    if probabilities is None:
        probabilities = identifier.probabilities(ranking)
    assert probabilities is not None  # there is a calibration
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
        raise FlukeprintError(_why_none(ranking, probabilities, confidence, config))
    target = run.path / (
        "pseudo_labels.csv" if confidence == CONFIDENCE else f"pseudo_labels-{confidence:g}.csv"
    )
    table = pd.DataFrame(rows, columns=list(PSEUDO_LABEL_COLUMNS)).sort_values(
        ["confidence", "Image"], ascending=[False, True]
    )
    with written_whole(target) as partial:
        table.to_csv(partial, index=False, float_format="%.6f")
    return target


def check_calibrated(identifier: Identifier, run: Run) -> None:
    """Refuse a run that cannot tell how sure an answer is."""
    if identifier.card.calibration is None:
        raise FlukeprintError(
            f"run {run.name} has no calibration: its fold has too few queries to tell how sure an "
            "answer is; train with more labelled photographs"
        )


def _why_none(
    ranking: Ranking, probabilities: npt.NDArray[np.float64], confidence: float, config: Config
) -> str:
    """Why no test photograph gets a pseudo-label, and what would change it."""
    first_known = [bool(names) and names[0] is not None for names in ranking.identities]
    photographs = counted(len(ranking), "test photograph")
    if not any(first_known):
        return (
            f"no confidence gives a pseudo-label: of {photographs} each is first answered "
            f"{config.data.new_label}, which is no label to train on; train longer, or give "
            "infer.threshold a lower value and train again"
        )
    surest = math.floor(probabilities[first_known].max() * 1000) / 1000
    return (
        f"no test photograph is recognised with confidence {confidence:g}; of {photographs} "
        f"{sum(first_known):,} are first answered with a known animal, the surest with "
        f"{surest:g}; lower --confidence"
    )


def _of_fold(identifier: Identifier, config: Config) -> Identifier:
    """The identifier with the gallery of its training fold instead of all known photographs."""
    catalog = check_readable(read_labelled(config.data), config.data.skip_unreadable)
    known = set(catalog.take(split_for(config, catalog).gallery).images)
    rows = [row for row, image in enumerate(identifier.gallery.images) if image in known]
    keypoints = None if identifier.keypoints is None else identifier.keypoints.take(rows)
    gallery = identifier.gallery.take(rows)
    return replace(identifier, gallery=gallery, keypoints=keypoints, showcase=None)
