"""Every metric against its definition in scipy, and what is true of all of them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist

from flukeprint.data.embeddings import Ints, Values
from flukeprint.evaluation.studies import distances
from flukeprint.evaluation.studies.distances import METRICS, fit_mahalanobis
from tests.refusals import refused


def drawn(n: int, d: int, seed: int = 0) -> Values:
    return np.random.default_rng(seed).normal(size=(n, d))


def labels(n: int, each: int) -> Ints:
    return np.arange(n) // each


@pytest.mark.parametrize(
    ("name", "want"),
    [
        ("cosine", lambda a, b: 1 - cdist(a, b, "cosine")),
        ("euclidean", lambda a, b: -cdist(a, b, "euclidean")),
        ("minkowski p=1", lambda a, b: -cdist(a, b, "minkowski", p=1)),
        ("minkowski p=3", lambda a, b: -cdist(a, b, "minkowski", p=3)),
    ],
)
@pytest.mark.parametrize("at_once", [1, 50, 1 << 17])
def test_it_is_scipys(name: str, want, at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distances, "MOST_AT_ONCE", at_once)
    left, right = drawn(9, 7), drawn(13, 7, seed=1) * 3
    found = METRICS[name](right, labels(13, 2))(left, right)
    assert found.shape == (9, 13)
    assert found == pytest.approx(want(left, right), abs=1e-9)


def test_every_metric_of_the_table_is_tested() -> None:
    assert list(METRICS) == [
        "cosine", "euclidean", "minkowski p=1", "minkowski p=3", "mahalanobis",
    ]  # fmt: skip


def within(vectors: Values, of: Ints) -> Values:
    """The pooled covariance within identities, photograph by photograph."""
    total, freedom = np.zeros((vectors.shape[1],) * 2), 0
    for label in np.unique(of):
        mine = vectors[of == label]
        apart = mine - mine.mean(axis=0)
        total += apart.T @ apart
        freedom += len(mine) - 1
    return total / freedom


def test_mahalanobis_is_scipys_with_the_shrunk_covariance() -> None:
    from sklearn.covariance import ledoit_wolf_shrinkage

    rng = np.random.default_rng(0)
    of = np.repeat(np.arange(40), rng.integers(1, 6, size=40))
    mix = rng.normal(size=(8, 8))
    vectors = 5 * rng.normal(size=(40, 8))[of] + rng.normal(size=(len(of), 8)) @ mix
    covariance = within(vectors, of)
    # How much it is shrunk depends on the independent differences within identities alone.
    steps = []
    for label in np.unique(of):
        mine = vectors[of == label]
        steps += [  # Helmert: each beside the mean of those before it
            (mine[:k].mean(axis=0) - mine[k]) * np.sqrt(k / (k + 1)) for k in range(1, len(mine))
        ]
    weight = ledoit_wolf_shrinkage(np.array(steps), assume_centered=True)
    assert 0 < weight < 0.5
    sphere = np.trace(covariance) / 8 * np.eye(8)
    inverse = np.linalg.inv((1 - weight) * covariance + weight * sphere)
    left = drawn(5, 8, seed=3)
    found = fit_mahalanobis(vectors, of)(left, vectors)
    assert found == pytest.approx(-cdist(left, vectors, "mahalanobis", VI=inverse), rel=1e-6)


def test_mahalanobis_learns_the_covariance_of_many_photographs() -> None:
    rng = np.random.default_rng(1)
    widths = np.array([0.5, 1.0, 2.0])
    of = np.repeat(np.arange(3000), 3)
    vectors = 9 * rng.normal(size=(3000, 3))[of] + widths * rng.normal(size=(9000, 3))
    left, right = drawn(4, 3), drawn(6, 3, seed=2)
    want = -cdist(left / widths, right / widths)
    assert fit_mahalanobis(vectors, of)(left, right) == pytest.approx(want, rel=0.05)


def test_fewer_photographs_than_dimensions_are_enough() -> None:
    vectors = drawn(12, 64)
    found = fit_mahalanobis(vectors, labels(12, 3))(vectors, vectors)
    assert np.isfinite(found).all()
    assert (np.argmax(found, axis=1) == np.arange(12)).all()


def test_mahalanobis_finds_what_cosine_does_not() -> None:
    """Animals differ in one direction, all photographs of each in another."""
    rng = np.random.default_rng(0)
    of = np.repeat(np.arange(100), 10)
    vectors = rng.normal(size=(1000, 4)) * [0.02, 1, 2, 4]
    vectors[:, 0] += 0.3 * of
    hits = {}
    for name in ("euclidean", "mahalanobis"):
        found = METRICS[name](vectors, of)(vectors, vectors)
        np.fill_diagonal(found, -np.inf)
        hits[name] = float((of[np.argmax(found, axis=1)] == of).mean())
    assert hits["mahalanobis"] > 0.9
    assert hits["euclidean"] < 0.3


@pytest.mark.parametrize("vectors", [drawn(6, 4), np.repeat(drawn(3, 4), 2, axis=0)])
def test_nothing_to_learn_from_is_refused(vectors: Values) -> None:
    single = np.arange(6) if len({tuple(row) for row in vectors.tolist()}) == 6 else labels(6, 2)
    refused(lambda: fit_mahalanobis(vectors, single), "two different photographs")


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 40))
def test_on_unit_vectors_cosine_and_euclidean_rank_alike(seed: int, d: int) -> None:
    left, right = drawn(4, d, seed), drawn(30, d, seed + 1)
    left, right = (rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (left, right))
    by_cosine = METRICS["cosine"](right, labels(30, 2))(left, right)
    by_distance = METRICS["euclidean"](right, labels(30, 2))(left, right)
    assert by_distance == pytest.approx(-np.sqrt(np.maximum(2 - 2 * by_cosine, 0)), abs=1e-6)
    assert (np.argsort(-by_cosine, axis=1) == np.argsort(-by_distance, axis=1)).all()


def test_on_other_vectors_they_do_not() -> None:
    left, right = np.array([[1.0, 0.0]]), np.array([[9.0, 0.0], [1.0, 0.3]])
    assert np.argmax(METRICS["cosine"](right, labels(2, 1))(left, right)) == 0
    assert np.argmax(METRICS["euclidean"](right, labels(2, 1))(left, right)) == 1


@pytest.mark.parametrize("name", METRICS)
def test_a_photograph_is_nearest_to_itself_and_alike_both_ways(name: str) -> None:
    vectors = drawn(12, 5)
    found = METRICS[name](vectors, labels(12, 3))(vectors, vectors)
    assert found == pytest.approx(found.T, abs=1e-9)
    assert (np.argmax(found, axis=1) == np.arange(12)).all()
