"""Drawn embeddings of several photographs of each animal, and FAISS indexes of them."""

import numpy as np

from flukeprint.data.embeddings import Embeddings, unit_rows
from flukeprint.search.faiss_index import FaissIndex
from flukeprint.search.faiss_kinds import FaissFlat, Hnsw, IvfPq

KINDS = [FaissFlat, Hnsw, IvfPq]


def drawn(n, d=24, seed=0):
    """Several photographs of each animal, as a gallery has."""
    rng = np.random.default_rng(seed)
    centers = rng.normal(size=(n // 4 + 1, d))
    vectors = centers[np.arange(n) // 4] + 0.4 * rng.normal(size=(n, d))
    names = tuple(f"w{i // 4}" for i in range(n))
    return Embeddings(unit_rows(vectors), tuple(f"{i}.jpg" for i in range(n)), names, None, "net")


def built(kind: type[FaissIndex], photos: Embeddings, rows=None) -> FaissIndex:
    index = kind(photos.vectors)
    index.effort, index.candidates = index.EFFORTS[-1]
    index.add(photos, np.arange(len(photos)) if rows is None else np.asarray(rows))
    return index
