"""Spread of embeddings: closed forms, and a naive twin."""

import numpy as np
import pytest

from flukeprint.data.embeddings import unit_rows
from flukeprint.evaluation.collapse import measure_spread


def test_one_point_has_rank_one_and_cosine_one() -> None:
    found = measure_spread(np.tile(unit_rows([[3.0, 4.0, 0.0]]), (20, 1)))
    assert found.effective_rank == pytest.approx(1, abs=1e-5)
    assert found.mean_cosine == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("dim", [2, 5, 16])
def test_the_axes_use_every_dimension(dim: int) -> None:
    found = measure_spread(np.eye(dim, dtype=np.float32))
    assert found.effective_rank == pytest.approx(dim, rel=1e-6)
    assert found.mean_cosine == pytest.approx(0, abs=1e-7)


def test_two_unequal_directions() -> None:
    # Singular values 3 and 1: nine photographs on one axis, one on the other.
    vectors = np.repeat(np.eye(2, dtype=np.float32), [9, 1], axis=0)
    expected = np.exp(-(0.75 * np.log(0.75) + 0.25 * np.log(0.25)))
    assert measure_spread(vectors).effective_rank == pytest.approx(expected, rel=1e-6)
    assert measure_spread(vectors).mean_cosine == pytest.approx(72 / 90)


@pytest.mark.parametrize(("n", "d"), [(2, 2), (7, 30), (40, 6)])
def test_as_singular_values_and_pairs_say(n: int, d: int) -> None:
    vectors = unit_rows(np.random.default_rng(n).normal(size=(n, d)))
    found = measure_spread(vectors)
    singular = np.linalg.svd(vectors.astype(np.float64), compute_uv=False)
    p = singular / singular.sum()
    assert found.effective_rank == pytest.approx(np.exp(-(p * np.log(p)).sum()), rel=1e-5)
    pairs = [float(vectors[i] @ vectors[j]) for i in range(n) for j in range(n) if i != j]
    assert found.mean_cosine == pytest.approx(np.mean(pairs), abs=1e-6)


def test_one_photograph_is_refused() -> None:
    with pytest.raises(ValueError, match="no spread"):
        measure_spread(np.ones((1, 1), dtype=np.float32))
