"""Batches are made smaller as Pillow does it."""

import cv2
import numpy as np
import torch
from PIL import Image

from flukeprint.training.progressive_resizing import resize_batch


def test_photos_are_made_smaller_as_pillow_does() -> None:
    rng = np.random.default_rng(0)
    photo = cv2.GaussianBlur(rng.integers(0, 256, (96, 160, 3), dtype=np.uint8), (0, 0), 2)
    wanted = np.asarray(Image.fromarray(photo).resize((64, 32), Image.Resampling.BILINEAR))
    batch = torch.from_numpy(photo.transpose(2, 0, 1)[None].copy())
    small = resize_batch(batch, (32, 64))
    assert small.dtype == torch.uint8
    gap = small[0].permute(1, 2, 0).numpy().astype(int) - wanted
    assert np.abs(gap).max() <= 1
    assert resize_batch(batch, (96, 160)) is batch
