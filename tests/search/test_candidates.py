"""Exact scores of pairs and of blocks are the same to the bit."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from flukeprint.data.embeddings import unit_rows
from flukeprint.search.candidates import exact_block, exact_scores


@settings(max_examples=60, deadline=None)
@given(d=st.integers(1, 700), seed=st.integers(0, 999), spread=st.sampled_from([0.0, 1e-6, 1.0]))
def test_a_block_is_scored_as_its_pairs_are(d, seed, spread):
    rng = np.random.default_rng(seed)
    center = rng.normal(size=d)
    x, y = (unit_rows(center + spread * rng.normal(size=(m, d))) for m in (5, 40))
    y[7] = x[2]
    pairs = np.indices((5, 40)).reshape(2, -1)
    np.testing.assert_array_equal(exact_block(x, y).ravel(), exact_scores(x, y, *pairs))
    true = x.astype(float) @ y.astype(float).T
    assert np.abs(exact_block(x, y) - true).max() < 1.01 * 2.0**-24


def test_a_sum_between_two_floats_is_rounded_alike_in_a_block():
    """Half-way between two float32, and so many crumbs that the order of a sum decides."""
    x = np.full((3, 64), 2.0**-3, dtype=np.float32)
    crumbs = np.full(64, 2.0**-54)
    crumbs[:2] = 1, 2.0**-24
    rng = np.random.default_rng(0)
    y = np.stack([rng.permutation(crumbs) for _ in range(300)]).astype(np.float32)
    pairs = np.indices((3, 300)).reshape(2, -1)
    np.testing.assert_array_equal(exact_block(x, y).ravel(), exact_scores(x, y, *pairs))
