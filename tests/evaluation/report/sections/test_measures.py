"""Shares and means with intervals, and how they are told."""

import numpy as np
import pytest
from scipy.stats import beta

from flukeprint.evaluation.report.sections.measures import (
    difference,
    ends,
    interval_percent,
    mean,
    percent,
    share,
)


def test_a_share_has_wilsons_interval():
    found = share([True] * 8 + [False] * 2)  # Brown, Cai and DasGupta (2001): 0.490, 0.943
    assert (found.low, found.mean, found.high) == pytest.approx((0.490, 0.8, 0.943), abs=5e-4)


@pytest.mark.parametrize("n", [1, 2, 30])
def test_a_mean_of_equal_values_is_not_sure(n):
    none, every, half = (mean(np.full(n, value), seed=0) for value in (0.0, 1.0, 0.5))
    exact = beta.ppf(0.975, 1, n)  # Clopper and Pearson
    assert (none.low, none.mean, none.high) == pytest.approx((0, 0, exact))
    assert (every.low, every.mean, every.high) == pytest.approx((1 - exact, 1, 1))
    assert half.low < 0.5 < half.high


def test_a_difference_is_that_of_two_independent_samples():
    rng = np.random.default_rng(0)
    one, other = rng.normal(0.3, 1, 400), rng.normal(0, 2, 300)
    found = difference(one, other, seed=0)
    spread = 1.96 * np.sqrt(one.var() / 400 + other.var() / 300)
    assert found.mean == pytest.approx(one.mean() - other.mean())
    assert (found.mean - found.low, found.high - found.mean) == pytest.approx(
        (spread, spread), rel=0.1
    )


def test_ends_of_none_are_three_rows():
    assert [row.shape for row in ends([])] == [(0,)] * 3


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0 %"), (1, "100 %"), (0.996, "99.6 %"), (0.995, "99.5 %"), (0.41, "41 %"),
     (0.0414, "4.1 %"), (0.00414, "0.41 %")],
)  # fmt: skip
def test_shares_in_words(value, text):
    assert percent(value) == text


def test_an_interval_in_words():
    assert interval_percent(share([True] * 41 + [False] * 59)) == "41 % [32 %, 51 %]"
