"""Draws the sea behind a fluke: ripples, foam, and sometimes sky and a coast.

All colours are linear light (h, w, 3) float32, about 0..1; the camera applies its gamma later.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from flukeprint.data.embeddings import Floats
from flukeprint.data.synthetic.whale import smooth_noise, smoothstep

_WATERS = {  # linear RGB: how seas look from a boat
    "slate": (0.13, 0.16, 0.19),
    "atlantic": (0.06, 0.12, 0.17),
    "tropic": (0.03, 0.13, 0.26),
    "fjord": (0.05, 0.11, 0.10),
    "silver": (0.33, 0.36, 0.38),
    "ink": (0.03, 0.04, 0.055),
    "dusk": (0.19, 0.16, 0.15),
}


@dataclass(frozen=True)
class Sea:
    """A view of the sea, and its colours, to set a fluke into.

    picture: (h, w, 3) float32 linear RGB, sky and land included where the horizon is in view.
    chop: (h, w) float32 of about unit variance, height of the ripples.
    water, sky: (3,) float32 linear RGB.
    """

    picture: Floats
    chop: Floats
    water: Floats
    sky: Floats


def draw_sea(rng: np.random.Generator, height: int, width: int) -> Sea:
    """Draw water with ripples in perspective, sometimes with horizon, sky and a coast."""
    water = np.array(list(_WATERS.values())[rng.integers(len(_WATERS))], np.float32)
    water = water * np.exp(rng.normal(0, (0.08, 0.1, 0.1)) + rng.normal(0, 0.3)).astype(np.float32)
    overcast = rng.random() < 0.5
    sky = np.array((0.62, 0.66, 0.70) if overcast else (0.38, 0.55, 0.80), np.float32)
    warm = rng.normal(0, 0.08)
    sky = sky * np.array([1 + warm, 1, 1 - warm], np.float32) * np.float32(rng.uniform(0.6, 1.2))
    in_view = rng.random() < 0.38
    horizon = height * (rng.uniform(0.03, 0.5) if in_view else -rng.uniform(0.08, 2.0))

    rows = np.arange(height, dtype=np.float32)[:, None]
    columns = np.asarray(np.arange(width) - width / 2, np.float32)[None, :]
    # 1/distance of the water in a row.
    depth = np.asarray(np.maximum((rows - horizon) / height, 0.03), np.float32)
    chop = _ripples(rng, depth, np.asarray(columns / height, np.float32))
    lit = np.asarray(cv2.Sobel(chop, cv2.CV_32F, 0, 1, ksize=3), np.float32)
    lit = lit / (float(lit.std()) + 1e-6)
    # Far water mirrors the low sky more (Fresnel), near water shows its own colour.
    mirror = 0.55 * np.exp(-depth * rng.uniform(1.0, 4.0)) + 0.03
    rough = rng.uniform(0.10, 0.42)
    mirror = np.clip(mirror * (1 + rough * 1.4 * lit) + 0.05 * rough * lit, 0, 1)
    shade = np.maximum(1 + rough * (0.55 * chop + 0.35 * lit), 0.15)
    picture = water * shade[..., None] * (1 - mirror[..., None]) + sky * mirror[..., None]
    if rng.random() < 0.3:  # the sun glitters
        glint = smoothstep(chop + 0.6 * lit, rng.uniform(1.6, 2.4), 3.4)
        path = np.exp(-(((columns / width - rng.uniform(-0.6, 0.6)) / rng.uniform(0.15, 0.6)) ** 2))
        picture += (rng.uniform(0.4, 1.3) * glint * path)[..., None]
    if rng.random() < 0.35:  # white caps
        caps = smoothstep(chop + 0.5 * smooth_noise(rng, (height, width), (7, 9)), 2.0, 3.0)
        picture += (0.55 * caps)[..., None]
    if in_view:
        picture = _with_sky(rng, picture, sky, water, horizon)
    return Sea(np.asarray(picture, np.float32), chop, water, sky)


def _ripples(rng: np.random.Generator, depth: Floats, across: Floats) -> Floats:
    """(h, w) heights: one noise tile seen at two scales, flattened towards the horizon."""
    tile = np.zeros((128, 128), np.float32)
    for cells in (8, 18, 42, 90):
        tile = tile + _endless(rng, 128, cells) * np.float32(cells**-0.55)
    ridge = rng.uniform(0, 1)  # 0 long swell, 1 short and sharp
    tile = np.asarray((1 - ridge) * tile - ridge * np.abs(tile), np.float32)
    heights = np.zeros((depth.shape[0], across.shape[1]), np.float32)
    near = rng.uniform(25, 75)  # tile px across one picture height at depth 1
    slant = rng.normal(0, 0.25)
    for factor, weight in ((1.0, 1.0), (3.1, 0.6)):
        x = np.asarray(across * (near * factor / depth) + rng.uniform(0, 128), np.float32)
        y = np.asarray(near * factor * rng.uniform(1.6, 2.6) / depth + slant * x, np.float32)
        seen = np.asarray(cv2.remap(tile, x, y, cv2.INTER_LINEAR, None, cv2.BORDER_WRAP))
        heights += seen * (weight * np.minimum(1, depth * 6 / factor))  # far ripples blur away
    heights -= heights.mean()
    return np.asarray(heights / (heights.std() + 1e-6), np.float32)


def _endless(rng: np.random.Generator, size: int, cells: int) -> Floats:
    """(size, size) smooth noise that tiles without seams."""
    grid = np.pad(rng.standard_normal((cells, cells), dtype=np.float32), 2, mode="wrap")
    scale = size / cells
    at = (np.arange(size, dtype=np.float32) + 0.5) / scale + 1.5
    x, y = np.meshgrid(at, at)
    return np.asarray(cv2.remap(grid, x, y, cv2.INTER_CUBIC, None, cv2.BORDER_REFLECT))


def _with_sky(
    rng: np.random.Generator, picture: Floats, sky: Floats, water: Floats, horizon: float
) -> Floats:
    """Add sky, clouds and perhaps a coast above row `horizon`."""
    height, width = picture.shape[:2]
    rows = np.arange(height, dtype=np.float32)[:, None]
    clouds = smooth_noise(rng, (height, width), (6, 7)) * rng.uniform(0, 0.14)
    above = sky * (0.85 + 0.35 * np.clip((horizon - rows) / height, 0, 1) + clouds)[..., None]
    if rng.random() < 0.45:
        peaks = np.abs(smooth_noise(rng, (1, width), (2, 5)) + 0.4)
        peaks += 0.18 * smooth_noise(rng, (1, width), (2, 40))
        coast = smoothstep(rows - (horizon - rng.uniform(0.02, 0.14) * height * peaks), -0.7, 0.7)
        land = 0.45 * sky * rng.uniform(0.25, 0.9) + 0.4 * water + np.float32(0.01)
        above = above + coast[..., None] * (land - above)
    below = smoothstep(rows - horizon, -0.8, 0.8)[..., None]
    return np.asarray(above + below * (picture - above), np.float32)
