"""What can be found at best, counted by eye."""

import pytest

from flukeprint.evaluation.breakdown import ceiling
from flukeprint.ranking.scoring import view_numbers


def test_a_ceiling_by_eye():
    found = ceiling(
        ["left", "left", "right", None, "right", "left"],
        ["a", "b", "a", "a", None, "new"],
        ["left", "right", "right", None, "left"],
        ["a", "b", "a", "b", None],
    )
    # The query without a view and the one without an identity do not count.
    assert found.queries == {"left": 3, "right": 1}
    assert found.of_view == {"left": pytest.approx(1 / 3), "right": 1.0}
    assert found.overall == 0.5


def test_no_queries_have_no_ceiling():
    found = ceiling([None], ["a"], ["left"], ["a"])
    assert (found.overall, found.of_view, found.queries) == (None, {}, {})
    assert ceiling([], [], [], []).overall is None
    assert ceiling(["left"], ["a"], [], []).overall == 0
    with pytest.raises(ValueError):
        ceiling(["left"], [], [], [])


def test_numbers_of_views_are_the_same_on_both_sides():
    mine, theirs = view_numbers(("left", None, "top"), ("right", "left", None))
    assert mine.tolist() == [0 + 1, -1, 2]
    assert theirs[1] == mine[0]
    assert theirs[0] not in mine
    assert theirs[2] == -1
    assert view_numbers(None, ("left",)) == (None, None)
    assert view_numbers(("left",), None) == (None, None)
