"""Runs studied each by itself, and several folds of one recipe together."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from flukeprint.evaluation.studies.distractors import DISTRACTORS
from flukeprint.evaluation.studies.verification_study import EVERYBODY
from flukeprint.identifier.runs import Run
from flukeprint.identifier.studies import run_studies
from flukeprint.identifier.studies.run_studies import RunStudies, study_runs
from tests.refusals import refused


@pytest.fixture(scope="module")
def folds(tiny_run: Run, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The tiny run, and its network as if it had been trained on the other fold."""
    other = tmp_path_factory.mktemp("folds") / "other"
    shutil.copytree(tiny_run.path, other)
    text = (other / "config.yaml").read_text()
    assert "fold: 0" in text
    (other / "config.yaml").write_text(text.replace("fold: 0", "fold: 1"))
    return [tiny_run.path, other]


@pytest.fixture(scope="module")
def studies(folds: list[Path]) -> RunStudies:
    return study_runs(folds, most_distractors=200)


def test_each_run_has_its_figures(studies: RunStudies, folds: list[Path]) -> None:
    assert [one.run for one in studies.runs] == [str(folder) for folder in folds]
    for one in studies.runs:
        assert [curve.kind for curve in one.distractors] == list(DISTRACTORS)
        assert one.distractors[0].sizes == (0, 10, 100, 200)
        assert {"cosine", "euclidean"} <= set(one.metrics.metrics)
        assert one.verification.rates[EVERYBODY].same >= 20
    text = studies.text()
    for words in ("equal error rate", "drawn animals (like the gallery)", "minkowski p=3",
                  "mean of folds 0, 1"):  # fmt: skip
        assert words in text


def test_folds_of_one_recipe_are_averaged_and_others_are_not(
    studies: RunStudies, folds: list[Path], tmp_path: Path
) -> None:
    assert len(studies.over_folds) == 1
    mean = studies.over_folds[0]
    assert mean.numbers == (0, 1)
    assert mean.rates[EVERYBODY].eer.mean == pytest.approx(
        np.mean([one.verification.rates[EVERYBODY].eer.mean for one in studies.runs])
    )
    longer = tmp_path / "longer"
    shutil.copytree(folds[1], longer)
    text = (longer / "config.yaml").read_text()
    (longer / "config.yaml").write_text(text.replace("epochs: 3", "epochs: 4"))
    assert study_runs([folds[0], longer], most_distractors=10).over_folds == ()


def test_the_summary_is_json(studies: RunStudies) -> None:
    found = json.loads(json.dumps(studies.summary(), allow_nan=False))
    curve = found["runs"][0]["verification"]["rates"][EVERYBODY]["curve"]
    assert len(curve["false_accept"]) == len(curve["low"]) > 3
    assert found["runs"][0]["distractors"][1]["kind"] == "like the gallery"


def test_a_run_that_is_none_is_refused_before_anything_is_measured(
    folds: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def measured(*arguments: object) -> None:
        raise AssertionError("measured before all runs were read")

    monkeypatch.setattr(run_studies, "verify_folds", measured)
    refused(lambda: study_runs([folds[0], tmp_path]), "is no run")
    refused(lambda: study_runs([folds[0], folds[0]]), "twice")
