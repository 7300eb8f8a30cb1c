"""Drawn embeddings: photographs (n, d) around the directions of individuals, at any size."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from flukeprint.data.embeddings import Embeddings

Floats = npt.NDArray[np.float32]
_AT_ONCE = 1 << 12


@dataclass(frozen=True)
class Drawn:
    """vectors: (n, d) float32 of length 1; animals: (n,) whose photographs they are."""

    vectors: Floats
    animals: npt.NDArray[np.int64]

    def embeddings(self, prefix: str) -> Embeddings:
        """With names."""
        images = tuple(f"{prefix}{row}.jpg" for row in range(len(self.animals)))
        names = tuple(f"w{animal}" for animal in self.animals.tolist())
        return Embeddings(self.vectors, images, names, None, "drawn")


def draw(n: int, d: int, animals: int, seed: int, spread: float = 0.9) -> Drawn:
    """`spread`: length of what differs between an animal's photographs; its own is 1.

    The animals are the same for every seed.  Memory is that of the result and little more.
    """
    rng = np.random.default_rng(seed)
    who = rng.integers(0, animals, n)
    centers = np.random.default_rng(0).standard_normal((animals, d), dtype=np.float32)
    vectors = np.empty((n, d), dtype=np.float32)
    for start in range(0, n, _AT_ONCE):
        some = centers[who[start : start + _AT_ONCE]]
        some += np.float32(spread) * rng.standard_normal(some.shape, dtype=np.float32)
        some /= np.linalg.norm(some, axis=1, keepdims=True)
        vectors[start : start + _AT_ONCE] = some
    return Drawn(vectors, who)
