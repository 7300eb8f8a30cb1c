"""Draws the coloured shapes of the siamese lab: triangles, circles and rectangles in three colours.

A shape has any size, place and angle, wholly within the picture, on black ground.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from flukeprint.data.decoding import Pixels
from flukeprint.data.embeddings import Values

COLOURS = {"red": (230, 40, 40), "green": (40, 200, 60), "blue": (50, 80, 240)}
SHAPES = ("triangle", "circle", "rectangle")
SMALLEST, LARGEST = 0.18, 0.46  # radius of the circle around a shape, share of the side
_FINER = 8  # drawn so many times as large, then averaged: smooth edges


@dataclass(frozen=True)
class ColouredShapes:
    """Pictures (n, side, side, 3) uint8 RGB, and the colour and the shape of each."""

    pixels: Pixels
    colours: tuple[str, ...]
    shapes: tuple[str, ...]


def hexadecimal(name: str) -> str | None:
    """The colour, such as #e62828, of the shapes of a class whose name is a colour."""
    rgb = COLOURS.get(name)
    return None if rgb is None else "#{:02x}{:02x}{:02x}".format(*rgb)


def draw_coloured_shapes(photos: int, side: int, seed: tuple[int, ...]) -> ColouredShapes:
    """Draw 3 * `photos` pictures in random order, `photos` of each colour and of each shape.

    Every pair of a colour and a shape occurs as often as every other, to within one.
    """
    rng = np.random.default_rng(np.random.SeedSequence(seed))
    kinds = [
        (colour, shape)
        for c, colour in enumerate(COLOURS)
        for s, shape in enumerate(SHAPES)
        # What photos / 3 leaves over is a Latin square: its rows and columns have one sum.
        for _ in range(photos // 3 + ((c + s) % 3 < photos % 3))
    ]
    order = [kinds[i] for i in rng.permutation(len(kinds))]
    return ColouredShapes(
        np.stack([_drawn(colour, shape, side, rng) for colour, shape in order]),
        tuple(colour for colour, _ in order),
        tuple(shape for _, shape in order),
    )


def _drawn(colour: str, shape: str, side: int, rng: np.random.Generator) -> Pixels:
    """One picture (side, side, 3)."""
    radius = rng.uniform(SMALLEST, LARGEST) * side
    centre = rng.uniform(radius, side - radius, 2)
    outline = (_outline(shape, rng) * radius + centre) * _FINER
    large = np.zeros((side * _FINER, side * _FINER), np.uint8)
    cv2.fillPoly(large, [np.round(outline).astype(np.int32)], 255)
    covered = large.reshape(side, _FINER, side, _FINER).mean(axis=(1, 3)) / 255
    return np.asarray(np.rint(covered[:, :, None] * np.array(COLOURS[colour])), np.uint8)


def _outline(shape: str, rng: np.random.Generator) -> Values:
    """(n, 2) corners on the unit circle, turned by any angle."""
    turn = rng.uniform(0, 2 * np.pi)
    if shape == "circle":
        angles = np.linspace(0, 2 * np.pi, 64, endpoint=False)
    elif shape == "triangle":
        angles = np.arange(3) * 2 * np.pi / 3 + rng.uniform(-0.2, 0.2, 3)
    else:
        half = np.arctan(rng.uniform(0.5, 1))  # of the angle between the diagonals; 1 is a square
        angles = np.array([half, np.pi - half, np.pi + half, -half])
    return np.stack([np.cos(angles + turn), np.sin(angles + turn)], axis=1)
