"""Embeddings of any vectors, and drawn ones with near ties and copies."""

import numpy as np

from flukeprint.data.embeddings import Embeddings, unit_rows


def embedded(vectors, identities=None, views=None, stamp="net"):
    vectors = unit_rows(vectors)
    n = len(vectors)
    return Embeddings(
        vectors=vectors,
        images=tuple(f"{i}.jpg" for i in range(n)),
        identities=(None,) * n if identities is None else tuple(identities),
        views=views,
        stamp=stamp,
    )


def crowded(n, d, seed, spread):
    """Photographs around a few others, some of them copies: near ties and exact ones."""
    rng = np.random.default_rng(seed)
    centers = rng.normal(size=(max(1, n // 8), d))
    vectors = centers[rng.integers(0, len(centers), n)] + spread * rng.normal(size=(n, d))
    copies = rng.integers(0, n, n // 4)
    vectors[rng.integers(0, n, n // 4)] = vectors[copies]
    return embedded(vectors, [f"w{i}" for i in rng.integers(0, max(1, n // 3), n)])
