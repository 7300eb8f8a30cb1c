"""Draws small pictures of coloured shapes, which a network learns in seconds.

They serve to test the whole pipeline.
"""

import cv2
import numpy as np

from flukeprint.data.decoding import Pixels
from flukeprint.data.embeddings import Values

_COLOURS = (
    (215, 40, 40),
    (40, 110, 220),
    (40, 170, 70),
    (240, 200, 30),
    (150, 60, 190),
    (240, 130, 30),
    (50, 200, 210),
    (240, 130, 180),
)
_CENTRES = ((30, 30, 30), (245, 245, 245))
_SHAPES = 8
SHAPE_IDENTITIES = len(_COLOURS) * _SHAPES * (1 + len(_COLOURS) + len(_CENTRES))


def draw_shape(identity_index: int, photo_seed: int, long_side: int) -> Pixels:
    """Draw one coloured shape on plain ground: (h, w, 3) uint8 RGB, max(h, w) == long_side px.

    Identities 0..63 are the pairs of 8 colours and 8 shapes, neighbours differing in both; above
    that a dot in the middle tells them apart.  Place, size, rotation, ground and noise depend on
    the photo's seed.

    Raises ValueError if there is no such identity.
    """
    if not 0 <= identity_index < SHAPE_IDENTITIES:
        raise ValueError(f"identity {identity_index} is not one of 0..{SHAPE_IDENTITIES - 1}")
    pair, dot = identity_index % (len(_COLOURS) * _SHAPES), identity_index // 64
    colour, shape = pair % len(_COLOURS), (pair // len(_COLOURS) + pair) % _SHAPES
    rng = np.random.default_rng([photo_seed, 0x54A9])
    height, width = max(16, round(long_side * rng.uniform(0.7, 1))), long_side
    ground = np.full((height, width, 3), rng.uniform(60, 200), np.float32)
    ground += rng.uniform(-20, 20) * np.linspace(-1, 1, width, dtype=np.float32)[None, :, None]
    pixels = np.asarray(np.clip(ground, 0, 255), np.uint8)
    size = rng.uniform(0.32, 0.42) * height
    centre = np.array([width, height]) / 2 + rng.uniform(-0.08, 0.08, 2) * height
    outline = _outline(shape, rng.normal(0, 0.12)) * size + centre
    corners = np.round(outline * 16).astype(np.int32)
    cv2.fillPoly(pixels, [corners], _COLOURS[colour], cv2.LINE_AA, 4)
    if dot:
        others = (*_COLOURS[colour + 1 :], *_COLOURS[: colour + 1], *_CENTRES)
        at = (round(float(centre[0]) * 16), round(float(centre[1]) * 16))
        ring = round(size * 0.42 * 16)
        cv2.circle(pixels, at, ring, (128, 128, 128), -1, cv2.LINE_AA, 4)
        cv2.circle(pixels, at, round(ring * 0.8), others[dot - 1], -1, cv2.LINE_AA, 4)
    noisy = pixels + 3 * rng.standard_normal((height, width, 1), dtype=np.float32)
    return np.asarray(np.clip(np.round(noisy), 0, 255), np.uint8)


def _outline(shape: int, turn: float) -> Values:
    """(n, 2) polygon about the origin within the unit circle, rotated by `turn` radians."""
    corners = (48, 3, 4, 6)
    if shape < 4:
        radius = np.ones(corners[shape])
    elif shape < 6:  # stars
        radius = np.tile([1, 0.42], (4, 5)[shape - 4])
    elif shape == 6:  # flower
        radius = 0.7 + 0.3 * np.cos(3 * np.linspace(0, 2 * np.pi, 60, endpoint=False))
    else:  # bar
        bar = np.array([[-1, -0.3], [1, -0.3], [1, 0.3], [-1, 0.3]])
        cos, sin = np.cos(turn), np.sin(turn)
        return np.asarray(bar @ np.array([[cos, sin], [-sin, cos]]))
    angle = turn - np.pi / 2 + np.linspace(0, 2 * np.pi, len(radius), endpoint=False)
    return np.column_stack([radius * np.cos(angle), radius * np.sin(angle)])
