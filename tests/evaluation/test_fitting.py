"""Thresholds, weights of other views and calibrations against twins that try everything."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from flukeprint.config.ranking import RankConfig
from flukeprint.data.embeddings import Embeddings, unit_rows
from flukeprint.errors import FlukeprintError
from flukeprint.evaluation.fitting import (
    FEWEST_KNOWN,
    OTHER_VIEW_GRID,
    fit_calibration,
    fit_other_view,
    fit_threshold,
    threshold_for_false_new,
)
from flukeprint.evaluation.metrics import map_at_5
from flukeprint.ranking.calibration import Calibration, Rising
from flukeprint.ranking.ranking import insert_new_individual
from flukeprint.ranking.scoring import Scorer
from flukeprint.ranking.threshold import threshold_for_share
from flukeprint.search.gallery import Gallery
from tests.ranking.embeddings import OFF, drawn, search
from tests.ranking.rankings import drawn_answers, matched, plain_ranking, ranked, rankings


@given(rankings())
def test_the_fitted_threshold_is_the_best_of_all(drawn):
    plain, answers = drawn
    if len({answer is None for answer in answers}) < 2:
        with pytest.raises(FlukeprintError, match="no threshold can be fitted"):
            fit_threshold(plain, answers)
        return
    scores = sorted({float(s) for s in plain.scores.ravel() if not math.isnan(s)})
    # Every threshold answers as one of these: at a score, or above all.
    every = [*scores, 2.0]
    best = max(map_at_5(insert_new_individual(plain, t).identities, answers) for t in every)
    fitted = fit_threshold(plain, answers)
    assert map_at_5(insert_new_individual(plain, fitted).identities, answers) == pytest.approx(
        best, abs=1e-12
    )


def test_of_equal_intervals_the_widest_is_taken():
    # Above 0.2 the second query turns right, above the third's score that one turns wrong, above
    # 0.8 the fourth turns right: the intervals after the first and third change are equally good.
    answers = ["a", None, "a", None]
    plain = ranked(matched([[0.9], [0.2], [0.4], [0.8]], ["a"]), threshold=None)
    assert fit_threshold(plain, answers) == pytest.approx(0.3)  # 0.2 to 0.4, not 0.8 to 0.9
    plain = ranked(matched([[0.9], [0.2], [0.25], [0.8]], ["a"]), threshold=None)
    assert fit_threshold(plain, answers) == pytest.approx(0.85)  # not 0.2 to 0.25


def test_a_threshold_beyond_all_scores_stays_outside_them():
    plain = ranked(matched([[1.0], [1.0], [0.5]], ["a"]), threshold=None)
    assert fit_threshold(plain, ["b", None, None]) > 1.0
    assert -1 < fit_threshold(plain, ["a", "a", None]) < 1.0
    assert fit_threshold(ranked(matched([[0.2], [0.2]], ["a"]), threshold=None), ["a", None]) < 0.2


@given(rankings(), st.floats(0, 1))
def test_a_threshold_keeps_its_promise_on_the_queries_that_chose_it(drawn, share):
    plain, answers = drawn
    first = [
        names[0] is None
        for names in insert_new_individual(
            plain, threshold_for_share(plain.best_known, share)
        ).identities
    ]
    assert np.mean(first) <= share + 1e-9
    is_new = [answer is None for answer in answers]
    if all(is_new):
        with pytest.raises(ValueError, match="no queries"):
            threshold_for_false_new(plain.best_known, is_new, share)
        return
    threshold = threshold_for_false_new(plain.best_known, is_new, share)
    first = [names[0] is None for names in insert_new_individual(plain, threshold).identities]
    known = [f for f, new in zip(first, is_new, strict=True) if not new]
    assert np.mean(known) <= share + 1e-9
    scores = plain.best_known.astype(float)
    rates = [float(np.mean((scores < t)[~np.array(is_new)])) for t in (*scores, 2.0)]
    assert np.mean(known) == max(rate for rate in rates if rate <= share + 1e-9)


def two_sided(n=24, seed=0):
    """Flanks that have a look of their own: photos of one view resemble each other."""
    rng = np.random.default_rng(seed)
    who, side = np.arange(n) % 4, rng.integers(0, 2, n)
    vectors = 0.5 * np.eye(6)[who] + 0.9 * np.eye(6)[4 + side] + 0.25 * rng.normal(size=(n, 6))
    names = tuple(f"w{i}" for i in who)
    return Embeddings(
        unit_rows(vectors), names, names, tuple(("left", "right")[i] for i in side), "net"
    )


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 99))
def test_the_fitted_weight_is_the_smallest_of_the_best(seed):
    gallery, queries = Gallery(two_sided(seed=seed)), two_sided(12, seed=seed + 1)
    answers = [None if i % 5 == 0 else name for i, name in enumerate(queries.identities)]
    known = [i for i, answer in enumerate(answers) if answer is not None]
    table = np.random.default_rng(seed).normal(size=(12, 24)).astype(np.float32) / 5

    def quality(value):
        found = search(
            queries, gallery, OFF, top=5, other_view=value, adjustment=lambda r, s: s + table[r]
        )
        places = [
            [found.vocabulary[label] for label in found.labels[i]].index(answers[i]) + 1
            for i in known
        ]
        return round(sum(1 / place for place in places) / len(known), 9)

    best = max(OTHER_VIEW_GRID, key=lambda value: (quality(value), -value))
    rules = RankConfig(other_view="fit")
    fitted = fit_other_view(
        Scorer(gallery, rules), queries, answers, adjustment=lambda r, s: s + table[r]
    )
    assert fitted == best


def test_nothing_is_fitted_without_views_or_answers():
    gallery, queries = drawn(20), drawn(6, seed=3)
    answers = list(queries.identities)
    scorer = Scorer(Gallery(gallery), OFF)
    assert fit_other_view(scorer, drawn(6, seed=3, views=False), answers) == 0
    assert fit_other_view(Scorer(Gallery(drawn(20, views=False)), OFF), queries, answers) == 0
    assert fit_other_view(scorer, queries, [None] * 6) == 0
    assert fit_other_view(scorer, queries.take([]), []) == 0
    with pytest.raises(ValueError, match="answers for"):
        fit_other_view(scorer, queries, answers[:2])


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.integers(FEWEST_KNOWN, 120))
def test_probabilities_lie_in_0_to_1_and_rise(seed: int, q: int) -> None:
    ranking, answers = drawn_answers(q, seed)
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
    ranking, _ = drawn_answers(30)
    calibration = fit_calibration(ranking, ["w0"] * 30)
    assert calibration is not None
    assert calibration.known is None
    np.testing.assert_allclose(calibration.probabilities(ranking), 31 / 32)
    # Nobody new was ever among the queries: that answer has no chance.
    assert not calibration.probabilities(insert_new_individual(ranking, 2.0)).any()
    assert fit_calibration(ranking, [None] * 11 + ["w0"] * 19) is None
