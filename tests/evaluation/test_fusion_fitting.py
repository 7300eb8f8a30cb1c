"""The weights of fused parts against another optimiser, and what fitting promises."""

from itertools import combinations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from flukeprint.evaluation.fusion_fitting import FEWEST, _weights, fit_fusion, places_of
from flukeprint.ranking.rules import FittedRules
from flukeprint.ranking.score_parts import Fusion, ScoreParts

Sides = npt.NDArray[np.bool_]


def case(
    seed: int, telling: dict[str, float], q: int = 60, c: int = 12, new: int = 0
) -> tuple[ScoreParts, npt.NDArray[np.int64], Sides]:
    """Parts of q queries, drawn by chance; that of the right identity is higher by `telling`."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, c, q)
    truth[:new] = -1
    known = np.flatnonzero(truth >= 0)

    def part(name: str) -> npt.NDArray[np.float32] | None:
        if name not in telling:
            return None
        values = rng.normal(size=(q, c))
        values[known, truth[known]] += telling[name]
        if name == "keypoints":
            values = np.maximum(values, 0)
        return values.astype(np.float32)

    embedding = part("embedding")
    assert embedding is not None
    parts = ScoreParts(0.1 * embedding, part("head"), part("keypoints"))
    return parts, truth, np.arange(q) % 2 == 0


def ap(scores: npt.NDArray[np.float64], truth: npt.NDArray[np.int64]) -> float:
    """Mean average precision at 5 by the book, the right one last of equal ones."""
    found = []
    for row, right in zip(scores, truth, strict=True):
        place = sum(value >= row[right] for value in row)
        found.append(1 / place if place <= 5 else 0.0)
    return float(np.mean(found))


def crossed(parts: ScoreParts, names: tuple[str, ...], truth, side: Sides) -> float:
    """MAP@5 of these parts, each half with weights of the other."""
    named, known, sums = dict(parts), truth >= 0, []
    for half in (side, ~side):
        weights = {names[0]: 1.0}
        if len(names) > 1:
            weights = _weights(named, names, truth, known & ~half)
        rows = known & half
        fused = sum(weights[name] * named[name][rows] for name in names)
        sums.append(ap(fused, truth[rows]) * rows.sum())
    return float(sum(sums) / known.sum())


@pytest.mark.parametrize("seed", range(3))
def test_weights_are_those_of_another_optimiser(seed: int) -> None:
    telling = {"embedding": 1.0, "head": 0.7, "keypoints": 1.5}
    parts, truth, _ = case(seed, telling)
    named = dict(parts)
    names = tuple(named)
    found = _weights(named, names, truth, np.ones(len(truth), bool))
    spread = {name: values.std() for name, values in named.items()}

    def loss(weights: npt.NDArray[np.float64]) -> float:
        weights = np.abs(weights)
        total = 0.0
        for query, right in enumerate(truth):
            power = sum(
                w * named[n][query] / spread[n] for n, w in zip(names, weights, strict=True)
            )
            total -= power[right] - np.log(np.exp(power).sum())
        return total / len(truth) + 1e-3 * float(weights @ weights)

    simplex = minimize(loss, np.ones(3), method="Nelder-Mead", options={"xatol": 1e-5})
    for name, weight in zip(names, np.abs(simplex.x), strict=True):
        assert found[name] * spread[name] == pytest.approx(weight, abs=2e-3)


def test_weights_are_never_negative() -> None:
    parts, truth, _ = case(0, {"embedding": 1.5, "head": -1.0})
    found = _weights(dict(parts), ("embedding", "head"), truth, np.ones(len(truth), bool))
    assert found["head"] == 0
    assert found["embedding"] > 0


@settings(max_examples=20, deadline=None)
@given(
    st.integers(0, 10_000),
    st.sampled_from([0.0, 0.5, 2.0]),
    st.sampled_from([None, 0.0, 1.0]),
    st.sampled_from([None, 0.0, 3.0]),
    st.sampled_from([0, 7]),
)
def test_no_choice_of_parts_is_better_on_other_individuals(
    seed: int, embedding: float, head: float | None, keypoints: float | None, new: int
) -> None:
    telling = {"embedding": embedding, "head": head, "keypoints": keypoints}
    given_parts = {name: value for name, value in telling.items() if value is not None}
    parts, truth, side = case(seed, given_parts, new=new)
    fusion = fit_fusion(parts, truth, side)
    used = tuple(name for name in given_parts if fusion.weight(name))
    choices = [names for size in range(1, 4) for names in combinations(given_parts, size)]
    quality = {names: crossed(parts, names, truth, side) for names in choices}
    chosen = [names for names in choices if set(used) <= set(names)]
    assert max(quality[names] for names in chosen) == pytest.approx(max(quality.values()))
    known = truth >= 0
    for name, values in dict(parts).items():
        assert fusion.measured[name] == pytest.approx(ap(values[known], truth[known]))
    together = " + ".join(used)
    if len(used) > 1 and together in fusion.measured:
        assert fusion.measured[together] == pytest.approx(quality[used])
        assert fusion.measured[together] >= max(fusion.measured[name] for name in given_parts)
    fused = fusion(parts)
    assert ((fused >= 0) & (fused <= 1)).all()


def test_a_useless_part_is_left_out_and_a_telling_one_is_used() -> None:
    parts, truth, side = case(1, {"embedding": 3.0, "head": 0.0, "keypoints": 5.0}, q=80)
    fusion = fit_fusion(parts, truth, side)
    assert fusion.head == 0
    assert fusion.keypoints > 0
    known_alone = fit_fusion(*case(2, {"embedding": 0.0, "keypoints": 8.0}, q=80))
    assert known_alone.embedding == 0
    assert known_alone.text().startswith("fused: keypoints x ")


def test_probabilities_are_about_as_often_right_as_they_say() -> None:
    parts, truth, side = case(3, {"embedding": 1.5, "keypoints": 2.0}, q=400)
    fused = fit_fusion(parts, truth, side)(parts)
    right = np.arange(12) == truth[:, None]
    assert fused.sum() == pytest.approx(right.sum(), rel=0.1)
    sure = fused > 0.5
    assert right[sure].mean() == pytest.approx(fused[sure].mean(), abs=0.1)


@pytest.mark.parametrize(("q", "new"), [(2 * FEWEST - 2, 0), (40, 32), (1, 0), (6, 6)])
def test_few_queries_leave_the_embedding_alone(q: int, new: int) -> None:
    parts, truth, side = case(4, {"embedding": 0.0, "head": 3.0, "keypoints": 9.0}, q=q, new=new)
    fusion = fit_fusion(parts, truth, side)
    assert fusion.embedding > 0
    assert (fusion.head, fusion.keypoints) == (0, 0)
    order = np.argsort(-fusion(parts), axis=1, kind="stable")
    np.testing.assert_array_equal(order, np.argsort(-parts.embedding, axis=1, kind="stable"))


def test_useless_scores_still_give_an_order() -> None:
    """An embedding that is worse than chance must not be turned round."""
    parts, truth, side = case(5, {"embedding": -2.0})
    fusion = fit_fusion(parts, truth, side)
    assert fusion.embedding > 0
    flat = ScoreParts(np.zeros((30, 4), np.float32))
    same = fit_fusion(flat, np.zeros(30, np.int64), np.arange(30) % 2 == 0)
    assert np.isfinite(same(flat)).all()


def test_of_equal_scores_the_right_one_is_last() -> None:
    scores = np.array([[0.5, 0.5, 0.1], [0.9, 0.1, 0.1], [0.0, 0.0, 0.0]])
    assert places_of(scores, np.array([0, 0, 1])).tolist() == [2, 1, 3]


def test_a_fusion_is_kept_in_json_and_older_rules_have_none() -> None:
    parts, truth, side = case(0, {"embedding": 1.0, "head": 0.7, "keypoints": 1.5})
    fitted = FittedRules(fusion=fit_fusion(parts, truth, side))
    again = FittedRules.model_validate_json(fitted.model_dump_json())
    assert again == fitted
    assert again.fusion is not None
    assert isinstance(fitted.fusion, Fusion)
    np.testing.assert_array_equal(again.fusion(parts), fitted.fusion(parts))
    old = FittedRules.model_validate_json('{"other_view": 0.1, "gain_scale": 0.5}')
    assert old.fusion is None
