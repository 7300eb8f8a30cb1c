"""Matching against a naive twin, known transforms and photographs that have nothing in common."""

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from flukeprint.config.ranking import LocalConfig
from flukeprint.ranking.local.keypoints import Keypoints, empty, extract
from flukeprint.ranking.local.lightglue import MATCHERS, keypoint_backend
from flukeprint.ranking.local.sift import (
    PairMatch,
    agreed,
    match,
    plausible,
    shown_inliers,
    sift_backend,
)
from tests.ranking.local.textures import textured

Pixels = npt.NDArray[np.uint8]
CONFIG = LocalConfig(side=160, keypoints=150)
TURNED = np.array([[0.9, -0.25, 22.0], [0.2, 0.95, -8.0]])


def seen_again(photo: Pixels, transform: npt.NDArray[np.float64], seed: int = 9) -> Pixels:
    """Warped, darker, with less contrast and noise."""
    height, width = photo.shape[:2]
    warped = cv2.warpAffine(photo, transform, (width, height), borderValue=(128, 128, 128))
    noise = np.random.default_rng(seed).normal(size=warped.shape)
    return np.clip(0.7 * warped + 10 + 3 * noise, 0, 255).astype(np.uint8)


def of(photo: Pixels) -> Keypoints:
    return extract(photo, CONFIG)


def drawn(points: npt.ArrayLike, descriptors: npt.ArrayLike) -> Keypoints:
    return Keypoints(np.asarray(points, np.float32), np.asarray(descriptors, np.uint8), (160, 160))


def test_the_same_hide_is_found_and_its_transform():
    photo = textured(0)
    found = match(of(photo), of(seen_again(photo, TURNED)), CONFIG)
    assert found.count >= 20
    assert found.transform is not None
    assert np.abs(found.transform[:, :2] - TURNED[:, :2]).max() < 0.05
    assert np.abs(found.transform[:, 2] - TURNED[:, 2]).max() < 2
    others = [match(of(photo), of(textured(seed)), CONFIG) for seed in range(1, 6)]
    assert max(other.count for other in others) < found.count / 3
    assert max(other.strength for other in others) < found.strength / 3


def test_a_photograph_matches_itself_whole():
    keypoints = of(textured(0))
    found = match(keypoints, keypoints, CONFIG)
    assert found.count >= 0.9 * len(keypoints)
    assert np.array_equal(found.pairs[:, 0], found.pairs[:, 1])
    assert found.strength > 0.9 * found.count  # ratios near 0


def test_inliers_are_those_that_the_transform_carries_over():
    query, candidate = of(textured(0)), of(seen_again(textured(0), TURNED))
    found = match(query, candidate, CONFIG)
    assert found.transform is not None
    for (a, b), inlier in zip(found.pairs.tolist(), found.inlier.tolist(), strict=True):
        carried = found.transform @ np.array([*query.points[a], 1.0])
        distance = np.linalg.norm(carried - candidate.points[b])
        if abs(distance - CONFIG.reach * CONFIG.side) > 0.5:  # the fit is refined at the end
            assert inlier == (distance < CONFIG.reach * CONFIG.side)
    assert found.count == sum(found.inlier.tolist())
    total = sum(w for w, i in zip(found.weights.tolist(), found.inlier.tolist(), strict=True) if i)
    assert found.strength == pytest.approx(total)


@pytest.mark.parametrize("ratio", [0.6, 0.8, 1.0])
def test_pairs_are_those_of_a_naive_twin(ratio: float):
    query, candidate = of(textured(0)), of(seen_again(textured(0), TURNED))
    config = CONFIG.model_copy(update={"ratio": ratio})

    def unit(row: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
        wide = row.astype(np.float64)
        return wide / np.linalg.norm(wide)

    ours = [unit(row) for row in query.descriptors]
    theirs = [unit(row) for row in candidate.descriptors]
    table = np.array([[np.linalg.norm(a - b) for b in theirs] for a in ours])
    expected, ratios = [], []
    for a, row in enumerate(table):
        b, second = np.argsort(row, kind="stable")[:2]
        if row[b] < ratio * row[second] and table[:, b].argmin() == a:
            expected.append([a, int(b)])
            ratios.append(row[b] / row[second])
    found = match(query, candidate, config)
    assert found.pairs.tolist() == expected
    assert np.abs(found.weights - (1 - np.array(ratios))).max() < 1e-3


def test_every_keypoint_is_matched_at_most_once():
    found = match(of(textured(0)), of(textured(1)), CONFIG.model_copy(update={"ratio": 1.0}))
    assert len(found.pairs) > 10
    for side in (0, 1):
        assert len(set(found.pairs[:, side].tolist())) == len(found.pairs)


def test_matching_is_deterministic_and_leaves_no_trace():
    query, candidate = of(textured(0)), of(seen_again(textured(0), TURNED))
    first = match(query, candidate, CONFIG)
    cv2.setRNGSeed(12345)
    match(candidate, query, CONFIG)
    again = match(query, candidate, CONFIG)
    assert np.array_equal(first.inlier, again.inlier)
    assert np.array_equal(first.transform, again.transform)


def test_photographs_with_no_or_few_keypoints():
    some, none = of(textured(0)), empty((160, 120))
    one = Keypoints(some.points[:1], some.descriptors[:1], some.size)
    two = Keypoints(some.points[:2], some.descriptors[:2], some.size)
    for query, candidate in [(none, none), (some, none), (none, some), (some, one), (one, some)]:
        found = match(query, candidate, CONFIG)
        assert (found.count, found.strength, found.transform) == (0, 0.0, None)
    found = match(two, two, CONFIG)
    assert len(found.pairs) == 2
    assert found.count == 0


@pytest.mark.parametrize(
    ("linear", "sound"),
    [
        ([[1, 0], [0, 1]], True),
        ([[0, -1], [1, 0]], True),  # a quarter turn
        ([[-1, 0], [0, 1]], False),  # mirrored
        ([[0.3, 0], [0, 0.3]], True),
        ([[0.2, 0], [0, 0.2]], False),  # an area of 0.04
        ([[4.6, 0], [0, 4.6]], False),
        ([[1, 0], [0, 3.9]], True),
        ([[1, 0], [0, 4.1]], False),  # flattened
        ([[1, 0], [1, 0]], False),
        ([[np.nan, 0], [0, 1]], False),
    ],
)
def test_transforms_that_no_animal_makes_are_refused(linear: list[list[float]], sound: bool):
    assert plausible(np.column_stack([np.array(linear, float), [5.0, 5.0]])) is sound


def test_a_mirrored_flank_and_points_on_one_place_do_not_agree():
    rng = np.random.default_rng(0)
    points = rng.uniform(0, 160, (40, 2))
    descriptors = rng.integers(0, 256, (40, 128))
    here = drawn(points, descriptors)
    assert match(here, drawn(points * 0.8 + 3, descriptors), CONFIG).count == 40
    assert match(here, drawn(points * [-1, 1] + [160, 0], descriptors), CONFIG).count == 0
    assert match(here, drawn(points * 0 + 50, descriptors), CONFIG).count == 0
    assert match(here, drawn(points * [1, 0] + [0, 50], descriptors), CONFIG).count == 0


def test_ill_shaped_pairs_are_refused():
    with pytest.raises(ValueError, match="pairs"):
        PairMatch(np.zeros((2, 2), np.int64), np.zeros(3, np.float32), np.zeros(3, bool), None)


def test_weights_of_another_matcher_are_kept():
    rng = np.random.default_rng(0)
    points = rng.uniform(0, 160, (10, 2))
    here = drawn(points, rng.integers(0, 256, (10, 128)))
    pairs = np.stack([np.arange(10), np.arange(10)], axis=1)
    found = agreed(here, here, pairs, np.full(10, 0.5, np.float32), CONFIG)
    assert found.count == 10
    assert found.strength == 5.0


def test_the_most_distinct_inliers_are_drawn():
    pairs = np.stack([np.arange(5), np.arange(5)], axis=1)
    weights = np.array([0.1, 0.9, 0.5, 0.9, 0.7], np.float32)
    inlier = np.array([True, True, True, True, False])
    found = PairMatch(pairs, weights, inlier, None)
    assert shown_inliers(found, 3).tolist() == [1, 3, 2]
    assert shown_inliers(found).tolist() == [1, 3, 2, 0]


def test_the_sift_backend_is_extract_and_match():
    backend = keypoint_backend(CONFIG)
    assert MATCHERS["sift"] is sift_backend
    photo = textured(0)
    query, candidate = backend.extract(photo), backend.extract(seen_again(photo, TURNED))
    assert np.array_equal(query.points, of(photo).points)
    assert backend.match(query, candidate).count == match(query, candidate, CONFIG).count
