"""Embeddings with near ties and copies."""

import numpy as np

from flukeprint.data.embeddings import Embeddings, unit_rows


def embedded(vectors, names=None):
    n = len(vectors)
    identities = (None,) * n if names is None else tuple(names)
    return Embeddings(unit_rows(vectors), tuple(map(str, range(n))), identities, None, "net")


def crowded(n, d, seed, spread):
    """Photographs around a few others, some of them copies: near ties and exact ones."""
    rng = np.random.default_rng(seed)
    centers = rng.normal(size=(max(1, n // 8), d))
    vectors = centers[rng.integers(0, len(centers), n)] + spread * rng.normal(size=(n, d))
    copies = rng.integers(0, n, n // 4)
    vectors[rng.integers(0, n, n // 4)] = vectors[copies]
    return embedded(vectors, [f"w{i}" for i in rng.integers(0, max(1, n // 3), n)])
