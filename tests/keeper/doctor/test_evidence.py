"""Log likelihood ratios from examples: near the true ones, though some examples are wrong."""

import numpy as np
import pytest

from flukeprint.keeper.doctor.evidence import Evidence, learn, prevalence, probability


def examples(rng, wrong: float = 0.0):
    """Two normal distributions a distance 2 apart, of which the true ratio is 2 x - 2."""
    yes, no = rng.normal(2, 1, 2000), rng.normal(0, 1, 6000)
    x = np.concatenate([yes, no])
    truth = np.repeat([True, False], [2000, 6000])
    told = truth ^ (truth & (rng.random(len(truth)) < wrong))
    return x[:, None], told


def test_it_finds_the_ratio_of_two_distributions():
    x, told = examples(np.random.default_rng(0))
    evidence = learn(x, told, doubt_yes=0.0)
    assert evidence is not None
    at = np.array([[-0.5], [1.0], [2.5]])
    np.testing.assert_allclose(evidence(at), 2 * at[:, 0] - 2, atol=0.35)


def test_wrong_examples_move_it_less_where_they_are_expected():
    x, told = examples(np.random.default_rng(1), wrong=0.2)
    told_of, plain = learn(x, told, doubt_no=0.06), learn(x, told, doubt_yes=0.0)
    assert told_of is not None
    assert plain is not None
    at, truth = np.array([[3.0]]), 4.0
    assert abs(told_of(at)[0] - truth) < abs(plain(at)[0] - truth)


def test_weights_stand_for_examples():
    rng = np.random.default_rng(2)
    x, told = examples(rng)
    kept = told | (rng.random(len(told)) < 0.25)
    whole = learn(x, told, doubt_yes=0.0)
    weighed = learn(x[kept], told[kept], np.where(told[kept], 1.0, 4.0), doubt_yes=0.0)
    assert whole is not None
    assert weighed is not None
    at = np.array([[0.0], [2.0]])
    np.testing.assert_allclose(whole(at), weighed(at), atol=0.4)


def test_too_few_examples_teach_nothing():
    x = np.arange(40.0)[:, None]
    assert learn(x, np.arange(40) < 14) is None
    assert learn(x, np.arange(40) < 15) is not None


def test_a_feature_without_spread_is_left_out_and_others_keep_to_their_range():
    rng = np.random.default_rng(3)
    x, told = examples(rng)
    evidence = learn(np.column_stack([x, np.ones(len(x))]), told)
    assert evidence is not None
    assert evidence.weights[1] == 0
    beyond, edge = evidence([[1e6, 1.0], [x.max(), 1.0]])
    assert beyond == edge


def test_probability_is_bayes_rule():
    ratio = np.log([0.5, 1.0, 30.0])
    prior = 0.1
    expected = [np.exp(r) * prior / (np.exp(r) * prior + 1 - prior) for r in ratio]
    np.testing.assert_allclose(probability(ratio, prior), expected)
    assert probability([-3.0], 0).tolist() == [0.0]
    assert probability([-3.0], 1).tolist() == [1.0]


@pytest.mark.parametrize("share", [0.05, 0.15])
def test_prevalence_is_the_share_that_was_drawn(share: float):
    rng = np.random.default_rng(4)
    yes = rng.random(20_000) < share
    x = rng.normal(np.where(yes, 2.0, 0.0), 1)
    assert prevalence(2 * x - 2, 0.01) == pytest.approx(share, abs=0.015)


def test_prevalence_stays_between_what_is_expected_and_a_fifth():
    assert prevalence(np.full(100, -9.0), 0.02) == 0.02
    assert prevalence(np.full(100, 9.0), 0.02) == 0.2
    assert prevalence([], 0.02) == 0.02


def test_no_comparison_is_certain():
    evidence = Evidence(np.array([1e9]), 0.0, np.array([-1.0]), np.array([1.0]))
    assert evidence([[1.0], [-1.0]]).tolist() == [25.0, -25.0]
