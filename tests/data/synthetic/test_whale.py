"""Flat flukes: their anatomy, and differences between animals and from a mirror image."""

import cv2
import numpy as np
import numpy.typing as npt

from flukeprint.data.synthetic.whale import grow_fluke


def test_anatomy() -> None:
    whites = []
    for seed in range(30):
        fluke = grow_fluke(seed, 216)  # 100 px a half span, the middle at column 108
        solid = fluke.cover > 0.5
        assert fluke.cover.shape == (174, 216)
        across = np.flatnonzero(solid.any(axis=0))
        assert across[0] < 22, "left tip"
        assert across[-1] > 193, "right tip"
        top = solid.argmax(axis=0).astype(float)
        shoulders = min(top[70:100].min(), top[116:146].min())
        assert top[106:110].max() > shoulders + 2, "a median notch between the lobes"
        stock = solid[110:135].sum(axis=1).min()
        assert 14 <= stock <= 45, "a narrow tail stock"
        pieces = cv2.connectedComponentsWithStats(solid.astype(np.uint8))[2][1:, cv2.CC_STAT_AREA]
        assert pieces.max() > 0.99 * solid.sum()
        assert 0 <= fluke.white.min() < fluke.white.max() <= 1
        whites.append(float(fluke.white[solid].mean()))
    assert min(whites) < 0.1, "black whales"
    assert max(whites) > 0.4, "white whales"


def similarity(a: npt.NDArray[np.float32], b: npt.NDArray[np.float32]) -> float:
    return float(np.corrcoef(a.ravel(), b.ravel())[0, 1])


def test_animals_differ_and_a_mirrored_fluke_is_another() -> None:
    flukes = [grow_fluke(seed, 216) for seed in range(20)]
    for number, fluke in enumerate(flukes):
        mirrored = fluke.cover[:, ::-1]
        assert np.abs(fluke.cover - mirrored).sum() > 40, "the two trailing edges differ"
        for other in flukes[:number]:
            assert np.abs(fluke.cover - other.cover).sum() > 80
            assert similarity(fluke.white, other.white) < 0.97
        assert similarity(fluke.white, fluke.white[:, ::-1]) < 0.97


def test_the_same_animal_at_another_size() -> None:
    small, large = grow_fluke(11, 216), grow_fluke(11, 432)
    half = cv2.resize(large.white * large.cover, (216, 174), interpolation=cv2.INTER_AREA)
    assert similarity(small.white * small.cover, np.asarray(half, np.float32)) > 0.97
    np.testing.assert_array_equal(small.outline, large.outline)
