"""Photographs of flukes: functions of their seeds, and no hint of the animal but the fluke."""

import cv2
import numpy as np
import numpy.typing as npt
from hypothesis import given, settings
from hypothesis import strategies as st

from flukeprint.data.synthetic.fluke import draw_fluke


def test_a_photo_is_a_function_of_its_seeds() -> None:
    photo = draw_fluke(3, 4, 96)
    assert photo.dtype == np.uint8
    assert photo.ndim == 3
    assert photo.shape[2] == 3
    np.testing.assert_array_equal(photo, draw_fluke(3, 4, 96))
    other_photo, other_whale = draw_fluke(3, 5, 96), draw_fluke(4, 4, 96)
    assert other_photo.shape != photo.shape or (other_photo != photo).any()
    assert other_whale.shape != photo.shape or (other_whale != photo).any()


def test_drawing_leaves_the_global_random_state_alone() -> None:
    np.random.seed(7)  # noqa: NPY002 - this is the state in question
    before = np.random.get_state()[1].copy()  # type: ignore[index,union-attr] # noqa: NPY002
    draw_fluke(1, 2, 64)
    after = np.random.get_state()[1]  # type: ignore[index] # noqa: NPY002
    np.testing.assert_array_equal(before, after)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**63 - 1), st.integers(0, 2**63 - 1), st.sampled_from([32, 47, 120]))
def test_any_seed_and_size_gives_a_picture(identity: int, photo: int, long_side: int) -> None:
    pixels = draw_fluke(identity, photo, long_side)
    height, width = pixels.shape[:2]
    assert min(height, width) >= 16
    assert max(height, width) <= long_side
    assert pixels.std() > 2


def test_most_photos_are_wide_and_of_many_sizes() -> None:
    shapes = [draw_fluke(0, photo, 64).shape[:2] for photo in range(60)]
    aspects = np.array([width / height for height, width in shapes])
    assert 1.4 < np.median(aspects) < 2.6
    assert len(set(shapes)) > 20


def test_background_does_not_tell_the_animal() -> None:
    """Nearest neighbours by the lower corners, where there is only sea, find animals by chance."""

    def corners(identity: int, photo: int) -> npt.NDArray[np.float64]:
        small = cv2.resize(draw_fluke(identity, photo, 64), (24, 12), interpolation=cv2.INTER_AREA)
        return small[-2:, [0, 1, -2, -1]].astype(float).ravel()

    animals = np.repeat(np.arange(10), 8)
    seen = np.stack([corners(animal, 1000 + photo) for photo, animal in enumerate(animals)])
    apart = ((seen[:, None] - seen[None]) ** 2).sum(axis=2)
    np.fill_diagonal(apart, np.inf)
    hits = np.mean(animals[apart.argmin(axis=1)] == animals)
    assert hits < 0.25  # chance is 7/79 = 0.09
