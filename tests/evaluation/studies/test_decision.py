"""A threshold is fitted on other pairs than those it is measured on."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flukeprint.evaluation.studies.decision import Decided, best_threshold, decide_elsewhere
from flukeprint.evaluation.studies.individuals import draw_individuals
from flukeprint.evaluation.studies.pairs import ScoredPairs
from flukeprint.evaluation.verification import Pairs

levels = st.lists(st.integers(-5, 5).map(lambda i: i / 5), min_size=1, max_size=12)
TIMES = draw_individuals(4, seed=0, samples=100)


def balanced(pairs: Pairs, threshold: float) -> float:
    return float(((pairs.same >= threshold).mean() + (pairs.other < threshold).mean()) / 2)


@settings(max_examples=80, deadline=None)
@given(levels, levels)
def test_no_other_threshold_is_better(same: list[float], other: list[float]) -> None:
    pairs = Pairs(np.array(same), np.array(other))
    best = balanced(pairs, best_threshold(pairs))
    for threshold in [-9.0, 9.0, *same, *other]:
        assert balanced(pairs, threshold) <= best + 1e-12


def of(same: list[float], other: list[float], owners: tuple[int, int] = (0, 1)) -> ScoredPairs:
    """Pairs of the first individual, and of both."""
    return ScoredPairs(
        Pairs(np.array(same), np.array(other)),
        np.full(len(same), owners[0]), np.tile(owners, (len(other), 1)), 4,
    )  # fmt: skip


def joined(one: ScoredPairs, two: ScoredPairs) -> ScoredPairs:
    return ScoredPairs(
        Pairs(
            np.concatenate([one.scores.same, two.scores.same]),
            np.concatenate([one.scores.other, two.scores.other]),
        ),
        np.concatenate([one.same_owners, two.same_owners]),
        np.concatenate([one.other_owners, two.other_owners]),
        4,
    )


def test_each_half_is_measured_at_the_threshold_of_the_other() -> None:
    # Individuals 0 and 1 are told apart at 0.5, individuals 2 and 3 at 0.25.
    strict = of([0.6, 0.8, 0.3], [0.4, 0.4, 0.4, 0.4], (0, 1))
    loose = of([0.3, 0.3], [0.2, 0.2, 0.55], (2, 3))
    half = np.array([True, True, False, False])
    found = decide_elsewhere([joined(strict, loose)], [0], [half], TIMES)
    assert found is not None
    assert found.fitted_on == "the other half of the individuals"
    assert sorted(found.thresholds) == pytest.approx([0.25, 0.5])
    # `strict` at 0.25: all of one accepted, all of two; `loose` at 0.5: none of one, one of two.
    assert (found.accepted_same, found.rejected_same) == (3, 2)
    assert (found.accepted_other, found.rejected_other) == (5, 2)
    assert found.accuracy == pytest.approx((3 + 2) / 12)
    assert found.accuracy_of_never == pytest.approx(7 / 12)
    assert found.balanced.mean == pytest.approx((3 / 5 + 2 / 7) / 2)


def test_pairs_across_the_halves_are_not_used() -> None:
    half = np.array([True, True, False, False])
    two = joined(of([0.9], [0.1]), of([0.9], [0.1], (2, 3)))
    across = ScoredPairs(
        Pairs(two.scores.same, np.append(two.scores.other, 0.95)),
        two.same_owners, np.append(two.other_owners, [[1, 2]], axis=0), 4,
    )  # fmt: skip
    assert decide_elsewhere([across], [0], [half], TIMES) == decide_elsewhere(
        [two], [0], [half], TIMES
    )


def test_a_half_without_pairs_of_a_kind_has_no_threshold() -> None:
    half = np.array([True, True, False, False])
    assert decide_elsewhere([of([0.9], [0.1])], [0], [half], TIMES) is None


def test_a_fold_is_measured_at_the_threshold_of_the_other_folds() -> None:
    first, second = of([0.6], [0.4]), of([0.3], [0.2, 0.55])
    none = np.zeros(4, dtype=bool)
    found = decide_elsewhere([first, second], [0, 1], [none, none], TIMES)
    assert found is not None
    assert found.fitted_on == "other folds"
    # On `second` the best accepts 0.3 and 0.55, at 0.25; on `first` it is 0.5.
    assert found.thresholds == pytest.approx((0.25, 0.5))
    assert (found.accepted_same, found.rejected_same) == (1, 1)
    assert (found.accepted_other, found.rejected_other) == (2, 1)
    # Two seeds of one fold have the same pairs: neither is elsewhere.
    again = decide_elsewhere([first, second, second], [0, 1, 1], [none] * 3, TIMES)
    assert again is not None
    assert again.thresholds == pytest.approx((0.25, 0.5, 0.5))


def test_a_faultless_decision_has_an_interval_by_the_rule_of_3() -> None:
    one, two = of([0.9], [0.1]), of([0.9], [0.1], (2, 3))
    found = decide_elsewhere([joined(one, two)], [0], [np.array([True, True, False, False])], TIMES)
    assert isinstance(found, Decided)
    assert found.balanced.mean == 1
    assert found.balanced.low == 0  # of two individuals nothing can be said
