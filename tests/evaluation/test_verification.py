"""Pairs counted one by one, thresholds tried one by one, and decisions that keep their rates."""

import itertools
import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from flukeprint.evaluation.verification import (
    FALSE_ACCEPTS,
    FEWEST_OTHER,
    FEWEST_SAME,
    Pairs,
    VerificationThreshold,
    Verifier,
    roc,
    sample_pairs,
)

Names = list[str | None]


def pairs_of(same: list[float] | np.ndarray, other: list[float] | np.ndarray) -> Pairs:
    return Pairs(np.array(same, np.float64), np.array(other, np.float64))


def drawn(same: int, other: int, seed: int = 0, apart: float = 0.3) -> Pairs:
    rng = np.random.default_rng(seed)
    return pairs_of(
        np.clip(rng.normal(0.3 + apart, 0.15, same), -1, 1),
        np.clip(rng.normal(0.3, 0.15, other), -1, 1),
    )


def rates(pairs: Pairs, threshold: float) -> tuple[float, float]:
    """False acceptance and false rejection, pair by pair."""
    accepted = sum(score >= threshold for score in pairs.other.tolist())
    rejected = sum(not score >= threshold for score in pairs.same.tolist())
    return accepted / len(pairs.other), rejected / len(pairs.same)


# Scores on a coarse grid, so that there are many ties, and any others.
scores = st.one_of(
    st.integers(-8, 8).map(lambda i: i / 8), st.floats(-1.5, 1.5, allow_nan=False, width=64)
)


def lists(fewest: int, most: int) -> st.SearchStrategy[list[float]]:
    return st.lists(scores, min_size=fewest, max_size=most)


# --- every threshold


@settings(max_examples=150, deadline=None)
@given(lists(1, 12), lists(1, 12))
def test_the_curve_is_what_counting_gives(same: list[float], other: list[float]) -> None:
    pairs = pairs_of(same, other)
    curve = roc(pairs)
    assert (np.diff(curve.thresholds) < 0).all()
    for threshold, accept, reject in zip(
        curve.thresholds, curve.false_accept, curve.false_reject, strict=True
    ):
        assert (accept, reject) == rates(pairs, threshold)
    assert (np.diff(curve.false_accept) >= 0).all()
    assert (np.diff(curve.false_reject) <= 0).all()
    # Nothing that any threshold could do is missing.
    seen = set(zip(curve.false_accept, curve.false_reject, strict=True))
    tried = [-9.0, 9.0, *same, *other]
    assert seen == {rates(pairs, threshold) for threshold in tried}


def test_a_threshold_lies_in_the_middle_of_its_neighbours() -> None:
    curve = roc(pairs_of([0.75, 0.25], [0.5, 0.25]))
    assert curve.thresholds.tolist() == [0.875, 0.625, 0.375, -0.375]
    assert curve.false_accept.tolist() == [0, 0, 0.5, 1]
    assert curve.false_reject.tolist() == [1, 0.5, 0.5, 0]


def test_scores_without_room_between_them_are_told_apart() -> None:
    levels = [0.3]
    for _ in range(6):  # the middle of two neighbouring floats rounds up or down
        levels.append(float(np.nextafter(levels[-1], 1)))
    pairs = pairs_of(levels[1::2], levels[::2])
    curve = roc(pairs)
    assert len(curve.thresholds) == 8
    for threshold, accept, reject in zip(
        curve.thresholds, curve.false_accept, curve.false_reject, strict=True
    ):
        assert (accept, reject) == rates(pairs, threshold)


def naive_equal(pairs: Pairs) -> tuple[float, float]:
    """Both rates at the equal error, from the definition with a highest and a lowest threshold."""
    levels = sorted({*pairs.same.tolist(), *pairs.other.tolist(), 9.0})
    at = {level: rates(pairs, level) for level in levels}
    first = at[max(level for level in levels if at[level][1] <= at[level][0])]
    second = at[min(level for level in levels if at[level][1] >= at[level][0])]
    return first if sum(first) <= sum(second) + 1e-12 else second


@settings(max_examples=150, deadline=None)
@given(lists(1, 12), lists(1, 12))
def test_the_equal_error_is_the_one_of_its_definition(
    same: list[float], other: list[float]
) -> None:
    pairs = pairs_of(same, other)
    curve = roc(pairs)
    at = curve.equal()
    want = naive_equal(pairs)
    assert (curve.false_accept[at], curve.false_reject[at]) == pytest.approx(want)


def test_the_equal_error_of_known_distributions() -> None:
    # Normal scores of one width, d apart: both errors are Phi(-d / 2) in the middle.
    rng = np.random.default_rng(4)
    pairs = pairs_of(rng.normal(0.5, 0.1, 20_000), rng.normal(0.3, 0.1, 50_000))
    verifier = Verifier.fit(pairs)
    assert verifier is not None
    want = 0.5 * math.erfc(1 / math.sqrt(2))
    assert verifier.eer == pytest.approx(want, abs=0.005)
    assert roc(pairs).thresholds[roc(pairs).equal()] == pytest.approx(0.4, abs=0.005)


def test_a_curve_needs_both_kinds() -> None:
    for pairs in (pairs_of([], [0.5]), pairs_of([0.5], [])):
        with pytest.raises(ValueError, match="are needed"):
            roc(pairs)


@pytest.mark.parametrize("bad", [[math.nan], [math.inf], [[0.5]]])
def test_scores_that_are_no_numbers_are_refused(bad: list[object]) -> None:
    for same, other in ((bad, [0.5]), ([0.5], bad)):
        with pytest.raises(ValueError, match="finite float64"):
            pairs_of(same, other)
    with pytest.raises(ValueError, match="finite float64"):
        Pairs(np.ones(1, np.float32), np.ones(1))  # type: ignore[arg-type]


# --- the kept thresholds


@settings(max_examples=60, deadline=None)
@given(lists(FEWEST_SAME, 40), lists(FEWEST_OTHER, 160))
def test_kept_rates_are_those_recomputed_and_fall_with_the_threshold(
    same: list[float], other: list[float]
) -> None:
    pairs = pairs_of(same, other)
    verifier = Verifier.fit(pairs)
    assert verifier is not None
    assert (verifier.pairs_same, verifier.pairs_other) == (len(same), len(other))
    kept = list(zip(verifier.thresholds, verifier.false_accept, verifier.false_reject, strict=True))
    for threshold, accept, reject in kept:
        assert (accept, reject) == rates(pairs, threshold)
    for strict, loose in itertools.pairwise(kept):
        assert strict[0] > loose[0]
        assert strict[1] <= loose[1]
        assert strict[2] >= loose[2]
    assert verifier.eer == pytest.approx(sum(naive_equal(pairs)) / 2)
    assert Verifier.model_validate_json(verifier.model_dump_json()) == verifier
    for asked in (0.0, 0.01, 0.05, 0.1, 0.3, 1.0):
        point = verifier.at(asked)
        allowed = [row for row in kept if row[1] <= asked]
        want = min(allowed) if allowed else max(kept)
        assert point == VerificationThreshold(*want, pairs=len(other))


@settings(max_examples=40, deadline=None)
@given(lists(FEWEST_SAME, 30), lists(FEWEST_OTHER, 160), st.sampled_from([0.02, 0.05, 0.1]))
def test_a_threshold_is_the_smallest_that_keeps_its_rate(
    same: list[float], other: list[float], rate: float
) -> None:
    pairs = pairs_of(same, other)
    verifier = Verifier.fit(pairs)
    assert verifier is not None
    supported = rate * len(other) >= 3 - 1e-9
    levels = sorted({*same, *other, 9.0})
    smallest = min(level for level in levels if rates(pairs, level)[0] <= rate)
    found = [
        threshold
        for threshold in verifier.thresholds
        if not any(smallest <= score < threshold for score in same + other)
        and not any(threshold <= score < smallest for score in same + other)
    ]
    # Kept exactly once, unless it is the threshold of another rate or of the equal error, too.
    assert len(found) == 1 if supported else len(found) <= 1


@pytest.mark.parametrize(
    ("other", "rates_kept"),
    [
        (100, 2), (149, 2), (150, 3), (299, 3), (300, 4), (599, 4), (600, 5), (1499, 5), (1500, 6),
        (2999, 6), (3000, 7),
    ],
)  # fmt: skip
def test_a_rate_needs_three_expected_pairs(other: int, rates_kept: int) -> None:
    pairs = pairs_of(np.linspace(0.5, 0.9, 20), np.linspace(0, 0.4, other))  # fully apart
    verifier = Verifier.fit(pairs)
    assert verifier is not None
    kept = FALSE_ACCEPTS[-rates_kept:]
    assert verifier.false_accept == pytest.approx(
        [0, *(math.floor(rate * other + 1e-9) / other for rate in kept)]
    )
    assert verifier.false_accept[0] == verifier.eer == 0  # the equal error, in the gap
    assert verifier.thresholds[0] == pytest.approx(0.45)
    assert set(verifier.false_reject) == {0}


def test_too_few_pairs_make_no_verifier() -> None:
    assert Verifier.fit(drawn(FEWEST_SAME - 1, 500)) is None
    assert Verifier.fit(drawn(50, FEWEST_OTHER - 1)) is None
    assert Verifier.fit(drawn(0, 0)) is None
    assert Verifier.fit(drawn(FEWEST_SAME, FEWEST_OTHER)) is not None


def test_a_rate_below_all_gets_the_strictest_there_is() -> None:
    verifier = Verifier.fit(drawn(200, 400))
    assert verifier is not None
    point = verifier.at(1e-4)
    assert point.threshold == max(verifier.thresholds)
    assert point.false_accept == 0.01  # and says so
    assert verifier.at(0.01) == point
    assert verifier.at(0.05).false_accept == 0.05


def test_scores_that_are_all_alike_are_accepted_or_refused_together() -> None:
    verifier = Verifier.fit(pairs_of([0.5] * 20, [0.5] * 100))
    assert verifier is not None
    # At any rate below 1 nothing may be accepted; both errors together are 1 everywhere.
    assert verifier.at(0.1) == VerificationThreshold(0.75, 0.0, 1.0, 100)
    assert verifier.eer == 0.5


def test_decisions_keep_their_rate_on_pairs_that_did_not_choose_them() -> None:
    verifier = Verifier.fit(drawn(2000, 20_000, seed=1))
    assert verifier is not None
    fresh = drawn(2000, 20_000, seed=2)
    for rate in (0.01, 0.05, 0.1):
        point = verifier.at(rate)
        accept, reject = rates(fresh, point.threshold)
        assert accept == pytest.approx(rate, rel=0.2)
        assert reject == pytest.approx(point.false_reject, abs=0.04)


GOOD = {
    "thresholds": (0.5, 0.4),
    "false_accept": (0.0, 0.1),
    "false_reject": (0.2, 0.1),
    "pairs_same": 20,
    "pairs_other": 100,
    "eer": 0.1,
}


@pytest.mark.parametrize(
    "change",
    [
        {"thresholds": (0.4, 0.5)},
        {"thresholds": (0.5, 0.5)},
        {"thresholds": (0.5,)},
        {"thresholds": (), "false_accept": (), "false_reject": ()},
        {"thresholds": (math.nan, 0.4)},
        {"thresholds": (math.inf, 0.4)},
        {"false_accept": (0.1, 0.0)},
        {"false_accept": (0.0, 1.1)},
        {"false_accept": (0.0, math.nan)},
        {"false_reject": (0.1, 0.2)},
        {"false_reject": (0.2,)},
        {"pairs_other": 0},
        {"eer": -0.1},
        {"odd": 1},
    ],
)
def test_a_verifier_out_of_order_is_refused(change: dict[str, object]) -> None:
    assert Verifier.model_validate(GOOD).at(1) == VerificationThreshold(0.4, 0.1, 0.1, 100)
    with pytest.raises(ValidationError):
        Verifier.model_validate({**GOOD, **change})


# --- which pairs

queries = st.lists(st.sampled_from(["a", "b", "c", "x", None]), max_size=8)
galleries = st.lists(st.sampled_from(["a", "b", "c", "d"]), max_size=8)


def all_pairs(query: Names, gallery: Names) -> tuple[set[tuple[int, int]], set[tuple[int, int]]]:
    every = list(itertools.product(range(len(query)), range(len(gallery))))
    same = {(i, j) for i, j in every if query[i] == gallery[j]}
    return same, set(every) - same


@settings(max_examples=150, deadline=None)
@given(queries, galleries, st.integers(0, 20), st.integers(0, 20), st.integers(0, 99))
def test_pairs_are_of_their_kind_distinct_and_evenly_spread(
    query: Names, gallery: Names, most_same: int, most_other: int, seed: int
) -> None:
    got = sample_pairs(query, gallery, most_same=most_same, most_other=most_other, seed=seed)
    again = sample_pairs(query, gallery, most_same=most_same, most_other=most_other, seed=seed)
    for rows, same_rows, there, most in zip(
        got, again, all_pairs(query, gallery), (most_same, most_other), strict=True
    ):
        np.testing.assert_array_equal(rows, same_rows)
        assert rows.shape == (min(most, len(there)), 2)
        assert rows.dtype == np.int64
        found = [(int(i), int(j)) for i, j in rows]
        assert found == sorted(set(found))
        assert set(found) <= there
        taken, have = Counter(i for i, _ in found), Counter(i for i, _ in there)
        most_taken = max(taken.values(), default=0)
        for i in have:  # whoever has fewer than another has none left, or lost the draw for one
            assert taken[i] >= min(have[i], most_taken - 1)


def test_a_new_individual_is_nobody_in_the_gallery() -> None:
    same, other = sample_pairs([None, "a", "x"], ["a", "b"], seed=0)
    assert same.tolist() == [[1, 0]]
    assert other.tolist() == [[0, 0], [0, 1], [1, 1], [2, 0], [2, 1]]


def test_a_gallery_photograph_without_an_identity_is_refused() -> None:
    with pytest.raises(ValueError, match="photograph 1 has no identity"):
        sample_pairs(["a"], ["a", None], seed=0)
    with pytest.raises(ValueError, match="numbers of pairs must not be negative"):
        sample_pairs(["a"], ["a"], most_other=-1, seed=0)


def test_every_pair_is_as_likely_as_another() -> None:
    query: Names = ["a", None]
    gallery: Names = ["b", "a", "c", "a", "d", "e"]
    drawn_pairs = [
        sample_pairs(query, gallery, most_same=1, most_other=4, seed=seed) for seed in range(2000)
    ]
    same = Counter(tuple(row) for s, _ in drawn_pairs for row in s.tolist())
    other = Counter(tuple(row) for _, o in drawn_pairs for row in o.tolist())
    assert set(same) == {(0, 1), (0, 3)}
    assert min(same.values()) > 900
    # Two of the four other photographs of the first query, two of six of the second.
    assert set(other) == {(0, j) for j in (0, 2, 4, 5)} | {(1, j) for j in range(6)}
    assert all(abs(count - (1000 if i == 0 else 667)) < 100 for (i, _), count in other.items())


def test_where_not_all_queries_have_a_turn_chance_says_which() -> None:
    query, gallery = ["a"] * 6, ["a", "b"]
    turns = Counter(
        row
        for seed in range(600)
        for row in sample_pairs(query, gallery, most_other=2, most_same=0, seed=seed)[1][:, 0]
    )
    assert all(abs(turns[row] - 200) < 50 for row in range(6))


def test_another_seed_draws_other_pairs() -> None:
    query, gallery = ["a", "b"] * 20, ["a", "b", "c"] * 20
    one, other = (sample_pairs(query, gallery, most_other=50, seed=s)[1] for s in (0, 1))
    assert not np.array_equal(one, other)


def test_a_large_gallery_is_sampled_without_listing_its_pairs() -> None:
    gallery = [f"w{i // 2}" for i in range(60_000)]
    query: Names = [f"w{i}" for i in range(0, 30_000, 15)]  # 120 million pairs
    same, other = sample_pairs(query, gallery, seed=3)
    assert (len(same), len(other)) == (4000, 5000)
    names = np.array(gallery)
    asked = np.array(query)
    assert (asked[same[:, 0]] == names[same[:, 1]]).all()
    assert (asked[other[:, 0]] != names[other[:, 1]]).all()
    assert set(Counter(other[:, 0].tolist()).values()) == {2, 3}
    assert 25_000 < other[:, 1].mean() < 35_000
