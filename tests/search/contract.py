"""What every gallery index must do, checked against float64 arithmetic on small drawn vectors.

A test class inherits `IndexContract` and gives `build` and `load`.  `ties_go_to_the_lower_row` is
also for indexes that do not do all of it.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flukeprint.data.embeddings import Embeddings, unit_rows
from flukeprint.search.index import NOTHING, Index, Matches

DIM = 16


def drawn(n: int, seed: int = 0, dim: int = DIM, stamp: str = "0123456789abcdef") -> Embeddings:
    """n photographs of about n / 3 identities in two views."""
    vectors = unit_rows(np.random.default_rng(seed).normal(size=(n, dim)))
    return named(vectors, stamp)


def named(vectors: Any, stamp: str = "0123456789abcdef") -> Embeddings:
    n = len(vectors)
    return Embeddings(
        vectors=np.asarray(vectors, np.float32),
        images=tuple(f"{row}.jpg" for row in range(n)),
        identities=tuple(f"w{row // 3}" for row in range(n)),
        views=tuple("left" if row % 2 else "right" for row in range(n)),
        stamp=stamp,
    )


def nearest_of(vectors: Any, rows: Any, query: Any, k: int) -> list[int]:
    """Rows of the k nearest by the definition: higher product first, then lower row."""
    products = [float(np.dot(np.float64(vector), np.float64(query))) for vector in vectors]
    ranked = sorted(zip(products, rows, strict=True), key=lambda pair: (-pair[0], pair[1]))
    return [int(row) for _, row in ranked[:k]]


def with_copies(n: int, d: int, different: int, seed: int) -> Embeddings:
    """n photographs, copies of `different` ones in random order."""
    rng = np.random.default_rng(seed)
    return named(unit_rows(rng.normal(size=(different, d)))[rng.integers(0, different, n)])


def ties_go_to_the_lower_row(index: Index, photos: Embeddings, queries: Any, k: int) -> None:
    """Rows 0..n-1 of the index hold photos (n, d): k are found as their definition says."""
    found = index.search(queries, k)
    for query, rows in zip(queries, found.rows, strict=True):
        assert rows.tolist() == nearest_of(photos.vectors, range(len(photos)), query, k)


class IndexContract:
    """Inherit it in a class `Test...`.

    recall: share of the nearest that must be found; 1 for an exact index.
    least: vectors that must be there before the index can be built.
    """

    recall = 1.0
    least = 30

    def build(self, photos: Embeddings, rows: Any = None) -> Index:
        """An index of the photographs under `rows`, or 0..n-1."""
        raise NotImplementedError

    def load(self, folder: Path) -> Index:
        raise NotImplementedError

    def check(self, found: Matches, vectors: Any, rows: Any, queries: Any, k: int) -> None:
        """The right shape, the rows' own scores, and as many of the nearest as `recall` says."""
        assert found.scores.shape == found.rows.shape == (len(queries), min(k, len(rows)))
        place = {int(row): at for at, row in enumerate(rows)}
        hits = asked = 0
        for query, scores, near in zip(queries, found.scores, found.rows, strict=True):
            real = [int(row) for row in near if row != NOTHING]
            assert len(set(real)) == len(real)
            assert np.all(np.isneginf(scores[len(real) :]))
            for row, score in zip(real, scores, strict=False):
                assert score == pytest.approx(float(vectors[place[row]] @ query), abs=1e-5)
            right = nearest_of(vectors, rows, query, k)
            if self.recall == 1:
                assert real == right
            hits += len(set(real) & set(right))
            asked += len(right)
        assert hits >= self.recall * asked

    def test_the_nearest_are_found_in_order(self) -> None:
        photos, queries = drawn(60), drawn(12, seed=1).vectors
        index = self.build(photos)
        assert len(index) == 60
        self.check(index.search(queries, 5), photos.vectors, range(60), queries, 5)

    def test_every_photograph_finds_itself(self) -> None:
        photos = drawn(50)
        found = self.build(photos).search(photos.vectors, 1)
        assert np.mean(found.rows[:, 0] == np.arange(50)) >= self.recall
        itself = found.rows[:, 0] == np.arange(50)
        assert np.allclose(found.scores[itself], 1, atol=1e-5)

    def test_more_than_there_are_gives_all(self) -> None:
        photos = drawn(self.least)
        found = self.build(photos).search(photos.vectors[:2], self.least + 7)
        self.check(found, photos.vectors, range(self.least), photos.vectors[:2], self.least + 7)

    def test_rows_are_names_not_places(self) -> None:
        photos = drawn(40)
        rows = np.arange(40) * 7 + 1_000_000_000_000
        queries = drawn(4, seed=2).vectors
        self.check(self.build(photos, rows).search(queries, 3), photos.vectors, rows, queries, 3)

    def test_equal_scores_come_by_ascending_row(self) -> None:
        # Products of these are exact in any order of summation.
        vectors = np.zeros((self.least + 10, DIM), np.float32)
        vectors[np.arange(len(vectors)), np.arange(len(vectors)) % 4] = 1
        rows = np.random.default_rng(3).permutation(len(vectors)).astype(np.int64)
        index = self.build(named(vectors), rows)
        for k in (1, 3, 8, 12, len(vectors)):
            self.check(index.search(vectors[:4], k), vectors, rows, vectors[:4], k)

    @pytest.mark.parametrize("k", [1, 3, 10])
    def test_of_copies_the_lowest_rows_are_found(self, k: int) -> None:
        if self.recall < 1:
            pytest.skip("an approximate index only proposes")
        photos = with_copies(60, DIM, 4, seed=6)
        queries = np.concatenate([photos.vectors[:4], drawn(4, seed=7).vectors])
        ties_go_to_the_lower_row(self.build(photos), photos, queries, k)

    def test_added_and_removed(self) -> None:
        photos, queries = drawn(60), drawn(6, seed=4).vectors
        index = self.build(photos.take(range(40)))
        index.add(photos.take(range(40, 60)), np.arange(40, 60))
        assert len(index) == 60
        self.check(index.search(queries, 5), photos.vectors, range(60), queries, 5)
        gone = np.array([0, 17, 41, 59])
        index.remove(gone)
        left = np.setdiff1d(np.arange(60), gone)
        assert len(index) == 56
        self.check(index.search(queries, 5), photos.vectors[left], left, queries, 5)
        index.add(photos.take([41]), np.array([41]))
        left = np.sort(np.append(left, 41))
        self.check(index.search(queries, 5), photos.vectors[left], left, queries, 5)

    def test_an_unknown_row_is_refused_and_nothing_is_removed(self) -> None:
        index = self.build(drawn(self.least))
        with pytest.raises(KeyError):
            index.remove(np.array([3, self.least + 5]))
        assert len(index) == self.least
        index.remove(np.array([3]))
        with pytest.raises(KeyError):
            index.remove(np.array([3]))

    def test_saved_and_loaded(self, tmp_path: Path) -> None:
        photos, queries = drawn(50), drawn(5, seed=5).vectors
        index = self.build(photos)
        index.remove(np.array([10]))
        index.save(tmp_path)
        again = self.load(tmp_path)
        assert (again.name, again.exact, len(again)) == (index.name, index.exact, 49)
        one, other = index.search(queries, 6), again.search(queries, 6)
        assert np.array_equal(one.rows, other.rows)
        assert one.scores == pytest.approx(other.scores, abs=1e-6)
        again.add(photos.take([10]), np.array([10]))
        self.check(again.search(queries, 6), photos.vectors, range(50), queries, 6)
        again.remove(np.array([0]))
        assert len(again) == 49

    def test_memory_grows_with_the_vectors(self) -> None:
        small, large = self.build(drawn(self.least)), self.build(drawn(10 * self.least))
        assert 0 < small.memory() < large.memory()

    def test_no_queries_give_no_matches(self) -> None:
        found = self.build(drawn(self.least)).search(np.empty((0, DIM), np.float32), 3)
        assert found.rows.shape[0] == 0
