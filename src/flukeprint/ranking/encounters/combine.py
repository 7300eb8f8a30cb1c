"""Combine the photographs of one encounter, which show one animal, into one ranked answer.

`COMBINATIONS` is the table of the rules of `rank.encounters`.  Each of them gives scores in the
range of a single photograph's, and one photograph is answered as if there were no encounter.  A
threshold for new individuals comes after it, as for one photograph.

Several photographs of one animal say more than one, and less than as many independent ones:
`encounter_weight` is how many independent ones they are worth.  Its exponent is fitted on the
fold's queries in `evaluation/studies/encounters.py`.
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from flukeprint.config.ranking import EncounterRule
from flukeprint.data.embeddings import Values
from flukeprint.ranking.calibration import Calibration, Posterior, sharpness
from flukeprint.ranking.ranking import Ranking

# Of two equally good answers a calibration asks for a sharpness without limit.
_SHARPEST = 1000.0


def mean_scores(scores: Values, sharp: Callable[[], Values]) -> Values:
    """The mean over the photographs."""
    return np.asarray(scores.mean(axis=0))


def best_scores(scores: Values, sharp: Callable[[], Values]) -> Values:
    """The best over the photographs."""
    return np.asarray(scores.max(axis=0))


def joint_scores(scores: Values, sharp: Callable[[], Values]) -> Values:
    """The order of the product of the photographs' probabilities, as a mean of scores.

    A photograph's probability of identity i is proportional to exp(b s_i), where its calibration
    gives b (`sharpness`).  So the product over photographs is proportional to exp(sum(b s_i)), and
    the mean of the scores, weighted by b, has its order.
    """
    weights = np.minimum(sharp(), _SHARPEST)
    if not weights.sum() > 0:
        return mean_scores(scores, sharp)
    return np.asarray(weights @ scores / weights.sum())


# From scores (q, n) of n identities by q photographs, and what gives their sharpness (q,), to (n,).
COMBINATIONS: dict[EncounterRule, Callable[[Values, Callable[[], Values]], Values]] = {
    "mean": mean_scores,
    "best": best_scores,
    "probabilities": joint_scores,
}


def merge_encounter(
    ranking: Ranking, rule: EncounterRule = "mean", calibration: Calibration | None = None
) -> Ranking:
    """Rank q photographs of one encounter as one query, by a rule of `COMBINATIONS`.

    ranking: of all identities for each photograph, or of those that an index found, made without a
    threshold.  An identity that was not found for a photograph has its lowest score there.  The
    best-matching gallery photograph of an identity is that of the query with its best score (the
    first of equal ones).  Equal scores are ordered by its row, as everywhere.
    calibration: of single photographs; without one, `probabilities` weighs all alike, as `mean`.

    Raises ValueError for rankings with a threshold or without identities.
    """
    if len(ranking) == 1 and None not in ranking.identities[0] and ranking.identities[0]:
        return _in_order(ranking)
    found = {name for names in ranking.identities for name in names}
    names = sorted(name for name in found if name is not None)
    if not names or len(names) < len(found):
        raise ValueError("an encounter needs photographs ranked without a threshold")
    scores, rows = _table(ranking, names)

    def sharp() -> Values:
        return np.ones(len(ranking)) if calibration is None else sharpness(ranking, calibration)

    joint = COMBINATIONS[rule](scores, sharp).astype(np.float32)
    n = len(names)
    best_rows = rows[np.where(rows < 0, -np.inf, scores).argmax(axis=0), np.arange(n)]
    order = np.lexsort((best_rows, -joint))
    spare = max(0, ranking.scores.shape[1] - n)
    return Ranking(
        images=ranking.images[:1],
        identities=(tuple(names[i] for i in order),),
        scores=np.concatenate([joint[order], np.full(spare, np.nan, np.float32)])[None],
        rows=np.concatenate([best_rows[order], np.full(spare, -1)])[None],
        best_known=joint[order][:1],
    )


def _in_order(ranking: Ranking) -> Ranking:
    """The encounter of one photograph: every rule keeps its scores."""
    names, n = ranking.identities[0], len(ranking.identities[0])
    order = np.lexsort((ranking.rows[0, :n], -ranking.scores[0, :n]))
    if (order == np.arange(n)).all():
        return ranking
    places = np.concatenate([order, np.arange(n, ranking.scores.shape[1])])
    return replace(
        ranking,
        identities=(tuple(names[place] for place in order),),
        scores=ranking.scores[:, places],
        rows=ranking.rows[:, places],
        best_known=ranking.scores[0, order[:1]],
    )


def encounter_weight(photographs: int, exponent: float) -> float:
    """How many independent photographs those of an encounter are worth: a power of their number.

    exponent: from 0, where they say no more than one does, to 1, where they are independent.
    """
    return float(max(photographs, 1) ** exponent)


def of_encounter(likely: Posterior, weight: float) -> Posterior:
    """The probabilities of an encounter, from those of one photograph with its joint scores.

    Those of the identities are raised to the power `weight` and add up to as much as before; that
    of a new individual stays.  Their order stays too.
    """
    known = 1 - likely.new
    if weight == 1 or not likely.identities.size:
        return likely
    with np.errstate(divide="ignore"):
        power = weight * np.log(likely.identities)
    top = power.max(axis=1, keepdims=True)
    raised = np.exp(power - np.where(np.isfinite(top), top, 0.0))
    total = raised.sum(axis=1, keepdims=True)
    shares = np.divide(raised, total, out=np.zeros_like(raised), where=total > 0)
    return replace(likely, identities=known[:, None] * shares)


def _table(ranking: Ranking, names: list[str]) -> tuple[Values, npt.NDArray[np.int64]]:
    """Scores and rows (q, n) of the identities `names`, row -1 where one was not found."""
    place: dict[str | None, int] = {name: column for column, name in enumerate(names)}
    scores = np.empty((len(ranking), len(names)))
    rows = np.full(scores.shape, -1, dtype=np.int64)
    for query, found in enumerate(ranking.identities):
        columns = [place[name] for name in found]
        here = ranking.scores[query, : len(found)]
        scores[query] = here.min(initial=np.inf)
        scores[query, columns] = here
        rows[query, columns] = ranking.rows[query, : len(found)]
    return scores, rows
