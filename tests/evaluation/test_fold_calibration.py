"""What an identifier learns from its fold besides the threshold, against plain cosines."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from flukeprint.config.load import load_config
from flukeprint.data.embeddings import Embeddings, unit_rows
from flukeprint.data.splits import Split
from flukeprint.evaluation.fold_calibration import FoldCalibration, calibrate_fold
from flukeprint.evaluation.metrics import FoldScores
from flukeprint.evaluation.validation import validate
from flukeprint.evaluation.verification import Pairs, Verifier
from flukeprint.ranking.features import Features

ANIMALS, PHOTOS = 20, 4


def calibrated(
    folder: Path, *overrides: str, queries: int = 40
) -> tuple[FoldCalibration, npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
    """Calibration of a fold of 20 animals, (q, n) cosines of its pairs, and which are of one."""
    (folder / "c.yaml").write_text("data: {closed_set: true}")
    config = load_config(folder / "c.yaml", list(overrides))
    rng = np.random.default_rng(0)
    names = tuple(f"w{i % ANIMALS:02}" for i in range(ANIMALS * PHOTOS))
    vectors = unit_rows(
        np.repeat(rng.normal(size=(1, ANIMALS, 16)), PHOTOS, axis=0).reshape(-1, 16)
        + 0.5 * rng.normal(size=(ANIMALS * PHOTOS, 16))
    )
    embeddings = Embeddings(vectors, tuple(f"{i}.jpg" for i in range(len(names))), names, None, "s")
    gallery, asked = np.arange(40), np.arange(40, 40 + queries)
    split = Split(gallery, gallery, asked, tuple(names[row] for row in asked))
    features = Features(embeddings)
    result, fitted = validate(features, split, config)
    found = calibrate_fold(features, split, config, result, fitted)
    assert found.measured == FoldScores.of(result.scores)
    cosines = vectors[asked].astype(np.float64) @ vectors[gallery].astype(np.float64).T
    alike = np.array(names)[asked, None] == np.array(names)[gallery]
    return found, cosines, alike


@pytest.mark.parametrize("rules", [(), ("rank.within=0.5",), ("rank.identity=mean",)])
def test_the_floor_is_a_cosine_by_any_rules(tmp_path: Path, rules: tuple[str, ...]) -> None:
    found, cosines, _ = calibrated(tmp_path, "infer.outside=0.1", *rules)
    nearest = np.sort(cosines.max(axis=1))
    assert found.outside is not None
    assert found.outside.queries == 40
    assert found.outside.floor == pytest.approx(nearest[4], abs=1e-6)  # four of forty lie below


def test_the_thresholds_are_those_of_all_pairs(tmp_path: Path) -> None:
    found, cosines, alike = calibrated(tmp_path, "infer.outside=0.1")
    pairs = Pairs(cosines[alike], cosines[~alike])
    want = Verifier.fit(pairs)
    assert want is not None
    assert found.verifier is not None
    assert found.verifier.pairs_same == len(pairs.same) == 80
    assert found.verifier.pairs_other == len(pairs.other) == 1520
    assert found.verifier.thresholds == pytest.approx(want.thresholds, abs=1e-6)
    assert found.verifier.false_accept == want.false_accept
    assert found.verifier.eer == want.eer


def test_what_is_not_wanted_or_has_too_few_pairs_is_left_out(tmp_path: Path) -> None:
    found, _, _ = calibrated(tmp_path, "infer.outside=null", queries=2)
    assert found.outside is None
    assert found.verifier is None
