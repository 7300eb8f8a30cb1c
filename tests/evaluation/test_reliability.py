"""Threshold reports recomputed query by query, and calibration errors by hand."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flukeprint.evaluation.reliability import (
    calibration_error,
    equal_mass_bins,
    measure_reliability,
    report_threshold,
)
from flukeprint.ranking.ranking import Ranking
from tests.ranking.rankings import drawn_answers


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
    ranking, answers = drawn_answers(200)
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
    ranking, answers = drawn_answers(200)
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
    ranking, _ = drawn_answers(30)
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
    ranking, _ = drawn_answers(10)
    never = report_threshold(ranking, ["w0"] * 10, -1, seed=0).false_new
    always = report_threshold(ranking, ["w0"] * 10, 2, seed=0).false_new
    assert never is not None
    assert always is not None
    assert (never.low, never.mean) == (0, 0)
    assert (1 - never.high) ** 10 == pytest.approx(0.025)  # at that rate none of ten is as rare
    assert (always.low, always.mean, always.high) == pytest.approx((1 - never.high, 1, 1))


def test_the_calibration_error_by_hand() -> None:
    p = [0.1, 0.2, 0.3, 0.4, 0.9, 0.7]
    right = [0, 1, 0, 0, 1, 1]
    assert equal_mass_bins(p, 3).tolist() == [0, 0, 1, 1, 2, 2]
    # |0.3 - 1| + |0.7 - 0| + |1.6 - 2| over six queries
    assert calibration_error(p, right, 3) == pytest.approx((0.7 + 0.7 + 0.4) / 6)
    found = measure_reliability(p, right, seed=0, bins=3)
    assert found.predicted == pytest.approx((0.15, 0.35, 0.8))
    assert found.observed == pytest.approx((0.5, 0.0, 1.0))
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
