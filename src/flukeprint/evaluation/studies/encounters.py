"""Photographs of one animal answered together: drawn groups, how good and how sure the answers are.

Folds mostly do not tell when a photograph was taken, so that groups are drawn: some of the fold's
queries of one animal stand for the photographs of one encounter.  `fit_exponent` fits how much more
several photographs say than one, for `encounter_weight` in `ranking/encounters/combine.py`.
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np

from flukeprint.config.ranking import EncounterRule
from flukeprint.data.embeddings import Ints, Values
from flukeprint.ranking.calibration import Calibration, Posterior, posterior
from flukeprint.ranking.encounters.combine import encounter_weight, merge_encounter, of_encounter
from flukeprint.ranking.pipeline import QueryRanker
from flukeprint.ranking.ranking import Ranking, merge_rankings
from flukeprint.ranking.rules import FittedRules

SIZES = (2, 3)  # photographs of a group that is fitted on
DRAWS = 4  # groups of an animal and a size
MOST_ANIMALS = 300  # drawn ones, whose queries are ranked
# Best identities of a query.  All of 6,700 drawn ones gave the same exponent as 1,000, within 0.05.
MOST_IDENTITIES = 1000
FEWEST_ANIMALS = 20  # with two queries or more; with fewer nothing is fitted
EXPONENTS = tuple(step / 20 for step in range(21))
_LEAST = 1e-6  # probability of a right answer; one sure mistake must not decide alone


@dataclass(frozen=True)
class DrawnGroup:
    """Queries of one animal that are answered together: their places, and whose they are."""

    animal: str
    queries: tuple[int, ...]


def draw_groups(
    animals: Sequence[str | None],
    size: int,
    *,
    draws: int,
    seed: int,
    least: int = 1,
    kinds: Sequence[Hashable] | None = None,
) -> list[DrawnGroup]:
    """Draw `draws` groups of `size` queries of each animal that has at least `least` of them.

    animals: (q) whom each query shows; None is left out.  kinds: (q) a group's queries are of one
    kind, such as a view; each kind of an animal then counts as one that has `least` or not.
    A group holds no query twice; two groups may be alike.
    """
    rng = np.random.default_rng([seed, size])
    own: dict[tuple[str, Hashable], list[int]] = {}
    for query, animal in enumerate(animals):
        if animal is not None:
            kind = None if kinds is None else kinds[query]
            own.setdefault((animal, kind), []).append(query)
    return [
        DrawnGroup(animal, tuple(sorted(rng.choice(queries, size, replace=False).tolist())))
        for (animal, _), queries in own.items()
        if len(queries) >= max(size, least)
        for _ in range(draws)
    ]


@dataclass(frozen=True)
class GroupAnswers:
    """The answers to g groups by one rule, with the probabilities of one photograph's calibration.

    likely: of all identities, or the likeliest, in the order of the answers.  truth: (g,) place of
    the right identity among them, counted from 0, -1 if it is none.  sizes: (g,) photographs of
    each.
    """

    likely: Posterior
    truth: Ints
    sizes: Ints

    @classmethod
    def of(
        cls,
        ranking: Ranking,
        groups: Sequence[DrawnGroup],
        rule: EncounterRule,
        calibration: Calibration,
    ) -> "GroupAnswers":
        """Answer the groups; `ranking` is of all identities for each query, or as many of each."""
        width = ranking.scores.shape[1]  # photographs find different ones, if they do not find all
        merged = merge_rankings(
            [
                (
                    np.array([number]),
                    merge_encounter(ranking.take(group.queries), rule, calibration).first(width),
                )
                for number, group in enumerate(groups)
            ]
        )
        truth = [
            names.index(group.animal) if group.animal in names else -1
            for names, group in zip(merged.identities, groups, strict=True)
        ]
        sizes = [len(group.queries) for group in groups]
        return cls(posterior(merged, calibration), np.array(truth), np.array(sizes))

    def at(self, exponent: float) -> tuple[Values, Values]:
        """Probability (g,) of the first answer, and of the right one, at an exponent."""
        first, right = np.empty(len(self.truth)), np.empty(len(self.truth))
        for size in np.unique(self.sizes).tolist():
            here = np.flatnonzero(self.sizes == size)
            likely = Posterior(self.likely.identities[here], self.likely.new[here])
            shares = of_encounter(likely, encounter_weight(size, exponent)).identities
            places = self.truth[here]
            first[here] = shares[:, 0]
            right[here] = np.where(places < 0, 0, shares[np.arange(len(here)), places])
        return first, right


def fit_exponent(answers: GroupAnswers) -> float:
    """The exponent of EXPONENTS by which the right answers are likeliest, of equal ones the least.

    Every group counts alike.
    """
    losses = [
        -float(np.log(np.maximum(answers.at(exponent)[1], _LEAST)).mean()) for exponent in EXPONENTS
    ]
    return EXPONENTS[int(np.argmin(np.round(losses, 9)))]


def fit_encounters(
    ranker: QueryRanker,
    fitted: FittedRules,
    answers: Sequence[str | None],
    calibration: Calibration | None,
    *,
    seed: int,
) -> FittedRules:
    """Fit the exponent of encounters on groups of a fold's queries; 0 where they are too few.

    answers: (q) the right identity of each query, None for an individual absent from the gallery.
    """
    chosen = _some_queries(answers, seed)
    if calibration is None or not len(chosen):
        return fitted
    names = [answers[row] for row in chosen]
    known = len(ranker.scorer.gallery.vocabulary)
    ranking = ranker.rank(fitted, chosen, top=max(3, min(known, MOST_IDENTITIES)))
    groups = [group for size in SIZES for group in draw_groups(names, size, draws=DRAWS, seed=seed)]
    found = GroupAnswers.of(ranking, groups, fitted.rules.encounters, calibration)
    return fitted.model_copy(update={"encounter_exponent": fit_exponent(found)})


def _some_queries(answers: Sequence[str | None], seed: int) -> Ints:
    """Places of the queries of some animals with two or more, at most the largest size of each."""
    rng = np.random.default_rng([seed, 0])
    own: dict[str, list[int]] = {}
    for row in rng.permutation(len(answers)).tolist():
        if (name := answers[row]) is not None:
            own.setdefault(name, []).append(row)
    several = [rows for rows in own.values() if len(rows) >= min(SIZES)]
    if len(several) < FEWEST_ANIMALS:
        return np.empty(0, np.int64)
    picked = [row for rows in several[:MOST_ANIMALS] for row in rows[: max(SIZES)]]
    return np.array(sorted(picked), np.int64)
