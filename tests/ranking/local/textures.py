"""Drawn photographs with keypoints to find."""

import cv2
import numpy as np
import numpy.typing as npt


def textured(seed: int, height: int = 120, width: int = 160) -> npt.NDArray[np.uint8]:
    """Blotches of several sizes, as on a hide."""
    rng = np.random.default_rng(seed)
    photo = np.zeros((height, width, 3))
    for blur in (1.5, 3.0, 6.0):
        noise = cv2.GaussianBlur(rng.normal(size=(height, width, 3)), (0, 0), blur)
        photo += noise / noise.std()
    return np.clip(128 + 30 * photo, 0, 255).astype(np.uint8)
