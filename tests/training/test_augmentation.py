"""The pipeline: untouched at 0, pure in its seed, and its transforms fire independently."""

import subprocess
import sys

import numpy as np
import numpy.typing as npt
import pytest

from flukeprint.config.data import ImageConfig
from flukeprint.training.augmentation import augmented, build_augment

Pixels = npt.NDArray[np.uint8]


def picture(height: int, width: int) -> Pixels:
    y, x = np.mgrid[:height, :width]
    waves = [np.sin(x / (5 + c)) + np.cos(y / (7 - c)) for c in range(3)]
    return np.clip(128 + 50 * np.stack(waves, axis=2), 0, 255).astype(np.uint8)


def test_strength_zero_touches_nothing() -> None:
    augment = build_augment(ImageConfig(augment=0, height=40, width=60))
    pixels = picture(40, 60)
    for seed in range(5):
        np.testing.assert_array_equal(augmented(augment, pixels, seed), pixels)


def slopes(height: int, width: int) -> npt.NDArray[np.uint8]:
    """Red rises from left to right, green from top to bottom: a part tells where it was."""
    pixels = np.full((height, width, 3), 128, np.uint8)
    pixels[:, :, 0] = np.rint(np.linspace(0, 255, width))
    pixels[:, :, 1] = np.rint(np.linspace(0, 255, height))[:, None]
    return pixels


@pytest.mark.parametrize("reserve", [1.0, 1.5, 2.0])
@pytest.mark.parametrize("crop", [0.25, 0.6, 0.95])
def test_a_crop_is_as_large_as_asked_for(crop: float, reserve: float) -> None:
    config = ImageConfig(augment=0, crop=crop, reserve=reserve, height=80, width=120)
    augment = build_augment(config)
    height, width = round(80 * reserve), round(120 * reserve)
    pixels = slopes(height, width)
    areas, aspects = [], []
    for seed in range(60):
        part = augmented(augment, pixels, seed).astype(float)
        assert part.shape == (80, 120, 3)
        across = (part[:, :, 0].max() - part[:, :, 0].min() + 1) / 256
        down = (part[:, :, 1].max() - part[:, :, 1].min() + 1) / 256
        areas.append(across * down)
        aspects.append(across / down)
    assert min(areas) > crop - 0.05
    assert min(areas) < crop + 0.4 * (1 - crop)  # and it is made use of
    assert min(aspects) > 3 / 4 - 0.05
    assert max(aspects) < 4 / 3 + 0.05
    assert len(set(areas)) > 10


def test_a_reserve_alone_is_shrunk_by_areas() -> None:
    augment = build_augment(ImageConfig(augment=0, reserve=2, height=40, width=60))
    pixels = np.random.default_rng(0).integers(0, 256, (80, 120, 3), dtype=np.uint8)
    want = pixels.reshape(40, 2, 60, 2, 3).mean(axis=(1, 3))
    assert np.abs(augmented(augment, pixels, 3) - want).max() <= 0.51


@pytest.mark.parametrize(("crop", "reserve"), [(0.5, 1.0), (0.5, 1.5), (1.0, 1.5)])
def test_framed_photographs_are_varied_as_well(crop: float, reserve: float) -> None:
    config = ImageConfig(augment=0.5, crop=crop, reserve=reserve, height=40, width=60)
    pixels = picture(round(40 * reserve), round(60 * reserve))
    augment, other = build_augment(config), build_augment(config)
    results = [augmented(augment, pixels, seed) for seed in range(10)]
    assert {result.shape for result in results} == {(40, 60, 3)}
    assert len({result.tobytes() for result in results}) == 10
    np.testing.assert_array_equal(results[4], augmented(other, pixels, 4))


@pytest.mark.parametrize("size", [(16, 16), (28, 28), (16, 200), (96, 160), (224, 224)])
@pytest.mark.parametrize("strength", [0.01, 0.5, 1.0])
def test_size_and_type_stay(size: tuple[int, int], strength: float) -> None:
    augment = build_augment(ImageConfig(augment=strength, height=size[0], width=size[1]))
    pixels = picture(*size)
    before = pixels.copy()
    for seed in range(12):
        result = augmented(augment, pixels, seed)
        assert result.shape == (*size, 3)
        assert result.dtype == np.uint8
    np.testing.assert_array_equal(pixels, before)  # the cache's pixels are not written upon


def test_a_seed_says_all() -> None:
    config = ImageConfig(augment=1, height=64, width=64)
    pixels = picture(64, 64)
    one, other = build_augment(config), build_augment(config)
    forwards = [augmented(one, pixels, seed) for seed in range(40)]
    backwards = [augmented(other, pixels, seed) for seed in reversed(range(40))][::-1]
    np.testing.assert_array_equal(forwards, backwards)
    assert len({image.tobytes() for image in forwards}) == 40
    np.testing.assert_array_equal(augmented(one, pixels, np.int64(7)), forwards[7])


def test_global_random_state_is_neither_used_nor_touched() -> None:
    augment = build_augment(ImageConfig(augment=1, height=48, width=48))
    pixels = picture(48, 48)
    np.random.seed(0)  # noqa: NPY002
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    first = [augmented(augment, pixels, seed) for seed in range(20)]
    np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002
    np.random.seed(1)  # noqa: NPY002
    np.testing.assert_array_equal([augmented(augment, pixels, seed) for seed in range(20)], first)


def test_transforms_fire_independently() -> None:
    """Two transforms of chance p and q fire together with chance p * q, not min(p, q)."""
    augment = build_augment(ImageConfig(augment=0.5, height=16, width=16))
    pixels = picture(16, 16)
    fired = []
    for transform in augment.transforms:
        log: list[int] = []
        fired.append(log)
        if hasattr(transform, "transforms"):  # OneOf applies one of its own
            continue
        plain = transform.apply_with_params

        def noted(*args: object, _plain=plain, _log=log, **kwargs: object) -> object:
            _log.append(1)
            return _plain(*args, **kwargs)

        transform.apply_with_params = noted
    n = 600
    table = np.zeros((n, len(fired)), bool)
    for seed in range(n):
        for log in fired:
            log.clear()
        augmented(augment, pixels, seed)
        table[seed] = [bool(log) for log in fired]
    chances = np.array([getattr(t, "p", 0) for t in augment.transforms])
    singles = [i for i, t in enumerate(augment.transforms) if not hasattr(t, "transforms")]
    for i in singles:
        assert abs(table[:, i].mean() - chances[i]) < 0.09
        for j in singles:
            if j < i:
                both = (table[:, i] & table[:, j]).mean()
                assert abs(both - chances[i] * chances[j]) < 0.09


def test_strength_orders_the_change() -> None:
    pixels = picture(96, 96)
    change = []
    for strength in (0.05, 0.3, 1.0):
        augment = build_augment(ImageConfig(augment=strength, height=96, width=96))
        results = [augmented(augment, pixels, seed) for seed in range(60)]
        change.append(np.mean([np.abs(r.astype(int) - pixels).mean() for r in results]))
    assert change[0] < change[1] < change[2]


def test_import_is_quiet_and_offline() -> None:
    """Albumentations asks PyPI for its newest version when imported, unless told not to."""
    code = """
import socket, sys
def refuse(*args, **kwargs):
    raise AssertionError("network")
socket.create_connection = socket.getaddrinfo = refuse
import flukeprint.training.augmentation
assert "albumentations" not in sys.modules and "torch" not in sys.modules
from flukeprint.config.data import ImageConfig
flukeprint.training.augmentation.build_augment(ImageConfig())
assert "albumentations" in sys.modules
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
