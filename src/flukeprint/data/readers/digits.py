"""Reads the handwritten digits that scikit-learn brings along, to try the pipeline in seconds.

No photographs are needed: every digit is an identity, and no individual is ever new.
"""

import numpy as np

from flukeprint.config.data import DataConfig
from flukeprint.data.catalog import Catalog

TEST_SHARE = 0.2  # of scikit-learn's 1,797 digits
SEED = 0


def labelled_digits(config: DataConfig) -> Catalog:
    """Four fifths of `sklearn.datasets.load_digits`: pixels (1438, 8, 8) uint8, images d0000..."""
    return _digits(test=False)


def unlabelled_digits(config: DataConfig) -> Catalog:
    """The other fifth, drawn with a fixed seed, without identities: pixels (359, 8, 8) uint8."""
    return _digits(test=True)


def _digits(*, test: bool) -> Catalog:
    from sklearn.datasets import load_digits

    data = load_digits()
    order = np.random.default_rng(SEED).permutation(len(data.target))
    held_out = round(TEST_SHARE * len(order))
    rows = np.sort(order[:held_out] if test else order[held_out:])
    # scikit-learn stores 0..16
    pixels = np.rint(data.images[rows] * (255 / 16)).astype(np.uint8)
    return Catalog(
        images=tuple(f"d{row:04d}" for row in rows),
        identities=() if test else tuple(str(label) for label in data.target[rows]),
        pixels=pixels,
    )
