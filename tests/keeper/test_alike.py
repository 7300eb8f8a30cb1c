"""The animals that one could be the same as."""

import numpy as np
import pytest

from flukeprint.data.embeddings import Embeddings, unit_rows
from flukeprint.keeper.alike import AlikeAnimals

ANIMALS, SHOTS, DIM = 60, 6, 32


@pytest.fixture(scope="module")
def gallery() -> Embeddings:
    """Each animal around a direction of its own; animal 7 is animal 3 under another name."""
    rng = np.random.default_rng(5)
    centres = unit_rows(rng.normal(size=(ANIMALS, DIM)).astype(np.float32))
    centres[7] = centres[3]
    noise = rng.normal(size=(ANIMALS, SHOTS, DIM)).astype(np.float32) * 0.12
    vectors = unit_rows((centres[:, None] + noise).reshape(-1, DIM))
    names = [f"a{animal:02}" for animal in range(ANIMALS) for _ in range(SHOTS)]
    images = tuple(f"{name}-{number}" for number, name in enumerate(names))
    return Embeddings(vectors, images, tuple(names), None, stamp="s")


def test_a_double_is_likeliest_and_likely(gallery: Embeddings) -> None:
    alike = AlikeAnimals(gallery)
    assert {one.probability for one in alike.of("a03")} == {None}  # nothing is learned yet
    assert alike.of("a03")[0].name == "a07"
    alike = AlikeAnimals(gallery, likeness=alike.learned())
    for own, double in (("a03", "a07"), ("a07", "a03")):
        found = alike.of(own, 3)
        assert found[0].name == double
        assert found[0].probability is not None
        assert found[0].probability > 0.5
        assert len(found) == 3
        for other in found[1:]:
            assert other.probability is not None
            assert other.probability < 0.1
    assert max(one.probability or 0 for one in alike.of("a11")) < 0.1


def test_similarity_is_the_cosine_of_mean_directions(gallery: Embeddings) -> None:
    middle = gallery.vectors.mean(axis=0)
    moved = unit_rows((gallery.vectors - middle).astype(np.float32)).astype(np.float64)
    means = moved.reshape(ANIMALS, SHOTS, DIM).sum(axis=1)
    means /= np.linalg.norm(means, axis=1, keepdims=True)
    for one in AlikeAnimals(gallery).of("a20"):
        other = int(one.name[1:])
        assert one.similarity == pytest.approx(float(means[20] @ means[other]), abs=1e-5)
        pairs = moved[20 * SHOTS : 21 * SHOTS] @ moved[other * SHOTS : (other + 1) * SHOTS].T
        first, second = (int(image.split("-")[1]) for image in one.pair)
        assert pairs[first - 20 * SHOTS, second - other * SHOTS] == pytest.approx(
            pairs.max(), abs=1e-5
        )


def test_where_too_little_is_known_there_is_no_probability(gallery: Embeddings) -> None:
    few = gallery.take(np.arange(0, 5 * SHOTS, SHOTS))
    assert AlikeAnimals(few).learned() is None
    found = AlikeAnimals(few).of("a03")
    assert [one.probability for one in found] == [None] * 4
    similar = [one.similarity for one in found]
    assert similar == sorted(similar, reverse=True)
    assert AlikeAnimals(few).of("nobody") == ()
    assert AlikeAnimals(few.take([0])).of("a00") == ()
