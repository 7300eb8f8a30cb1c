"""Apply a prior to the answers of photographs: their probabilities, scores and order.

The probability of each animal is multiplied by its weight, that of a new individual stays, and all
are divided by their sum.  Scores follow, so that order and threshold agree with the probabilities:
where probability is proportional to exp(b s), a weight e^w is worth w / b of score.
"""

from dataclasses import dataclass

import numpy as np

from flukeprint.data.embeddings import Values
from flukeprint.ranking.calibration import Posterior
from flukeprint.ranking.ranking import Ranking, refuse_new_individuals

# Where probability hardly depends on the score, a weight must not move it beyond all bounds.
_LEAST_SHARP = 0.1


@dataclass(frozen=True)
class Informed:
    """The answers after a prior: ranking and probabilities, both in the new order.

    factors: (q, n) by which the prior weighed each identity against the average one, in that order.
    """

    ranking: Ranking
    likely: Posterior
    factors: Values


def apply_prior(
    ranking: Ranking, likely: Posterior, log_weights: Values, sharp: Values
) -> Informed:
    """Apply log weights (q, n) of the identities, in the order of the ranking.

    ranking: of all identities, made without a threshold, and likely: its probabilities.
    sharp: (q,) how fast these fall with the score (`sharpness`).

    Raises ValueError for a ranking with a threshold, and weights that are not finite.
    """
    refuse_new_individuals(ranking)
    if log_weights.shape != likely.identities.shape or not np.isfinite(log_weights).all():
        raise ValueError("a prior has one finite weight for each identity of each query")
    n = log_weights.shape[1]
    shift = log_weights / np.maximum(sharp, _LEAST_SHARP)[:, None]
    moved = ranking.scores[:, :n].astype(np.float64) + shift
    order = np.argsort(-moved, axis=1, kind="stable")
    scores, rows = ranking.scores.copy(), ranking.rows.copy()
    scores[:, :n] = np.take_along_axis(moved, order, axis=1)
    rows[:, :n] = np.take_along_axis(ranking.rows[:, :n], order, axis=1)
    factors = np.exp(log_weights)
    weighed = likely.identities * factors
    total = weighed.sum(axis=1) + likely.new
    # As much as before, which is not 1 where the gallery has a single identity.
    scale = (likely.identities.sum(axis=1) + likely.new) / np.where(total > 0, total, 1.0)
    return Informed(
        ranking=Ranking(
            images=ranking.images,
            identities=tuple(
                tuple(names[place] for place in places)
                for names, places in zip(ranking.identities, order.tolist(), strict=True)
            ),
            scores=scores,
            rows=rows,
            best_known=scores[:, 0].copy(),
        ),
        likely=Posterior(
            identities=np.take_along_axis(weighed * scale[:, None], order, axis=1),
            new=likely.new * scale,
        ),
        factors=np.take_along_axis(factors, order, axis=1),
    )
