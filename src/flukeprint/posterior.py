"""How likely each identity is.  A ranking of all identities enters, probabilities leave.

The calibration foretells whether the nearest identity is the right one.  What it leaves goes to
the others in the shape of a softmax of their scores, as sharp as makes the first as likely as
the calibration says: no further number is fitted, and a sure answer leaves little to anybody.
"""

from dataclasses import dataclass

import numpy as np

from flukeprint.metrics import Values
from flukeprint.open_set import Calibration, features
from flukeprint.ranking import Ranking

# Halvings of an interval of sharpness that spans what float64 can tell apart.
_STEPS = 80
_SHARPEST = 1e6


@dataclass(frozen=True)
class Posterior:
    """Probabilities of q queries.

    identities: (q, n) in the order of the ranking, each that this is the individual.
    new: (q,) that the individual is not in the gallery.
    With two identities or more, the row sums and `new` add up to 1.
    """

    identities: Values
    new: Values


def posterior(ranking: Ranking, calibration: Calibration) -> Posterior:
    """`Posterior` of a ranking of all identities of the gallery, made without a threshold.

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
    scores = ranking.scores[:, :n].astype(np.float64)
    behind = scores[:, :1] - scores[:, 1:]
    weights = np.exp(-_sharpness(behind, right)[:, None] * behind)
    rest = weights.sum(axis=1, keepdims=True)
    others = np.divide(weights, rest, out=np.zeros_like(weights), where=rest > 0)
    # All others out of reach: they are as unlikely as each other.
    others[rest[:, 0] == 0] = 1 / max(1, behind.shape[1])
    joined = np.concatenate([right[:, None], (1 - right)[:, None] * others], axis=1)
    return Posterior(identities=known[:, None] * joined, new=1 - known)


def _sharpness(behind: Values, right: Values) -> Values:
    """(q,) b >= 0 at which 1 / (1 + sum(exp(-b behind))) is `right`: it rises with b."""
    low, high = np.zeros(len(right)), np.full(len(right), _SHARPEST)
    for _ in range(_STEPS):
        middle = (low + high) / 2
        first = 1 / (1 + np.exp(-middle[:, None] * behind).sum(axis=1))
        short = first < right
        low, high = np.where(short, middle, low), np.where(short, high, middle)
    return np.asarray((low + high) / 2)
