"""Re-ranking against twins that compare photo by photo in plain loops."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import flukeprint.ranking.neighbours as neighbours_module
from flukeprint.data.embeddings import Embeddings, unit_rows
from flukeprint.errors import FlukeprintError
from flukeprint.ranking.ensemble import ensemble
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
from flukeprint.ranking.reranking import augmented_gallery, expanded, mean_direction, trimmed
from flukeprint.ranking.whitening import fit_whitening, fit_within
from flukeprint.search.index import Matches

SCORES = st.sampled_from([-1.0, -0.5, -0.0, 0.0, 0.25, 0.3, 0.300001, 1.0, -math.inf])


def drawn(n, d=6, seed=0):
    """n photos around a few animals, so that neighbourhoods overlap."""
    rng = np.random.default_rng(seed)
    animals = rng.normal(size=(4, d))
    return unit_rows(animals[rng.integers(0, 4, n)] + 0.6 * rng.normal(size=(n, d)))


def unit(vector):
    return vector / np.linalg.norm(vector)


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


def test_whitened_photos_spread_alike_in_all_directions():
    vectors = drawn(60, d=5)
    whitening = fit_whitening(vectors, 3)
    flat = (vectors - whitening.mean) @ whitening.matrix
    assert np.cov(flat.T, bias=True) == pytest.approx(np.eye(3), abs=1e-5)
    assert whitening(vectors) == pytest.approx(
        flat / np.linalg.norm(flat, axis=1)[:, None], abs=1e-5
    )
    # The twin: singular vectors of the centered photos.
    left, _, _ = np.linalg.svd(vectors - vectors.mean(axis=0, dtype=float), full_matrices=False)
    twin = np.array([unit(row[:3]) for row in left])
    assert cosines(whitening(vectors), whitening(vectors)) == pytest.approx(twin @ twin.T, abs=1e-4)


def test_whitening_keeps_no_direction_that_is_not_there():
    vectors = drawn(3, d=8)
    assert fit_whitening(vectors, 8).matrix.shape == (8, 2)  # three photos span a plane
    with pytest.raises(FlukeprintError, match=r"do not differ; set rank\.whiten=0"):
        fit_whitening(np.repeat(vectors[:1], 4, axis=0), 2)
    middle = unit_rows([[1, 1, 0]])
    flat = fit_whitening(unit_rows([[1, 0, 0], [0, 1, 0]]), 1)
    assert flat(middle).tolist() == [[0]]  # in the middle, and so without a direction


def pooled(vectors, labels):
    """Within-identity covariance, a photo and an entry of the matrix at a time."""
    n, d = vectors.shape
    rows = vectors.astype(float).tolist()
    spread, freedom = [[0.0] * d for _ in range(d)], 0
    for name in set(labels):
        own = [rows[i] for i in range(n) if labels[i] == name]
        middle = [sum(row[a] for row in own) / len(own) for a in range(d)]
        freedom += len(own) - 1
        for row in own:
            for a in range(d):
                for b in range(d):
                    spread[a][b] += (row[a] - middle[a]) * (row[b] - middle[b])
    return np.array(spread) / freedom


@given(st.integers(0, 99), st.floats(0.05, 0.95), st.integers(2, 8))
def test_within_is_the_distance_of_the_shrunk_pooled_covariance(seed, weight, d):
    rng = np.random.default_rng(seed)
    labels = rng.permutation([7, 7, 7, 2, 2, 40, 40, 40, 5, 6])  # two have one photo
    gallery, queries = drawn(10, d, seed), drawn(4, d, seed + 1)
    found = fit_within(gallery, labels, weight)
    spread = pooled(gallery, labels.tolist())
    shrunk = weight * spread + (1 - weight) * np.trace(spread) / d * np.eye(d)
    root = np.linalg.cholesky(np.linalg.inv(shrunk))  # the same cosines, turned
    mean = gallery.astype(float).mean(axis=0)
    twins = [np.array([unit((row - mean) @ root) for row in rows]) for rows in (queries, gallery)]
    assert cosines(found(queries), found(gallery)) == pytest.approx(twins[0] @ twins[1].T, abs=1e-4)
    other = fit_within(gallery, labels * 3 + 1, weight)  # names are but names
    assert other(queries) == pytest.approx(found(queries), abs=1e-5)


def test_at_weight_one_an_identity_spreads_alike_in_all_directions():
    vectors, labels = drawn(60, d=5), np.arange(60) % 7
    within = fit_within(vectors, labels, 1.0)
    flat = ((vectors - within.mean) @ within.matrix).astype(float)
    assert pooled(flat, labels.tolist()) == pytest.approx(np.eye(5), abs=1e-5)
    half = fit_within(vectors, labels, 0.5)
    values = np.linalg.eigvalsh(pooled((vectors - half.mean) @ half.matrix, labels.tolist()))
    assert values.min() < 0.99
    assert values.max() < 2 - 1e-3  # s / (s / 2 + sphere / 2) stays below 2


def test_at_little_weight_only_the_mean_is_taken_off():
    gallery, queries = drawn(30), drawn(9, seed=1)
    labels = np.arange(30) % 6
    mean = gallery.astype(float).mean(axis=0)
    plain = [np.array([unit(row - mean) for row in rows]) for rows in (queries, gallery)]
    scores = plain[0] @ plain[1].T
    for weight in (0.0, 1e-7):
        within = fit_within(gallery, labels, weight)
        found = cosines(within(queries), within(gallery))
        assert found == pytest.approx(scores, abs=1e-5)
        assert np.array_equal(np.argsort(-found, axis=1), np.argsort(-scores, axis=1))


def test_directions_without_any_spread_stay_finite():
    vectors, labels = drawn(6, d=8), np.array([0, 0, 1, 1, 2, 3])  # two directions of eight
    within = fit_within(vectors, labels, 1.0)
    spread = pooled(vectors, labels.tolist())
    flat = np.linalg.svd(spread)[2][2:]
    lengths = np.linalg.norm(flat @ within.matrix, axis=1)
    assert lengths == pytest.approx((1e-6 * np.trace(spread) / 8) ** -0.5, rel=1e-3)
    assert np.linalg.norm(within(vectors), axis=1) == pytest.approx(1, abs=1e-5)


def test_without_two_photos_that_differ_there_is_no_within():
    vectors = drawn(4)
    refusal = r"no identity of the gallery has two photos that differ; set rank\.within=0"
    with pytest.raises(FlukeprintError, match=refusal):
        fit_within(vectors, np.arange(4), 0.5)
    twice = vectors[[0, 0, 1, 1, 2]]
    with pytest.raises(FlukeprintError, match=refusal):
        fit_within(twice, np.array([3, 3, 1, 1, 2]), 0.5)
    assert fit_within(twice, np.array([3, 3, 1, 1, 1]), 0.5)(twice).shape == (5, 6)


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


def test_a_prototype_leaves_outlying_photos_out():
    near = [[1, 0.1 * i, 0] for i in range(5)]
    assert trimmed(unit_rows([*near, [-1, 0, 0.2]])).tolist() == [0, 1, 2, 3, 4]
    # Those below a cosine of 0.5 go, but never more than a quarter at a time.
    assert len(trimmed(unit_rows(np.eye(8)))) == 4  # 8 -> 6 -> 4
    assert trimmed(unit_rows([[1, 0], [-1, 0.1], [0, 1]])).tolist() == [0, 1, 2]  # too few
    first = unit_rows([[1, 0], [-1, 0]])
    assert mean_direction(first).tolist() == [1, 0]  # they cancel out
    assert mean_direction(unit_rows(np.eye(2))) == pytest.approx([0.5**0.5] * 2)


def seen(vectors, stamp, views=None, first=0):
    n = len(vectors)
    names = tuple(f"{first + i}.jpg" for i in range(n))
    return Embeddings(unit_rows(vectors), names, tuple("abcdefgh"[:n]), views, stamp)


@given(st.lists(st.floats(0.01, 100), min_size=2, max_size=3), st.integers(0, 50))
def test_an_ensemble_has_the_weighted_mean_of_the_cosines(weights, seed):
    rng = np.random.default_rng(seed)
    parts = [seen(rng.normal(size=(5, 3 + i)), f"net{i}") for i in range(len(weights))]
    both = ensemble(parts, weights)
    mean = np.average(
        [cosines(part.vectors, part.vectors) for part in parts], axis=0, weights=weights
    )
    assert cosines(both.vectors, both.vectors) == pytest.approx(mean, abs=1e-5)
    assert both.images == parts[0].images
    again = ensemble(parts, [2 * weight for weight in weights])
    assert again.stamp == both.stamp  # the same shares
    assert ensemble(parts[::-1], weights[::-1]).stamp != both.stamp


def test_an_ensemble_refuses_what_does_not_belong_together():
    one = seen(np.eye(3), "a")
    assert ensemble([one]).stamp != one.stamp
    assert ensemble([one, one]).stamp == ensemble([one, one], [3, 3]).stamp
    assert ensemble([one, one]).stamp != ensemble([one, one], [1, 3]).stamp
    with pytest.raises(FlukeprintError, match="part 2 of the ensemble has other images"):
        ensemble([one, seen(np.eye(3), "b", first=1)])
    with pytest.raises(FlukeprintError, match="has other views"):
        ensemble([one, seen(np.eye(3), "b", views=("left", None, None))])
    for weights in ([1.0], [1.0, 0.0], [1.0, math.nan], [1.0, -1.0]):
        with pytest.raises(FlukeprintError, match="as many weights above 0"):
            ensemble([one, one], weights)
    with pytest.raises(FlukeprintError, match="one network or more"):
        ensemble([])


@pytest.mark.parametrize("weight", [0.3, 0.8, 1.0])
def test_few_photographs_of_many_dimensions_are_whitened_alike(weight: float) -> None:
    vectors = drawn(11, 40)
    labels = np.array([0, 0, 0, 1, 1, 2, 2, 2, 2, 3, 3])
    got = fit_within(vectors, labels, weight).matrix
    own = np.stack([vectors[labels == label].mean(axis=0, dtype=float) for label in labels])
    off = vectors.astype(float) - own
    spread = off.T @ off / (11 - 4)
    sphere = np.trace(spread) / 40
    mixed = weight * spread + (1 - weight) * sphere * np.eye(40)
    values, directions = np.linalg.eigh(mixed)
    want = (directions / np.sqrt(np.maximum(values, 1e-6 * sphere))) @ directions.T
    np.testing.assert_allclose(got, want, rtol=1e-6, atol=1e-6 * np.abs(want).max())
