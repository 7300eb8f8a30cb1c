"""Error rates of verification with intervals over individuals: EER, and true accepts at a rate of
false accepts, of one fold or as the mean of several.

Each resample draws individuals (`individuals.py`) and chooses its thresholds anew.  Folds are
resampled together, since an individual is in several of them.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from flukeprint.data.embeddings import Ints, Values
from flukeprint.errors import counted
from flukeprint.evaluation.metrics import Interval
from flukeprint.evaluation.studies.individuals import (
    at_least_rule_of_3,
    draw_individuals,
    resampled_interval,
)
from flukeprint.evaluation.studies.pairs import ScoredPairs
from flukeprint.evaluation.verification import SUPPORT, Roc, roc

FALSE_ACCEPT_RATES = (1e-1, 1e-2, 1e-3)
GRID = np.asarray(np.logspace(-4, 0, 81), dtype=np.float64)  # false accepts at which a ROC is drawn


@dataclass(frozen=True)
class TrueAccept:
    """The share of pairs of one individual accepted where at most `rate` of the others are.

    share: None where the pairs are too few to tell this rate (`SUPPORT`, the rule of 3).
    others: number of pairs of two individuals, of the smallest fold.
    """

    rate: float
    share: Interval | None
    others: int

    def text(self) -> str:
        """The share, or why there is none."""
        if self.share is None:
            return f"cannot be told from {counted(self.others, 'pair')}"
        return self.share.text()


@dataclass(frozen=True)
class RocBand:
    """A ROC curve with the 95 % interval at each rate of false accepts, all (k,)."""

    false_accept: Values
    true_accept: Values
    low: Values
    high: Values


@dataclass(frozen=True)
class ErrorRates:
    """How well scores tell pairs of one individual from pairs of two.

    same, other: number of pairs.  same_individuals: with a pair of one; individuals: with any.
    curve: only at rates that the pairs can tell.
    """

    eer: Interval
    true_accepts: tuple[TrueAccept, ...]
    curve: RocBand
    same: int
    other: int
    same_individuals: int
    individuals: int


@dataclass(frozen=True)
class ResampledRates:
    """Figures of `pairs` on every resample: eer (samples,), true_accept (samples, rates)."""

    eer: Values
    true_accept: Values


def equal_error_rate(curve: Roc) -> float:
    """The equal error rate: the mean of both rates where they are nearest (`Roc.equal`)."""
    at = curve.equal()
    return float((curve.false_accept[at] + curve.false_reject[at]) / 2)


def true_accept_at(curve: Roc, rates: Values) -> Values:
    """True accept rates (r,) at the loosest thresholds that accept at most `rates` of others."""
    most = np.floor(rates * curve.others + 1e-9)  # 0.1 * 30 is 3
    places = np.searchsorted(curve.accepted_other, most, side="right") - 1
    return np.asarray(curve.accepted_same[places] / curve.sames, dtype=np.float64)


def can_tell(rate: float, others: int) -> bool:
    """Whether at least 3 false accepts are expected at this rate (the rule of 3)."""
    return math.floor(rate * others + 1e-9) >= SUPPORT


def error_rates(
    folds: Sequence[ScoredPairs], *, seed: int, times: Ints | None = None
) -> ErrorRates:
    """Compute the rates of a fold, or their means over folds, each with its own thresholds.

    Folds whose scores are of two networks are on two scales, so that they are not pooled.
    times: resamples of individuals (samples, individuals); drawn by `seed` without it.
    """
    if not folds or not all(fold.measurable for fold in folds):
        raise ValueError("every fold needs pairs of one individual and of two")
    if times is None:
        times = draw_individuals(folds[0].individuals, seed=seed)
    others = min(len(fold.scores.other) for fold in folds)
    rates = np.concatenate([np.array(FALSE_ACCEPT_RATES), GRID])
    curves = [roc(fold.scores) for fold in folds]
    eer = float(np.mean([equal_error_rate(curve) for curve in curves]))
    accepts = np.mean([true_accept_at(curve, rates) for curve in curves], axis=0)
    drawn = [resampled_rates(fold, rates, times) for fold in folds]
    with np.errstate(invalid="ignore"):
        eers = np.mean([part.eer for part in drawn], axis=0)
        resampled = np.mean([part.true_accept for part in drawn], axis=0)
    same_individuals = len(np.unique(np.concatenate([fold.same_owners for fold in folds])))

    def interval(place: int) -> Interval:
        found = resampled_interval(resampled[:, place], float(accepts[place]))
        return at_least_rule_of_3(found, same_individuals)

    shown = [
        place
        for place in range(len(FALSE_ACCEPT_RATES), len(rates))
        if can_tell(float(rates[place]), others)
    ]
    bands = [interval(place) for place in shown]
    everybody = [fold.same_owners for fold in folds] + [f.other_owners.ravel() for f in folds]
    return ErrorRates(
        eer=at_least_rule_of_3(resampled_interval(eers, eer), same_individuals),
        true_accepts=tuple(
            TrueAccept(rate, interval(place) if can_tell(rate, others) else None, others)
            for place, rate in enumerate(FALSE_ACCEPT_RATES)
        ),
        curve=RocBand(
            rates[shown],
            *(
                np.array([getattr(band, end) for band in bands], dtype=np.float64)
                for end in ("mean", "low", "high")
            ),
        ),
        same=sum(len(fold.scores.same) for fold in folds),
        other=sum(len(fold.scores.other) for fold in folds),
        same_individuals=same_individuals,
        individuals=len(np.unique(np.concatenate(everybody))),
    )


def resampled_rates(pairs: ScoredPairs, rates: Values, times: Ints) -> ResampledRates:
    """The equal error rate and the true accepts at `rates` (r,) on every resample.

    A resample is a ROC curve of weighted pairs: the number of times that a pair was drawn.  NaN
    where a resample has no pair of a kind.
    """
    scores = np.concatenate([pairs.scores.same, pairs.scores.other])
    order = np.argsort(-scores, kind="stable")
    ends = np.append(np.flatnonzero(np.diff(scores[order])), len(scores) - 1)
    is_same = order < len(pairs.scores.same)
    same = pairs.same_owners[order[is_same]]
    other = pairs.other_owners[order[~is_same] - len(pairs.scores.same)]
    left, right = np.ascontiguousarray(other[:, 0]), np.ascontiguousarray(other[:, 1])
    # How many pairs of each kind each distinct score accepts; above the highest one none.
    thresholds = np.append(np.inf, scores[order][ends])
    so_far_same = np.append(0, np.cumsum(is_same)[ends])
    so_far_other = np.append(0, np.cumsum(~is_same)[ends])
    eer = np.full(len(times), np.nan)
    accepts = np.full((len(times), len(rates)), np.nan)
    for sample, weight in enumerate(times):
        accepted_same = np.append(0, np.cumsum(weight[same]))[so_far_same]
        accepted_other = np.append(0, np.cumsum(weight[left] * weight[right]))[so_far_other]
        sames, others = int(accepted_same[-1]), int(accepted_other[-1])
        if sames and others:
            curve = Roc(thresholds, accepted_other, accepted_same, others, sames)
            eer[sample] = equal_error_rate(curve)
            accepts[sample] = true_accept_at(curve, rates)
    return ResampledRates(eer, accepts)
