"""Intervals over individuals: their arithmetic by a naive twin, and how often they hold."""

import numpy as np
import pytest

from flukeprint.evaluation.metrics import Interval, bootstrap_interval
from flukeprint.evaluation.studies.individuals import (
    at_least_rule_of_3,
    draw_individuals,
    paired_difference,
    resampled_interval,
    resampled_means,
    share_interval,
)


def test_a_resample_has_as_many_individuals() -> None:
    times = draw_individuals(7, seed=3, samples=50)
    assert times.shape == (50, 7)
    assert set(times.sum(axis=1).tolist()) == {7}
    assert (times == draw_individuals(7, seed=3, samples=50)).all()
    assert (times != draw_individuals(7, seed=4, samples=50)).any()
    with pytest.raises(ValueError, match="no individual"):
        draw_individuals(0, seed=0)


def test_means_are_those_of_copied_individuals() -> None:
    rng = np.random.default_rng(0)
    owners = rng.integers(5, size=20)
    values = rng.random(20)
    times = draw_individuals(6, seed=1, samples=30)  # one has no value
    found = resampled_means(values, owners, times)
    for mean, time in zip(found, times, strict=True):
        copied = [
            value for value, owner in zip(values, owners, strict=True) for _ in range(time[owner])
        ]
        assert mean == pytest.approx(np.mean(copied))


def test_a_resample_without_them_does_not_count() -> None:
    times = np.array([[0, 2], [1, 1], [2, 0]])
    found = resampled_means(np.array([0.25]), np.array([0]), times)
    assert np.isnan(found[0])
    assert found[1:].tolist() == [0.25, 0.25]
    assert resampled_interval(found, 0.25) == Interval(0.25, 0.25, 0.25)
    assert resampled_interval(found[:1], 0.5) == Interval(0.5, 0.5, 0.5)


def test_the_rule_of_3() -> None:
    assert at_least_rule_of_3(Interval(1, 1, 1), 30) == Interval(0.9, 1, 1)
    assert at_least_rule_of_3(Interval(0, 0, 0), 30) == Interval(0, 0, 0.1)
    assert at_least_rule_of_3(Interval(0, 0, 0), 2) == Interval(0, 0, 1)
    assert at_least_rule_of_3(Interval(0.2, 0.3, 0.4), 2) == Interval(0.2, 0.3, 0.4)


def test_the_interval_holds_where_photographs_of_an_animal_are_alike() -> None:
    """Animals of which all photographs are found or none: an interval over queries is too short."""
    held, held_over_queries = 0, 0
    for seed in range(150):
        rng = np.random.default_rng(seed)
        animals = 40
        values = np.repeat((rng.random(animals) < 0.6).astype(float), 8)
        owners = np.repeat(np.arange(animals), 8)
        times = draw_individuals(animals, seed=seed, samples=300)
        found = share_interval(values, owners, times)
        held += found.low <= 0.6 <= found.high
        naive = bootstrap_interval(values, seed=seed, samples=300)
        held_over_queries += naive.low <= 0.6 <= naive.high
    assert held >= 0.88 * 150
    assert held_over_queries <= 0.7 * 150


def test_a_paired_difference_cancels_what_both_share() -> None:
    rng = np.random.default_rng(0)
    shared = rng.normal(size=500)
    found = paired_difference(0.5, 0.6, shared, shared + 0.1)
    assert found.gain.low == pytest.approx(0.1)
    assert found.gain.high == pytest.approx(0.1)
    assert found.gain.mean == pytest.approx(0.1)
    assert found.better == 1
    same = paired_difference(0.5, 0.5, shared, shared)
    assert (same.gain, same.better) == (Interval(0, 0, 0), 0)
