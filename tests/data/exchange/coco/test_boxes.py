"""Boxes in pixels and shares, turned and cut."""

import math

import numpy as np
import pytest

from flukeprint.data.exchange.coco.boxes import (
    Rectangle,
    pixels_of,
    rectangle_around,
    shares_of,
    uprighted,
)


@pytest.mark.parametrize("theta", [0.0, 0.3, -0.7, math.pi / 2, 2.5, 4.0, 7.0])
def test_the_rectangle_around_a_turned_one(theta: float) -> None:
    box = Rectangle(10, 20, 60, 30)
    corners = np.array([[10, 20], [70, 20], [70, 50], [10, 50]], float)
    turn = np.array([[math.cos(theta), -math.sin(theta)], [math.sin(theta), math.cos(theta)]])
    centre = corners.mean(axis=0)
    turned = (corners - centre) @ turn.T + centre
    low, high = turned.min(axis=0), turned.max(axis=0)
    assert box.turned(theta) == pytest.approx((*low, *(high - low)))


def test_a_box_of_less_than_a_pixel_is_kept() -> None:
    for box in ((0.5, 0.5, 0.5 + 1e-15, 1), (1 - 1e-15, 0, 1, 1)):
        rectangle = pixels_of(box, 4000, 3000)
        assert rectangle.width > 0
        again = shares_of(rectangle, 4000, 3000)
        assert again == pytest.approx(box, abs=1e-12)


def test_two_turns_bring_a_box_back() -> None:
    box = (0.125, 0.25, 0.5, 0.75)
    for turn, back in ((1, 1), (2, 2), (3, 3), (4, 4), (5, 5), (6, 8), (7, 7), (8, 6)):
        assert uprighted(uprighted(box, turn), back) == box


def test_rectangles_around_polygons() -> None:
    assert rectangle_around([[1, 2, 5, 2, 3, 9], [0, 4, 1, 4, 1, 5]]) == (0, 2, 5, 7)
    for none in (None, [], {"counts": []}, [[1, 2]], [[1, 2, 3]], [[1, 2, 3, None, 5, 6]], [5]):
        assert rectangle_around(none) is None
