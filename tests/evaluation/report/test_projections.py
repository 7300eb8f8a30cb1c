"""Projections: PCA against the eigenvectors of the covariance, measures against plain loops."""

import numpy as np
import pytest

from flukeprint.data.embeddings import unit_rows
from flukeprint.evaluation.report.projections import (
    PROJECTIONS,
    principal_axes,
    project,
    same_nearest,
    trustworthiness,
    umap_installed,
)


def clusters(seed: int = 0, each: int = 20) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    centres = 6 * rng.normal(size=(3, 10))
    vectors = unit_rows(np.repeat(centres, each, axis=0) + rng.normal(size=(3 * each, 10)))
    return vectors, np.repeat(np.arange(3), each)


def test_principal_axes_are_the_eigenvectors_of_the_covariance():
    vectors, _ = clusters()
    at, shares = principal_axes(vectors)
    rows = vectors.astype(float)
    values, axes = np.linalg.eigh(np.cov(rows.T))
    order = np.argsort(-values)
    np.testing.assert_allclose(shares, values[order] / values.sum(), atol=1e-9)
    expected = (rows - rows.mean(axis=0)) @ axes[:, order]
    np.testing.assert_allclose(np.abs(at), np.abs(expected), atol=1e-6)
    for column in at.T[:5]:
        assert column[np.abs(column).argmax()] > 0
    # Distances stay, and so does their order of width.
    np.testing.assert_allclose(
        np.linalg.norm(at[0] - at[1:], axis=1), np.linalg.norm(rows[0] - rows[1:], axis=1),
        atol=1e-6,
    )  # fmt: skip
    assert (np.diff(shares) <= 1e-12).all()


def test_few_or_equal_photographs_have_axes_of_zeros():
    at, shares = principal_axes(unit_rows(np.array([[1.0, 0.0], [0.0, 1.0]])))
    assert at.shape == (2, 3)
    np.testing.assert_allclose(shares, [1, 0, 0], atol=1e-12)
    np.testing.assert_allclose(np.abs(at[:, 0]), np.sqrt(0.5), atol=1e-6)
    assert not at[:, 2].any()
    alike = np.tile(unit_rows(np.ones((1, 7))), (9, 1))
    at, shares = principal_axes(alike)
    assert not shares.any()
    assert [one.name for one in project(at)] == ["PCA"]  # nothing for neighbours to tell


@pytest.mark.parametrize("name", list(PROJECTIONS))
def test_maps_of_neighbours_keep_clusters_together_and_are_the_same_again(name):
    if name == "UMAP" and not umap_installed():
        pytest.skip("umap-learn is not installed")
    vectors, owners = clusters()
    axes, _ = principal_axes(vectors)
    for dimensions in (2, 3):
        at = PROJECTIONS[name](axes, dimensions)
        assert at.shape == (60, dimensions)
        # In space 60 photographs are few for t-SNE; by chance a third would have such a nearest.
        assert same_nearest(at, owners) == 1 if dimensions == 2 else same_nearest(at, owners) > 0.8
        np.testing.assert_array_equal(at, PROJECTIONS[name](axes, dimensions))


def test_a_map_of_fewer_photographs_than_neighbours():
    vectors, _ = clusters(each=2)
    found = project(principal_axes(vectors)[0])
    assert "t-SNE" in [one.name for one in found]
    assert all(np.isfinite(one.flat).all() and one.solid.shape == (6, 3) for one in found)
    few = project(principal_axes(vectors[:4])[0])
    assert [one.name for one in few] == ["PCA"]


def ranks(at: np.ndarray) -> np.ndarray:
    """For each row the place of every other one by distance, from 1."""
    found = np.zeros((len(at), len(at)), dtype=int)
    for i in range(len(at)):
        order = sorted((float(((at[i] - at[j]) ** 2).sum()), j) for j in range(len(at)) if j != i)
        for place, (_, j) in enumerate(order, 1):
            found[i, j] = place
    return found


def test_trustworthiness_by_its_formula():
    vectors, _ = clusters(each=7)
    at = np.random.default_rng(1).normal(size=(21, 2))
    there, here = ranks(vectors.astype(float)), ranks(at)
    n, k = 21, 5
    lost = sum(
        there[i, j] - k
        for i in range(n) for j in range(n)
        if i != j and here[i, j] <= k and there[i, j] > k
    )  # fmt: skip
    expected = 1 - 2 / (n * k * (2 * n - 3 * k - 1)) * lost
    assert trustworthiness(vectors, at) == pytest.approx(expected, abs=1e-9)
    assert trustworthiness(vectors, vectors.astype(float)) == pytest.approx(1)


def test_the_nearest_photograph_of_the_same_animal():
    rng = np.random.default_rng(3)
    at, owners = rng.normal(size=(30, 2)), rng.integers(-1, 6, 30)
    right = []
    for i in range(30):
        if owners[i] < 0 or (owners == owners[i]).sum() < 2:
            continue
        others = [j for j in range(30) if j != i]
        nearest = min(others, key=lambda j: float(((at[i] - at[j]) ** 2).sum()))
        right.append(owners[nearest] == owners[i])
    assert same_nearest(at, owners) == pytest.approx(np.mean(right))
    assert same_nearest(at, np.arange(30)) is None
    assert same_nearest(at, np.full(30, -1)) is None
