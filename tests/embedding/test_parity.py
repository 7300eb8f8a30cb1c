"""Parity against a twin written in loops, and where it refuses."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flukeprint.data.embeddings import Floats, Precision
from flukeprint.embedding.parity import LEAST_COSINE, LEAST_FIRST, SWAP, Parity, measure_parity


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
def test_each_bound_refuses_and_nothing_else(precision: Precision) -> None:
    least, swap, first = LEAST_COSINE[precision], SWAP[precision], LEAST_FIRST[precision]
    good = Parity(64, least, first, 0.0, 0.0, swap)
    assert good.refusal(precision) is None
    for worse, words in (
        (replace(good, least_cosine=least - 1e-6), "cosine"),
        (replace(good, same_first=first - 1e-6), "same nearest one"),
        (replace(good, worst_swap=swap + 1e-6), "five nearest"),
    ):
        refused = worse.refusal(precision)
        assert refused is not None
        assert words in refused


def circle(*degrees: float) -> Floats:
    angles = np.radians(degrees)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)


def test_another_nearest_photograph_is_a_difference_and_a_tie_is_none() -> None:
    # The first lies between its neighbours at 10 and -10.1 degrees; others are far away.
    reference = circle(0, 10, -10.1, 120, 125, 240, 244)
    tied = measure_parity(reference, circle(0, 10.1, -10, 120, 125, 240, 244))
    assert tied.same_first == 1.0
    assert tied.same_lists < 1
    reference = circle(0, 10, -25, 120, 125, 240, 244)
    changed = measure_parity(reference, circle(0, 40, -25, 120, 125, 240, 244))
    assert changed.same_first == pytest.approx(6 / 7)
    assert changed.refusal("int8") is not None


def test_ties_are_measured_by_what_tells_photographs_apart() -> None:
    """The same noise is none where photographs are far apart, and all where they are alike."""
    rng = np.random.default_rng(0)
    far = unit(rng.normal(size=(64, 32)).astype(np.float32))
    alike = unit(1 + 0.05 * far)
    noise = 0.002 * rng.normal(size=(64, 32)).astype(np.float32)
    assert measure_parity(far, unit(far + noise)).refusal("int8") is None
    found = measure_parity(alike, unit(alike + noise))
    assert found.least_cosine > 0.9997
    assert found.worst_swap < 1e-3
    assert found.same_first < 0.9
    assert found.refusal("int8") is not None


def test_five_the_same_in_another_order_are_the_same_five() -> None:
    reference = circle(0, 1, 3, 6, 10, 15, 180)
    order = measure_parity(reference, circle(0, 1, 3, 6, 10.4, 15, 180))
    assert order.same_five == 1.0
    assert "100% of 7 photographs have the same nearest one" in order.text()


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
