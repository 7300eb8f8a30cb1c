"""Thresholds for a share of the queries, and the floor of what is out of distribution."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flukeprint.data.embeddings import Embeddings, unit_rows
from flukeprint.evaluation.fitting import threshold_for_false_new
from flukeprint.ranking.threshold import OutOfDistribution, nearest_cosine, threshold_for_share
from flukeprint.search.gallery import Gallery
from tests.ranking.rankings import SCORES


@given(st.lists(SCORES, min_size=1, max_size=30), st.floats(0, 1))
def test_a_share_is_the_largest_that_does_not_exceed(scores, share):
    scores = np.array(scores, dtype=np.float32)
    threshold = threshold_for_share(scores, share)
    reached = np.mean(scores.astype(float) < threshold)
    every = [*scores.tolist(), 2.0]
    possible = [float(np.mean(scores < t)) for t in every]
    assert reached == max(s for s in possible if s <= share + 1e-9)
    assert all(abs(threshold - s) > 1e-8 for s in scores.astype(float))  # between, not on


def test_shares_by_eye():
    scores = np.arange(10) / 10
    assert threshold_for_share(scores, 0.3) == pytest.approx(0.25)
    assert threshold_for_share(scores, 0) == pytest.approx(-0.5)
    assert threshold_for_share(scores, 1) == pytest.approx(0.95)
    is_new = scores < 0.45
    assert threshold_for_false_new(scores, is_new, 0.2) == pytest.approx(0.55)
    with pytest.raises(ValueError, match="between 0 and 1"):
        threshold_for_share(scores, 1.5)


NUMBERS = st.lists(st.floats(-1, 1), min_size=1, max_size=60)


@given(NUMBERS, st.floats(0, 0.99))
def test_at_most_the_share_lies_below_and_no_higher_floor_would_do(values, share):
    fitted = OutOfDistribution.fit(values, share)
    below = sum(value < fitted.floor for value in values)
    assert below <= share * len(values) + 1e-6
    assert fitted.floor in values
    higher = [value for value in values if value > fitted.floor]
    if higher:  # the next candidate would leave out too many
        assert sum(value < min(higher) for value in values) > share * len(values) - 1e-6
    assert fitted(values).tolist() == [value < fitted.floor for value in values]


def test_of_few_queries_none_lies_below():
    assert OutOfDistribution.fit([0.4, 0.7, 0.6], 0.02).floor == 0.4


def test_no_queries_teach_nothing():
    with pytest.raises(ValueError, match="no queries"):
        OutOfDistribution.fit([], 0.1)


def test_nearest_cosine_is_the_cosine_to_the_nearest_photo():
    rng = np.random.default_rng(0)
    known, asked = (unit_rows(rng.normal(size=(n, 5))) for n in (7, 4))

    def embeddings(vectors, identity):
        names = tuple(f"{identity}{i}" for i in range(len(vectors)))
        return Embeddings(vectors, names, names, None, "stamp")

    gallery = Gallery(embeddings(known, "g"))
    expected = [max(float(q @ g) for g in known) for q in asked]
    assert nearest_cosine(gallery, embeddings(asked, "q")) == pytest.approx(expected, abs=1e-6)
