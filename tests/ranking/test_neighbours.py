"""Nearest neighbours and hubs against twins that compare photograph by photograph."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import flukeprint.ranking.neighbours as neighbours_module
from flukeprint.ranking.k_reciprocal import Reciprocal
from flukeprint.ranking.neighbours import (
    cosines,
    csls,
    hubs_of,
    keys_of,
    largest,
    neighbours,
    rows_of,
)
from flukeprint.ranking.reranking import augmented_gallery
from flukeprint.ranking.whitening import fit_whitening, fit_within
from tests.ranking.vectors import drawn

SCORES = st.sampled_from([-1.0, -0.5, -0.0, 0.0, 0.25, 0.3, 0.300001, 1.0, -math.inf])


@given(
    st.lists(st.lists(SCORES, min_size=7, max_size=7), min_size=1, max_size=4), st.integers(0, 9)
)
def test_the_largest_are_those_of_a_stable_sort(scores, k):
    scores = np.array(scores, dtype=np.float32)
    found = largest(scores, k)
    for row, line in enumerate(scores.tolist()):
        order = sorted(range(7), key=lambda i: (-line[i], i))[:k]
        assert found.rows[row].tolist() == order
        assert found.scores[row].tolist() == [line[i] for i in order]
    rows = np.arange(7)[::-1]
    assert np.array_equal(rows_of(keys_of(scores, rows)), np.tile(rows, (len(scores), 1)))


@given(st.integers(1, 20), st.integers(0, 25), st.booleans(), st.integers(0, 50))
def test_neighbours_leave_out_the_photo_itself(n, k, hubbed, seed):
    vectors = drawn(n, seed=seed)
    hubs = np.linspace(-0.5, 0.5, n, dtype=np.float32) if hubbed else None
    near = neighbours(vectors, k, hubs)
    assert near.rows.shape == (n, min(k, n - 1))
    for i in range(n):
        score = {
            j: float(vectors[i].astype(float) @ vectors[j].astype(float))
            - ((hubs[i] + hubs[j]) / 2 if hubbed else 0)
            for j in range(n)
            if j != i
        }
        best = sorted(score, key=lambda j: (-score[j], j))[:k]
        assert near.rows[i].tolist() == best
        assert near.scores[i] == pytest.approx([score[j] for j in best], abs=1e-6)


@given(st.integers(2, 25), st.integers(1, 30), st.integers(1, 6), st.integers(0, 50))
def test_neighbours_of_other_animals(n, k, animals, seed):
    vectors, labels = drawn(n, seed=seed), np.random.default_rng(seed).integers(0, animals, n)
    near = neighbours(vectors, k, labels=labels)
    for i in range(n):
        score = {
            j: float(vectors[i].astype(float) @ vectors[j].astype(float))
            for j in range(n)
            if labels[j] != labels[i]
        }
        best = sorted(score, key=lambda j: (-score[j], j))[: min(k, n - 1)]
        assert near.rows[i, : len(best)].tolist() == best
        assert near.scores[i, : len(best)] == pytest.approx([score[j] for j in best], abs=1e-6)
        assert np.isneginf(near.scores[i, len(best) :]).all()


def test_blocks_change_nothing(monkeypatch):
    vectors = drawn(40)
    rules = (
        lambda: neighbours(vectors, 7).rows,
        lambda: augmented_gallery(vectors, 3, 2.0),
        lambda: fit_whitening(vectors, 4)(vectors) ** 2,
        lambda: fit_within(vectors, np.arange(40) % 9, 0.7)(vectors),
        lambda: Reciprocal(vectors, 6).common(
            vectors[:5], largest(cosines(vectors[:5], vectors), 6)
        ),
    )
    whole = [rule() for rule in rules]
    monkeypatch.setattr(neighbours_module, "_SCORES_AT_ONCE", 90)
    monkeypatch.setattr(neighbours_module, "_ROWS_AT_ONCE", 7)
    for before, rule in zip(whole, rules, strict=True):
        assert np.allclose(before, rule(), atol=1e-5)


def test_hubness_is_taken_from_both_sides():
    gallery, queries = drawn(12), drawn(4, seed=1)
    plain = cosines(queries, gallery)
    who = np.arange(12) % 4
    hubs = hubs_of(neighbours(gallery, 3, labels=who))
    found = csls(plain, hubs_of(largest(plain, 3)), hubs)
    for i in range(4):
        r_query = np.sort(plain[i])[-3:].mean()
        for j in range(12):
            others = [float(gallery[j] @ gallery[m]) for m in range(12) if who[m] != who[j]]
            twice = 2 * plain[i, j] - r_query - np.mean(sorted(others)[-3:])
            assert found[i, j] == pytest.approx(twice / 2, abs=1e-6)
    assert hubs_of(neighbours(gallery[:1], 3)).tolist() == [0]  # nobody near
    assert hubs_of(neighbours(gallery, 3, labels=np.zeros(12, int))).tolist() == [0] * 12
    two = neighbours(gallery[:3], 3, labels=np.array([0, 0, 1]))  # one stranger for the first
    assert hubs_of(two)[0] == pytest.approx(float(gallery[0] @ gallery[2]), abs=1e-6)
