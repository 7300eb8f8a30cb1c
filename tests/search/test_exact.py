"""Exact answers from approximate scores, against a twin that scores all in float64."""

from concurrent.futures import ThreadPoolExecutor
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flukeprint.search import candidates
from flukeprint.search import exact as exact_search
from flukeprint.search.bf16 import HalfProduct
from flukeprint.search.candidates import exact_scores
from flukeprint.search.exact import nearest_rows
from flukeprint.search.gallery import Gallery
from flukeprint.search.products import FloatProduct
from tests.search.crowded import crowded, embedded


def twin(queries, gallery, k, by_name):
    scores = (queries.vectors.astype(float) @ gallery.vectors.astype(float).T).astype(np.float32)
    answers = []
    for row in scores:
        order = sorted(range(len(gallery)), key=lambda i: (-row[i], i))
        if by_name:
            first = {}
            for i in order:
                first.setdefault(gallery.identities[i], i)
            order = list(first.values())
        answers.append((order[:k], [row[i] for i in order[:k]]))
    return answers


def check(found, expected):
    for rows, scores, (want_rows, want_scores) in zip(
        found.rows, found.scores, expected, strict=True
    ):
        # A sum in another order may differ in the last digit of float64, and so, rarely, here.
        np.testing.assert_allclose(scores, want_scores, atol=2e-7, rtol=0)
        if len(set(want_scores)) == len(want_scores):
            assert rows.tolist() == want_rows


@settings(max_examples=60, deadline=None)
@given(
    n=st.integers(1, 120), d=st.integers(1, 40), k=st.integers(1, 12), seed=st.integers(0, 999),
    spread=st.sampled_from([1e-7, 1e-4, 1e-3, 0.1, 1.0]),
    kind=st.sampled_from([FloatProduct, HalfProduct]), by_name=st.booleans(),
)  # fmt: skip
def test_the_answers_are_those_of_scoring_all(n, d, k, seed, spread, kind, by_name):
    gallery = crowded(n, d, seed, spread)
    queries = embedded(gallery.vectors[:7] + 1e-4)
    room = Gallery(gallery, product=kind)
    found = room.search_identities(queries, k) if by_name else room.search(queries, k)
    check(found, twin(queries, gallery, k, by_name))


class Liar:
    """Scores that are as wrong as their bound allows: the nearest seem far, the others near."""

    def __init__(self, vectors, off, seed):
        self.vectors, self.off, self.seed = vectors, off, seed

    def __call__(self, queries):
        true = queries.astype(float) @ self.vectors.astype(float).T
        middle = np.sort(true, axis=1)[:, -min(3, true.shape[1])][:, None]
        wrong = np.where(true >= middle, -1, 1) * self.off
        if self.seed:
            wrong = np.random.default_rng(self.seed).uniform(-self.off, self.off, true.shape)
        return Lies((true + wrong).astype(np.float32), self.off + 3e-7)


class Lies:
    def __init__(self, scores, bound):
        self.scores, self.bound = scores, np.full(len(scores), bound, dtype=np.float32)

    def __call__(self, start, stop):
        return self.scores[:, start:stop].copy()


@settings(max_examples=150, deadline=None)
@given(
    n=st.integers(1, 90), d=st.integers(1, 20), k=st.integers(1, 9), seed=st.integers(0, 9999),
    coarse=st.sampled_from([1, 3, 30]), animals=st.sampled_from([0, 2, 25]), barred=st.booleans(),
    off=st.sampled_from([None, "half", 0.0, 0.01, 0.3]), liar=st.integers(0, 2),
    rows=st.sampled_from([5, 32, 4096]), most=st.sampled_from([0, 20, 10_000]),
    dense=st.sampled_from([0.0, 1 / 32, 1.0]),
)  # fmt: skip
def test_to_the_bit_where_sums_are_exact(
    n, d, k, seed, coarse, animals, barred, off, liar, rows, most, dense
):
    """Small fractions of two, which float32 adds without rounding; many are equal."""
    rng = np.random.default_rng(seed)
    vectors, queries = (
        (rng.integers(-coarse, coarse + 1, (m, d)) / 256).astype(np.float32) for m in (n, 6)
    )
    groups = rng.integers(0, animals, n) if animals else None
    mine, theirs = rng.integers(0, 3, 6), rng.integers(0, 3, n)
    product = (
        FloatProduct(vectors)
        if off is None
        else HalfProduct(vectors)
        if off == "half"
        else Liar(vectors, off, liar)
    )
    with (
        patch.object(exact_search, "ROWS_AT_ONCE", rows),
        patch.object(exact_search, "QUERIES_AT_ONCE", 4 if off in (None, "half") else 6),
        patch.object(exact_search, "_MOST_WAITING", most),
        patch.object(exact_search, "_DENSE", dense),
    ):
        scores, found = nearest_rows(
            queries, vectors, k, product, groups, (mine, theirs) if barred else None
        )
    for query in range(6):
        true = vectors.astype(float) @ queries[query].astype(float)
        order = sorted(range(n), key=lambda row: (-true[row], row))
        if barred:
            order = [row for row in order if theirs[row] != mine[query]]
        if groups is not None:
            first = {}
            for row in order:
                first.setdefault(groups[row], row)
            order = list(first.values())
        order = order[:k]
        assert found[query, : len(order)].tolist() == order
        assert scores[query, : len(order)].tolist() == [true[row] for row in order]
        assert np.isneginf(scores[query, len(order) :]).all()


@pytest.mark.parametrize("kind", [FloatProduct, HalfProduct])
def test_threads_share_a_gallery(kind):
    gallery = crowded(9000, 24, 5, 0.3)
    room = Gallery(gallery, product=kind)
    parts = [embedded(gallery.vectors[i::40] + 0.01) for i in range(8)]
    alone = [room.search(part, 4) for part in parts]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda part: room.search(part, 4), parts))
    for one, other in zip(alone, together, strict=True):
        np.testing.assert_array_equal(one.rows, other.rows)
        np.testing.assert_array_equal(one.scores, other.scores)


@pytest.mark.parametrize("spread", [0.0, 1e-4])
@pytest.mark.parametrize("kind", [FloatProduct, HalfProduct])
def test_a_gallery_in_which_all_look_alike_is_no_burden(kind, spread):
    """Nearly every photograph may be the nearest; yet few wait, and fewer are scored one by one."""
    rng = np.random.default_rng(0)
    center = rng.normal(size=16)
    gallery = embedded(center + spread * rng.normal(size=(20_000, 16)), np.arange(20_000) // 50)
    queries = embedded(center + spread * rng.normal(size=(64, 16)))
    scored = []

    def counted(asked, vectors, who, rows):
        scored.append(len(rows))
        return exact_scores(asked, vectors, who, rows)

    with (
        patch.object(exact_search, "exact_scores", counted),
        patch.object(candidates, "exact_scores", counted),
    ):
        found = Gallery(gallery, product=kind).search_identities(queries, 3)
    assert sum(scored) < 0.05 * 64 * 20_000
    check(found, twin(queries, gallery, 3, True))


@pytest.mark.parametrize("kind", [FloatProduct, HalfProduct])
def test_copies_by_the_thousand_are_told_apart_by_their_row(monkeypatch, kind):
    monkeypatch.setattr(exact_search, "_MOST_WAITING", 500)
    monkeypatch.setattr(exact_search, "ROWS_AT_ONCE", 100)
    same = np.ones((3000, 8))
    same[2500] = np.eye(8)[0]
    gallery = embedded(same, [f"w{i % 7}" for i in range(3000)])
    room = Gallery(gallery, product=kind)
    found = room.search(embedded(np.ones((2, 8))), 4)
    assert found.rows.tolist() == [[0, 1, 2, 3]] * 2
    by_name = room.search_identities(embedded(np.ones((2, 8))), 3)
    assert by_name.rows.tolist() == [[0, 1, 2]] * 2


def test_sorted_galleries_are_no_trap(monkeypatch):
    """Each stretch is nearer than all before it, so every floor is too low."""
    monkeypatch.setattr(exact_search, "ROWS_AT_ONCE", 64)
    angles = np.linspace(1.5, 0.0, 3000)
    gallery = embedded(np.stack([np.cos(angles), np.sin(angles)], axis=1), ["w"] * 3000)
    found = Gallery(gallery).search(embedded([[1.0, 0.0]]), 3)
    assert found.rows[0].tolist() == [2999, 2998, 2997]
