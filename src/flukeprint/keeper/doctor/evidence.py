"""How much a comparison speaks for one answer rather than the other, learnt from the catalogue.

The catalogue gives examples of both answers, some of them wrong.  Logistic regression turns the
features of a comparison into a log likelihood ratio; examples that contradict it count as what they
look like, weighted by how likely that is, and it is fitted again (label noise as in Mnih and
Hinton, Learning to Label Aerial Images from Noisy Data, 2012).  A prior makes a probability of it.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from flukeprint.data.embeddings import Values

FEWEST = 15  # examples of either answer
MOST = 25.0  # log likelihood ratio of one comparison; no model of a catalogue knows more
MOST_COMMON = 0.2
_ROUNDS, _STEPS = 4, 50


@dataclass(frozen=True)
class Evidence:
    """Log likelihood ratio of "yes" to "no", linear in features that are limited to what was seen.

    low, high: (f,) range of each feature among the examples.
    """

    weights: Values
    intercept: float
    low: Values
    high: Values

    def __call__(self, features: npt.ArrayLike) -> Values:
        """Log likelihood ratios (m,) of features (m, f)."""
        x = np.clip(np.asarray(features, dtype=np.float64), self.low, self.high)
        return np.clip(self.intercept + x @ self.weights, -MOST, MOST)


def learn(
    features: Values,
    outcome: npt.NDArray[np.bool_],
    weights: Values | None = None,
    *,
    doubt_yes: float = 0.03,
    doubt_no: float = 0.0,
    aside_no: float = 0.0,
) -> Evidence | None:
    """Learn from examples (m, f) with outcomes (m,); None where there are too few of either.

    weights: (m,) how many examples each stands for.
    doubt_yes, doubt_no: share of examples of either outcome that may be of the other.
    aside_no: share of the examples of "no", the likest to "yes", without which it is fitted once.
    """
    from sklearn.linear_model import LogisticRegression

    if min(outcome.sum(), (~outcome).sum()) < FEWEST:
        return None
    worth = np.ones(len(outcome)) if weights is None else weights
    middle, spread = features.mean(axis=0), features.std(axis=0)
    used = spread > 1e-9
    scale = np.where(used, spread, 1.0)
    x = np.where(used, (features - middle) / scale, 0.0)
    yes = outcome.astype(np.float64)  # probability that the truth is yes
    twice, both = np.concatenate([x, x]), np.repeat([True, False], len(x))
    model = LogisticRegression(C=1.0, max_iter=1000)
    aside = np.zeros(len(x), bool)
    for turn in range(_ROUNDS):
        counts = np.where(aside, 0, worth)
        shares = np.concatenate([counts * yes, counts * (1 - yes)])
        kept = shares > 1e-12
        model.fit(twice[kept], both[kept], sample_weight=shares[kept])
        prior = np.log(shares[: len(x)].sum() / shares[len(x) :].sum())
        ratio = np.clip(x @ model.coef_[0] + model.intercept_[0] - prior, -MOST, MOST)
        # Wrong examples hide themselves by moving the model: fitted without, it judges them.
        aside = _likest(ratio, worth, ~outcome, aside_no) if turn == 0 else np.zeros_like(aside)
        yes = np.where(outcome, probability(ratio, 1 - doubt_yes), probability(ratio, doubt_no))
    slope = model.coef_[0] / scale
    return Evidence(
        weights=slope,
        intercept=float(model.intercept_[0] - prior - slope @ middle),
        low=features.min(axis=0),
        high=features.max(axis=0),
    )


def _likest(
    ratio: Values, worth: Values, among: npt.NDArray[np.bool_], share: float
) -> npt.NDArray[np.bool_]:
    """The examples of highest ratio that are together worth `share` of all `among`."""
    order = np.flatnonzero(among)[np.argsort(-ratio[among], kind="stable")]
    before = np.cumsum(worth[order]) - worth[order]
    found = np.zeros(len(ratio), bool)
    found[order[before < share * worth[among].sum()]] = True
    return found & (share > 0)


def probability(ratio: npt.ArrayLike, prior: float) -> Values:
    """Probability of "yes" from log likelihood ratios and the probability before them."""
    if not 0 < prior < 1:
        return np.full(np.shape(ratio), float(prior >= 1))
    odds = np.asarray(ratio, dtype=np.float64) + np.log(prior / (1 - prior))
    return np.asarray(0.5 * (1 + np.tanh(odds / 2)))


def prevalence(ratio: npt.ArrayLike, expected: float) -> float:
    """The share of "yes" among comparisons, by expectation maximisation from `expected` on.

    It never falls below `expected`, nor rises above MOST_COMMON: more than that, and it is the
    comparisons that are at fault.
    """
    share = expected
    for _ in range(_STEPS if np.size(ratio) else 0):
        share = float(
            np.clip(probability(ratio, share).mean(), expected, max(expected, MOST_COMMON))
        )
    return share
