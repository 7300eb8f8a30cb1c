"""Probabilities of all identities: they add up, fall, and hold what the calibration foretells."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flukeprint.ranking.calibration import Calibration, Rising, posterior
from flukeprint.ranking.ranking import Ranking, insert_new_individual


def ranking(*scores: list[float]) -> Ranking:
    """Queries with these scores, padded to the three answers that a calibration needs."""
    n = len(scores[0])
    table = np.array([[*line, *[np.nan] * (3 - n)] for line in scores], dtype=np.float32)
    return Ranking(
        images=tuple(f"q{i}" for i in range(len(scores))),
        identities=(tuple(f"w{i}" for i in range(n)),) * len(scores),
        scores=table,
        rows=np.where(np.isnan(table), -1, 0).astype(np.int64),
        best_known=table[:, 0],
    )


def calibration(right: tuple[float, float, float], known: tuple[float, float, float] | None = None):
    def rising(numbers: tuple[float, float, float]) -> Rising:
        return Rising(intercept=numbers[0], score=numbers[1], lead=numbers[2])

    return Calibration(
        right=rising(right), known=None if known is None else rising(known), queries=100
    )


SCORES = st.lists(st.floats(-1, 1, width=32), min_size=2, max_size=12).map(
    lambda values: sorted(values, reverse=True)
)


@given(SCORES, st.floats(-4, 4), st.floats(0, 20), st.floats(0, 20), st.booleans())
def test_they_add_up_and_hold_what_the_calibration_foretold(scores, base, slope, lead, open_set):
    known = calibration((base, slope, lead), (0.5, 3.0, 1.0) if open_set else None)
    query = ranking(scores)
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
    known = calibration((0.4, 1.0, 2.0))
    right = known.probabilities(ranking(scores))[0]
    found = posterior(ranking(scores), known).identities[0]
    assert found[0] == pytest.approx(right)
    # log-odds between the answers are proportional to the differences of their scores
    b = math.log(found[0] / found[1]) / (scores[0] - scores[1])
    assert math.log(found[1] / found[2]) == pytest.approx(b * (scores[1] - scores[2]), rel=1e-4)
    assert math.log(found[2] / found[3]) == pytest.approx(b * (scores[2] - scores[3]), rel=1e-4)


def test_equal_answers_share_what_the_first_leaves():
    known = calibration((2.0, 0.0, 0.0))
    found = posterior(ranking([0.5, 0.5, 0.5, 0.1]), known).identities[0]
    right = 1 / (1 + math.exp(-2))
    assert found == pytest.approx([right, (1 - right) / 2, (1 - right) / 2, 0], abs=1e-6)


def test_a_gallery_of_one_leaves_the_rest_to_nobody():
    known = calibration((0.0, 0.0, 0.0), (0.0, 0.0, 0.0))
    found = posterior(ranking([0.3]), known)
    assert found.identities.tolist() == [[0.25]]
    assert found.new.tolist() == [0.5]


def test_rankings_with_new_individuals_or_missing_identities_are_refused():
    known = calibration((0.0, 0.0, 0.0))
    whole = ranking([0.9, 0.5, 0.2])
    with pytest.raises(ValueError, match="all identities"):
        posterior(insert_new_individual(whole, 0.6), known)
