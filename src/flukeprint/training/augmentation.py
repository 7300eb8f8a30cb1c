"""Augmentation: pixels (h, w, 3) uint8 RGB and a seed enter, as many, taken otherwise, leave.

What may differ between two photographs of one animal is varied: place, distance, angle and
light of the camera, blur, noise, compression, and something in the way.  Sizes and shares grow
linearly with one strength; at 0 nothing is touched.  Mirroring is none of this: whether a
mirrored animal is the same one is for the sampler to know.
"""

from __future__ import annotations

import os
import random
from typing import TYPE_CHECKING

import cv2
import numpy as np

from flukeprint.config.schema import ImageConfig
from flukeprint.data.decoding import Pixels

if TYPE_CHECKING:
    import albumentations as A


def build_augment(config: ImageConfig) -> A.Compose:
    """The training pipeline of `config.augment` (0..1): config.height x config.width leave.

    Pixels that enter are `config.reserve` times as large.  A random part of at least `config.crop`
    of their area, at most a third off their aspect ratio, is enlarged or shrunk to the size.

    Use it through `augmented`: Albumentations' own `set_random_seed` starts every transform
    from one and the same stream, so that they all fire together or not at all.
    """
    os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"  # else its import asks PyPI for newer versions
    import albumentations as A  # 1.5 s

    s = config.augment
    size = (config.height, config.width)
    frame: list[A.BasicTransform] = []
    if config.crop < 1:
        aspect = config.width / config.height
        frame = [
            A.RandomResizedCrop(
                size,
                scale=(config.crop, 1),
                ratio=(aspect * 3 / 4, aspect * 4 / 3),
                area_for_downscale="image",
            )
        ]
    elif config.reserve > 1:
        frame = [A.Resize(*size, area_for_downscale="image")]
    if s == 0:
        return A.Compose(frame)
    side = min(config.height, config.width)
    border = cv2.BORDER_REFLECT_101
    streak = _odd(s * side / 30)  # px; 3 at side 224, strength 0.5; 7 at 1
    blurs: list[A.BasicTransform] = [A.GaussianBlur(sigma_limit=(0.1, s * side / 112))]
    if streak >= 3:
        blurs.append(A.MotionBlur(blur_limit=(3, streak), allow_shifted=False))
    return A.Compose(
        [
            *frame,
            # The camera: place, distance, angle.
            A.Affine(
                scale=(1 - 0.3 * s, 1 + 0.3 * s),
                balanced_scale=True,
                translate_percent=(-0.12 * s, 0.12 * s),
                rotate=(-30 * s, 30 * s),
                shear=(-12 * s, 12 * s),
                border_mode=border,
                p=1,
            ),
            A.Perspective(scale=(0, 0.12 * s), border_mode=border, p=0.8 * s),
            # Light and colour.
            # Relative to the mean, and half of it gamma: what clips takes faint marks with it.
            A.RandomBrightnessContrast(0.3 * s, 0.3 * s, brightness_by_max=False, p=s),
            A.RandomGamma((round(100 - 45 * s), round(100 + 60 * s)), p=0.8 * s),
            A.HueSaturationValue(12 * s, 60 * s, 0, p=0.8 * s),
            A.ToGray(p=0.2 * s),
            # The lens, the sensor, the file.
            A.OneOf(blurs, p=0.4 * s),
            A.GaussNoise(std_range=(0.01 * s, 0.06 * s), p=0.4 * s),
            A.ImageCompression(quality_range=(round(90 - 50 * s), 95), p=0.4 * s),
            # Something in the way: spray, grass, another animal.
            A.CoarseDropout(
                num_holes_range=(1, 1 + round(4 * s)),
                hole_height_range=(0.05, 0.05 + 0.2 * s),
                hole_width_range=(0.05, 0.05 + 0.2 * s),
                fill=128,
                p=0.6 * s,
            ),
        ]
    )


def augmented(augment: A.Compose, pixels: Pixels, seed: int) -> Pixels:
    """(h, w, 3) uint8: `pixels` as `augment` varies them for `seed`, a pure function of both.

    One numpy and one Python generator, made here from `seed` (>= 0), are handed to all transforms;
    neither process, worker nor earlier calls take part.
    """
    augment.set_random_state(np.random.default_rng(seed), random.Random(int(seed)))
    return np.asarray(augment(image=pixels)["image"], dtype=np.uint8)


def _odd(size: float) -> int:
    """The odd whole number nearest to `size`."""
    return 2 * round((size - 1) / 2) + 1
