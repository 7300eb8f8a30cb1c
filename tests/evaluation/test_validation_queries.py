"""Kept rankings are read back as they were, and choose another threshold later."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from flukeprint.config.load import load_config
from flukeprint.config.schema import Config
from flukeprint.data.readers.read import read_test
from flukeprint.data.synthetic.dataset import write_synthetic
from flukeprint.errors import FlukeprintError
from flukeprint.evaluation.validation import validate_rankings
from flukeprint.evaluation.validation_queries import ValidationQueries
from flukeprint.identifier.identifier import Identifier
from flukeprint.identifier.runs import Run
from flukeprint.submission.infer import infer
from flukeprint.training.train import train
from tests.ranking.rankings import drawn_answers, plain_ranking


def test_kept_queries_are_read_back_as_they_were(tmp_path: Path) -> None:
    ranking, answers = drawn_answers(9)
    few = plain_ranking(np.random.default_rng(0).random((9, 1)))
    for kept in (ranking, few):
        asked = ValidationQueries(kept, tuple(answers), (*answers[:-1], None))
        asked.save(tmp_path / "asked.json")
        back = ValidationQueries.load(tmp_path / "asked.json")
        assert (back.answers, back.individuals) == (asked.answers, asked.individuals)
        assert back.ranking.identities == kept.identities
        np.testing.assert_array_equal(back.ranking.scores, kept.scores)
        np.testing.assert_array_equal(back.ranking.rows, kept.rows)
        np.testing.assert_array_equal(back.ranking.best_known, kept.best_known)


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"images": ["a"], "scores": [[1]]}'])
def test_damaged_queries_are_refused_in_one_line(tmp_path: Path, text: str) -> None:
    path = tmp_path / "asked.json"
    with pytest.raises(FlukeprintError, match=r"asked\.json cannot be read.*train again"):
        ValidationQueries.load(path)
    path.write_text(text)
    with pytest.raises(FlukeprintError, match=r"asked\.json cannot be read.*train again"):
        ValidationQueries.load(path)


TINY = """
name: tiny
data:
  reader: synthetic
  root: {root}/shapes
  synthetic: {{kind: shapes, identities: 110, long_side: 48, test_photos: 40}}
image: {{height: 32, width: 48, cache: null, augment: 0.2}}
split: {{folds: 2}}
model: {{backbone: test_resnet, weights: none, embedding_dim: 16}}
train: {{epochs: 1, max_steps: 2, workers: 0, accelerator: cpu, report: false}}
runs: {root}/runs
submissions: {root}/submissions
"""


def tiny(root: Path, *overrides: str) -> Config:
    (root / "tiny.yaml").write_text(TINY.format(root=root))
    return load_config(root / "tiny.yaml", list(overrides))


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Run]:
    root = tmp_path_factory.mktemp("open_set")
    config = tiny(root)
    write_synthetic(config.data.synthetic, config.data.root, progress=False)
    return root, train(config)


def test_a_run_keeps_what_thresholds_and_probabilities_are_made_of(
    finished: tuple[Path, Run],
) -> None:
    root, run = finished
    config = tiny(root)
    figures = run.figures()
    judged = validate_rankings(ValidationQueries.load(run.path / "asked.json"), config)
    assert figures == json.loads(json.dumps(judged.summary()))
    assert figures["expectation"]["threshold"] == figures["threshold"] is not None
    assert figures["expectation"]["map5"] == figures["map5"]
    assert Image.open(run.path / "reliability.png").size == (1920, 1080)
    known = Identifier.load(run.identifier)
    assert known.card.calibration == judged.calibration is not None
    ranking = known.identify(read_test(config.data), top=5)
    right = known.probabilities(ranking)
    assert right is not None
    assert right.shape == (40,)
    assert ((right >= 0) & (right <= 1)).all()


def test_the_text_of_a_run_names_both_constant_answers_before_the_network(
    finished: tuple[Path, Run],
) -> None:
    _, run = finished
    lines = run.text().splitlines()
    assert [line.split(":")[0] for line in lines[:3]] == [
        "never new", "always new first", "trained network",
    ]  # fmt: skip
    assert lines[3] == run.figures()["doubt"]
    assert all("MAP@5 0." in line for line in lines[:3])


def test_a_share_is_chosen_on_the_photographs_themselves(finished: tuple[Path, Run]) -> None:
    root, run = finished
    answers = infer(tiny(root, "infer.threshold={share: 0.165}"), run)
    first = [names[0] for names in answers.ranking.identities]
    assert first.count(None) == 6  # of 40: seven would be more than 16.5 %
    assert "chosen on these 40 photographs" in answers.notes[0]
    assert answers.identifier.card.threshold is not None
    again = answers.identifier.identify(answers.test)
    assert again.identities == answers.ranking.identities


def test_another_threshold_is_chosen_on_the_queries_that_the_run_kept(
    finished: tuple[Path, Run],
) -> None:
    root, run = finished
    config = tiny(root, "infer.threshold={false_new: 0.1}")
    answers = infer(config, run)
    judged = validate_rankings(ValidationQueries.load(run.path / "asked.json"), config)
    assert answers.identifier.card.threshold == judged.threshold
    assert "queries of the fold" in answers.notes[0]
    assert "expect MAP@5" in answers.notes[1]
    own = infer(tiny(root), run)
    assert own.notes == (run.figures()["doubt"],)  # too few queries to fit one
    assert own.identifier.card.threshold == run.figures()["threshold"]
    for override, threshold in (("none", None), ("0.25", 0.25)):
        given_ = infer(tiny(root, f"infer.threshold={override}"), run)
        assert given_.identifier.card.threshold == threshold


def test_another_threshold_without_kept_queries_is_refused(finished: tuple[Path, Run]) -> None:
    root, run = finished
    kept = (run.path / "asked.json").read_text()
    (run.path / "asked.json").unlink()
    with pytest.raises(FlukeprintError, match=r"asked\.json cannot be read"):
        infer(tiny(root, "infer.threshold={false_new: 0.1}"), run)
    (run.path / "asked.json").write_text(kept)
