"""Accuracy of pairs: loops over all pairs, closed forms, and intervals that hold what they say."""

from itertools import combinations, pairwise

import numpy as np
import pytest

from flukeprint.data.embeddings import unit_rows
from flukeprint.evaluation.studies.pair_accuracy import (
    accuracy_of,
    best_distance,
    labelled_pairs,
    some,
)

NAMES = ("a", "b", None, "a", "c", None, "b", "a")


def vectors(n=8, seed=0, dim=3):
    return unit_rows(np.random.default_rng(seed).normal(size=(n, dim)))


def test_pairs_by_hand():
    """All of two photographs but those of two unknown individuals, who may be one."""
    x = vectors()
    found = labelled_pairs(x, NAMES)
    expected = [
        (i, j, NAMES[i] is not None and NAMES[i] == NAMES[j])
        for i, j in combinations(range(len(NAMES)), 2)
        if NAMES[i] is not None or NAMES[j] is not None
    ]
    pairs = zip(found.first.tolist(), found.second.tolist(), found.same.tolist(), strict=True)
    assert list(pairs) == expected
    assert len(expected) == 27
    by_hand = [np.linalg.norm(x[i].astype(float) - x[j]) for i, j, _ in expected]
    np.testing.assert_allclose(found.distances, by_hand, atol=1e-6)
    assert found.photos == len(NAMES)


def test_distances_in_closed_form():
    angles = np.radians([0, 60, 90, 180])
    x = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    found = labelled_pairs(x, ("a",) * 4).distances[:3]
    np.testing.assert_allclose(found, [1, np.sqrt(2), 2], atol=1e-6)


def test_accuracy_by_hand():
    found = labelled_pairs(vectors(), NAMES)
    for threshold in (0.3, 1.0, 1.5):
        judged = found.distances < threshold
        same = np.mean([j for j, s in zip(judged, found.same, strict=True) if s])
        other = np.mean([not j for j, s in zip(judged, found.same, strict=True) if not s])
        measured = accuracy_of(found, judged, seed=0)
        assert measured.same_right == pytest.approx(same)
        assert measured.different_right == pytest.approx(other)
        assert measured.accuracy.mean == pytest.approx((same + other) / 2)
        assert (measured.sames, measured.differents) == (4, 23)
        assert 0 <= measured.accuracy.low <= measured.accuracy.mean <= measured.accuracy.high <= 1


def test_guessing_is_right_for_half():
    found = labelled_pairs(vectors(), NAMES)
    for answer in (True, False):
        measured = accuracy_of(found, np.full(len(found.same), answer), seed=0)
        assert measured.accuracy.mean == 0.5
        assert measured.accuracy.low == measured.accuracy.high == 0.5


def test_all_right_and_all_wrong_have_an_interval_too():
    found = labelled_pairs(vectors(), NAMES)
    right = accuracy_of(found, found.same, seed=0).accuracy
    wrong = accuracy_of(found, ~found.same, seed=0).accuracy
    # Clopper and Pearson of 8 of 8: the share p whose 8 draws are all right once in 40 times.
    assert right.low**8 == pytest.approx(0.025)
    assert (right.mean, right.high) == (1, 1)
    assert (wrong.low, wrong.mean) == (0, 0)
    assert (1 - wrong.high) ** 8 == pytest.approx(0.025)


def test_intervals_hold_the_truth_about_as_often_as_they_say():
    """Classes around two centres; the truth is the mean over many drawn sets."""

    def drawn(seed):
        rng = np.random.default_rng(seed)
        names = tuple("ab"[i % 2] for i in range(40))
        centres = np.array([[1.0, 0.0], [0.0, 1.0]])[[i % 2 for i in range(40)]]
        pairs = labelled_pairs(unit_rows(centres + 0.6 * rng.normal(size=(40, 2))), names)
        return accuracy_of(pairs, pairs.distances < 0.8, seed=seed).accuracy

    found = [drawn(seed) for seed in range(120)]
    truth = np.mean([one.mean for one in found])
    held = np.mean([one.low <= truth <= one.high for one in found])
    assert held > 0.85
    assert np.mean([one.high - one.low for one in found]) < 0.35


def test_both_kinds_are_needed():
    found = labelled_pairs(vectors(3), ("a", "b", "c"))
    with pytest.raises(ValueError, match="are needed"):
        accuracy_of(found, found.same, seed=0)


@pytest.mark.parametrize("seed", range(6))
def test_the_best_distance_by_trying_all(seed):
    x = np.round(vectors(12, seed, 2) * 3) / 3 if seed % 2 else vectors(12, seed)  # with ties
    pairs = labelled_pairs(unit_rows(x + 1e-3), tuple("abc"[i % 3] for i in range(12)))

    def right(at):
        judged = pairs.distances < at
        return judged[pairs.same].mean() + (~judged[~pairs.same]).mean()

    best = best_distance(pairs)
    ends = np.unique(np.concatenate([[0.0], pairs.distances, [2.0]]))
    tried = [right((low + high) / 2) for low, high in pairwise(ends)]
    assert right(best) == pytest.approx(max(tried))


def test_the_best_distance_lies_between_kinds_that_are_apart():
    angles = np.radians([0, 10, 90, 100])
    x = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    pairs = labelled_pairs(x, ("a", "a", "b", "b"))
    near, far = 2 * np.sin(np.radians(5)), 2 * np.sin(np.radians(40))
    assert best_distance(pairs) == pytest.approx((near + far) / 2)


def test_some_rows():
    rows = np.arange(10, 60)
    assert some(rows, seed=0, most=50) is rows
    few = some(rows, seed=0, most=20)
    assert len(set(few.tolist())) == 20
    assert (np.diff(few) > 0).all()
    assert set(few.tolist()) <= set(rows.tolist())
    np.testing.assert_array_equal(few, some(rows, seed=0, most=20))
    assert not np.array_equal(few, some(rows, seed=1, most=20))
