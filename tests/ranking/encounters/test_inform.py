"""A prior applied to answers: probabilities are multiplied, scores and order follow."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flukeprint.ranking.calibration import Calibration, Rising, posterior, sharpness
from flukeprint.ranking.encounters.inform import apply_prior
from flukeprint.ranking.ranking import Ranking, insert_new_individual

CALIBRATION = Calibration(
    right=Rising(intercept=-1.0, score=2.0, lead=5.0),
    known=Rising(intercept=0.5, score=1.0, lead=0.0),
    queries=100,
)


@st.composite
def answered(draw):
    """A ranking of all identities, with a spare column, and log weights in its order."""
    q, n = draw(st.integers(1, 3)), draw(st.integers(3, 6))
    values = st.floats(-1, 1, width=16)
    scores = np.full((q, n + 1), np.nan, np.float32)
    for row in range(q):
        scores[row, :n] = sorted(draw(st.lists(values, min_size=n, max_size=n)), reverse=True)
    ranking = Ranking(
        images=tuple(f"q{i}" for i in range(q)),
        identities=tuple(tuple(f"w{(i + row) % n}" for i in range(n)) for row in range(q)),
        scores=scores,
        rows=np.where(np.isnan(scores), -1, np.arange(n + 1)),
        best_known=scores[:, 0],
    )
    shape = st.lists(st.floats(-4, 4), min_size=q * n, max_size=q * n)
    return ranking, np.array(draw(shape)).reshape(q, n)


@given(answered())
def test_probabilities_are_multiplied_and_add_up(case):
    ranking, logs = case
    before = posterior(ranking, CALIBRATION)
    after = apply_prior(ranking, before, logs, sharpness(ranking, CALIBRATION))
    for query, names in enumerate(ranking.identities):
        weighed = {
            name: before.identities[query, i] * math.exp(logs[query, i])
            for i, name in enumerate(names)
        }
        total = sum(weighed.values()) + before.new[query]
        assert after.likely.new[query] == pytest.approx(before.new[query] / total)
        for place, name in enumerate(after.ranking.identities[query]):
            assert after.likely.identities[query, place] == pytest.approx(weighed[name] / total)
            at = names.index(name)
            assert after.factors[query, place] == pytest.approx(math.exp(logs[query, at]))
            assert after.ranking.rows[query, place] == ranking.rows[query, at]
    n = logs.shape[1]
    assert np.all(np.diff(after.ranking.scores[:, :n], axis=1) <= 0)
    assert np.isnan(after.ranking.scores[:, n:]).all()
    np.testing.assert_array_equal(after.ranking.best_known, after.ranking.scores[:, 0])


@given(answered())
def test_no_weight_changes_nothing(case):
    ranking, logs = case
    before = posterior(ranking, CALIBRATION)
    after = apply_prior(ranking, before, np.zeros_like(logs), sharpness(ranking, CALIBRATION))
    assert after.ranking.identities == ranking.identities
    np.testing.assert_array_equal(after.ranking.scores, ranking.scores)
    np.testing.assert_array_equal(after.ranking.rows, ranking.rows)
    np.testing.assert_allclose(after.likely.identities, before.identities, atol=1e-12)
    np.testing.assert_allclose(after.likely.new, before.new, atol=1e-12)
    assert (after.factors == 1).all()


def test_the_order_of_scores_is_that_of_probabilities() -> None:
    rng = np.random.default_rng(0)
    turned = 0
    for _ in range(100):
        scores = -np.sort(-rng.uniform(0, 1, (1, 6)).astype(np.float32))
        names = tuple(f"w{i}" for i in range(6))
        ranking = Ranking(("q",), (names,), scores, np.arange(6)[None], scores[:, 0])
        logs = rng.normal(0, 1, (1, 6))
        after = apply_prior(
            ranking, posterior(ranking, CALIBRATION), logs, sharpness(ranking, CALIBRATION)
        )
        assert np.all(np.diff(after.likely.identities[0]) <= 1e-9)
        turned += after.ranking.identities != ranking.identities
    assert turned > 20


def test_a_threshold_and_endless_weights_are_refused() -> None:
    scores = np.float32([[0.9, 0.5, 0.1]])
    ranking = Ranking(("q",), (("a", "b", "c"),), scores, np.arange(3)[None], scores[:, 0])
    likely, sharp = posterior(ranking, CALIBRATION), sharpness(ranking, CALIBRATION)
    with pytest.raises(ValueError, match="without a threshold"):
        apply_prior(insert_new_individual(ranking, 0.3), likely, np.zeros((1, 3)), sharp)
    with pytest.raises(ValueError, match="finite"):
        apply_prior(ranking, likely, np.array([[0, -np.inf, 0]]), sharp)
