"""Pixels are resized without torch as torch resizes them, to the bit."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from flukeprint.data.resizing import resized, resized_without_torch

SIZES = [
    ((97, 61), (32, 48)),
    ((448, 400), (224, 224)),  # just half: weights of 16 bits
    ((31, 700), (48, 32)),
    ((224, 300), (224, 224)),
    ((20, 33), (64, 48)),
    ((1, 1), (5, 3)),
    ((900, 2), (7, 2)),  # so much smaller that float32 does not hold the sums
    ((40, 30), (40, 30)),
]


@pytest.mark.parametrize(("before", "after"), SIZES)
def test_it_is_as_by_torch(before: tuple[int, int], after: tuple[int, int]) -> None:
    rng = np.random.default_rng(sum(before))
    noise = rng.integers(0, 256, (*before, 3), dtype=np.uint8)
    white = np.full((*before, 3), 255, dtype=np.uint8)
    for pixels in (noise, white, noise[: before[0], : before[1]]):
        tensor = torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None]
        wanted = F.interpolate(tensor, after, mode="bilinear", antialias=True)[0].permute(1, 2, 0)
        np.testing.assert_array_equal(resized_without_torch(pixels, *after), wanted.numpy())
        np.testing.assert_array_equal(resized(pixels, *after), wanted.numpy())


def test_it_leaves_the_pixels_as_they_are() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (50, 40, 3), dtype=np.uint8)
    before = pixels.copy()
    pixels.flags.writeable = False
    assert resized_without_torch(pixels, 20, 30).flags.writeable
    np.testing.assert_array_equal(pixels, before)
