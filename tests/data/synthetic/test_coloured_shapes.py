"""Coloured shapes: their numbers, and size, place, angle and outline measured in the pixels."""

from collections import Counter

import cv2
import numpy as np
import pytest

from flukeprint.data.synthetic.coloured_shapes import (
    COLOURS,
    LARGEST,
    SHAPES,
    SMALLEST,
    draw_coloured_shapes,
)

SIDE = 64


@pytest.fixture(scope="module")
def drawn():
    return draw_coloured_shapes(150, SIDE, (0, 0))


def outlines(drawn, shape):
    """The largest contour of each picture of a shape."""
    found = []
    for pixels, name in zip(drawn.pixels, drawn.shapes, strict=True):
        if name == shape:
            mask = (pixels.max(axis=2) > 100).astype(np.uint8)
            contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
            assert len(contours) == 1
            found.append(contours[0])
    return found


@pytest.mark.parametrize("photos", [1, 2, 3, 7, 20, 25])
def test_as_many_of_each_colour_and_shape(photos):
    drawn = draw_coloured_shapes(photos, 16, (1,))
    assert Counter(drawn.colours) == dict.fromkeys(COLOURS, photos)
    assert Counter(drawn.shapes) == dict.fromkeys(SHAPES, photos)
    both = Counter(zip(drawn.colours, drawn.shapes, strict=True))
    counts = [both[colour, shape] for colour in COLOURS for shape in SHAPES]
    assert max(counts) - min(counts) <= 1
    assert len({pixels.tobytes() for pixels in drawn.pixels}) == 3 * photos


def test_the_colour_is_that_of_the_name(drawn):
    for pixels, colour in zip(drawn.pixels, drawn.colours, strict=True):
        assert pixels.shape == (SIDE, SIDE, 3)
        assert pixels.dtype == np.uint8
        inside = pixels[pixels.max(axis=2) >= max(COLOURS[colour])]
        assert len(inside)
        assert (inside == COLOURS[colour]).all()
        assert (pixels[pixels.max(axis=2) == 0] == 0).all()
        assert (pixels.max(axis=2) == 0).mean() > 0.2  # black ground


def test_sizes_and_places_are_any(drawn):
    circles = [cv2.minEnclosingCircle(outline) for outline in outlines(drawn, "circle")]
    radii = np.array([radius for _, radius in circles]) / SIDE
    assert radii.min() < SMALLEST + 0.03
    assert radii.max() > LARGEST - 0.03
    assert SMALLEST - 0.03 < radii.min() < radii.max() < LARGEST + 0.03
    centres = np.array([centre for centre, _ in circles])
    free = SIDE * (1 - 2 * radii)
    # Where there is room, a centre is anywhere in it: uniform from 0 to 1.
    place = (centres - radii[:, None] * SIDE)[free > 10] / free[free > 10][:, None]
    assert place.mean() == pytest.approx(0.5, abs=0.08)
    assert place.std() == pytest.approx(12**-0.5, abs=0.05)


def test_no_shape_is_cut_off(drawn):
    """A circle is as wide as high; of no shape the edge shows more than a circle touching it."""
    for outline in outlines(drawn, "circle"):
        _, _, width, height = cv2.boundingRect(outline)
        assert abs(width - height) <= 1
    edges = np.stack(
        [drawn.pixels[:, 0], drawn.pixels[:, -1], drawn.pixels[:, :, 0], drawn.pixels[:, :, -1]]
    ).max(axis=3)
    chord = 2 * np.sqrt(2 * LARGEST * SIDE)  # of the largest circle, within a pixel of its edge
    assert ((edges > 0).sum(axis=2) <= chord + 2).all()


def test_outlines_are_what_their_names_say(drawn):
    filled = {}
    for shape in SHAPES:
        of_circle, of_box = [], []
        for outline in outlines(drawn, shape):
            area = cv2.contourArea(outline)
            of_circle.append(area / (np.pi * cv2.minEnclosingCircle(outline)[1] ** 2))
            of_box.append(area / max(1.0, np.prod(cv2.minAreaRect(outline)[1])))
        filled[shape] = np.median(of_circle), np.median(of_box)
    # Of its circle and of the least box around it a circle fills 1 and pi/4, a rectangle at most
    # 2/pi and 1, a triangle 0.41 and 1/2.
    assert filled["circle"] == pytest.approx((1, np.pi / 4), abs=0.09)
    assert filled["rectangle"][1] == pytest.approx(1, abs=0.09)
    assert 0.4 < filled["rectangle"][0] < 2 / np.pi + 0.02
    assert filled["triangle"] == pytest.approx((0.41, 0.5), abs=0.06)


def test_angles_are_any(drawn):
    turns = []
    for outline in outlines(drawn, "triangle"):
        (x, y), _ = cv2.minEnclosingCircle(outline)
        far = outline[:, 0] - (x, y)
        corner = far[np.linalg.norm(far, axis=1).argmax()]
        turns.append(np.arctan2(corner[1], corner[0]) % (2 * np.pi / 3))
    parts = np.histogram(turns, 4, (0, 2 * np.pi / 3))[0]
    assert parts.min() > 0.3 * parts.mean()
