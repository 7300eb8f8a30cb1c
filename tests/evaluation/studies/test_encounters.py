"""Groups of queries answered together, and the exponent that is fitted on them."""

from collections import Counter
from typing import Any

import numpy as np
import pytest

from flukeprint.config.ranking import RankConfig
from flukeprint.data.embeddings import Embeddings
from flukeprint.evaluation.fitting import fit_calibration
from flukeprint.evaluation.studies import encounters
from flukeprint.evaluation.studies.encounters import (
    EXPONENTS,
    DrawnGroup,
    GroupAnswers,
    draw_groups,
    fit_encounters,
    fit_exponent,
)
from flukeprint.ranking.calibration import posterior
from flukeprint.ranking.encounters.combine import merge_encounter
from flukeprint.ranking.features import Features
from flukeprint.ranking.pipeline import QueryRanker
from flukeprint.ranking.ranking import Ranking
from flukeprint.ranking.rules import FittedRules


def test_groups_are_of_one_animal_and_one_kind() -> None:
    animals = ["a", "a", "a", "b", "b", None, "c", "a"]
    kinds = ["l", "l", "r", "l", "r", "l", "l", "l"]
    groups = draw_groups(animals, 2, draws=5, seed=0)
    assert Counter(group.animal for group in groups) == {"a": 5, "b": 5}
    assert groups == draw_groups(animals, 2, draws=5, seed=0)
    assert groups != draw_groups(animals, 2, draws=5, seed=1)
    for group in groups:
        assert len(set(group.queries)) == 2
        assert {animals[query] for query in group.queries} == {group.animal}
    one_sided = draw_groups(animals, 2, draws=5, seed=0, kinds=kinds)
    assert Counter(group.animal for group in one_sided) == {"a": 5}
    assert {query for group in one_sided for query in group.queries} == {0, 1, 7}
    assert {g.animal for g in draw_groups(animals, 1, draws=1, seed=0, least=2)} == {"a", "b"}


def drawn(animals: int, photographs: int, shared: float) -> tuple[QueryRanker, list[str]]:
    """A gallery of directions, and queries whose noise is in part the same for one animal."""
    rng = np.random.default_rng(0)
    centers = rng.standard_normal((animals, 16))
    noise = rng.standard_normal((animals, 1, 16)) * np.sqrt(shared)
    own = rng.standard_normal((animals, photographs, 16)) * np.sqrt(1 - shared)
    queries = (centers[:, None] + 1.3 * (noise + own)).reshape(-1, 16)
    names = [f"w{i}" for i in range(animals)]
    of_query = [name for name in names for _ in range(photographs)]

    def embedded(vectors: np.ndarray, known: list[str | None], prefix: str) -> Features:
        unit = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
        images = tuple(f"{prefix}{i}" for i in range(len(unit)))
        return Features(Embeddings(unit, images, tuple(known), None, "drawn"))

    gallery = embedded(centers, list(names), "g")
    return QueryRanker(
        gallery, embedded(queries, [None] * len(queries), "q"), RankConfig()
    ), of_query


def test_independent_photographs_count_for_more_than_alike_ones() -> None:
    found = []
    for shared in (0.0, 0.9):
        ranker, answers = drawn(60, 3, shared)
        ranking = ranker.rank(FittedRules(), top=60)
        calibration = fit_calibration(ranking, answers)
        assert calibration is not None
        fitted = fit_encounters(ranker, FittedRules(), answers, calibration, seed=0)
        assert fitted.rules == RankConfig()
        found.append(fitted.encounter_exponent)
        # No other exponent makes the right answers of the groups likelier.
        groups = [g for size in (2, 3) for g in draw_groups(answers, size, draws=4, seed=0)]
        joint = GroupAnswers.of(ranking, groups, "mean", calibration)
        chosen = fit_exponent(joint)
        losses = {e: -np.log(np.maximum(joint.at(e)[1], 1e-6)).mean() for e in EXPONENTS}
        assert losses[chosen] == pytest.approx(min(losses.values()), abs=1e-8)
    assert found[0] > 0.7 > found[1] + 0.2


def test_a_group_has_the_probabilities_of_its_merged_answer() -> None:
    ranker, answers = drawn(30, 2, 0.0)
    ranking = ranker.rank(FittedRules(), top=30)
    calibration = fit_calibration(ranking, answers)
    assert calibration is not None
    joint = GroupAnswers.of(
        ranking, [DrawnGroup("w3", (6, 7)), DrawnGroup("w3", (7,))], "best", calibration
    )
    first, right = joint.at(0.0)
    for number, queries in enumerate(([6, 7], [7])):
        merged = merge_encounter(ranking.take(queries), "best", calibration)
        shares = posterior(merged, calibration).identities[0]
        assert first[number] == shares[0]
        assert right[number] == shares[merged.identities[0].index("w3")]
    powered = joint.at(1.0)[0]
    assert powered[0] > first[0]
    assert powered[1] == first[1]


def test_of_many_identities_the_best_of_each_photograph_are_looked_at(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ranker, answers = drawn(60, 3, 0.5)
    every = ranker.rank(FittedRules(), top=60)
    calibration = fit_calibration(every, answers)
    assert calibration is not None
    best = ranker.rank(FittedRules(), top=7)
    groups = draw_groups(answers, 2, draws=4, seed=0)
    joint = GroupAnswers.of(best, groups, "mean", calibration)
    assert joint.likely.identities.shape == (len(groups), 7)
    right = joint.at(0.5)[1]
    absent = 0
    for number, group in enumerate(groups):
        scores: dict[str | None, list[float]] = {}
        for query in group.queries:
            found = dict(zip(best.identities[query], best.scores[query].tolist(), strict=True))
            for name in {n for q in group.queries for n in best.identities[q]}:
                scores.setdefault(name, []).append(found.get(name, min(found.values())))
        order = sorted(scores, key=lambda name: -sum(scores[name]))[:7]
        absent += group.animal not in order
        assert (right[number] > 0) == (group.animal in order)
    assert absent
    seen = []
    rank = ranker.rank

    def noted(*given: Any, top: int) -> Ranking:
        seen.append(top)
        return rank(*given, top=top)

    monkeypatch.setattr(ranker, "rank", noted)
    exponents = {}
    for most in (45, 60, 1000):
        monkeypatch.setattr(encounters, "MOST_IDENTITIES", most)
        fitted = fit_encounters(ranker, FittedRules(), answers, calibration, seed=0)
        exponents[most] = fitted.encounter_exponent
    assert seen == [45, 60, 60]
    assert exponents[60] == exponents[1000]
    assert abs(exponents[45] - exponents[60]) <= 0.1


def test_too_few_animals_fit_nothing() -> None:
    ranker, answers = drawn(30, 2, 0.0)
    calibration = fit_calibration(ranker.rank(FittedRules(), top=30), answers)
    assert fit_encounters(ranker, FittedRules(), answers, None, seed=0) == FittedRules()
    few = [name if int(name[1:]) < 19 else None for name in answers]
    assert fit_encounters(ranker, FittedRules(), few, calibration, seed=0) == FittedRules()
