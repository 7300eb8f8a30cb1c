"""Calibrated probabilities: how likely the first answer, or any identity, is to be right.

`Calibration` turns the scores of a ranking into the probability that its first answer is right;
`posterior` spreads probability over all identities and a new individual, and `in_order` makes these
agree with the order of the answers, which the threshold decides.  `Calibration` is fitted on
queries with known answers in `evaluation/fitting.py`, and `evaluation/reliability.py` measures how
far its probabilities are from what was observed.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from pydantic import Field

from flukeprint.config.base import Section
from flukeprint.data.embeddings import Values
from flukeprint.ranking.ranking import Ranking

# Halvings of an interval of sharpness that spans what float64 can tell apart.
_STEPS = 80
_SHARPEST = 1e6


class Logistic(Section):
    """Logistic model 1 / (1 + exp(-(intercept + score * s + lead * d))) of two features.

    s: score of the nearest known identity; d: its lead over the second nearest.
    """

    intercept: float = Field(allow_inf_nan=False)
    score: float = Field(allow_inf_nan=False)
    lead: float = Field(allow_inf_nan=False)

    def __call__(self, features: Values) -> Values:
        """Probabilities (q,) from features (q, 2)."""
        power = self.intercept + features @ np.array([self.score, self.lead])
        return np.asarray(0.5 * (1 + np.tanh(power / 2)))  # does not overflow


class Rising(Logistic):
    """A logistic model that never falls as the score or the lead rises."""

    score: float = Field(ge=0, allow_inf_nan=False)
    lead: float = Field(ge=0, allow_inf_nan=False)


class Calibration(Section):
    """Platt calibration of the first answer, for either answer and at any threshold.

    right: probability that the nearest identity is right, given that the individual is known.
    known: probability that the individual is known; None where no query was of a new one.
    So the nearest identity is right with `known * right`, a new individual with `1 - known`.
    Both rise with the score and with the lead (Platt, Probabilities for SV machines, 1999).
    queries: how many queries it was fitted on.
    """

    right: Rising
    known: Rising | None
    queries: int

    def probabilities(self, ranking: Ranking) -> Values:
        """Probability (q,) that the first answer of each query is right; any threshold will do."""
        x = features(ranking)
        known = np.ones(len(x)) if self.known is None else self.known(x)
        is_new = np.array([names[0] is None for names in ranking.identities], dtype=bool)
        return np.where(is_new, 1 - known, known * self.right(x))


def features(ranking: Ranking) -> Values:
    """Features (q, 2) of calibration: score of the nearest identity, and its lead over the second.

    Where the gallery has one identity, a second one is taken to be as far as possible (-1).
    Raises ValueError when the ranking has too few answers to hold two known identities.
    """
    if ranking.scores.shape[1] < 3:
        raise ValueError("a probability needs at least three answers for each query")
    known = np.full((len(ranking), 2), -1.0)
    for query, names in enumerate(ranking.identities):
        at = [place for place, name in enumerate(names) if name is not None][:2]
        known[query, : len(at)] = ranking.scores[query, at]
    return np.stack([known[:, 0], known[:, 0] - known[:, 1]], axis=1)


@dataclass(frozen=True)
class Posterior:
    """Probabilities of every identity and of a new individual, for q queries.

    identities: (q, n) in the order of the ranking, probability that this is the individual.
    new: (q,) probability that the individual is not in the gallery.
    With two identities or more, the row sums and `new` add up to 1.
    """

    identities: Values
    new: Values


def posterior(ranking: Ranking, calibration: Calibration) -> Posterior:
    """Spread each query's probability over all identities of the gallery and a new individual.

    ranking: of all identities, made without a threshold; ValueError otherwise.

    The first column is `known * right` of `Calibration`, exactly.  The others are
    `known * (1 - right) * w / sum(w)`, w_i = exp(-b (s_1 - s_i)), with b chosen for each query so
    that exp(b s_1) / sum(exp(b s_i)) is `right`, as near as ties and the number of identities let
    it be.
    """
    n = len(ranking.identities[0]) if len(ranking) else 0
    if any(None in names or len(names) != n for names in ranking.identities):
        raise ValueError("a posterior needs a ranking of all identities, without new individuals")
    x = features(ranking)
    known = np.ones(len(x)) if calibration.known is None else calibration.known(x)
    right = calibration.right(x)
    behind = _behind(ranking)
    weights = np.exp(-_sharpness(behind, right)[:, None] * behind)
    rest = weights.sum(axis=1, keepdims=True)
    others = np.divide(weights, rest, out=np.zeros_like(weights), where=rest > 0)
    # All others have weight 0: they are equally unlikely.
    others[rest[:, 0] == 0] = 1 / max(1, behind.shape[1])
    joined = np.concatenate([right[:, None], (1 - right)[:, None] * others], axis=1)
    return Posterior(identities=known[:, None] * joined, new=1 - known)


def sharpness(ranking: Ranking, calibration: Calibration) -> Values:
    """How fast probability falls with the score (q,): the b of `posterior`.

    ranking: of all identities, or the best of them, made without a threshold.
    """
    return _sharpness(_behind(ranking), calibration.right(features(ranking)))


def in_order(likely: Posterior, places: npt.ArrayLike, top: int = 5) -> Posterior:
    """Lower probabilities that exceed the one of an answer before them in the ranking.

    likely: of `posterior`, identities in the order of the ranking.  places: (q,) how many of them
    stand before the new individual.  top: number of answers; a new individual behind them is none,
    and has at most the probability of the first.

    The threshold is chosen for MAP@5, or by a user, and a calibration by likelihood, so that an
    answer may be less probable than one behind it.  The order decides: no answer is given more
    than the one before it.  The first keeps its calibrated probability, none is given more than
    its own, and what is cut off belongs to none of them.
    """
    q, n = likely.identities.shape
    answered = np.asarray(places) < top
    chain = np.empty((q, n + 1))
    at_new = np.arange(n + 1) == np.where(answered, places, n)[:, None]
    chain[~at_new], chain[at_new] = likely.identities.ravel(), likely.new
    chain = np.minimum.accumulate(chain, axis=1)
    unanswered = np.minimum(likely.new, chain[:, 0])
    return Posterior(
        identities=chain[~at_new].reshape(q, n),
        new=np.where(answered, chain[at_new], unanswered),
    )


def _behind(ranking: Ranking) -> Values:
    """How far the other identities' scores are behind the first (q, n - 1)."""
    n = len(ranking.identities[0]) if len(ranking) else 0
    scores = ranking.scores[:, :n].astype(np.float64)
    return scores[:, :1] - scores[:, 1:]


def _sharpness(behind: Values, right: Values) -> Values:
    """Solve 1 / (1 + sum(exp(-b behind))) = right for b >= 0 (q,); the left side rises with b."""
    low, high = np.zeros(len(right)), np.full(len(right), _SHARPEST)
    for _ in range(_STEPS):
        middle = (low + high) / 2
        first = 1 / (1 + np.exp(-middle[:, None] * behind).sum(axis=1))
        short = first < right
        low, high = np.where(short, middle, low), np.where(short, high, middle)
    return np.asarray((low + high) / 2)
