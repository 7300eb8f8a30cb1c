"""Shared neighbours against the sets and formulas of the paper."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flukeprint.data.embeddings import unit_rows
from flukeprint.ranking.k_reciprocal import Reciprocal
from flukeprint.ranking.neighbours import (
    cosines,
    largest,
)
from flukeprint.search.index import Matches
from tests.ranking.vectors import drawn


def naive_common(queries, gallery, k):
    """The paper's sets and formulas, a photo at a time, over dense weights."""
    n = len(gallery)
    between = gallery.astype(float) @ gallery.astype(float).T
    near = [sorted((j for j in range(n) if j != i), key=lambda j: -between[i, j]) for i in range(n)]

    def reach(i, size):
        return between[i, near[i][size - 1]] if len(near[i]) >= size else -math.inf

    def mutual(scores, candidates, size):
        return {j for j in candidates[:size] if scores[j] >= reach(j, size) - 1e-9}

    half = max(1, round(k / 2))
    core = [mutual(between[i], near[i], half) | {i} for i in range(n)]

    def encode(scores, mine):
        grown = set(mine)
        for j in mine:
            if len(mine & core[j]) >= 2 / 3 * len(core[j]) - 1e-9:
                grown |= core[j]
        dense = np.zeros(n)
        for j in grown:
            dense[j] = math.exp(scores[j] - 1)
        return dense / dense.sum() if grown else dense

    raw = [encode(between[i], mutual(between[i], near[i], k) | {i}) for i in range(n)]
    few = max(1, round(0.3 * k)) - 1
    known = [np.mean([raw[i], *(raw[j] for j in near[i][:few])], axis=0) for i in range(n)]
    out = np.zeros((len(queries), n))
    for q, query in enumerate(queries.astype(float)):
        scores = gallery.astype(float) @ query
        order = sorted(range(n), key=lambda j: -scores[j])
        own = encode(scores, mutual(scores, order, k))
        own = np.mean([own, *(raw[j] for j in order[:few])], axis=0)
        for j in range(n):
            out[q, j] = np.minimum(own, known[j]).sum() / np.maximum(own, known[j]).sum()
    return out


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 25), st.integers(1, 30), st.integers(0, 99))
def test_common_neighbours_are_the_naive_ones(n, k, seed):
    gallery, queries = drawn(n, seed=seed), drawn(4, seed=seed + 1)
    found = Reciprocal(gallery, k).common(queries, largest(cosines(queries, gallery), k))
    assert found == pytest.approx(naive_common(queries, gallery, k), abs=1e-5)
    assert found.dtype == np.float32
    assert np.all((found >= 0) & (found <= 1 + 1e-6))


def test_a_query_whom_nobody_near_knows_has_nothing_in_common():
    gallery = unit_rows([[1, 0.01 * i] for i in range(6)])
    query = unit_rows([[0, -1]])
    near = largest(cosines(query, gallery), 2)
    assert Reciprocal(gallery, 2).common(query, near).tolist() == [[0] * 6]
    none = Matches(near.scores[:0], near.rows[:0])
    assert Reciprocal(gallery, 2).common(query[:0], none).shape == (0, 6)
