"""Whitening against singular vectors and covariances in plain loops."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flukeprint.data.embeddings import unit_rows
from flukeprint.errors import FlukeprintError
from flukeprint.ranking.neighbours import (
    cosines,
)
from flukeprint.ranking.whitening import fit_whitening, fit_within
from tests.ranking.vectors import drawn, unit


def test_whitened_photos_spread_alike_in_all_directions():
    vectors = drawn(60, d=5)
    whitening = fit_whitening(vectors, 3)
    flat = (vectors - whitening.mean) @ whitening.matrix
    assert np.cov(flat.T, bias=True) == pytest.approx(np.eye(3), abs=1e-5)
    assert whitening(vectors) == pytest.approx(
        flat / np.linalg.norm(flat, axis=1)[:, None], abs=1e-5
    )
    # The twin: singular vectors of the centered photos.
    left, _, _ = np.linalg.svd(vectors - vectors.mean(axis=0, dtype=float), full_matrices=False)
    twin = np.array([unit(row[:3]) for row in left])
    assert cosines(whitening(vectors), whitening(vectors)) == pytest.approx(twin @ twin.T, abs=1e-4)


def test_whitening_keeps_no_direction_that_is_not_there():
    vectors = drawn(3, d=8)
    assert fit_whitening(vectors, 8).matrix.shape == (8, 2)  # three photos span a plane
    with pytest.raises(FlukeprintError, match=r"do not differ; set rank\.whiten=0"):
        fit_whitening(np.repeat(vectors[:1], 4, axis=0), 2)
    middle = unit_rows([[1, 1, 0]])
    flat = fit_whitening(unit_rows([[1, 0, 0], [0, 1, 0]]), 1)
    assert flat(middle).tolist() == [[0]]  # in the middle, and so without a direction


def pooled(vectors, labels):
    """Within-identity covariance, a photo and an entry of the matrix at a time."""
    n, d = vectors.shape
    rows = vectors.astype(float).tolist()
    spread, freedom = [[0.0] * d for _ in range(d)], 0
    for name in set(labels):
        own = [rows[i] for i in range(n) if labels[i] == name]
        middle = [sum(row[a] for row in own) / len(own) for a in range(d)]
        freedom += len(own) - 1
        for row in own:
            for a in range(d):
                for b in range(d):
                    spread[a][b] += (row[a] - middle[a]) * (row[b] - middle[b])
    return np.array(spread) / freedom


@given(st.integers(0, 99), st.floats(0.05, 0.95), st.integers(2, 8))
def test_within_is_the_distance_of_the_shrunk_pooled_covariance(seed, weight, d):
    rng = np.random.default_rng(seed)
    labels = rng.permutation([7, 7, 7, 2, 2, 40, 40, 40, 5, 6])  # two have one photo
    gallery, queries = drawn(10, d, seed), drawn(4, d, seed + 1)
    found = fit_within(gallery, labels, weight)
    spread = pooled(gallery, labels.tolist())
    shrunk = weight * spread + (1 - weight) * np.trace(spread) / d * np.eye(d)
    root = np.linalg.cholesky(np.linalg.inv(shrunk))  # the same cosines, turned
    mean = gallery.astype(float).mean(axis=0)
    twins = [np.array([unit((row - mean) @ root) for row in rows]) for rows in (queries, gallery)]
    assert cosines(found(queries), found(gallery)) == pytest.approx(twins[0] @ twins[1].T, abs=1e-4)
    other = fit_within(gallery, labels * 3 + 1, weight)  # names are but names
    assert other(queries) == pytest.approx(found(queries), abs=1e-5)


def test_at_weight_one_an_identity_spreads_alike_in_all_directions():
    vectors, labels = drawn(60, d=5), np.arange(60) % 7
    within = fit_within(vectors, labels, 1.0)
    flat = ((vectors - within.mean) @ within.matrix).astype(float)
    assert pooled(flat, labels.tolist()) == pytest.approx(np.eye(5), abs=1e-5)
    half = fit_within(vectors, labels, 0.5)
    values = np.linalg.eigvalsh(pooled((vectors - half.mean) @ half.matrix, labels.tolist()))
    assert values.min() < 0.99
    assert values.max() < 2 - 1e-3  # s / (s / 2 + sphere / 2) stays below 2


def test_at_little_weight_only_the_mean_is_taken_off():
    gallery, queries = drawn(30), drawn(9, seed=1)
    labels = np.arange(30) % 6
    mean = gallery.astype(float).mean(axis=0)
    plain = [np.array([unit(row - mean) for row in rows]) for rows in (queries, gallery)]
    scores = plain[0] @ plain[1].T
    for weight in (0.0, 1e-7):
        within = fit_within(gallery, labels, weight)
        found = cosines(within(queries), within(gallery))
        assert found == pytest.approx(scores, abs=1e-5)
        assert np.array_equal(np.argsort(-found, axis=1), np.argsort(-scores, axis=1))


def test_directions_without_any_spread_stay_finite():
    vectors, labels = drawn(6, d=8), np.array([0, 0, 1, 1, 2, 3])  # two directions of eight
    within = fit_within(vectors, labels, 1.0)
    spread = pooled(vectors, labels.tolist())
    flat = np.linalg.svd(spread)[2][2:]
    lengths = np.linalg.norm(flat @ within.matrix, axis=1)
    assert lengths == pytest.approx((1e-6 * np.trace(spread) / 8) ** -0.5, rel=1e-3)
    assert np.linalg.norm(within(vectors), axis=1) == pytest.approx(1, abs=1e-5)


def test_without_two_photos_that_differ_there_is_no_within():
    vectors = drawn(4)
    refusal = r"no identity of the gallery has two photos that differ; set rank\.within=0"
    with pytest.raises(FlukeprintError, match=refusal):
        fit_within(vectors, np.arange(4), 0.5)
    twice = vectors[[0, 0, 1, 1, 2]]
    with pytest.raises(FlukeprintError, match=refusal):
        fit_within(twice, np.array([3, 3, 1, 1, 2]), 0.5)
    assert fit_within(twice, np.array([3, 3, 1, 1, 1]), 0.5)(twice).shape == (5, 6)


@pytest.mark.parametrize("weight", [0.3, 0.8, 1.0])
def test_few_photographs_of_many_dimensions_are_whitened_alike(weight: float) -> None:
    vectors = drawn(11, 40)
    labels = np.array([0, 0, 0, 1, 1, 2, 2, 2, 2, 3, 3])
    got = fit_within(vectors, labels, weight).matrix
    own = np.stack([vectors[labels == label].mean(axis=0, dtype=float) for label in labels])
    off = vectors.astype(float) - own
    spread = off.T @ off / (11 - 4)
    sphere = np.trace(spread) / 40
    mixed = weight * spread + (1 - weight) * sphere * np.eye(40)
    values, directions = np.linalg.eigh(mixed)
    want = (directions / np.sqrt(np.maximum(values, 1e-6 * sphere))) @ directions.T
    np.testing.assert_allclose(got, want, rtol=1e-6, atol=1e-6 * np.abs(want).max())
