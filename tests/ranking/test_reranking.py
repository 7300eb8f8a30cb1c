"""Query expansion and prototypes against twins in plain loops."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flukeprint.data.embeddings import unit_rows
from flukeprint.ranking.neighbours import (
    cosines,
    largest,
)
from flukeprint.ranking.reranking import augmented_gallery, expanded, mean_direction, trimmed
from tests.ranking.vectors import drawn, unit


@given(st.integers(1, 15), st.integers(1, 20), st.sampled_from([0.0, 1.0, 3.0]), st.integers(0, 50))
def test_expansion_is_the_weighted_sum(n, k, alpha, seed):
    gallery, queries = drawn(n, seed=seed), drawn(3, seed=seed + 1)
    near = largest(cosines(queries, gallery), k)
    found = expanded(queries, gallery, near, alpha)
    for i, query in enumerate(queries.astype(float)):
        scores = [(float(query @ g), j) for j, g in enumerate(gallery.astype(float))]
        total = query.copy()
        for score, j in sorted(scores, key=lambda pair: -pair[0])[:k]:
            if score > 0:
                total += score**alpha * gallery[j]
        assert found[i] == pytest.approx(unit(total), abs=1e-5)


def test_the_gallery_expands_from_what_it_was_before():
    vectors = drawn(9)
    found = augmented_gallery(vectors, 2, 3.0)
    for i, own in enumerate(vectors.astype(float)):
        score = {j: float(own @ vectors[j]) for j in range(9) if j != i}
        best = sorted(score, key=lambda j: -score[j])[:2]
        total = own + sum(max(score[j], 0) ** 3 * vectors[j].astype(float) for j in best)
        assert found[i] == pytest.approx(unit(total), abs=1e-5)
    alone = augmented_gallery(vectors[:1], 5, 3.0)
    assert alone == pytest.approx(vectors[:1])


def test_a_prototype_leaves_outlying_photos_out():
    near = [[1, 0.1 * i, 0] for i in range(5)]
    assert trimmed(unit_rows([*near, [-1, 0, 0.2]])).tolist() == [0, 1, 2, 3, 4]
    # Those below a cosine of 0.5 go, but never more than a quarter at a time.
    assert len(trimmed(unit_rows(np.eye(8)))) == 4  # 8 -> 6 -> 4
    assert trimmed(unit_rows([[1, 0], [-1, 0.1], [0, 1]])).tolist() == [0, 1, 2]  # too few
    first = unit_rows([[1, 0], [-1, 0]])
    assert mean_direction(first).tolist() == [1, 0]  # they cancel out
    assert mean_direction(unit_rows(np.eye(2))) == pytest.approx([0.5**0.5] * 2)
