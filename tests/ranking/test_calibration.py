"""Expectations recomputed query by query, calibrations that rise, calibration errors by hand."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from pydantic import ValidationError

from flukeprint.config.load import load_config
from flukeprint.config.schema import Config
from flukeprint.data.readers.read import read_test
from flukeprint.data.synthetic.dataset import write_synthetic
from flukeprint.errors import FlukeprintError
from flukeprint.evaluation.fitting import FEWEST_KNOWN, fit_calibration
from flukeprint.evaluation.plots import draw_reliability
from flukeprint.evaluation.reliability import (
    calibration_error,
    equal_mass_bins,
    measure_reliability,
    report_threshold,
)
from flukeprint.evaluation.validation import validate_rankings
from flukeprint.evaluation.validation_queries import ValidationQueries
from flukeprint.identifier.identifier import Identifier
from flukeprint.identifier.runs import Run
from flukeprint.ranking.calibration import Calibration, Rising, features
from flukeprint.ranking.ranking import Ranking, insert_new_individual
from flukeprint.submission.infer import infer
from flukeprint.training.train import train


def plain_ranking(scores: np.ndarray) -> Ranking:
    """Query i answers w0, w1, ... with the descending scores of row i."""
    q, t = scores.shape
    padded = np.full((q, 5), np.nan, dtype=np.float32)
    padded[:, :t] = scores[:, :5]
    return Ranking(
        images=tuple(f"{i}.jpg" for i in range(q)),
        identities=(tuple(f"w{i}" for i in range(min(t, 5))),) * q,
        scores=padded,
        rows=np.where(np.isnan(padded), -1, 0),
        best_known=padded[:, 0].copy(),
    )


def drawn(q: int, seed: int = 0) -> tuple[Ranking, list[str | None]]:
    """Queries of known and new animals: the surer, the higher and the further ahead."""
    rng = np.random.default_rng(seed)
    scores = -np.sort(-rng.uniform(0, 0.8, (q, 6)), axis=1)
    kind = rng.choice(4, size=q, p=[0.45, 0.15, 0.1, 0.3])
    scores[:, 0] += np.where(kind == 0, 0.2 * rng.random(q), 0)
    answers: list[str | None] = [["w0", "w2", "elsewhere", None][k] for k in kind]
    return plain_ranking(scores), answers


def naive(ranking: Ranking, answers: list[str | None], threshold: float) -> np.ndarray:
    """(q, 2) AP@5 and whether a new individual is first, one query after the other."""
    out = []
    for names, scores, answer in zip(ranking.identities, ranking.scores, answers, strict=True):
        kept: list[str | None] = [n for n, s in zip(names, scores, strict=True) if s >= threshold]
        rest = [n for n, s in zip(names, scores, strict=True) if s < threshold]
        final = [*kept, None, *rest][:5]
        ap = 1 / (final.index(answer) + 1) if answer in final else 0.0
        out.append((ap, float(final[0] is None)))
    return np.array(out)


@pytest.mark.parametrize("threshold", [0.3, 0.62, 0.9])
def test_an_expectation_is_the_naive_one(threshold: float) -> None:
    ranking, answers = drawn(200)
    got = report_threshold(ranking, answers, threshold, seed=1)
    at, never, always = (naive(ranking, answers, t) for t in (threshold, -9.0, 9.0))
    new = np.array([answer is None for answer in answers])
    assert got.map5.mean == pytest.approx(at[:, 0].mean())
    assert got.never.mean == pytest.approx(never[:, 0].mean())
    assert got.always.mean == pytest.approx(always[:, 0].mean())
    assert got.false_new is not None
    assert got.missed_new is not None
    assert got.false_new.mean == pytest.approx(at[~new, 1].mean())
    assert got.missed_new.mean == pytest.approx(1 - at[new, 1].mean())
    assert got.over_never.mean == pytest.approx(got.map5.mean - got.never.mean)
    assert got.over_always.mean == pytest.approx(got.map5.mean - got.always.mean)


def test_intervals_are_those_of_drawn_queries() -> None:
    """A bootstrap that draws whole queries, with the figures of all three answers at once."""
    ranking, answers = drawn(200)
    got = report_threshold(ranking, answers, 0.62, seed=1)
    at, never = (naive(ranking, answers, t)[:, 0] for t in (0.62, -9.0))
    rng = np.random.default_rng(7)
    rows = rng.integers(200, size=(4000, 200))
    for interval, means in (
        (got.map5, at[rows].mean(axis=1)),
        (got.over_never, at[rows].mean(axis=1) - never[rows].mean(axis=1)),
    ):
        low, high = np.quantile(means, [0.025, 0.975])
        assert (interval.low, interval.high) == pytest.approx((low, high), abs=0.012)
        assert interval.low <= interval.mean <= interval.high
    width = got.over_never.high - got.over_never.low
    apart = math.hypot(got.map5.high - got.map5.low, got.never.high - got.never.low)
    assert width < apart  # what is hard for both cancels out


def test_an_expectation_of_one_kind_of_queries() -> None:
    ranking, _ = drawn(30)
    known = report_threshold(ranking, ["w0"] * 30, 0.5, seed=0)
    assert known.missed_new is None
    assert "new animals missed" not in known.text()
    assert known.never.mean == 1
    assert known.always.mean == 0.5
    new = report_threshold(ranking, [None] * 30, 0.5, seed=0)
    assert new.false_new is None
    assert (new.always.mean, new.never.mean) == (1, 0)
    assert len(new.text().splitlines()) == 2


def test_a_rate_of_none_or_all_is_not_taken_for_certain() -> None:
    ranking, _ = drawn(10)
    never = report_threshold(ranking, ["w0"] * 10, -1, seed=0).false_new
    always = report_threshold(ranking, ["w0"] * 10, 2, seed=0).false_new
    assert never is not None
    assert always is not None
    assert (never.low, never.mean) == (0, 0)
    assert (1 - never.high) ** 10 == pytest.approx(0.025)  # at that rate none of ten is as rare
    assert (always.low, always.mean, always.high) == pytest.approx((1 - never.high, 1, 1))


def test_features_are_the_same_at_every_threshold() -> None:
    ranking, _ = drawn(50)
    want = np.stack([ranking.scores[:, 0], ranking.scores[:, 0] - ranking.scores[:, 1]], axis=1)
    for threshold in (-1.0, 0.5, 0.7, 2.0):
        np.testing.assert_allclose(
            features(insert_new_individual(ranking, threshold)), want, atol=1e-6
        )
    one = plain_ranking(np.array([[0.4]]))
    np.testing.assert_allclose(features(one), [[0.4, 1.4]], atol=1e-6)
    few = Ranking(("a",), (("w0", "w1"),), ranking.scores[:1, :2], ranking.rows[:1, :2], np.ones(1))
    with pytest.raises(ValueError, match="at least three"):
        features(few)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.integers(FEWEST_KNOWN, 120))
def test_probabilities_lie_in_0_to_1_and_rise(seed: int, q: int) -> None:
    ranking, answers = drawn(q, seed)
    calibration = fit_calibration(ranking, answers)
    if sum(answer is not None for answer in answers) < FEWEST_KNOWN:
        assert calibration is None
        return
    assert calibration is not None
    again = Calibration.model_validate_json(calibration.model_dump_json())
    assert again == calibration
    grid = np.arange(-16, 17) / 16  # whole in float32, so that a lead stays what it is
    rest = [np.full(33, -2.0)] * 3
    rising = np.stack([grid, grid - 0.125, *rest], axis=1)  # score alone
    leading = np.stack([np.full(33, 1.0), -grid, *rest], axis=1)  # lead alone
    for scores in (rising, leading):
        first_known = calibration.probabilities(plain_ranking(scores))
        first_new = calibration.probabilities(insert_new_individual(plain_ranking(scores), 2.0))
        assert (np.diff(first_known) >= 0).all()
        assert (np.diff(first_new) <= 0).all()
        for p in (first_known, first_new):
            assert ((p >= 0) & (p <= 1)).all()
        assert (first_known + first_new <= 1 + 1e-12).all()


def test_a_calibration_finds_the_probabilities_that_made_the_answers() -> None:
    rng = np.random.default_rng(3)
    q = 20_000
    scores = -np.sort(-rng.uniform(0, 1, (q, 5)), axis=1)
    x = np.stack([scores[:, 0], scores[:, 0] - scores[:, 1]], axis=1)
    known = 1 / (1 + np.exp(-(-3 + 6 * x[:, 0] + 1 * x[:, 1])))
    right = 1 / (1 + np.exp(-(-2 + 2 * x[:, 0] + 5 * x[:, 1])))
    is_known, is_right = rng.random(q) < known, rng.random(q) < right
    answers = [
        None if not k else "w0" if r else "w3" for k, r in zip(is_known, is_right, strict=True)
    ]
    ranking = plain_ranking(scores)
    calibration = fit_calibration(ranking, answers)
    assert calibration is not None
    np.testing.assert_allclose(calibration.probabilities(ranking), known * right, atol=0.03)
    np.testing.assert_allclose(
        calibration.probabilities(insert_new_individual(ranking, 2.0)), 1 - known, atol=0.03
    )


def test_what_counts_downwards_is_left_out() -> None:
    """The lower the score, the likelier right: nothing a probability may follow."""
    scores = np.stack([np.linspace(0.2, 1, 60), np.zeros(60)], axis=1)
    answers = ["w0"] * 30 + ["w1"] * 30
    calibration = fit_calibration(plain_ranking(scores), answers)
    assert calibration is not None
    assert (calibration.right.score, calibration.right.lead) == (0, 0)
    np.testing.assert_allclose(calibration.probabilities(plain_ranking(scores)), 0.5)
    with pytest.raises(ValidationError):
        Rising(intercept=0, score=-1, lead=0)
    with pytest.raises(ValidationError):
        Rising(intercept=math.nan, score=1, lead=0)


def test_all_alike_and_a_closed_set() -> None:
    ranking, _ = drawn(30)
    calibration = fit_calibration(ranking, ["w0"] * 30)
    assert calibration is not None
    assert calibration.known is None
    np.testing.assert_allclose(calibration.probabilities(ranking), 31 / 32)
    # Nobody new was ever among the queries: that answer has no chance.
    assert not calibration.probabilities(insert_new_individual(ranking, 2.0)).any()
    assert fit_calibration(ranking, [None] * 11 + ["w0"] * 19) is None


def test_the_calibration_error_by_hand() -> None:
    p = [0.1, 0.2, 0.3, 0.4, 0.9, 0.7]
    right = [0, 1, 0, 0, 1, 1]
    assert equal_mass_bins(p, 3).tolist() == [0, 0, 1, 1, 2, 2]
    # |0.3 - 1| + |0.7 - 0| + |1.6 - 2| over six queries
    assert calibration_error(p, right, 3) == pytest.approx((0.7 + 0.7 + 0.4) / 6)
    found = measure_reliability(p, right, seed=0, bins=3)
    assert found.foretold == pytest.approx((0.15, 0.35, 0.8))
    assert found.happened == pytest.approx((0.5, 0.0, 1.0))
    assert found.queries == (2, 2, 2)
    assert found.ece == pytest.approx(0.3)


@given(st.lists(st.sampled_from([0.0, 0.1, 0.1000001, 0.5, 1.0]), min_size=1, max_size=60))
def test_bins_follow_the_order_and_never_part_equals(p: list[float]) -> None:
    which = equal_mass_bins(p)
    assert which.min() >= 0
    assert which.max() < 15
    for a, bin_a in zip(p, which, strict=True):
        for b, bin_b in zip(p, which, strict=True):
            assert a != b or bin_a == bin_b
            assert a >= b or bin_a <= bin_b


def test_bins_are_of_equal_mass() -> None:
    p = np.random.default_rng(0).permutation(153) / 153
    counts = np.bincount(equal_mass_bins(p), minlength=15)
    assert set(counts.tolist()) == {10, 11}


def test_faultless_probabilities_err_as_much_as_chance() -> None:
    rng = np.random.default_rng(1)
    p = rng.random(600)
    errors = [measure_reliability(p, rng.random(600) < p, seed=s).ece for s in range(20)]
    chance = measure_reliability(p, rng.random(600) < p, seed=0).chance
    assert np.mean(errors) == pytest.approx(chance, rel=0.15)
    assert measure_reliability(p, rng.random(600) < p**3, seed=0).ece > 3 * chance


def test_kept_queries_are_read_back_as_they_were(tmp_path: Path) -> None:
    ranking, answers = drawn(9)
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


def test_points_of_faultless_probabilities_are_drawn_on_the_diagonal(tmp_path: Path) -> None:
    columns = []
    for share in (0.25, 0.75):
        p = np.full(400, share)
        right = np.arange(400) < 400 * share
        draw_reliability(measure_reliability(p, right, seed=0), tmp_path / "r.png")
        pixels = np.asarray(Image.open(tmp_path / "r.png").convert("RGB")).astype(int)
        blue = np.abs(pixels - (69, 117, 180)).sum(axis=2) < 12
        rows, cols = (places.mean() for places in np.nonzero(blue))
        columns.append((cols, rows))
    (left, low), (right_, high) = columns
    assert right_ - left == pytest.approx(low - high, abs=3)  # as far right as up
    assert right_ - left > 50


TINY = """
name: tiny
data:
  reader: synthetic
  root: {root}/shapes
  synthetic: {{kind: shapes, identities: 110, long_side: 48, test_photos: 40}}
image: {{height: 32, width: 48, cache: null, augment: 0.2}}
split: {{folds: 2}}
model: {{backbone: test_resnet, weights: none, embedding_dim: 16}}
train: {{epochs: 1, max_steps: 2, workers: 0, accelerator: cpu}}
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
    assert Image.open(run.path / "reliability.png").size == (420, 420)
    known = Identifier.load(run.identifier)
    assert known.card.calibration == judged.calibration is not None
    ranking = known.identify(read_test(config.data), top=5)
    right = known.probabilities(ranking)
    assert right is not None
    assert right.shape == (40,)
    assert ((right >= 0) & (right <= 1)).all()


def test_a_share_is_chosen_on_the_photographs_themselves(finished: tuple[Path, Run]) -> None:
    root, run = finished
    answers = infer(tiny(root, "infer.threshold={share: 0.165}"), run)
    first = [names[0] for names in answers.ranking.identities]
    assert first.count(None) == 6  # of 40: seven would be more than 16.5 %
    assert "chosen on these 40 photographs" in answers.notes[0]
    assert answers.identifier.card.threshold is not None
    again = answers.identifier.identify(answers.test)
    assert again.identities == answers.ranking.identities


def test_another_wish_is_chosen_on_the_queries_that_the_run_kept(
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
    assert own.notes == ()
    assert own.identifier.card.threshold == run.figures()["threshold"]
    for override, threshold in (("none", None), ("0.25", 0.25)):
        given_ = infer(tiny(root, f"infer.threshold={override}"), run)
        assert given_.identifier.card.threshold == threshold


def test_a_wish_without_kept_queries_is_refused(finished: tuple[Path, Run]) -> None:
    root, run = finished
    kept = (run.path / "asked.json").read_text()
    (run.path / "asked.json").unlink()
    with pytest.raises(FlukeprintError, match=r"asked\.json cannot be read"):
        infer(tiny(root, "infer.threshold={false_new: 0.1}"), run)
    (run.path / "asked.json").write_text(kept)
