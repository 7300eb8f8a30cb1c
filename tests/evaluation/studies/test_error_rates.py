"""Error rates counted by hand, of known distributions, and of copied individuals."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flukeprint.data.embeddings import Ints
from flukeprint.evaluation.studies.error_rates import (
    can_tell,
    equal_error_rate,
    error_rates,
    resampled_rates,
    true_accept_at,
)
from flukeprint.evaluation.studies.individuals import draw_individuals
from flukeprint.evaluation.studies.pairs import ScoredPairs
from flukeprint.evaluation.verification import Pairs, roc


def scored(
    same: list[float] | np.ndarray, other: list[float] | np.ndarray, individuals: int = 8
) -> ScoredPairs:
    """Pairs whose individuals follow each other in turn."""
    pairs = Pairs(np.array(same, np.float64), np.array(other, np.float64))
    turn = np.arange(len(pairs.other))
    left = turn % individuals
    right = (left + 1 + turn // individuals % (individuals - 1)) % individuals
    owners = np.arange(len(pairs.same)) % individuals
    return ScoredPairs(pairs, owners, np.stack([left, right], axis=1), individuals)


def test_rates_counted_by_hand() -> None:
    # Ten of two at 0, 0.1, ... 0.9; of one 0.35, 0.65, 0.85, 0.95.
    curve = roc(scored([0.35, 0.65, 0.85, 0.95], np.arange(10) / 10).scores)
    # Above 0.95 of ten pairs 1 may be accepted at 0.1: those at 0.9, so the threshold is above 0.8.
    want = {0.0: 1 / 4, 0.1: 2 / 4, 0.2: 2 / 4, 0.3: 3 / 4, 0.35: 3 / 4, 0.6: 1.0, 1.0: 1.0}
    found = true_accept_at(curve, np.array(list(want)))
    assert found.tolist() == list(want.values())
    # At a threshold from 0.6 to 0.65 three of ten are accepted, one of four rejected.
    assert equal_error_rate(curve) == pytest.approx((0.3 + 0.25) / 2)


def test_rates_of_two_normal_distributions() -> None:
    """EER = Phi(-d / 2); true accepts at a rate a of false ones = Phi(d + Phi^-1(a))."""
    from scipy.stats import norm

    rng = np.random.default_rng(0)
    apart = 2.0
    pairs = scored(rng.normal(apart, 1, 20_000), rng.normal(0, 1, 100_000), individuals=500)
    found = error_rates([pairs], seed=0, times=draw_individuals(500, seed=0, samples=60))
    assert found.eer.mean == pytest.approx(norm.cdf(-apart / 2), abs=0.005)
    for point in found.true_accepts:
        want = norm.cdf(apart + norm.ppf(point.rate))
        assert point.share is not None
        assert point.share.mean == pytest.approx(want, abs=0.02)
        assert point.share.low < want < point.share.high
    middle = np.searchsorted(found.curve.false_accept, 0.03)
    rate = found.curve.false_accept[middle]
    assert found.curve.true_accept[middle] == pytest.approx(
        norm.cdf(apart + norm.ppf(rate)), abs=0.02
    )
    assert (found.curve.low <= found.curve.true_accept).all()
    assert (found.curve.true_accept <= found.curve.high).all()
    assert math.isclose(found.curve.false_accept[0], 1e-4)  # of 100,000 pairs, ten


levels = st.integers(-4, 4).map(lambda i: i / 4)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(levels, min_size=3, max_size=12),
    st.lists(levels, min_size=3, max_size=20),
    st.lists(st.integers(0, 3), min_size=4, max_size=4),
)
def test_a_resample_is_the_curve_of_copied_pairs(
    same: list[float], other: list[float], times: list[int]
) -> None:
    pairs = scored(same, other, individuals=4)
    drawn: Ints = np.array(times, dtype=np.int64)
    of_same = np.repeat(pairs.scores.same, drawn[pairs.same_owners])
    of_other = np.repeat(pairs.scores.other, drawn[pairs.other_owners].prod(axis=1))
    rates = np.array([0.0, 0.1, 0.34, 1.0])
    found = resampled_rates(pairs, rates, drawn[None])
    if len(of_same) and len(of_other):
        curve = roc(Pairs(of_same, of_other))
        assert found.eer[0] == pytest.approx(equal_error_rate(curve))
        assert found.true_accept[0] == pytest.approx(true_accept_at(curve, rates))
    else:
        assert np.isnan(found.eer[0])
        assert np.isnan(found.true_accept[0]).all()


@pytest.mark.parametrize(
    ("rate", "others", "told"),
    [(0.1, 29, False), (0.1, 30, True), (1e-3, 2999, False), (1e-3, 3000, True)],
)
def test_the_rule_of_3_says_what_can_be_told(rate: float, others: int, told: bool) -> None:
    assert can_tell(rate, others) is told


def test_a_rate_that_cannot_be_told_says_so_and_is_not_drawn() -> None:
    rng = np.random.default_rng(0)
    found = error_rates([scored(rng.normal(1, 1, 40), rng.normal(0, 1, 350))], seed=0)
    shares = {point.rate: point for point in found.true_accepts}
    assert shares[1e-3].share is None
    assert shares[1e-3].text() == "cannot be told from 350 pairs"
    assert shares[1e-2].share is not None
    assert shares[1e-2].text() == shares[1e-2].share.text()
    assert found.curve.false_accept.min() >= 3 / 350 - 1e-9
    assert (found.same, found.other, found.same_individuals, found.individuals) == (40, 350, 8, 8)


def test_no_error_in_sight_is_bounded_by_the_number_of_individuals() -> None:
    found = error_rates([scored(np.full(40, 0.9), np.linspace(0, 0.5, 400))], seed=0)
    assert (found.eer.low, found.eer.mean) == (0, 0)
    assert found.eer.high == pytest.approx(3 / 8)
    assert found.true_accepts[0].share is not None
    assert found.true_accepts[0].share.low == pytest.approx(1 - 3 / 8)


def test_folds_are_averaged_each_with_its_own_thresholds() -> None:
    rng = np.random.default_rng(1)
    one = scored(rng.normal(1, 1, 60), rng.normal(0, 1, 300))
    # Another network: the same pairs on another scale.
    other = ScoredPairs(
        Pairs(one.scores.same * 5 + 9, one.scores.other * 5 + 9),
        one.same_owners, one.other_owners, one.individuals,
    )  # fmt: skip
    single, both = error_rates([one], seed=0), error_rates([one, other], seed=0)
    assert both.eer == single.eer
    assert both.true_accepts == single.true_accepts
    assert both.other == 2 * single.other


def test_the_interval_covers_the_rate_of_new_animals() -> None:
    """Scores depend on both animals of a pair: over pairs the interval would be far too short."""
    rng = np.random.default_rng(5)
    want = 0.5 * math.erfc(1 / math.sqrt(2) / math.sqrt(1 + 1 + 1) * 3 / 2)
    held, rounds = 0, 40
    for sample in range(rounds):
        n = 25
        own = rng.normal(size=n)
        left, right = np.triu_indices(n, 1)
        other = own[left] + own[right] + rng.normal(size=len(left))
        # One animal's pairs differ by as much in all: N(3, 3) beside N(0, 3).
        owners = np.repeat(np.arange(n), 4)
        same = 3 + math.sqrt(2) * own[owners] + rng.normal(size=len(owners))
        pairs = ScoredPairs(Pairs(same, other), owners, np.stack([left, right], axis=1), n)
        times = draw_individuals(n, seed=sample, samples=200)
        found = error_rates([pairs], seed=0, times=times)
        held += found.eer.low <= want <= found.eer.high
    assert held >= 0.85 * rounds


def test_kinds_that_are_missing_are_refused() -> None:
    for pairs in (scored([], [0.1]), scored([0.1], [])):
        with pytest.raises(ValueError, match="of one individual and of two"):
            error_rates([pairs], seed=0)
    with pytest.raises(ValueError):
        error_rates([], seed=0)
