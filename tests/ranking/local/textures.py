"""Drawn photographs with keypoints to find."""

import cv2
import numpy as np
import numpy.typing as npt

from flukeprint.config.data import ImageConfig
from flukeprint.config.ranking import LocalConfig
from flukeprint.ranking.local.keypoints import Keypoints


def textured(seed: int, height: int = 120, width: int = 160) -> npt.NDArray[np.uint8]:
    """Blotches of several sizes, as on a hide."""
    rng = np.random.default_rng(seed)
    photo = np.zeros((height, width, 3))
    for blur in (1.5, 3.0, 6.0):
        noise = cv2.GaussianBlur(rng.normal(size=(height, width, 3)), (0, 0), blur)
        photo += noise / noise.std()
    return np.clip(128 + 30 * photo, 0, 255).astype(np.uint8)


Pixels = npt.NDArray[np.uint8]
CONFIG = LocalConfig(side=160, keypoints=120)


def flat(height: int = 120, width: int = 160) -> Pixels:
    return np.full((height, width, 3), 128, dtype=np.uint8)


def same(one: Keypoints, other: Keypoints) -> bool:
    return (
        one.size == other.size
        and np.array_equal(one.points, other.points)
        and np.array_equal(one.descriptors, other.descriptors)
        and one.descriptors.dtype == other.descriptors.dtype
    )


def small_textured(seed: int) -> npt.NDArray[np.uint8]:
    rng = np.random.default_rng(seed)
    photo = np.zeros((72, 96, 3))
    for blur in (1.5, 3.0):
        noise = cv2.GaussianBlur(rng.normal(size=photo.shape), (0, 0), blur)
        photo += noise / noise.std()
    return np.clip(128 + 35 * photo, 0, 255).astype(np.uint8)


def small_seen_again(photo: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    turned = np.array([[0.95, -0.15, 6.0], [0.12, 0.97, -3.0]])
    warped = cv2.warpAffine(photo, turned, (96, 72), borderValue=(128, 128, 128))
    return (0.8 * warped + 20).astype(np.uint8)


LOCAL = LocalConfig(side=96, keypoints=60, candidates=4)
IMAGE = ImageConfig(height=32, width=48, cache=None)
