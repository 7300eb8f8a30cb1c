"""Random embeddings clustered by individual, for benchmarks of any size."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from flukeprint.data.embeddings import Embeddings

Floats = npt.NDArray[np.float32]
_BLOCK = 1 << 12


@dataclass(frozen=True)
class RandomEmbeddings:
    """Embeddings of made-up photographs.

    vectors: (n, d) float32 of length 1; animals: (n,) the individual of each photograph.
    """

    vectors: Floats
    animals: npt.NDArray[np.int64]

    def named(self, prefix: str) -> Embeddings:
        """As `Embeddings`, with made-up names of photographs and identities."""
        images = tuple(f"{prefix}{row}.jpg" for row in range(len(self.animals)))
        names = tuple(f"w{animal}" for animal in self.animals.tolist())
        return Embeddings(self.vectors, images, names, None, "drawn")


def random_embeddings(
    n: int, d: int, animals: int, seed: int, spread: float = 0.9
) -> RandomEmbeddings:
    """Embeddings of n photographs, each an individual's direction plus Gaussian noise.

    Args:
        spread: standard deviation of the noise, relative to that of the directions.
        seed: of photographs; the individuals are the same for every seed.

    Needs little more memory than the result.
    """
    rng = np.random.default_rng(seed)
    who = rng.integers(0, animals, n)
    centers = np.random.default_rng(0).standard_normal((animals, d), dtype=np.float32)
    vectors = np.empty((n, d), dtype=np.float32)
    for start in range(0, n, _BLOCK):
        some = centers[who[start : start + _BLOCK]]
        some += np.float32(spread) * rng.standard_normal(some.shape, dtype=np.float32)
        some /= np.linalg.norm(some, axis=1, keepdims=True)
        vectors[start : start + _BLOCK] = some
    return RandomEmbeddings(vectors, who)
