"""Hashes against a loop, near copies against all pairs, and leaks."""

import numpy as np
import pytest
from PIL import Image

from flukeprint.data.copies import NEAR_BITS, difference_hash, leaks, near_copies


def rgb(grey: np.ndarray) -> np.ndarray:
    return np.repeat(grey[:, :, None], 3, axis=2)


def test_difference_hash_against_a_loop() -> None:
    rng = np.random.default_rng(5)
    grey = rng.integers(0, 256, (8, 9), dtype=np.uint8)
    bits = 0
    for y in range(8):
        for x in range(8):
            bits = bits << 1 | (int(grey[y, x]) < int(grey[y, x + 1]))
    assert difference_hash(rgb(grey)) == bits
    # every pixel repeated 5 x 3 times has the same means
    assert difference_hash(rgb(grey.repeat(5, 0).repeat(3, 1))) == bits
    assert difference_hash(np.asarray(Image.new("RGB", (40, 30), (9, 80, 7)))) == 0


@pytest.mark.parametrize("seed", range(5))
def test_near_copies_are_the_closure_of_near_pairs(seed: int) -> None:
    rng = np.random.default_rng(seed)
    hashes: dict[str, int] = {"flat": 0, "nearly flat": 0b111, "flat too": 0}
    for base in rng.integers(2**62, 2**63, 6).tolist():
        for copy in range(5):
            for bit in rng.choice(64, int(rng.integers(0, 5)), replace=False).tolist():
                base ^= 1 << bit
            hashes[f"{base}-{copy}"] = base
    names = [name for name, value in hashes.items() if value.bit_count() > NEAR_BITS]
    left, want = list(names), []
    while left:
        group = [left.pop(0)]
        for one in group:
            near = [n for n in left if (hashes[n] ^ hashes[one]).bit_count() <= NEAR_BITS]
            group += near
            left = [name for name in left if name not in near]
        if len(group) > 1:
            want.append(tuple(name for name in names if name in group))
    assert near_copies(hashes) == tuple(want)
    assert want


def test_no_photographs_have_no_near_copies() -> None:
    assert near_copies({}) == near_copies({"a": 0, "b": 0}) == ()


def test_leaks_pair_every_copy() -> None:
    train = {"a": "1", "b": "2", "c": "1"}
    assert leaks(train, {"x": "1", "y": "3"}) == (("a", "x"), ("c", "x"))
