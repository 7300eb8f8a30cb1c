"""Metrics of rankings, MAP@5, top-k, CMC, AUROC and FPR, with bootstrap intervals.

A prediction is a sequence of distinct answers, best first; None is a new individual,
as answer and as truth.  Every query has exactly one right answer.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from flukeprint.config.base import Section
from flukeprint.data.embeddings import Ints, Values
from flukeprint.ranking.ranking import Ranking

Prediction = Sequence[str | None]


@dataclass(frozen=True)
class Interval:
    """A mean with its confidence interval."""

    low: float
    mean: float
    high: float

    def text(self) -> str:
        """`0.812 [0.790, 0.834]`"""
        return f"{self.mean:.3f} [{self.low:.3f}, {self.high:.3f}]"


@dataclass(frozen=True)
class Scores:
    """All metrics of a ranking of queries.

    map5: MAP@5 with its 95 % interval.  top1, top5: share of queries whose right answer is
    the first, or among the first five.  auroc, fpr95: how well `best_known` alone tells new
    individuals from known ones; None where the queries are all of one kind.
    queries, new_queries: number of queries, and of queries of new individuals.
    """

    map5: Interval
    top1: float
    top5: float
    auroc: float | None
    fpr95: float | None
    queries: int
    new_queries: int

    def text(self) -> str:
        """One line for people."""
        parts = [
            f"MAP@5 {self.map5.text()}",
            f"top-1 {self.top1:.3f}",
            f"top-5 {self.top5:.3f}",
        ]
        if self.auroc is not None:
            parts.append(f"new-individual AUROC {self.auroc:.3f}")
        return f"{', '.join(parts)} ({self.queries} queries, {self.new_queries} new)"


class FoldScores(Section):
    """Metrics of local validation, as an identifier keeps them; training never saw the queries."""

    text: str
    map5: float
    map5_low: float
    map5_high: float
    top1: float
    top5: float
    queries: int
    new_queries: int

    @classmethod
    def of(cls, scores: Scores) -> "FoldScores":
        """Select them from all scores of a fold."""
        return cls(
            text=scores.text(),
            map5=scores.map5.mean,
            map5_low=scores.map5.low,
            map5_high=scores.map5.high,
            top1=scores.top1,
            top5=scores.top5,
            queries=scores.queries,
            new_queries=scores.new_queries,
        )


def _places(predictions: Sequence[Prediction], answers: Prediction) -> npt.NDArray[np.int64]:
    """Place (q,) of the right answer, counted from 1; 0 where it is missing."""
    if len(predictions) != len(answers):
        raise ValueError(f"{len(predictions)} predictions for {len(answers)} answers")
    if len(answers) == 0:
        raise ValueError("no queries to measure on")
    return np.array(
        [
            list(prediction).index(answer) + 1 if answer in prediction else 0
            for prediction, answer in zip(predictions, answers, strict=True)
        ],
        dtype=np.int64,
    )


def per_query_ap(predictions: Sequence[Prediction], answers: Prediction) -> Values:
    """Average precision at 5 (q,): 1 / place of the right answer, 0 beyond place 5.

    With one right answer this is Kaggle's AP@5 (humpback-whale-identification, evaluation).
    """
    return ap_at_5(_places(predictions, answers))


def ap_at_5(places: Ints) -> Values:
    """Average precision at 5 (q,) from the places of the right answers, 0 where one is missing."""
    hit = (places >= 1) & (places <= 5)
    return np.where(hit, 1.0 / np.maximum(places, 1), 0.0)


def map_at_5(predictions: Sequence[Prediction], answers: Prediction) -> float:
    """Mean average precision at 5, the mean of `per_query_ap`."""
    return float(per_query_ap(predictions, answers).mean())


def top_k_accuracy(predictions: Sequence[Prediction], answers: Prediction, k: int) -> float:
    """Top-k accuracy: share of queries whose right answer is among the first k."""
    places = _places(predictions, answers)
    return float(((places >= 1) & (places <= k)).mean())


def cmc(predictions: Sequence[Prediction], answers: Prediction, depth: int = 5) -> Values:
    """Cumulative match characteristic (depth,): entry k - 1 is the top-k accuracy."""
    places = _places(predictions, answers)
    counts = np.bincount(places[places <= depth], minlength=depth + 1)[1:]
    return np.asarray(np.cumsum(counts) / len(places), dtype=np.float64)


def open_set_auroc(best_known: npt.ArrayLike, is_new: npt.ArrayLike) -> float:
    """AUROC: probability that a query of a known individual scores above one of a new individual.

    best_known, is_new: (q,).  Equal scores count one half (Mann-Whitney U / pairs).
    Raises ValueError unless there are both.
    """
    known, new = _known_and_new(best_known, is_new)
    new = np.sort(new)
    below = np.searchsorted(new, known, side="left")
    not_above = np.searchsorted(new, known, side="right")
    return float((below + not_above).sum() / (2 * len(known) * len(new)))


def fpr_at_tpr(best_known: npt.ArrayLike, is_new: npt.ArrayLike, tpr: float = 0.95) -> float:
    """FPR at TPR: share of new individuals accepted at the threshold that keeps `tpr` of the known.

    The threshold is the highest that at least `tpr` of the known individuals reach.
    Raises ValueError unless there are both.
    """
    if not 0 < tpr <= 1:
        raise ValueError(f"a rate lies above 0 and is at most 1: {tpr}")
    known, new = _known_and_new(best_known, is_new)
    keep = int(np.ceil(tpr * len(known) - 1e-9))  # 0.95 * 20 is 19
    threshold = np.sort(known)[len(known) - keep]
    return float((new >= threshold).mean())


def _known_and_new(best_known: npt.ArrayLike, is_new: npt.ArrayLike) -> tuple[Values, Values]:
    scores = np.asarray(best_known, dtype=np.float64)
    mask = np.asarray(is_new, dtype=bool)
    if scores.shape != mask.shape or scores.ndim != 1:
        raise ValueError("best_known and is_new must both be (q,)")
    if mask.all() or not mask.any():
        raise ValueError("both known and new individuals are needed")
    return scores[~mask], scores[mask]


def bootstrap_means(values: npt.ArrayLike, *, seed: int, samples: int = 2000) -> Values:
    """Bootstrap means (samples,) of values (q,) drawn with replacement.

    Only how often a resample takes each distinct value matters, so those numbers are drawn, from
    the multinomial distribution that drawing q values with replacement gives.
    Source: Efron and Tibshirani, An Introduction to the Bootstrap (1993), chapter 6.
    """
    numbers = np.asarray(values, dtype=np.float64)
    if numbers.ndim != 1 or numbers.size == 0:
        raise ValueError("values must be (q,) with at least one")
    distinct, counts = np.unique(numbers, return_counts=True)
    rng = np.random.default_rng(seed)
    draws = rng.multinomial(numbers.size, counts / numbers.size, size=samples)
    return np.asarray(draws @ distinct / numbers.size, dtype=np.float64)


def percentile_interval(means: Values, middle: float, *, level: float = 0.95) -> Interval:
    """Percentile interval: the share `level` in the middle of resampled values, around `middle`.

    Source: Efron and Tibshirani (1993), chapter 13, percentile interval.
    """
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(low), middle, float(high))


def bootstrap_interval(
    values: npt.ArrayLike, *, seed: int, samples: int = 2000, level: float = 0.95
) -> Interval:
    """Mean of values (q,) with its percentile bootstrap interval."""
    means = bootstrap_means(values, seed=seed, samples=samples)
    return percentile_interval(means, float(np.asarray(values).mean()), level=level)


def auroc_interval(
    best_known: npt.ArrayLike,
    is_new: npt.ArrayLike,
    *,
    seed: int,
    samples: int = 2000,
    level: float = 0.95,
) -> Interval:
    """`open_set_auroc` with its percentile bootstrap interval.

    Known and new individuals are resampled separately, so every resample has as many of each.
    Source: Efron and Tibshirani (1993), chapter 8.3, two samples.
    """
    known, new = _known_and_new(best_known, is_new)
    new = np.sort(new)
    below = np.searchsorted(new, known, side="left")
    not_above = np.searchsorted(new, known, side="right")
    rng = np.random.default_rng(seed)
    found = np.empty(samples)
    for sample in range(samples):
        times = np.bincount(rng.integers(len(new), size=len(new)), minlength=len(new))
        up_to = np.concatenate([[0], np.cumsum(times)])  # drawn new individuals, lowest first
        drawn = rng.integers(len(known), size=len(known))
        found[sample] = (up_to[below[drawn]] + up_to[not_above[drawn]]).sum()
    return percentile_interval(
        found / (2 * len(known) * len(new)), open_set_auroc(best_known, is_new), level=level
    )


def evaluate(ranking: Ranking, answers: Prediction, *, seed: int) -> Scores:
    """Compute all metrics of a ranking; `seed` is for the bootstrap over its queries."""
    ap = per_query_ap(ranking.identities, answers)
    is_new = np.array([answer is None for answer in answers], dtype=bool)
    open_set = bool(is_new.any() and not is_new.all())
    return Scores(
        map5=bootstrap_interval(ap, seed=seed),
        top1=top_k_accuracy(ranking.identities, answers, 1),
        top5=top_k_accuracy(ranking.identities, answers, 5),
        auroc=open_set_auroc(ranking.best_known, is_new) if open_set else None,
        fpr95=fpr_at_tpr(ranking.best_known, is_new) if open_set else None,
        queries=len(answers),
        new_queries=int(is_new.sum()),
    )


def commonest_labels(
    identities: Prediction, *, with_new: bool, top: int = 5
) -> tuple[str | None, ...]:
    """The `top` labels with the most photographs, a baseline answer; equal counts by name.

    identities: one entry a photograph.  with_new: photographs without an identity count as the
    label None (new_whale); otherwise they do not count.
    """
    counts = Counter(name for name in identities if with_new or name is not None)
    order = sorted(counts, key=lambda name: (-counts[name], name is not None, name or ""))
    return tuple(order[:top])
