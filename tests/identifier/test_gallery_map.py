"""Projections against another library's components and by eye; where later photographs stand."""

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE
from threadpoolctl import threadpool_info, threadpool_limits

from flukeprint.data.embeddings import unit_rows
from flukeprint.identifier.gallery_map import MOST, placed, principal_components, project

Floats = npt.NDArray[np.float32]


def drawn(n: int, d: int, seed: int = 0) -> Floats:
    # Away from 0, so that no row has length 0 even for d = 1.
    rng = np.random.default_rng(seed)
    return unit_rows(rng.choice([-1, 1], (n, d)) * rng.uniform(0.1, 1, (n, d)).cumsum(axis=1))


def groups(n: int, d: int, of: int, noise: float, seed: int = 0) -> tuple[Floats, np.ndarray]:
    rng = np.random.default_rng(seed)
    centres = unit_rows(rng.normal(size=(of, d)))
    label = rng.integers(of, size=n)
    return unit_rows(centres[label] + noise / np.sqrt(d) * rng.normal(size=(n, d))), label


@pytest.mark.parametrize(("n", "d", "most"), [(40, 7, 3), (40, 7, 50), (9, 30, 5), (300, 64, 50)])
def test_principal_components_are_those_of_scikit_learn(n: int, d: int, most: int) -> None:
    vectors = drawn(n, d)
    k = min(most, d, n - 1)  # n photographs span n - 1 dimensions
    want = PCA(k, svd_solver="full").fit_transform(vectors.astype(np.float64))
    got = principal_components(vectors, most)
    assert got.shape == (n, min(most, d))
    signs = np.sign((got[:, :k] * want).sum(axis=0))
    np.testing.assert_allclose(got[:, :k], want * signs, atol=1e-9)
    np.testing.assert_allclose(got[:, k:], 0, atol=1e-6)
    farthest = np.abs(got[:, :k]).argmax(axis=0)
    assert (got[farthest, np.arange(k)] > 0).all()


def test_principal_components_in_blocks_are_those_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors = drawn(50, 8)
    want = principal_components(vectors, 4)
    monkeypatch.setattr("flukeprint.identifier.gallery_map._ROWS_AT_ONCE", 7)
    np.testing.assert_allclose(principal_components(vectors, 4), want, atol=1e-12)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 30), st.integers(1, 70), st.integers(0, 99), st.integers(1, 4))
def test_positions_lie_in_the_square_and_fill_it(n: int, d: int, seed: int, copies: int) -> None:
    vectors = np.repeat(drawn(n, d, seed), copies, axis=0)[:40]
    xy = project(vectors)
    assert xy.shape == (len(vectors), 2)
    assert xy.dtype == np.float32
    assert np.isfinite(xy).all()
    assert np.abs(xy).max(initial=0) <= 1
    if len(np.unique(vectors, axis=0)) > 1:
        low, high = xy.min(axis=0), xy.max(axis=0)
        assert (high - low).max() == pytest.approx(2, abs=1e-5)
        np.testing.assert_allclose(low + high, 0, atol=1e-5)
    else:
        assert (xy == 0).all()


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 100])
@pytest.mark.parametrize("d", [1, 3, 128])
def test_photographs_that_are_all_alike_stand_in_the_middle(n: int, d: int) -> None:
    assert (project(np.repeat(drawn(1, d, 5), n, axis=0)) == 0).all()


def test_two_three_and_four_photographs_by_eye() -> None:
    two = project(np.eye(2, 50, dtype=np.float32))
    np.testing.assert_allclose(np.sort(two, axis=0), [[-1, 0], [1, 0]], atol=1e-6)
    # Corners of an equilateral triangle, of a tetrahedron: all sides alike in three dimensions.
    three = project(np.eye(3, 50, dtype=np.float32))
    sides = np.linalg.norm(three - three[[1, 2, 0]], axis=1)
    assert sides == pytest.approx([sides[0]] * 3, abs=1e-5)
    # A path along one axis keeps its order and its proportions.
    angles = np.array([0.0, 0.1, 0.2, 0.4])
    path = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    x = project(path)[:, 0]
    assert np.abs(x - np.array([-1, -0.5, 0, 1]) * np.sign(x[3])).max() < 0.03


def test_a_large_gallery_stands_on_its_principal_axes_both_in_one_scale() -> None:
    # A flat cloud: the second axis is a tenth of the first, before and after.
    rng = np.random.default_rng(1)
    flat = rng.normal(size=(MOST + 1, 2)) * [0.1, 0.01]
    vectors = unit_rows(np.concatenate([flat, np.ones((MOST + 1, 1))], axis=1))
    xy = project(vectors)
    assert xy[:, 1].std() / xy[:, 0].std() == pytest.approx(0.1, rel=0.05)
    assert on_principal_axes(vectors, xy)


def on_principal_axes(vectors: Floats, xy: Floats) -> bool:
    """Whether the positions are the first two principal components, moved and scaled."""
    want = PCA(2, svd_solver="full").fit_transform(vectors.astype(np.float64))
    want /= np.ptp(want, axis=0).max() / 2
    got = xy - xy.mean(axis=0)
    return bool(np.allclose(got * np.sign((got * want).sum(axis=0)), want, atol=1e-3))


@pytest.mark.parametrize(("n", "plain"), [(4, True), (5, False), (12, False), (13, True)])
def test_too_few_and_too_many_for_neighbours_stand_on_the_principal_axes(
    monkeypatch: pytest.MonkeyPatch, n: int, plain: bool
) -> None:
    monkeypatch.setattr("flukeprint.identifier.gallery_map.MOST", 12)
    vectors = drawn(n, 9)
    assert on_principal_axes(vectors, project(vectors)) == plain


@pytest.mark.parametrize(("n", "of", "noise"), [(30, 3, 0.3), (200, 12, 0.7)])
def test_neighbours_stand_together(n: int, of: int, noise: float) -> None:
    vectors, label = groups(n, 64, of, noise)
    xy = project(vectors).astype(np.float64)
    gaps = np.linalg.norm(xy[:, None] - xy[None], axis=2)
    np.fill_diagonal(gaps, np.inf)
    assert (label[gaps.argmin(axis=1)] == label).mean() > 0.97
    if of > 3:  # more than the first two principal components could show
        flat = principal_components(vectors, 2)
        gaps = np.linalg.norm(flat[:, None] - flat[None], axis=2)
        np.fill_diagonal(gaps, np.inf)
        assert (label[gaps.argmin(axis=1)] == label).mean() < 0.9


def test_the_same_vectors_stand_at_the_same_places() -> None:
    vectors, _ = groups(150, 32, 10, 0.7)
    want = project(vectors)
    np.random.seed(7)  # noqa: NPY002 - the global state plays no part
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    for threads in (1, 2, 3):
        with threadpool_limits(threads, user_api="openmp"):
            np.testing.assert_array_equal(project(vectors.copy()), want)
    assert (np.random.get_state()[1] == before).all()  # noqa: NPY002


def test_neighbours_are_found_in_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    fit = TSNE.fit_transform

    def watched(self: TSNE, *arguments: object) -> np.ndarray:
        seen.extend(lib["num_threads"] for lib in threadpool_info() if lib["user_api"] == "openmp")
        return fit(self, *arguments)

    monkeypatch.setattr(TSNE, "fit_transform", watched)
    with threadpool_limits(2, user_api="openmp"):
        project(drawn(20, 8))
    assert seen
    assert set(seen) == {1}


@pytest.mark.parametrize("shape", [(5,), (2, 3, 4)])
def test_vectors_of_another_shape_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="not \\(n, d\\)"):
        project(np.ones(shape, np.float32))


# --- photographs that come later


def naively_placed(known: Floats, xy: Floats, fresh: Floats) -> np.ndarray:
    out = []
    for vector in fresh:
        wide = vector.astype(float)
        scores = [np.float32(sum(wide * vector)) for vector in known.astype(float)]
        near = sorted((-float(score), row) for row, score in enumerate(scores))
        weights = [max(-score, 0.0) for score, _ in near[:3]]
        if sum(weights) == 0:
            weights = [1.0] * len(weights)
        spots = [xy[row].astype(float) for _, row in near[:3]]
        out.append(sum(w * s for w, s in zip(weights, spots, strict=True)) / sum(weights))
    return np.array(out).reshape(-1, 2)


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 12), st.integers(0, 6), st.integers(1, 5), st.integers(0, 99))
def test_a_later_photograph_stands_where_the_naive_one_does(
    n: int, m: int, d: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    known = drawn(n, d, seed)[rng.integers(n, size=n)]  # copies tie
    fresh = drawn(m, d, seed + 1)
    xy = rng.uniform(-1, 1, (n, 2)).astype(np.float32)
    got = placed(known, xy, fresh)
    assert (got.shape, got.dtype) == ((m, 2), np.float32)
    assert np.abs(got).max(initial=0) <= 1
    np.testing.assert_allclose(got, naively_placed(known, xy, fresh), atol=1e-5)


def test_later_photographs_by_hand() -> None:
    known = unit_rows([[1, 0, 0], [0.8, 0.6, 0], [0, 1, 0], [0, 0, 1]])
    xy = np.array([[0, 0], [1, 0], [0, 1], [-1, -1]], np.float32)
    got = placed(known, xy, unit_rows([[1, 0, 0], [-1, -1, -1]]))
    # Similarities 1, 0.8 and 0 to the first; none to any of the three of the second.
    np.testing.assert_allclose(got[0], [0.8 / 1.8, 0], atol=1e-6)
    nearest = [0, 2, 3]  # the three that are least unlike
    np.testing.assert_allclose(got[1], xy[nearest].mean(axis=0), atol=1e-6)


def test_blocks_make_no_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    known, fresh = drawn(40, 6), drawn(25, 6, seed=1)
    xy = project(known)
    want = placed(known, xy, fresh)
    monkeypatch.setattr("flukeprint.identifier.gallery_map._SCORES_AT_ONCE", 80)
    monkeypatch.setattr("flukeprint.identifier.gallery_map._ROWS_AT_ONCE", 7)
    np.testing.assert_allclose(placed(known, xy, fresh), want, atol=1e-6)


def test_later_photographs_stand_with_their_group() -> None:
    vectors, label = groups(120, 64, 8, 0.5)
    xy = project(vectors[:100])
    got = placed(vectors[:100], xy, vectors[100:])
    for row, position in enumerate(got, start=100):
        own = xy[label[:100] == label[row]]
        assert (position >= own.min(axis=0) - 1e-6).all()
        assert (position <= own.max(axis=0) + 1e-6).all()


def test_shapes_that_do_not_agree_are_refused() -> None:
    known, xy = drawn(4, 3), np.zeros((4, 2), np.float32)
    for case in ((known[:0], xy[:0], known), (known, xy[:3], known), (known, xy, drawn(2, 5))):
        with pytest.raises(ValueError, match="cannot be placed"):
            placed(*case)
