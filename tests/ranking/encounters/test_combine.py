"""Photographs of one encounter as one query, against plain twins."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flukeprint.config.ranking import RankConfig
from flukeprint.ranking.calibration import Calibration, Posterior, Rising, posterior
from flukeprint.ranking.encounters.combine import (
    COMBINATIONS,
    encounter_weight,
    merge_encounter,
    of_encounter,
)
from flukeprint.ranking.ranking import Ranking, insert_new_individual

CALIBRATION = Calibration(
    right=Rising(intercept=-1.0, score=2.0, lead=5.0),
    known=Rising(intercept=0.5, score=1.0, lead=0.0),
    queries=100,
)


def of_photographs(tables: list[dict[str, tuple[float, int]]], width: int | None = None) -> Ranking:
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
    whole = merge_encounter(of_photographs(tables, len(tables[0]) + wider))
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
    alone = of_photographs(tables[:1])
    again = merge_encounter(alone)
    assert again.identities == alone.identities
    np.testing.assert_array_equal(again.scores, alone.scores)
    np.testing.assert_array_equal(again.rows, alone.rows)


def test_the_table_is_that_of_the_configuration() -> None:
    assert set(COMBINATIONS) == set(
        RankConfig.model_json_schema()["properties"]["encounters"]["enum"]
    )


@given(photographs(), st.sampled_from(sorted(COMBINATIONS)))
def test_one_photograph_is_its_own_encounter_by_every_rule(tables, rule):
    alone = of_photographs(tables[:1], 6)
    again = merge_encounter(alone, rule, CALIBRATION)
    assert again.identities == alone.identities
    np.testing.assert_array_equal(again.scores, alone.scores)
    np.testing.assert_array_equal(again.rows, alone.rows)


@given(photographs())
def test_the_best_is_that_of_the_best_photograph(tables):
    whole = merge_encounter(of_photographs(tables), "best")
    for name, score in zip(whole.identities[0], whole.scores[0], strict=True):
        assert score == max(np.float32(table[name][0]) for table in tables)


@given(photographs())
def test_it_stays_in_the_range_of_the_photographs(tables):
    ranking = of_photographs(tables, 6)
    for rule in COMBINATIONS:
        whole = merge_encounter(ranking, rule, CALIBRATION)
        for name, score in zip(whole.identities[0], whole.scores[0], strict=False):
            single = [np.float32(table[name][0]) for table in tables]
            assert min(single) - 1e-6 <= score <= max(single) + 1e-6


def test_the_joint_order_is_that_of_the_product_of_probabilities() -> None:
    rng = np.random.default_rng(0)
    mattered = 0
    for _ in range(200):
        tables = [{f"w{i}": (rng.uniform(-1, 1), i) for i in range(6)} for _ in range(3)]
        ranking = of_photographs(tables)
        likely = posterior(ranking, CALIBRATION)
        product = dict.fromkeys(tables[0], 0.0)
        for query, names in enumerate(ranking.identities):
            for place, name in enumerate(names):
                product[name] += math.log(likely.identities[query, place])
        whole = merge_encounter(ranking, "probabilities", CALIBRATION)
        assert list(whole.identities[0]) == sorted(product, key=lambda name: -product[name])
        mattered += whole.identities != merge_encounter(ranking, "mean").identities
    assert mattered > 20


@given(photographs())
def test_without_a_calibration_all_photographs_count_alike(tables):
    ranking = of_photographs(tables, 6)
    joint, mean = merge_encounter(ranking, "probabilities"), merge_encounter(ranking, "mean")
    assert sorted(joint.identities[0]) == sorted(mean.identities[0])
    np.testing.assert_allclose(joint.scores, mean.scores, atol=1e-6)


def test_two_equally_good_answers_do_not_outweigh_everything() -> None:
    ranking = of_photographs(
        [
            {"a": (0.9, 0), "b": (0.9, 1), "c": (0.1, 2)},
            {"a": (0.8, 0), "b": (0.2, 1), "c": (0.1, 2)},
        ]
    )
    assert merge_encounter(ranking, "probabilities", CALIBRATION).identities[0][0] == "a"


def test_a_threshold_is_refused() -> None:
    one = of_photographs([{"a": (0.5, 0), "b": (0.2, 1)}])
    with pytest.raises(ValueError, match="without a threshold"):
        merge_encounter(insert_new_individual(one, 0.3))


def test_what_an_index_did_not_find_has_the_lowest_score_of_the_photograph() -> None:
    two = Ranking(
        ("q0", "q1"), (("a", "b"), ("c", "a")), np.float32([[0.9, 0.5], [0.8, 0.4]]),
        np.int64([[0, 1], [2, 3]]), np.float32([0.9, 0.8]),
    )  # fmt: skip
    whole = merge_encounter(two)
    assert whole.identities == (("a", "c", "b"),)
    np.testing.assert_allclose(whole.scores, [[0.65, 0.65, 0.45]], atol=1e-6)
    assert whole.rows.tolist() == [[0, 2, 1]]


def test_photographs_are_worth_one_to_their_number() -> None:
    assert encounter_weight(1, 0.7) == 1
    assert encounter_weight(4, 0.0) == 1
    assert encounter_weight(4, 0.5) == 2
    assert encounter_weight(4, 1.0) == 4


@given(
    st.lists(st.floats(0, 1), min_size=2, max_size=6).filter(lambda each: sum(each) > 0.1),
    st.floats(0, 1),
    st.floats(1, 5),
)
def test_probabilities_are_raised_to_a_power_and_keep_their_sum(values, new, weight):
    shares = np.sort(np.array(values))[::-1] / sum(values)
    likely = Posterior((1 - new) * shares[None], np.array([new]))
    got = of_encounter(likely, weight)
    np.testing.assert_array_equal(got.new, likely.new)
    assert got.identities.sum() == pytest.approx(1 - new, abs=1e-9)
    assert np.all(np.diff(got.identities[0]) <= 1e-12)
    power = shares**weight
    np.testing.assert_allclose(got.identities[0], (1 - new) * power / power.sum(), atol=1e-9)
    np.testing.assert_array_equal(of_encounter(likely, 1.0).identities, likely.identities)


@pytest.mark.parametrize("rule", list(COMBINATIONS))
def test_one_photograph_is_ranked_as_the_same_twice(rule):
    """Whether or not its answers come in order."""
    rng = np.random.default_rng(3)
    scores = rng.normal(size=(1, 6)).astype(np.float32)
    scores[0, 4] = scores[0, 1]
    one = Ranking(
        images=("a",), identities=(tuple("wxyzuv"),), scores=scores,
        rows=np.array([[7, 9, 3, 1, 8, 0]]), best_known=scores.max(axis=1),
    )  # fmt: skip
    twice = Ranking(
        images=("a", "b"), identities=one.identities * 2, scores=np.repeat(scores, 2, axis=0),
        rows=np.repeat(one.rows, 2, axis=0), best_known=np.repeat(one.best_known, 2),
    )  # fmt: skip
    alone, both = merge_encounter(one, rule), merge_encounter(twice, rule)
    assert alone.identities == both.identities
    np.testing.assert_array_equal(alone.scores, both.scores)
    np.testing.assert_array_equal(alone.rows, both.rows)
    np.testing.assert_array_equal(alone.best_known, both.best_known)
