"""One answer to several photographs: means of scores, by a naive twin."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flukeprint.ranking.ranking import Ranking, insert_new_individual, merge_encounter


def ranking(tables: list[dict[str, tuple[float, int]]], width: int | None = None) -> Ranking:
    """Of each photograph: identity -> (score, row of the photo that speaks for it)."""
    n = len(tables[0])
    scores = np.full((len(tables), width or n), np.nan, dtype=np.float32)
    rows = np.full((len(tables), width or n), -1, dtype=np.int64)
    names = []
    for query, table in enumerate(tables):
        order = sorted(table, key=lambda name: (-np.float32(table[name][0]), table[name][1]))
        scores[query, :n] = [table[name][0] for name in order]
        rows[query, :n] = [table[name][1] for name in order]
        names.append(tuple(order))
    images = tuple(f"q{i}" for i in range(len(tables)))
    return Ranking(images, tuple(names), scores, rows, scores[:, 0])


@st.composite
def photographs(draw):
    n, q = draw(st.integers(1, 6)), draw(st.integers(1, 4))
    values = st.floats(-1, 1, width=16)
    return [
        {f"w{i}": (draw(values), 10 * i + draw(st.integers(0, 9))) for i in range(n)}
        for _ in range(q)
    ]


@given(photographs(), st.integers(0, 3))
def test_it_is_the_mean_of_each_identity(tables, wider):
    whole = merge_encounter(ranking(tables, len(tables[0]) + wider))
    means = {name: np.mean([np.float32(t[name][0]) for t in tables]) for name in tables[0]}
    n = len(means)
    assert sorted(whole.identities[0]) == sorted(means)
    for place, name in enumerate(whole.identities[0]):
        assert whole.scores[0, place] == pytest.approx(means[name], abs=1e-6)
        best = max(np.float32(table[name][0]) for table in tables)
        first = next(table for table in tables if np.float32(table[name][0]) == best)
        assert whole.rows[0, place] == first[name][1]
    assert np.all(np.diff(whole.scores[0, :n]) <= 0)
    assert np.isnan(whole.scores[0, n:]).all()
    assert whole.best_known[0] == whole.scores[0, 0]
    assert whole.scores.shape[1] == n + wider


@given(photographs())
def test_one_photograph_is_its_own_encounter(tables):
    alone = ranking(tables[:1])
    again = merge_encounter(alone)
    assert again.identities == alone.identities
    np.testing.assert_array_equal(again.scores, alone.scores)
    np.testing.assert_array_equal(again.rows, alone.rows)


def test_other_identities_or_a_threshold_are_refused():
    one = ranking([{"a": (0.5, 0), "b": (0.2, 1)}])
    with pytest.raises(ValueError, match="without a threshold"):
        merge_encounter(insert_new_individual(one, 0.3))
    two = Ranking(
        ("q0", "q1"), (("a", "b"), ("a", "c")), np.float32([[1, 0], [1, 0]]),
        np.int64([[0, 1], [0, 1]]), np.float32([1, 1]),
    )  # fmt: skip
    with pytest.raises(ValueError, match="same identities"):
        merge_encounter(two)
