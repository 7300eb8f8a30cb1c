"""Embeddings of several networks as one."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flukeprint.data.embeddings import Embeddings, unit_rows
from flukeprint.errors import FlukeprintError
from flukeprint.ranking.ensemble import ensemble
from flukeprint.ranking.neighbours import (
    cosines,
)


def seen(vectors, stamp, views=None, first=0):
    n = len(vectors)
    names = tuple(f"{first + i}.jpg" for i in range(n))
    return Embeddings(unit_rows(vectors), names, tuple("abcdefgh"[:n]), views, stamp)


@given(st.lists(st.floats(0.01, 100), min_size=2, max_size=3), st.integers(0, 50))
def test_an_ensemble_has_the_weighted_mean_of_the_cosines(weights, seed):
    rng = np.random.default_rng(seed)
    parts = [seen(rng.normal(size=(5, 3 + i)), f"net{i}") for i in range(len(weights))]
    both = ensemble(parts, weights)
    mean = np.average(
        [cosines(part.vectors, part.vectors) for part in parts], axis=0, weights=weights
    )
    assert cosines(both.vectors, both.vectors) == pytest.approx(mean, abs=1e-5)
    assert both.images == parts[0].images
    again = ensemble(parts, [2 * weight for weight in weights])
    assert again.stamp == both.stamp  # the same shares
    assert ensemble(parts[::-1], weights[::-1]).stamp != both.stamp


def test_an_ensemble_refuses_what_does_not_belong_together():
    one = seen(np.eye(3), "a")
    assert ensemble([one]).stamp != one.stamp
    assert ensemble([one, one]).stamp == ensemble([one, one], [3, 3]).stamp
    assert ensemble([one, one]).stamp != ensemble([one, one], [1, 3]).stamp
    with pytest.raises(FlukeprintError, match="part 2 of the ensemble has other images"):
        ensemble([one, seen(np.eye(3), "b", first=1)])
    with pytest.raises(FlukeprintError, match="has other views"):
        ensemble([one, seen(np.eye(3), "b", views=("left", None, None))])
    for weights in ([1.0], [1.0, 0.0], [1.0, math.nan], [1.0, -1.0]):
        with pytest.raises(FlukeprintError, match="as many weights above 0"):
            ensemble([one, one], weights)
    with pytest.raises(FlukeprintError, match="one network or more"):
        ensemble([])
