"""bfloat16 by numpy against torch's, and a bound that holds for the worst vectors."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from flukeprint.data.embeddings import unit_rows
from flukeprint.search import bf16 as half_product
from flukeprint.search.bf16 import HalfProduct, _halved, _widened, fastest_product
from flukeprint.search.products import FloatProduct


@given(
    st.lists(
        st.floats(width=32, allow_nan=False, allow_infinity=False, min_value=-2, max_value=2),
        min_size=1, max_size=50,
    )
)  # fmt: skip
def test_numbers_are_rounded_as_torch_rounds_them(numbers):
    exact = np.array(numbers, dtype=np.float32)
    want = torch.from_numpy(exact).bfloat16().float().numpy()
    np.testing.assert_array_equal(_widened(_halved(exact)), want)


def test_halves_between_two_go_to_the_even_one():
    between = np.array([1 + 2**-8, 1 + 3 * 2**-8, -1 - 2**-8], dtype=np.float32)
    assert _widened(_halved(between)).tolist() == [1, 1 + 2**-6, -1]
    assert _widened(_halved(between[::2])).tolist() == [1, -1]  # not contiguous


@settings(max_examples=60, deadline=None)
@given(
    d=st.integers(1, 700), seed=st.integers(0, 999),
    kind=st.sampled_from(["drawn", "few", "rounded down", "one"]),
)  # fmt: skip
def test_no_score_is_off_by_more_than_the_bound(d, seed, kind):
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=(6, d)), rng.normal(size=(90, d))
    if kind == "few":  # all mass in a few numbers
        x[:, : d - d // 50], y[:, : d - d // 50] = 0, 0
    if kind == "rounded down":  # every number loses as much as it can, and all losses add up
        x = y = np.full((9, d), 1 + 0.99 * 2**-8) * 2.0 ** rng.integers(-1, 1, (9, 1))
    if kind == "one":
        x = y = np.ones((9, d)) * np.array([1.0] * 8 + [-1.0])[:, None]
    x, y = (
        (rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9)).astype(np.float32)
        for rows in (x, y)
    )
    product = HalfProduct(y)
    scores = product(x)
    true = x.astype(float) @ y.astype(float).T
    off = np.abs(scores(0, len(y)).astype(float) - true)
    assert (off <= scores.bound[:, None]).all()
    assert scores.bound.max() < 0.02  # and it is of use


@pytest.mark.parametrize("longer", [0.9991, 1.0009])
def test_lengths_may_be_a_thousandth_off(longer):
    rows = np.random.default_rng(0).normal(size=(50, 64))
    rows = (longer * rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    scores = HalfProduct(rows)(rows)
    off = np.abs(scores(0, 50).astype(float) - rows.astype(float) @ rows.astype(float).T)
    assert (off <= scores.bound[:, None]).all()


def test_bf16_is_taken_where_it_pays(monkeypatch):
    vectors = unit_rows(np.random.default_rng(0).normal(size=(64, 8)))
    monkeypatch.setattr(half_product, "WORTH_IT", 64 * 8)
    monkeypatch.setattr(half_product, "has_bf16", lambda: True)
    assert isinstance(fastest_product(vectors), HalfProduct)
    assert isinstance(fastest_product(vectors[:63]), FloatProduct)
    monkeypatch.setattr(half_product, "has_bf16", lambda: False)
    assert isinstance(fastest_product(vectors), FloatProduct)
