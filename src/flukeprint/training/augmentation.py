"""Augmentation of training photographs, (h, w, 3) uint8 RGB, reproducible by a seed.

It varies what differs between two photographs of one animal: place, distance and angle of the
camera, light, blur, noise, compression, and occlusion.  Magnitudes and probabilities grow
linearly with one strength; 0 changes nothing.  Mirroring is left to the sampler, because a
mirrored animal may be another one.
"""

from __future__ import annotations

import os
import random
from typing import TYPE_CHECKING

import cv2
import numpy as np

from flukeprint.config.data import ImageConfig
from flukeprint.data.decoding import Pixels

if TYPE_CHECKING:
    import albumentations as A


def build_augment(config: ImageConfig) -> A.Compose:
    """Build the augmentation of strength `config.augment` (0..1), with Albumentations.

    Its input is `config.reserve` times as large as its output, config.height x config.width.  A
    random crop of at least `config.crop` of the area, at most a third off the aspect ratio, is
    resized to the output.

    Use it through `augmented`: Albumentations' own `set_random_seed` gives every transform the
    same random stream, so that all of them are applied or none.
    """
    os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"  # else its import connects to PyPI
    import albumentations as A  # takes 1.5 s

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
            # Relative to the mean, and partly by gamma: clipping would remove faint marks.
            A.RandomBrightnessContrast(0.3 * s, 0.3 * s, brightness_by_max=False, p=s),
            A.RandomGamma((round(100 - 45 * s), round(100 + 60 * s)), p=0.8 * s),
            A.HueSaturationValue(12 * s, 60 * s, 0, p=0.8 * s),
            A.ToGray(p=0.2 * s),
            # The lens, the sensor, the file.
            A.OneOf(blurs, p=0.4 * s),
            A.GaussNoise(std_range=(0.01 * s, 0.06 * s), p=0.4 * s),
            A.ImageCompression(quality_range=(round(90 - 50 * s), 95), p=0.4 * s),
            # Occlusion: spray, grass, another animal.
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
    """Augment `pixels` (h, w, 3) uint8, reproducibly: the result depends on them and `seed` alone.

    All transforms share one numpy and one Python generator, made here from `seed` (>= 0).
    """
    augment.set_random_state(np.random.default_rng(seed), random.Random(int(seed)))
    return np.asarray(augment(image=pixels)["image"], dtype=np.uint8)


def _odd(size: float) -> int:
    """Round to the nearest odd integer."""
    return 2 * round((size - 1) / 2) + 1
