"""FAISS's indexes keep the contract, and what they miss is measured."""

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("faiss")

from flukeprint.config.schema import GalleryConfig
from flukeprint.data.embeddings import Embeddings, unit_rows
from flukeprint.errors import FlukeprintError
from flukeprint.search import faiss_index
from flukeprint.search.backends import BACKENDS, choose, find_backend
from flukeprint.search.faiss_index import FaissIndex
from flukeprint.search.faiss_kinds import FaissFlat, Hnsw, IvfPq
from flukeprint.search.gallery import Gallery
from flukeprint.search.index import NOTHING
from flukeprint.search.recall import exact_neighbours, measure_recall, sampled, tune

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


@pytest.mark.parametrize("kind", KINDS)
def test_every_photograph_finds_itself_through_the_gallery(kind) -> None:
    photos = drawn(400)
    found = Gallery(photos, index=built(kind, photos)).search(photos, 5)
    want = Gallery(photos).search(photos, 5)
    assert (found.rows[:, 0] == np.arange(400)).mean() == 1
    assert (found.rows == want.rows).mean() > 0.99
    right = found.rows == want.rows
    np.testing.assert_array_equal(found.scores[right], want.scores[right])


@pytest.mark.parametrize("kind", KINDS)
def test_rows_are_added_removed_and_kept(kind, tmp_path: Path) -> None:
    photos = drawn(300)
    rows = np.arange(300) * 3 + 7
    index = built(kind, photos.take(np.arange(200)), rows[:200])
    index.add(photos.take(np.arange(200, 300)), rows[200:])
    index.remove(rows[[0, 150, 299]])
    assert len(index) == 297
    folder = tmp_path / "index"
    folder.mkdir()
    index.save(folder)
    for one in (index, BACKENDS[kind.name].load(folder)):
        found = one.search(photos.vectors, 30)
        kept = np.setdiff1d(np.arange(300), [0, 150, 299])
        assert (found.rows == rows[:, None]).any(axis=1)[kept].mean() > 0.97
        assert not np.isin(found.rows, rows[[0, 150, 299]]).any()
        assert len(one) == 297
        with pytest.raises(KeyError):
            one.remove(rows[[0]])
        with pytest.raises(KeyError):
            one.remove(np.array([8]))
        with pytest.raises(ValueError, match="ascend"):
            one.add(photos.take([0]), rows[[5]])


@pytest.mark.parametrize("kind", KINDS)
def test_where_there_are_fewer_nothing_is_said(kind) -> None:
    photos = drawn(40)
    index = built(kind, photos)
    found = index.search(photos.vectors[:2], 99)
    assert found.rows.shape == (2, 40)
    there = found.rows != NOTHING
    assert np.isneginf(found.scores[~there]).all()
    assert index.search(photos.vectors[:0], 3).rows.shape == (0, 3)
    index.remove(np.arange(40))
    assert index.search(photos.vectors[:2], 3).rows.shape == (2, 0)


def test_product_codes_take_a_sixteenth() -> None:
    photos = drawn(4000, d=512)
    index = built(IvfPq, photos)
    assert index._bytes_each() == 512 // 8 + 8
    centers, axes = 256 * 256 * 4, 512 * 256 * 4  # which a large gallery hardly notices
    assert index.memory() - centers - axes <= photos.vectors.nbytes / 16


@pytest.mark.parametrize("kind", [Hnsw, IvfPq])
def test_recall_is_that_of_a_count_by_hand(kind) -> None:
    photos = drawn(600)
    index = kind(photos.vectors)
    index.effort, index.candidates = index.EFFORTS[0]
    index.add(photos, np.arange(600))
    gallery = Gallery(photos, index=index)
    rows = sampled(photos, 100)
    exact = exact_neighbours(gallery, rows)
    scores = photos.vectors.astype(float) @ photos.vectors.T.astype(float)
    np.fill_diagonal(scores, -2)
    assert (np.sort(exact) == np.sort(np.argsort(-scores[rows], axis=1)[:, :5])).mean() > 0.999
    got = measure_recall(gallery, rows, exact)
    found = gallery.search(photos.take(rows), 6).rows
    hits = [
        len(({*mine} - {row}) & {*right})
        for row, mine, right in zip(rows, found, exact, strict=True)
    ]
    assert got.value == pytest.approx(sum(min(hit, 5) for hit in hits) / 500, abs=0.005)
    assert got.low <= got.value <= got.high
    assert got.queries == 100


def test_effort_rises_until_the_recall_is_there() -> None:
    photos = drawn(1500, d=48)
    index = IvfPq(photos.vectors)
    index.add(photos, np.arange(1500))
    gallery = Gallery(photos, index=index)
    modest = tune(gallery, 0.5)
    little = index.effort
    high = tune(gallery, 0.99)
    assert high.reached
    assert high.value >= 0.99
    assert index.effort >= little
    assert modest.effort == little
    assert "recall@5" in high.text()
    assert "out of reach" not in high.text()
    assert "out of reach" in tune(gallery, 1.1).text()


def test_the_choice_follows_size_and_memory() -> None:
    plain = GalleryConfig()
    assert choose(10_000, 512, plain).backend == "exact"
    assert choose(5_000_000, 512, plain, memory=10**11).backend == "hnsw"
    assert choose(5_000_000, 512, plain, memory=10**9).backend == "ivf_pq"
    assert choose(5_000_000, 512, plain, looks_at_all=True).backend == "exact"
    assert "ms" in choose(5_000_000, 512, plain, memory=10**11).reason
    asked = GalleryConfig(backend="hnsw")
    assert choose(10, 8, asked).backend == "hnsw"
    with pytest.raises(FlukeprintError, match=r"gallery\.backend=exact"):
        choose(10, 8, asked, looks_at_all=True)
    tight = GalleryConfig(memory_gb=0.5)
    assert choose(5_000_000, 512, tight).backend == "ivf_pq"


def test_what_is_built_is_tuned_and_says_so(tmp_path: Path) -> None:
    photos, said = drawn(500), []
    assert BACKENDS["exact"].build(photos, GalleryConfig(), said.append) is None
    index = BACKENDS["hnsw"].build(photos, GalleryConfig(recall_at_5=0.9), said.append)
    assert index is not None
    assert len(index) == 500
    assert len(said) == 1
    assert said[0].startswith("hnsw: recall@5 ")
    folder = tmp_path / "i"
    folder.mkdir()
    index.save(folder)
    with pytest.raises(FlukeprintError, match="no whole index"):
        BACKENDS["ivf_pq"].load(folder)
    (folder / "index.faiss").write_bytes(b"not an index")
    with pytest.raises(FlukeprintError, match="no whole index") as caught:
        BACKENDS["hnsw"].load(folder)
    assert "\n" not in str(caught.value)
    with pytest.raises(FlukeprintError, match="no 'hnws'"):
        find_backend("hnws")


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


@pytest.mark.parametrize("kind", KINDS)
def test_copies_of_one_photograph_come_by_row(kind) -> None:
    photos = drawn(1, d=64).take(np.zeros(300, np.int64))
    gallery = Gallery(photos, index=built(kind, photos))
    assert gallery.search(photos.take([0]), 5).rows[0].tolist() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("kind", KINDS)
def test_an_index_read_from_disk_grows_and_shrinks(kind, tmp_path: Path) -> None:
    photos = drawn(400, d=64)
    folder = tmp_path / "index"
    folder.mkdir()
    built(kind, photos.take(np.arange(300))).save(folder)
    index = kind.load(folder)
    index.effort, index.candidates = index.EFFORTS[-1]
    before = index.search(photos.vectors[:300], 20).rows
    assert (before == np.arange(300)[:, None]).any(axis=1).mean() > 0.99
    index.add(photos.take(np.arange(300, 400)), np.arange(300, 400))
    index.remove(np.arange(0, 400, 2))  # half: a graph is then made anew
    assert len(index) == 200
    found = index.search(photos.vectors, 20).rows
    assert not (found % 2 == 0).any()
    assert (found[1::2] == np.arange(1, 400, 2)[:, None]).any(axis=1).mean() > 0.97
    with pytest.raises(KeyError):
        index.remove(np.array([2]))
    again = tmp_path / "again"
    again.mkdir()
    index.save(again)
    np.testing.assert_array_equal(kind.load(again).search(photos.vectors, 20).rows, found)


@pytest.mark.parametrize("kind", [FaissFlat, Hnsw])
def test_scores_of_an_index_are_cosines_or_nearly(kind) -> None:
    photos = drawn(2000, d=64)
    found = built(kind, photos).search(photos.vectors[:50], 5)
    want = np.einsum("qd,qkd->qk", photos.vectors[:50], photos.vectors[found.rows])
    np.testing.assert_allclose(found.scores, want, atol=0.02)


@pytest.mark.parametrize("d", [64, 256])  # a graph keeps some axes only of the second
def test_what_comes_late_to_a_mapped_index_waits_beside_it(d, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(faiss_index, "_MOST_LATE", 60)
    photos = drawn(400, d=d)
    folder = tmp_path / "index"
    folder.mkdir()
    built(Hnsw, photos.take(np.arange(300))).save(folder)
    index = Hnsw.load(folder)
    index.effort, index.candidates = index.EFFORTS[-1]
    for row in range(300, 360):
        index.add(photos.take([row]), np.array([row]))
    assert index._index.ntotal == 300  # a copy of the file's vectors was not needed
    index.remove(np.array([10, 305, 359]))
    found = index.search(photos.vectors[:360], 8)
    assert found.rows.shape == (360, 8)
    kept = np.setdiff1d(np.arange(360), [10, 305, 359])
    assert (found.rows[:, 0] == np.arange(360))[kept].mean() > 0.99
    assert not np.isin(found.rows, [10, 305, 359]).any()
    assert (np.diff(found.scores, axis=1) <= 0).all()

    index.add(photos.take(np.arange(360, 400)), np.arange(360, 400))
    assert index._index.ntotal == 400  # too many to wait
    after = index.search(photos.vectors[:360], 8).rows
    assert (after[:, 0] == np.arange(360))[kept].mean() > 0.99
    assert not np.isin(after, [10, 305, 359]).any()
    assert len(index) == 397


def test_a_mapped_index_is_saved_with_what_came_late(tmp_path: Path) -> None:
    photos = drawn(200, d=64)
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
    built(Hnsw, photos.take(np.arange(150))).save(tmp_path / "first")
    index = Hnsw.load(tmp_path / "first")
    index.add(photos.take(np.arange(150, 200)), np.arange(150, 200))
    index.save(tmp_path / "second")
    again = Hnsw.load(tmp_path / "second")
    assert len(again) == 200
    np.testing.assert_array_equal(again.search(photos.vectors, 1).rows[:, 0], np.arange(200))
