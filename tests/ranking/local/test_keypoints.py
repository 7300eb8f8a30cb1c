"""Keypoints of one photograph."""

import cv2
import numpy as np
import pytest

from flukeprint.config.ranking import LocalConfig
from flukeprint.ranking.local.keypoints import Keypoints, extract, extraction_digest, shrink
from tests.ranking.local.textures import CONFIG, Pixels, flat, same, textured


@pytest.mark.parametrize(
    ("shape", "size"), [((120, 160), (120, 160)), ((300, 200), (160, 107)), ((20, 40), (80, 160))]
)
def test_the_long_side_is_the_asked_one(shape: tuple[int, int], size: tuple[int, int]):
    photo = textured(0, *shape)
    assert shrink(photo, 160).shape == (*size, 3)
    found = extract(photo, CONFIG)
    assert found.size == size
    assert len(found) > 0
    assert np.all((found.points >= 0) & (found.points < [size[1], size[0]]))


def test_root_sift_is_the_root_of_the_histogram_over_its_sum():
    photo = textured(1)
    found = extract(photo, CONFIG)
    sift = cv2.SIFT.create(nfeatures=CONFIG.keypoints, contrastThreshold=0.02)
    keypoints, raw = sift.detectAndCompute(cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY), None)
    expected = {}
    for keypoint, histogram in zip(keypoints, raw, strict=True):
        parts = [np.sqrt(float(v) / float(histogram.sum())) for v in histogram]
        expected.setdefault(keypoint.pt, []).append(parts)
    assert len(found) > 50
    for point, descriptor in zip(found.points, found.descriptors, strict=True):
        there = next(
            parts for place, parts in expected.items() if np.allclose(place, point, atol=1e-3)
        )
        error = min(np.abs(np.array(parts) * 255 - descriptor).max() for parts in there)
        assert error <= 0.51  # half a level
    lengths = np.linalg.norm(found.descriptors.astype(np.float64) / 255, axis=1)
    assert np.abs(lengths - 1).max() < 0.03


def test_the_strongest_are_kept_and_no_more_than_asked():
    photo = textured(2)
    all_of_them = extract(photo, LocalConfig(side=160, keypoints=1000))
    few = extract(photo, LocalConfig(side=160, keypoints=16))
    assert len(all_of_them) > 100
    assert len(few) == 16
    assert np.array_equal(few.points, all_of_them.points[:16])


@pytest.mark.parametrize(
    "photo", [flat(), flat(1, 1), flat(1, 400), textured(3, 2, 3), textured(3, 400, 1)]
)
def test_photographs_of_nothing_and_of_a_few_pixels(photo: Pixels):
    found = extract(photo, CONFIG)
    assert max(found.size) == 160
    assert found.points.shape == (len(found), 2)
    assert found.descriptors.shape == (len(found), 128)
    if photo.std() == 0:
        assert len(found) == 0


def test_upright_keypoints_are_one_a_place_and_see_a_turned_photograph_as_another():
    config = LocalConfig(side=160, keypoints=1000, upright=True)
    found, turning = extract(textured(0), config), extract(textured(0), LocalConfig(side=160))
    assert 50 < len(found) < len(turning)
    places = {tuple(point) for point in turning.points.tolist()}
    assert places >= {tuple(point) for point in found.points.tolist()}
    # A photo turned by half a turn has the same places with other descriptors.
    turned = extract(np.ascontiguousarray(textured(0)[::-1, ::-1]), config)
    there = np.array([159, 119]) - turned.points
    gaps = np.linalg.norm(found.points[:, None] - there[None], axis=2)
    near = gaps.min(axis=1) < 1.5
    assert near.mean() > 0.8
    unlike = found.descriptors.astype(float) - turned.descriptors[gaps.argmin(axis=1)]
    assert np.median(np.linalg.norm(unlike[near], axis=1) / 255) > 0.4


def test_extraction_is_deterministic():
    assert same(extract(textured(4), CONFIG), extract(textured(4), CONFIG))


def test_wrong_arrays_are_refused():
    points = np.zeros((3, 2), np.float32)
    with pytest.raises(ValueError, match="for 3 points"):
        Keypoints(points, np.zeros((2, 128), np.uint8), (4, 4))
    with pytest.raises(ValueError, match="float32"):
        Keypoints(points, np.zeros((3, 128), np.float32), (4, 4))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="points are float64"):
        Keypoints(np.zeros((3, 2)), np.zeros((3, 128), np.uint8), (4, 4))  # type: ignore[arg-type]


def test_the_digest_changes_with_what_extraction_depends_on_alone():
    digest = extraction_digest(CONFIG)
    for change in (
        {"side": 200},
        {"keypoints": 50},
        {"matcher": "lightglue"},
        {"upright": True},
    ):
        assert extraction_digest(CONFIG.model_copy(update=change)) != digest
    for change in ({"ratio": 0.5}, {"reach": 0.5}, {"candidates": 9}):
        assert extraction_digest(CONFIG.model_copy(update=change)) == digest
