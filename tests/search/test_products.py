"""Approximate scores keep their bound."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from flukeprint.data.embeddings import unit_rows
from flukeprint.search.bf16 import HalfProduct
from flukeprint.search.products import FloatProduct


@settings(max_examples=40, deadline=None)
@given(d=st.integers(1, 600), seed=st.integers(0, 999), kind=st.sampled_from(
    [FloatProduct, HalfProduct]))  # fmt: skip
def test_rough_scores_keep_their_bound(d, seed, kind):
    rng = np.random.default_rng(seed)
    gallery, queries = unit_rows(rng.normal(size=(50, d))), unit_rows(rng.normal(size=(9, d)))
    gallery[:9] = queries  # the highest scores there are
    scores = kind(gallery)(queries)
    rough = np.concatenate([scores(0, 30).copy(), scores(30, 50)], axis=1).astype(float)
    true = queries.astype(float) @ gallery.astype(float).T
    assert (np.abs(rough - true) <= scores.bound[:, None]).all()
