"""Folds of drawn embeddings: animals as clusters, two photographs of each in the gallery."""

import numpy as np

from flukeprint.evaluation.studies.fold import Fold


def drawn_fold(
    animals: int = 30,
    each: int = 4,
    *,
    queries: int = 2,
    noise: float = 0.6,
    dimension: int = 16,
    unseen: int = 0,
    unnamed: int = 0,
    seed: int = 0,
    trained: bool = True,
) -> Fold:
    """A fold of `animals` with `each` photographs, the first `queries` of each its queries.

    unseen: how many of the animals training never saw; all their photographs are queries.
    unnamed: further queries without an identity.
    """
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(animals + unnamed, dimension))
    owner = np.concatenate([np.repeat(np.arange(animals), each), animals + np.arange(unnamed)])
    vectors = centres[owner] + noise * rng.normal(size=(len(owner), dimension))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    names = tuple(f"a{i:03d}" if i < animals else None for i in owner.tolist())
    place = np.concatenate([np.tile(np.arange(each), animals), np.zeros(unnamed, np.int64)])
    new = (owner >= animals - unseen) | (owner >= animals)
    is_query = (place < queries) | new
    return Fold(
        vectors=vectors.astype(np.float32),
        identities=names,
        views=None,
        groups=np.arange(len(owner)),
        queries=np.flatnonzero(is_query),
        gallery=np.flatnonzero(~is_query),
        trained=tuple(trained and not fresh for fresh in new.tolist()),
        name="drawn",
        number=0,
        seed=0,
    )
