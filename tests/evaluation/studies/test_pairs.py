"""Which pairs are drawn: never of one group, and new photographs are of nobody."""

from dataclasses import replace

import numpy as np
import pytest

from flukeprint.evaluation.studies.fold import number_individuals
from flukeprint.evaluation.studies.pairs import (
    LabelledPairs,
    ScoredPairs,
    cosine_of_pairs,
    fold_pairs,
    half_of_individuals,
    score_pairs,
    unseen_pairs,
)
from flukeprint.evaluation.verification import Pairs
from tests.evaluation.studies.folds import drawn_fold


def test_all_pairs_of_query_and_gallery_are_there_once() -> None:
    fold = drawn_fold(animals=6, each=3, queries=1, unseen=1, unnamed=2)
    pairs = fold_pairs(fold)
    want_same, want_other = set(), set()
    for query in fold.queries.tolist():
        for row in fold.gallery.tolist():
            is_same = fold.identities[query] == fold.identities[row]
            (want_same if is_same else want_other).add((query, row))
    assert {tuple(pair) for pair in pairs.same.tolist()} == want_same
    assert {tuple(pair) for pair in pairs.other.tolist()} == want_other
    assert len(pairs.same) == len(want_same) == 10
    assert len(pairs.other) == len(want_other)


def test_photographs_of_one_group_are_no_pair() -> None:
    fold = drawn_fold(animals=6, each=3, queries=1)
    groups = fold.groups.copy()
    query, row = fold.queries[0], fold.gallery[0]  # two of one animal
    box = fold.gallery[5]  # and another animal in the same picture
    assert fold.identities[query] == fold.identities[row] != fold.identities[box]
    groups[[row, box]] = groups[query]
    pairs = fold_pairs(replace(fold, groups=groups))
    whole = fold_pairs(fold)
    assert [query, row] not in pairs.same.tolist()
    assert [query, box] not in pairs.other.tolist()
    assert len(pairs.same) == len(whole.same) - 1
    assert len(pairs.other) == len(whole.other) - 1


def test_pairs_of_unseen_animals_are_of_nobody_else_and_once() -> None:
    fold = drawn_fold(animals=6, each=3, unseen=3, unnamed=2)
    groups = fold.groups.copy()
    rows = fold.unseen()
    groups[rows[1]] = groups[rows[0]]  # a burst of one animal
    pairs = unseen_pairs(replace(fold, groups=groups))
    assert len(pairs.same) == 3 * 3 - 1
    assert len(pairs.other) == 9 * 8 // 2 - 9
    both = np.concatenate([pairs.same, pairs.other])
    assert set(both.ravel().tolist()) == set(rows.tolist())
    assert (both[:, 0] < both[:, 1]).all()
    assert len({tuple(pair) for pair in both.tolist()}) == len(both)


def test_at_most_so_many_are_drawn_and_by_the_seed() -> None:
    fold = drawn_fold(animals=20, each=4)
    pairs = fold_pairs(fold, most=30)
    assert (len(pairs.same), len(pairs.other)) == (30, 30)
    again = fold_pairs(fold, most=30)
    assert (pairs.other == again.other).all()
    assert (pairs.other != fold_pairs(replace(fold, seed=1), most=30).other).any()


def test_pairs_of_one_view() -> None:
    fold = drawn_fold(animals=4, each=3, queries=1)
    views = tuple(("left", "right", None)[row % 3] for row in range(12))
    pairs = fold_pairs(fold)
    # Queries are at 0, 3, 6, 9: all left; the gallery is right or unknown.
    assert len(pairs.in_one_view(replace(fold, views=views)).same) == 0
    views = tuple("left" if row % 3 < 2 else None for row in range(12))
    kept = pairs.in_one_view(replace(fold, views=views))
    assert {tuple(pair) for pair in kept.same.tolist()} == {(0, 1), (3, 4), (6, 7), (9, 10)}
    assert len(kept.other) == 4 * 3
    assert len(pairs.in_one_view(fold).other) == 0  # no views


def test_cosines_of_vectors_of_any_length() -> None:
    fold = drawn_fold(animals=6)
    pairs = fold_pairs(fold).other
    long = replace(fold, vectors=fold.vectors * np.arange(1, 25, dtype=np.float32)[:, None])
    want = (fold.vectors @ fold.vectors.T)[pairs[:, 0], pairs[:, 1]]
    assert cosine_of_pairs(fold, pairs) == pytest.approx(want, abs=1e-6)
    assert cosine_of_pairs(long, pairs) == pytest.approx(want, abs=1e-6)


def test_an_individual_has_one_number_in_all_folds() -> None:
    one, other = drawn_fold(animals=6), drawn_fold(animals=8, seed=1)
    drawn = [fold_pairs(one), fold_pairs(other)]
    scored = score_pairs([one, other], drawn)
    assert scored[0].individuals == scored[1].individuals == 8
    name_of: dict[int, str | None] = {}
    for fold, pairs, found in zip((one, other), drawn, scored, strict=True):
        for row, number in zip(pairs.other.ravel(), found.other_owners.ravel(), strict=True):
            assert name_of.setdefault(int(number), fold.identities[row]) == fold.identities[row]


def test_halves_are_of_individuals() -> None:
    fold = drawn_fold(animals=21, each=4, unnamed=5)
    owners = number_individuals(fold.identities)
    side = half_of_individuals(fold, int(owners.max()) + 1, owners)
    assert side.shape == (26,)
    assert 10 <= side[:21].sum() <= 11  # the named, of equally many photographs
    assert 2 <= side[21:].sum() <= 3
    scored = score_pairs([fold], [fold_pairs(fold)])[0]
    within, beyond = scored.within(side), scored.within(~side)
    assert side[within.other_owners].all()
    assert not side[beyond.other_owners].any()
    assert len(within.scores.same) + len(beyond.scores.same) == len(scored.scores.same)
    assert len(within.scores.other) + len(beyond.scores.other) < len(scored.scores.other)


def test_owners_are_checked() -> None:
    pairs = Pairs(np.zeros(1), np.zeros(1))
    one, two = np.array([0]), np.array([[0, 1]])
    assert ScoredPairs(pairs, one, two, 2).measurable
    for same, other in ((one[:0], two), (one, two[:0]), (one, np.array([[1, 1]]))):
        with pytest.raises(ValueError):
            ScoredPairs(pairs, same, other, 2)
    with pytest.raises(ValueError, match="no identity"):
        replace(drawn_fold(unnamed=1), gallery=np.array([120]))
    assert LabelledPairs(two, two).same is two
