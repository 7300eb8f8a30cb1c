"""Keypoints that agree, as shares of the sides of their photographs."""

import cv2
import numpy as np
import pytest

from flukeprint.config.ranking import LocalConfig
from flukeprint.data.decoding import Pixels
from flukeprint.ranking.local.agreeing_points import agreeing_points
from flukeprint.ranking.local.sift import sift_backend


def spotted(seed: int) -> Pixels:
    noise = np.random.default_rng(seed).integers(0, 256, (30, 40, 3), dtype=np.uint8)
    return np.asarray(cv2.resize(noise, (400, 300), interpolation=cv2.INTER_CUBIC))


def test_places_are_shares_of_each_photograph() -> None:
    backend = sift_backend(LocalConfig())
    whole = spotted(0)
    part = whole[60:240, 100:300]  # 180 x 200 of 300 x 400
    first, second = backend.extract(whole), backend.extract(part)
    found = agreeing_points(first, second, backend.match, 10)
    assert found.found == (len(first), len(second))
    assert found.paired >= found.count > 10
    assert found.places.shape == (10, 4)
    assert np.all(np.diff(found.weights) <= 0)
    # The same points, by what was cut off.
    x, y, there_x, there_y = found.places.T
    assert x * 400 == pytest.approx(there_x * 200 + 100, abs=3)
    assert y * 300 == pytest.approx(there_y * 180 + 60, abs=3)


def test_photographs_without_anything_in_common() -> None:
    backend = sift_backend(LocalConfig())
    first, blank = backend.extract(spotted(1)), backend.extract(np.zeros((50, 80, 3), np.uint8))
    found = agreeing_points(first, blank, backend.match, 10)
    assert (found.found[1], found.paired, found.count, found.places.shape) == (0, 0, 0, (0, 4))
