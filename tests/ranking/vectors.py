"""Unit vectors of drawn animals."""

import numpy as np

from flukeprint.data.embeddings import unit_rows


def drawn(n, d=6, seed=0):
    """n photos around a few animals, so that neighbourhoods overlap."""
    rng = np.random.default_rng(seed)
    animals = rng.normal(size=(4, d))
    return unit_rows(animals[rng.integers(0, 4, n)] + 0.6 * rng.normal(size=(n, d)))


def unit(vector):
    return vector / np.linalg.norm(vector)
