"""What each kind of FAISS index promises: memory, training, scores."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flukeprint.data.embeddings import Embeddings, unit_rows
from flukeprint.errors import FlukeprintError
from flukeprint.search.faiss_kinds import FaissFlat, Hnsw, IvfPq
from flukeprint.search.gallery import Gallery
from flukeprint.search.recall import exact_neighbours, measure_recall
from tests.search.animals import KINDS, built, drawn
from tests.search.contract import ties_go_to_the_lower_row, with_copies

pytest.importorskip("faiss")


def test_product_codes_take_a_sixteenth() -> None:
    photos = drawn(4000, d=512)
    index = built(IvfPq, photos)
    assert index._bytes_each() == 512 // 8 + 8
    centers, axes = 256 * 256 * 4, 512 * 256 * 4  # which a large gallery hardly notices
    assert index.memory() - centers - axes <= photos.vectors.nbytes / 16


def spectrum(n: int, d: int, seed: int, power: float) -> np.ndarray:
    """(n, d) unit rows whose numbers say less and less, as after whitening or principal axes."""
    rng = np.random.default_rng(seed)
    sizes = np.arange(1, d + 1) ** -power
    centers = rng.standard_normal((n // 10, d)) * sizes
    noise = rng.standard_normal((n, d)) * sizes
    return unit_rows(centers[np.arange(n) % (n // 10)] + 0.7 * noise)


@pytest.mark.parametrize("kind", KINDS)
def test_vectors_whose_first_numbers_say_most_are_found_too(kind) -> None:
    vectors = spectrum(4000, 128, 0, 1.0)
    names = tuple(str(row) for row in range(4000))
    photos = Embeddings(vectors, names, names, None, "net")
    gallery = Gallery(photos, index=built(kind, photos))
    rows = np.arange(0, 4000, 40)
    assert measure_recall(gallery, rows, exact_neighbours(gallery, rows)).value > 0.97


@pytest.mark.parametrize("n", [1, 5, 15])
def test_product_codes_of_a_handful_are_refused_in_one_line(n) -> None:
    with pytest.raises(FlukeprintError, match=r"at least 16 photographs.*backend=exact") as caught:
        IvfPq(drawn(n).vectors)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", [FaissFlat, Hnsw])
def test_scores_of_an_index_are_cosines_or_nearly(kind) -> None:
    photos = drawn(2000, d=64)
    found = built(kind, photos).search(photos.vectors[:50], 5)
    want = np.einsum("qd,qkd->qk", photos.vectors[:50], photos.vectors[found.rows])
    np.testing.assert_allclose(found.scores, want, atol=0.02)


@settings(max_examples=60, deadline=None)
@given(
    n=st.integers(1, 400),
    different=st.integers(1, 40),
    d=st.sampled_from([3, 16, 130]),
    k=st.integers(1, 60),
    seed=st.integers(0, 99),
)
def test_of_copies_the_flat_index_finds_the_lowest_rows(n, different, d, k, seed) -> None:
    photos = with_copies(n, d, different, seed)
    strangers = with_copies(3, d, 3, seed + 100)
    queries = np.concatenate([photos.vectors[:3], strangers.vectors])
    ties_go_to_the_lower_row(built(FaissFlat, photos), photos, queries, k)


def test_ten_copies_and_three_places() -> None:
    photos = drawn(600, d=64)
    photos = photos.take(np.r_[0:300, [500] * 10, 300:600])
    index = built(FaissFlat, photos)
    query = photos.vectors[300:301]
    assert index.search(query, 3).rows[0].tolist() == [300, 301, 302]
    index.remove(np.array([300, 302]))  # what is gone takes no place
    assert index.search(query, 3).rows[0].tolist() == [301, 303, 304]
    assert index.search(query, 12).rows[0][:8].tolist() == [301, *range(303, 310)]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("copies", [10, 90])
def test_of_copies_a_gallery_finds_the_lowest_rows_with_any_index(kind, copies) -> None:
    photos = drawn(1500, d=64)
    rows = np.arange(1500)
    rows[np.random.default_rng(1).permutation(1500)[:copies]] = 7
    photos = photos.take(rows)
    index = built(kind, photos)
    index.effort, index.candidates = index.EFFORTS[len(index.EFFORTS) // 2]
    one = photos.take([int(np.flatnonzero(rows == 7)[0])])
    for k in (1, 3, 8):
        want = np.flatnonzero(rows == 7)[:k].tolist()
        assert Gallery(photos, index=index).search(one, k).rows[0].tolist() == want


@pytest.mark.parametrize("kind", [Hnsw, IvfPq], ids=lambda kind: kind.name)
@pytest.mark.parametrize("noise", [0.0, 1e-4])
@pytest.mark.parametrize("step", [100, 5000])
def test_thousands_of_copies_hide_nobody(kind, noise: float, step: int) -> None:
    """A stuck camera's frames come first; every other photograph is still found by itself."""
    rng = np.random.default_rng(3)
    others = unit_rows(rng.normal(size=(400, 64)).astype(np.float32))
    frame = np.repeat(others[:1], 1600, 0) + noise * rng.normal(size=(1600, 64)) / 8
    vectors = np.concatenate([unit_rows(frame.astype(np.float32)), others[1:]])
    names = tuple(map(str, range(len(vectors))))
    photos = Embeddings(vectors, names, names, None, "s")
    first = len(photos) if kind is IvfPq else min(step, len(photos))
    index = built(kind, photos.take(np.arange(first)))
    for start in range(len(index), len(photos), step):
        rows = np.arange(start, min(start + step, len(photos)))
        index.add(photos.take(rows), rows)
    gallery = Gallery(photos, index=index)
    asked = np.arange(1700, 1999)
    found = gallery.search(photos.take(asked), 1).rows.ravel()
    assert (found == asked).mean() > 0.99
