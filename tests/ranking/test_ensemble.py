"""Embeddings of several networks as one."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flukeprint.data.embeddings import Embeddings, unit_rows
from flukeprint.errors import FlukeprintError
from flukeprint.ranking.ensemble import ensemble, ensemble_centers, read_weights
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


def test_joined_embeddings_have_the_coarsest_precision():
    coarse = replace(seen(np.eye(3), "b"), precision="bf16")
    assert ensemble([seen(np.eye(3), "a"), coarse]).precision == "bf16"


@given(st.integers(0, 50))
def test_the_nearest_joined_center_has_the_mean_of_the_nearest_centers(seed):
    """Two networks with one and with one to three centres of a class."""
    rng = np.random.default_rng(seed)
    names = (("a", "b", "c"), ("b", "a", "b", "d", "b", "a"))
    photos = [seen(rng.normal(size=(4, d)), f"net{d}") for d in (5, 7)]
    centers = [
        Embeddings(
            unit_rows(rng.normal(size=(len(of), d))), tuple(map(str, range(len(of)))), of, None,
            f"net{d}",
        )
        for of, d in zip(names, (5, 7), strict=True)
    ]  # fmt: skip
    joined = ensemble_centers(centers, [3, 1])
    assert joined.stamp == ensemble(photos, [3, 1]).stamp
    assert sorted(joined.identities) == ["a", "a", "b", "b", "b"]  # c and d have one network alone
    got = ensemble(photos, [3, 1]).vectors @ joined.vectors.T
    for name in "ab":
        nearest = [
            (photo.vectors @ part.vectors.T)[:, [one == name for one in part.identities]].max(1)
            for photo, part in zip(photos, centers, strict=True)
        ]
        mine = got[:, [one == name for one in joined.identities]].max(1)
        assert mine == pytest.approx(0.75 * nearest[0] + 0.25 * nearest[1], abs=1e-5)


def test_weights_are_read_with_commas_between():
    assert read_weights(None, 2) is None
    assert read_weights("2,1.5", 2) == [2, 1.5]
    for text, parts in (("2;1", 2), ("", 2), ("1,2", 3), ("1,-2", 2), ("1", 1), ("nan,1", 2)):
        with pytest.raises(FlukeprintError):
            read_weights(text, parts)
