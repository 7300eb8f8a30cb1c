"""Coloured shapes: easy, and all different."""

import numpy as np
import numpy.typing as npt
import pytest

from flukeprint.data.synthetic.shapes import SHAPE_IDENTITIES, draw_shape


def test_shapes_are_told_apart_by_colour() -> None:
    """The first eight differ in hue alone already: as easy as promised."""

    def hue(identity: int, photo: int) -> npt.NDArray[np.float64]:
        pixels = draw_shape(identity, photo, 64).astype(float)
        cast = (pixels - pixels.mean(axis=2, keepdims=True)).sum(axis=(0, 1))
        return np.asarray(cast / np.linalg.norm(cast))

    means = np.stack([np.mean([hue(i, p) for p in range(4)], axis=0) for i in range(8)])
    hits = [int(np.argmax(means @ hue(i, p))) == i for i in range(8) for p in range(100, 110)]
    assert np.mean(hits) > 0.9


def test_every_shape_is_another() -> None:
    pictures = {draw_shape(identity, 5, 40).tobytes() for identity in range(SHAPE_IDENTITIES)}
    assert len(pictures) == SHAPE_IDENTITIES
    with pytest.raises(ValueError, match="is not one of"):
        draw_shape(SHAPE_IDENTITIES, 0, 40)
