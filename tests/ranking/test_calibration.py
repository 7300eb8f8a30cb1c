"""Features and probabilities of a ranking: of the first answer, and of all identities."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flukeprint.ranking.calibration import (
    Calibration,
    Posterior,
    Rising,
    features,
    in_order,
    posterior,
)
from flukeprint.ranking.ranking import Ranking, insert_new_individual
from tests.ranking.rankings import drawn_answers, plain_ranking


def test_features_are_the_same_at_every_threshold() -> None:
    ranking, _ = drawn_answers(50)
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


def ranking_of(*scores: list[float]) -> Ranking:
    """Queries with these scores, padded to the three answers that a calibration_of needs."""
    n = len(scores[0])
    table = np.array([[*line, *[np.nan] * (3 - n)] for line in scores], dtype=np.float32)
    return Ranking(
        images=tuple(f"q{i}" for i in range(len(scores))),
        identities=(tuple(f"w{i}" for i in range(n)),) * len(scores),
        scores=table,
        rows=np.where(np.isnan(table), -1, 0).astype(np.int64),
        best_known=table[:, 0],
    )


Numbers = tuple[float, float, float]  # of a `Rising`


def calibration_of(right: Numbers, known: Numbers | None = None) -> Calibration:
    def rising(numbers: Numbers) -> Rising:
        return Rising(intercept=numbers[0], score=numbers[1], lead=numbers[2])

    return Calibration(
        right=rising(right), known=None if known is None else rising(known), queries=100
    )


SCORES = st.lists(st.floats(-1, 1, width=32), min_size=2, max_size=12).map(
    lambda values: sorted(values, reverse=True)
)


@given(SCORES, st.floats(-4, 4), st.floats(0, 20), st.floats(0, 20), st.booleans())
def test_they_add_up_and_hold_what_the_calibration_predicts(scores, base, slope, lead, open_set):
    known = calibration_of((base, slope, lead), (0.5, 3.0, 1.0) if open_set else None)
    query = ranking_of(scores)
    found = posterior(query, known)
    assert found.identities.sum() + found.new.sum() == pytest.approx(1, abs=1e-9)
    assert (found.identities >= 0).all()
    assert found.identities[0, 0] == pytest.approx(known.probabilities(query)[0], abs=1e-12)
    others = found.identities[0, 1:]
    assert np.all(np.diff(others) <= 1e-12)
    # The same that is told of a new individual as first answer.
    as_new = known.probabilities(insert_new_individual(query, math.inf))[0]
    assert found.new[0] == pytest.approx(as_new, abs=1e-12)


def test_the_shape_is_a_softmax_whose_sharpness_gives_the_first_its_probability():
    scores = [0.9, 0.7, 0.65, 0.2]
    known = calibration_of((0.4, 1.0, 2.0))
    right = known.probabilities(ranking_of(scores))[0]
    found = posterior(ranking_of(scores), known).identities[0]
    assert found[0] == pytest.approx(right)
    # log-odds between the answers are proportional to the differences of their scores
    b = math.log(found[0] / found[1]) / (scores[0] - scores[1])
    assert math.log(found[1] / found[2]) == pytest.approx(b * (scores[1] - scores[2]), rel=1e-4)
    assert math.log(found[2] / found[3]) == pytest.approx(b * (scores[2] - scores[3]), rel=1e-4)


def test_equal_answers_share_what_the_first_leaves():
    known = calibration_of((2.0, 0.0, 0.0))
    found = posterior(ranking_of([0.5, 0.5, 0.5, 0.1]), known).identities[0]
    right = 1 / (1 + math.exp(-2))
    assert found == pytest.approx([right, (1 - right) / 2, (1 - right) / 2, 0], abs=1e-6)


def test_a_gallery_of_one_leaves_the_rest_to_nobody():
    known = calibration_of((0.0, 0.0, 0.0), (0.0, 0.0, 0.0))
    found = posterior(ranking_of([0.3]), known)
    assert found.identities.tolist() == [[0.25]]
    assert found.new.tolist() == [0.5]


def test_rankings_with_new_individuals_or_missing_identities_are_refused():
    known = calibration_of((0.0, 0.0, 0.0))
    whole = ranking_of([0.9, 0.5, 0.2])
    with pytest.raises(ValueError, match="all identities"):
        posterior(insert_new_individual(whole, 0.6), known)


@st.composite
def posteriors(draw):
    """Probabilities of one query in any order, and a place for the new individual."""
    n = draw(st.integers(1, 7))
    weights = np.array(draw(st.lists(st.floats(0.001, 1), min_size=n + 2, max_size=n + 2)))
    shares = weights / weights.sum()  # the last one belongs to nobody
    likely = Posterior(identities=shares[None, :n], new=shares[n : n + 1])
    return likely, draw(st.integers(0, n))


def chain_of(likely: Posterior, place: int) -> np.ndarray:
    return np.insert(likely.identities[0], place, likely.new[0])


@given(posteriors())
def test_a_new_individual_that_is_no_answer_has_at_most_the_probability_of_the_first(drawn):
    likely, place = drawn
    found = in_order(likely, [place], top=place)
    np.testing.assert_array_equal(found.identities[0], np.minimum.accumulate(likely.identities[0]))
    assert found.new[0] == min(likely.new[0], likely.identities[0, 0])


@given(posteriors())
def test_in_order_no_answer_is_more_probable_than_the_one_before_it(drawn):
    likely, place = drawn
    found = in_order(likely, [place], top=8)
    before, after = chain_of(likely, place), chain_of(found, place)
    assert (np.diff(after) <= 0).all()
    assert after[0] == before[0]  # the calibrated one
    assert (after <= before).all()  # nothing is overstated
    assert after.sum() <= 1 + 1e-12
    # Where nothing contradicts the order, nothing changes; what changes equals one before it.
    np.testing.assert_array_equal(after, [before[: i + 1].min() for i in range(len(before))])
    again = in_order(found, [place], top=8)
    np.testing.assert_array_equal(chain_of(again, place), after)


def test_each_query_has_its_own_place_for_the_new_individual():
    likely = Posterior(
        identities=np.array([[0.5, 0.2, 0.1], [0.5, 0.2, 0.1], [0.5, 0.2, 0.1]]),
        new=np.array([0.15, 0.15, 0.03]),
    )
    found = in_order(likely, [1, 0, 3])
    np.testing.assert_array_equal(
        found.identities, [[0.5, 0.15, 0.1], [0.15, 0.15, 0.1], [0.5, 0.2, 0.1]]
    )
    np.testing.assert_array_equal(found.new, [0.15, 0.15, 0.03])
