"""Measure how far a threshold and calibrated probabilities can be relied on, on held-out queries.

`report_threshold` measures what the threshold for new individuals gains and costs.
`measure_reliability` compares the probabilities of `ranking/calibration.py` with what was observed:
reliability diagram and expected calibration error.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from flukeprint.evaluation.metrics import Interval, Prediction, bootstrap_interval, per_query_ap
from flukeprint.ranking.ranking import Ranking, insert_new_individual

BINS = 15


@dataclass(frozen=True)
class ThresholdReport:
    """Error rates and MAP@5 at a threshold, with 95 % bootstrap intervals over queries.

    map5: MAP@5.  false_new: share of known individuals whose first answer is a new individual;
    missed_new: share of new individuals whose first answer is a known one; None without such
    queries.  never, always: MAP@5 of never answering, and of always answering first, a new
    individual.  over_never, over_always: MAP@5 gained over these two, paired by query.
    """

    threshold: float
    map5: Interval
    false_new: Interval | None
    missed_new: Interval | None
    never: Interval
    always: Interval
    over_never: Interval
    over_always: Interval

    def text(self) -> str:
        """Two lines for people."""
        rates = [
            f"{name} {rate.text()}"
            for name, rate in (
                ("known animals answered new first", self.false_new),
                ("new animals missed", self.missed_new),
            )
            if rate is not None
        ]
        return f"expect MAP@5 {self.map5.text()}, {', '.join(rates)}\ngain {self.gains()}"

    def gains(self) -> str:
        """The gains over both constant answers, for people."""
        return (
            f"over never answering new {_signed(self.over_never)}, "
            f"over always answering new first {_signed(self.over_always)}"
        )


def report_threshold(
    plain: Ranking, answers: Prediction, threshold: float, *, seed: int
) -> ThresholdReport:
    """Measure `threshold` on q queries that were not used to choose it.

    plain: the ranking made without a threshold.  answers: (q) the right ones, None for a new
    individual.  Each interval draws the queries of its mean with replacement (`seed`); queries
    of one individual count as independent.
    """
    at = insert_new_individual(plain, threshold)
    ap = per_query_ap(at.identities, answers)
    never = per_query_ap(plain.identities, answers)
    always = per_query_ap(insert_new_individual(plain, math.inf).identities, answers)
    is_new = np.array([answer is None for answer in answers], dtype=bool)
    first_new = np.array([names[0] is None for names in at.identities], dtype=bool)

    def rate(errors: npt.NDArray[np.bool_]) -> Interval | None:
        return _rate(errors, seed) if errors.size else None

    return ThresholdReport(
        threshold=threshold,
        map5=bootstrap_interval(ap, seed=seed),
        false_new=rate(first_new[~is_new]),
        missed_new=rate(~first_new[is_new]),
        never=bootstrap_interval(never, seed=seed),
        always=bootstrap_interval(always, seed=seed),
        over_never=bootstrap_interval(ap - never, seed=seed),
        over_always=bootstrap_interval(ap - always, seed=seed),
    )


def _rate(errors: npt.NDArray[np.bool_], seed: int) -> Interval:
    """Share of errors among n queries, with its interval.

    Where none or all are errors, resampling would give an interval of no width.  Then it is the
    exact one of a binomial share (Clopper and Pearson, Biometrika 26:404, 1934).
    """
    reach = 1 - 0.025 ** (1 / len(errors))
    if not errors.any():
        return Interval(0.0, 0.0, reach)
    if errors.all():
        return Interval(1 - reach, 1.0, 1.0)
    return bootstrap_interval(errors, seed=seed)


def _signed(gain: Interval) -> str:
    return f"{gain.mean:+.3f} [{gain.low:+.3f}, {gain.high:+.3f}]"


@dataclass(frozen=True)
class Reliability:
    """A reliability diagram: predicted probability and observed share of right answers by bin.

    predicted, observed: (b,) mean probability and share of right answers of each bin, ascending
    by probability; queries: (b,) number of queries, about equal.
    ece: expected calibration error, the mean of |predicted - observed| over queries.
    chance: the ece that perfectly calibrated probabilities would have on as many queries.
    """

    ece: float
    chance: float
    predicted: tuple[float, ...]
    observed: tuple[float, ...]
    queries: tuple[int, ...]

    def summary(self) -> dict[str, Any]:
        """Numbers for JSON, under the names that `validation.json` has always had."""
        return {
            "ece": self.ece,
            "chance": self.chance,
            "foretold": self.predicted,
            "happened": self.observed,
            "queries": self.queries,
        }

    def text(self) -> str:
        """One line for people."""
        return (
            f"probability of the first answer: calibration error {self.ece:.3f} "
            f"(faultless: {self.chance:.3f}), {sum(self.queries)} queries"
        )


def equal_mass_bins(probabilities: npt.ArrayLike, bins: int = BINS) -> npt.NDArray[np.int64]:
    """Bin (q,) of each probability, from 0, with about equally many in each.

    Equal probabilities share a bin, so some bins may be empty.
    """
    values = np.asarray(probabilities, dtype=np.float64)
    ordered = np.sort(values)
    low = np.searchsorted(ordered, values, side="left")
    high = np.searchsorted(ordered, values, side="right")
    return np.asarray(bins * (low + high) // (2 * len(values)), dtype=np.int64)


def calibration_error(
    probabilities: npt.ArrayLike, right: npt.ArrayLike, bins: int = BINS
) -> float:
    """Expected calibration error (ECE) with equal-mass bins.

    Sum over bins of |sum of probabilities - number right| / q.  Source: Naeini, Cooper and
    Hauskrecht (AAAI 2015); Guo et al., On Calibration of Modern Neural Networks (ICML 2017), eq. 3.
    """
    p, y = np.asarray(probabilities, dtype=np.float64), np.asarray(right, dtype=np.float64)
    if p.shape != y.shape or p.ndim != 1 or p.size == 0:
        raise ValueError("probabilities and right must both be (q,) with at least one")
    gaps = np.bincount(equal_mass_bins(p, bins), weights=p - y, minlength=bins)
    return float(np.abs(gaps).sum() / len(p))


def measure_reliability(
    probabilities: npt.ArrayLike, right: npt.ArrayLike, *, seed: int, bins: int = BINS
) -> Reliability:
    """Measure probabilities (q,) against whether each first answer was right (q,).

    `chance` is the mean error of 200 draws of outcomes from the probabilities themselves
    (Vaicenavicius et al., Evaluating model calibration in classification, AISTATS 2019).
    """
    p, y = np.asarray(probabilities, dtype=np.float64), np.asarray(right, dtype=np.float64)
    ece = calibration_error(p, y, bins)
    which = equal_mass_bins(p, bins)
    count = np.bincount(which, minlength=bins)
    some = count > 0
    mean_p, mean_y = (
        np.bincount(which, weights=values, minlength=bins)[some] / count[some] for values in (p, y)
    )
    rng = np.random.default_rng(seed)
    drawn = [calibration_error(p, rng.random(len(p)) < p, bins) for _ in range(200)]
    return Reliability(
        ece=ece,
        chance=float(np.mean(drawn)),
        predicted=tuple(mean_p.tolist()),
        observed=tuple(mean_y.tolist()),
        queries=tuple(count[some].tolist()),
    )
