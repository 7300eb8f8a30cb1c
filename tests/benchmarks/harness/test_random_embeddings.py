"""Random embeddings: unit vectors, the same individuals for every seed."""

import numpy as np

from benchmarks.harness.random_embeddings import random_embeddings


def test_photographs_lie_around_their_individuals() -> None:
    one = random_embeddings(5000, 64, 20, seed=1, spread=0.5)
    other = random_embeddings(300, 64, 20, seed=2, spread=0.5)
    for made in (one, other):
        np.testing.assert_allclose(np.linalg.norm(made.vectors, axis=1), 1, rtol=1e-5)
    nearest = one.animals[(other.vectors @ one.vectors.T).argmax(axis=1)]
    assert (nearest == other.animals).all()
    assert not np.array_equal(one.animals[:300], other.animals)
    named = one.named("gallery/")
    assert named.images[:2] == ("gallery/0.jpg", "gallery/1.jpg")
    assert named.identities[0] == f"w{one.animals[0]}"
