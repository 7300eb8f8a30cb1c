"""Fit how the parts of a score are fused, on queries of known answer (`rank.fuse`).

The weights maximise the likelihood of the right identities among all (conditional logit), which is
about their order; scale and offset are those of a logistic regression over pairs of a query and an
identity, so that the fused score is a probability (as WildFusion calibrates, Cermak et al. 2024).
Every choice of parts is measured on other individuals than it was fitted on, and the best is kept:
a part that adds nothing is left out, and the fusion is not worse there than any part alone.
"""

from collections.abc import Sequence
from itertools import combinations

import numpy as np
import numpy.typing as npt

from flukeprint.data.embeddings import Ints, Values
from flukeprint.data.splits import halves
from flukeprint.evaluation.metrics import ap_at_5
from flukeprint.ranking.pipeline import QueryRanker
from flukeprint.ranking.score_parts import Fusion, ScoreParts

FEWEST = 5  # queries of known individuals in each half, below which the embedding is left alone
_RIDGE = 1e-3  # on weights of standardised parts
_RIVALS = 50  # best identities of a query that the probability is fitted on


def fit_parts(
    ranker: QueryRanker, answers: Sequence[str | None], rows: Ints, other_view: float
) -> Fusion:
    """Fit how the parts of a score are fused, on the queries at `rows`."""
    queries, number = ranker.queries.embeddings.take(rows), ranker.scorer.gallery.number
    if not len(rows):
        return Fusion()
    blocks = [
        scored.parts
        for scored in ranker.scorer.part_scores(
            queries, local=ranker.local, rows=rows, other_view=other_view
        )
    ]
    truth = np.array([-1 if name is None else number.get(name, -1) for name in answers], np.int64)
    individuals = ranker.queries.embeddings.identities
    side = halves(answers, [individuals[row] for row in rows.tolist()], 0)
    return fit_fusion(ScoreParts.joined(blocks), truth, side)


def fit_fusion(parts: ScoreParts, truth: Ints, side: npt.NDArray[np.bool_]) -> Fusion:
    """Fit the fusion of parts (q, c) on queries whose right identity is truth (q,), -1 for none.

    side: (q,) halves of the queries that have no individual in common, to measure each choice of
        parts on others than it was fitted on.

    The embedding alone where a half has fewer than `FEWEST` known individuals' queries.
    """
    known = truth >= 0
    named = dict(parts)
    alone = {
        name: float(ap_at_5(places_of(values[known], truth[known])).mean()) if known.any() else 0.0
        for name, values in named.items()
    }
    best: tuple[str, ...] = ("embedding",)
    measured = dict(alone)
    if min((known & side).sum(), (known & ~side).sum()) >= FEWEST:
        quality = {
            names: _cross_fitted(named, names, truth, known, side)
            for size in range(1, len(named) + 1)
            for names in combinations(named, size)
        }
        best = max(quality, key=lambda names: (round(quality[names], 9), -len(names)))
        if len(best) > 1:
            measured[" + ".join(best)] = quality[best]
    weights = dict.fromkeys(best, 1.0)
    if len(best) > 1:
        weights = _weights(named, best, truth, known)
    scale, offset = _probability(named, weights, truth)
    return Fusion(
        **{name: scale * weights.get(name, 0.0) for name in named},
        offset=offset,
        measured=measured,
    )


def places_of(scores: Values, truth: Ints) -> Ints:
    """Places (q,) of the right identities by scores (q, c); of equal scores the right is last."""
    own = np.take_along_axis(scores, truth[:, None], axis=1)
    return np.asarray((scores >= own).sum(axis=1))


def _cross_fitted(
    named: dict[str, Values],
    names: tuple[str, ...],
    truth: Ints,
    known: npt.NDArray[np.bool_],
    side: npt.NDArray[np.bool_],
) -> float:
    """MAP@5 of fused parts, each half of the queries with weights of the other."""
    quality = np.zeros(int(known.sum()))
    for half in (side, ~side):
        weights = {names[0]: 1.0}
        if len(names) > 1:
            weights = _weights(named, names, truth, known & ~half)
        fused = sum(weight * named[name][known & half] for name, weight in weights.items())
        quality[half[known]] = ap_at_5(places_of(np.asarray(fused), truth[known & half]))
    return float(quality.mean())


def _weights(
    named: dict[str, Values], names: tuple[str, ...], truth: Ints, rows: npt.NDArray[np.bool_]
) -> dict[str, float]:
    """Weights >= 0 of the parts that make the right identities of the queries `rows` likeliest."""
    from scipy.optimize import minimize

    spread = np.array([max(float(named[name][rows].std()), 1e-9) for name in names])
    x = np.stack([named[name][rows] for name in names], axis=2) / spread
    right = truth[rows]
    own = np.take_along_axis(x, right[:, None, None], axis=1)[:, 0]

    def loss(weights: Values) -> tuple[float, Values]:
        power = x @ weights
        power -= power.max(axis=1, keepdims=True)
        share = np.exp(power)
        total = share.sum(axis=1, keepdims=True)
        likely = np.log(share[np.arange(len(right)), right] / total[:, 0] + 1e-300)
        slope = own - np.einsum("qc,qcp->qp", share / total, x)
        cost = -likely.mean() + _RIDGE * float(weights @ weights)
        return cost, -slope.mean(axis=0) + 2 * _RIDGE * weights

    found = minimize(
        loss, np.full(len(names), 0.5), jac=True, method="L-BFGS-B", bounds=[(0, None)] * len(names)
    )
    return {name: float(weight) for name, weight in zip(names, found.x / spread, strict=True)}


def _probability(
    named: dict[str, Values], weights: dict[str, float], truth: Ints
) -> tuple[float, float]:
    """Scale and offset by which fused parts are the log-odds that an identity is the right one."""
    from sklearn.linear_model import LogisticRegression

    fused = np.asarray(sum(weight * named[name] for name, weight in weights.items()))
    kept = min(_RIVALS, fused.shape[1])
    rivals = np.argpartition(-fused, kept - 1, axis=1)[:, :kept]
    right = rivals == truth[:, None]
    power = np.take_along_axis(fused, rivals, axis=1)
    spread = max(float(power.std()), 1e-9)
    if not right.any() or right.all():
        return 1 / spread, -float(power.max()) / spread
    model = LogisticRegression(C=1.0).fit((power.ravel() / spread)[:, None], right.ravel())
    slope = float(model.coef_[0, 0])
    if slope <= 0:
        return 1 / spread, -float(power.max()) / spread
    return slope / spread, float(model.intercept_[0])
