"""Which queries are shown, and which pair of photographs."""

import numpy as np
import pytest

from flukeprint.evaluation.fold_pictures import pick_queries
from flukeprint.ranking.ranking import Ranking


def ranking_of(first: list[str | None]) -> Ranking:
    n = len(first)
    return Ranking(
        images=tuple(map(str, range(n))),
        identities=tuple((name, "other") for name in first),
        scores=np.tile(np.array([[0.9, 0.1]], np.float32), (n, 1)),
        rows=np.zeros((n, 2), np.int64),
        best_known=np.ones(n, np.float32),
    )


@pytest.mark.parametrize(
    ("first", "truths", "right"),
    [
        (["a"] * 100, ["a"] * 50 + ["b"] * 50, 2),
        (["a"] * 100, ["a"] * 100, 4),
        (["a"] * 100, ["b"] * 100, 0),
        ([None] * 8, [None] * 6 + ["b"] * 2, 3),
        (["a"], ["b"], 0),
        (["a", "b"], ["a", "b"], 2),
    ],
)
def test_queries_are_shown_as_often_right_as_they_are(
    first: list[str | None], truths: list[str | None], right: int
) -> None:
    picked = pick_queries(ranking_of(first), truths)
    assert len(picked) == len(set(picked)) == min(4, len(first))
    assert sum(first[query] == truths[query] for query in picked) == right
