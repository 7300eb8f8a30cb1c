"""Resize pixels as torch does, bilinear with antialiasing, without importing torch.

A process that answers a few photographs would wait longer for torch than for the network.  Each
output pixel is a weighted mean of the pixels under a triangle, with weights of few enough bits that
every sum is exact: so the result is that of torch, bit for bit, in whatever order it is summed.
"""

import sys
from functools import lru_cache
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from flukeprint.data.decoding import Pixels

Numbers = npt.NDArray[np.floating]
_MOST_BITS = 22
_TOGETHER = 16  # outputs of a matrix product: most of its weights are not zero, then
_EXACT_BITS = 16  # with these a weighted sum of bytes has the 24 bits that float32 holds


class _Part(NamedTuple):
    """The weights of outputs `first` to `last` for inputs `start` to `stop`."""

    first: int
    last: int
    start: int
    stop: int
    weights: Numbers


def resized(pixels: Pixels, height: int, width: int) -> Pixels:
    """Bilinear with antialiasing: where a side shrinks, over all pixels that become one.

    pixels: (h, w, 3) uint8.
    """
    if "torch" in sys.modules:  # up to ten times as fast, where it has been imported anyway
        return _by_torch(pixels, height, width)
    return resized_without_torch(pixels, height, width)


def resized_without_torch(pixels: Pixels, height: int, width: int) -> Pixels:
    """What `resized` gives, by numpy."""
    if pixels.shape[1] != width:
        pixels = _turned(_fewer_rows(_turned(pixels), width))
    if pixels.shape[0] != height:
        pixels = _fewer_rows(pixels, height)
    return pixels


def _by_torch(pixels: Pixels, height: int, width: int) -> Pixels:
    import torch
    from torch.nn.functional import interpolate

    if not pixels.flags.writeable:  # torch accepts no others
        pixels = pixels.copy()
    seen = torch.from_numpy(pixels).permute(2, 0, 1)[None]
    smaller = interpolate(seen, (height, width), mode="bilinear", antialias=True)
    return np.asarray(smaller[0].permute(1, 2, 0).numpy(), dtype=np.uint8)


def _turned(pixels: Pixels) -> Pixels:
    """Rows for columns."""
    return np.asarray(cv2.transpose(np.ascontiguousarray(pixels)), dtype=np.uint8)


def _fewer_rows(pixels: Pixels, rows: int) -> Pixels:
    """Pixels (h, w, 3) as (rows, w, 3), or more of them."""
    flat = np.ascontiguousarray(pixels).reshape(len(pixels), -1)
    out = np.empty((rows, flat.shape[1]), np.uint8)
    for part in _plan(len(pixels), rows):
        sums = part.weights @ flat[part.start : part.stop].astype(part.weights.dtype)
        sums += 0.5
        np.floor(sums, out=sums)
        # From whole numbers, in half of the time that numpy takes.
        cv2.convertScaleAbs(sums, dst=out[part.first : part.last])
    return out.reshape(rows, *pixels.shape[1:])


@lru_cache(maxsize=256)
def _plan(n: int, m: int) -> tuple[_Part, ...]:
    """The weights by which n pixels become m, in parts."""
    scale = n / m
    reach = max(scale, 1.0)
    centres = scale * (np.arange(m) + 0.5)
    start = np.maximum((centres - reach + 0.5).astype(np.int64), 0)
    stop = np.minimum((centres + reach + 0.5).astype(np.int64), n)
    place = start[:, None] + np.arange(int((stop - start).max()))
    weights = np.maximum(0.0, 1 - np.abs(place - centres[:, None] + 0.5) / reach)
    weights[place >= stop[:, None]] = 0
    weights /= weights.sum(axis=1, keepdims=True)
    bits = 0  # as many as let every weight be a number of 16 bits
    while bits < _MOST_BITS and int(0.5 + weights.max() * (2 << bits)) < 1 << 15:
        bits += 1
    whole = np.floor(0.5 + weights * (1 << bits)) / (1 << bits)
    kind = np.float32 if bits <= _EXACT_BITS else np.float64
    parts = []
    for first in range(0, m, _TOGETHER):
        last = min(first + _TOGETHER, m)
        left, right = int(start[first]), int(stop[first:last].max())
        matrix = np.zeros((last - first, right - left), kind)
        for row in range(first, last):
            taken = int(stop[row] - start[row])
            matrix[row - first, start[row] - left :][:taken] = whole[row, :taken]
        parts.append(_Part(first, last, left, right, matrix))
    return tuple(parts)
