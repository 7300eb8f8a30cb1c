"""Parity against a twin written in loops, and where it refuses."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flukeprint.data.embeddings import Floats, Precision
from flukeprint.embedding.parity import LEAST_COSINE, SWAP, Parity, measure_parity


def unit(vectors: Floats) -> Floats:
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), dtype=np.float32)


def naive(reference: Floats, other: Floats) -> tuple[float, float, float]:
    """Least cosine, share of same lists, worst swap."""
    n = len(reference)
    least, same, worst = 2.0, 0, 0.0
    for row in range(n):
        least = min(least, float(np.dot(reference[row].astype(float), other[row].astype(float))))
        others = [k for k in range(n) if k != row]
        right = {
            k: float(reference[row].astype(float) @ reference[k].astype(float)) for k in others
        }
        found = {k: float(other[row].astype(float) @ other[k].astype(float)) for k in others}
        wanted = sorted(others, key=lambda k: -right[k])[:5]
        given_ = sorted(others, key=lambda k: -found[k])[:5]
        same += wanted == given_
        for place in range(len(wanted)):
            worst = max(worst, right[wanted[place]] - right[given_[place]])
    return least, same / n, worst


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 1000), n=st.integers(2, 14), noise=st.sampled_from([0.0, 0.01, 0.3]))
def test_as_a_twin_finds(seed: int, n: int, noise: float) -> None:
    rng = np.random.default_rng(seed)
    reference = unit(rng.normal(size=(n, 6)).astype(np.float32))
    other = unit(reference + noise * rng.normal(size=(n, 6)).astype(np.float32))
    found = measure_parity(reference, other)
    least, same, worst = naive(reference, other)
    assert found.photos == n
    assert found.least_cosine == pytest.approx(least, abs=1e-9)
    assert found.same_lists == pytest.approx(same)
    assert found.worst_swap == pytest.approx(worst, abs=1e-9)


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16", "int8"])
def test_both_bounds_refuse_and_nothing_else(precision: Precision) -> None:
    least, swap = LEAST_COSINE[precision], SWAP[precision]
    assert Parity(64, least, 0.0, swap).refusal(precision) is None
    refused = Parity(64, least - 1e-6, 1.0, 0.0).refusal(precision)
    assert refused is not None
    assert "cosine" in refused
    refused = Parity(64, 1.0, 0.9, swap + 1e-6).refusal(precision)
    assert refused is not None
    assert "five nearest" in refused


def test_no_numbers_are_refused() -> None:
    reference = unit(np.random.default_rng(0).normal(size=(8, 4)).astype(np.float32))
    broken = reference.copy()
    broken[3, 1] = np.nan
    assert measure_parity(reference, broken).refusal("int8") is not None


def test_one_photograph_has_no_neighbours() -> None:
    one = unit(np.ones((1, 4), np.float32))
    assert measure_parity(one, one).refusal("fp32") is None


def test_other_shapes_do_not_compare() -> None:
    with pytest.raises(ValueError, match="do not compare"):
        measure_parity(np.ones((2, 3), np.float32), np.ones((3, 3), np.float32))
