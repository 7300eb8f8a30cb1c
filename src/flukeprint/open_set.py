"""What answers are worth.  Rankings with known answers enter, expectations and probabilities leave.

`expect` says what a threshold for new individuals costs and gains.  `Calibration` turns
similarities into the probability that the first answer is right; `measure_reliability` says
how far such probabilities are from what happened.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from pydantic import Field

from flukeprint.config import Section
from flukeprint.metrics import Interval, Prediction, Values, bootstrap_interval, per_query_ap
from flukeprint.ranking import Ranking, insert_new

FEWEST = 20  # queries of known individuals that a calibration needs
BINS = 15


@dataclass(frozen=True)
class Expectation:
    """What to expect at a threshold, with 95 % bootstrap intervals over queries.

    map5: MAP@5.  false_new: share of known individuals whose first answer is a new one;
    missed_new: share of new individuals whose first answer is a known one; None without such
    queries.  never, always: MAP@5 of never, and of always first, answering a new individual.
    over_never, over_always: MAP@5 gained over these two, of the same queries (paired).
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
        return (
            f"expect MAP@5 {self.map5.text()}, {', '.join(rates)}\n"
            f"gain over never answering new {_signed(self.over_never)}, "
            f"over always answering new first {_signed(self.over_always)}"
        )


def expect(plain: Ranking, answers: Prediction, threshold: float, *, seed: int) -> Expectation:
    """The `Expectation` of `threshold` on q queries that did not choose it.

    plain: the ranking made without a threshold.  answers: (q) the right ones, None for a new
    individual.  Each interval draws the queries of its mean with replacement (`seed`); queries
    of one individual count as independent.
    """
    at = insert_new(plain, threshold)
    ap = per_query_ap(at.identities, answers)
    never = per_query_ap(plain.identities, answers)
    always = per_query_ap(insert_new(plain, math.inf).identities, answers)
    is_new = np.array([answer is None for answer in answers], dtype=bool)
    first_new = np.array([names[0] is None for names in at.identities], dtype=bool)

    def rate(happened: npt.NDArray[np.bool_]) -> Interval | None:
        return _rate(happened, seed) if happened.size else None

    return Expectation(
        threshold=threshold,
        map5=bootstrap_interval(ap, seed=seed),
        false_new=rate(first_new[~is_new]),
        missed_new=rate(~first_new[is_new]),
        never=bootstrap_interval(never, seed=seed),
        always=bootstrap_interval(always, seed=seed),
        over_never=bootstrap_interval(ap - never, seed=seed),
        over_always=bootstrap_interval(ap - always, seed=seed),
    )


def _rate(happened: npt.NDArray[np.bool_], seed: int) -> Interval:
    """Share of n that happened.  Where none or all did, resampling would leave no doubt at all.

    Then the exact interval of a binomial share (Clopper and Pearson, Biometrika 26:404, 1934).
    """
    reach = 1 - 0.025 ** (1 / len(happened))
    if not happened.any():
        return Interval(0.0, 0.0, reach)
    if happened.all():
        return Interval(1 - reach, 1.0, 1.0)
    return bootstrap_interval(happened, seed=seed)


def _signed(gain: Interval) -> str:
    return f"{gain.mean:+.3f} [{gain.low:+.3f}, {gain.high:+.3f}]"


class Logistic(Section):
    """1 / (1 + exp(-(intercept + score * s + lead * d))).

    s: similarity to the nearest known identity; d: how much more than to the second.
    """

    intercept: float = Field(allow_inf_nan=False)
    score: float = Field(allow_inf_nan=False)
    lead: float = Field(allow_inf_nan=False)

    def __call__(self, features: Values) -> Values:
        """(q,) values between 0 and 1 of (q, 2) features."""
        power = self.intercept + features @ np.array([self.score, self.lead])
        return np.asarray(0.5 * (1 + np.tanh(power / 2)))  # does not overflow


class Rising(Logistic):
    """Never falls with the score or the lead."""

    score: float = Field(ge=0, allow_inf_nan=False)
    lead: float = Field(ge=0, allow_inf_nan=False)


class Calibration(Section):
    """The probability that the first answer is right; it does not depend on the threshold.

    right: that the nearest identity is the right one, given that the individual is known.
    known: that the individual is known; None where no query was of a new one.
    So the nearest identity is right with `known * right`, a new individual with `1 - known`.
    Both rise with the score and with the lead (Platt, Probabilities for SV machines, 1999).
    queries: how many it was fitted on.
    """

    right: Rising
    known: Rising | None
    queries: int

    def probabilities(self, ranking: Ranking) -> Values:
        """(q,) probability that the first answer of each query is right, made at any threshold."""
        x = features(ranking)
        known = np.ones(len(x)) if self.known is None else self.known(x)
        is_new = np.array([names[0] is None for names in ranking.identities], dtype=bool)
        return np.where(is_new, 1 - known, known * self.right(x))


def fit_calibration(ranking: Ranking, answers: Sequence[str | None]) -> Calibration | None:
    """Fit the probability of a right answer on q queries with known answers.

    None when fewer than `FEWEST` are of known individuals.
    """
    if len(answers) != len(ranking):
        raise ValueError(f"{len(answers)} answers for {len(ranking)} queries")
    is_known = np.array([answer is not None for answer in answers], dtype=bool)
    if is_known.sum() < FEWEST:
        return None
    x = features(ranking)
    hit = np.array(
        [
            answer is not None and answer == next(name for name in names if name is not None)
            for names, answer in zip(ranking.identities, answers, strict=True)
        ]
    )
    return Calibration(
        right=_fit(x[is_known], hit[is_known]),
        known=None if is_known.all() else _fit(x, is_known),
        queries=len(answers),
    )


def features(ranking: Ranking) -> Values:
    """(q, 2) similarity to the nearest known identity, and its lead over the second.

    Where the gallery has one identity, a second one is taken to be as far as can be (-1).
    Raises ValueError when the ranking has too few answers to hold two known identities.
    """
    if ranking.scores.shape[1] < 3:
        raise ValueError("a probability needs at least three answers for each query")
    known = np.full((len(ranking), 2), -1.0)
    for query, names in enumerate(ranking.identities):
        at = [place for place, name in enumerate(names) if name is not None][:2]
        known[query, : len(at)] = ranking.scores[query, at]
    return np.stack([known[:, 0], known[:, 0] - known[:, 1]], axis=1)


def _fit(x: Values, outcome: npt.NDArray[np.bool_]) -> Rising:
    """Logistic regression on standardised features; one that would count downwards is left out.

    Where all outcomes are alike, Laplace's rule of succession.
    """
    from sklearn.linear_model import LogisticRegression

    n, hits = len(outcome), int(outcome.sum())
    middle, spread = x.mean(axis=0), x.std(axis=0)
    used = [column for column in range(x.shape[1]) if spread[column] > 1e-9]
    while used and 0 < hits < n:
        model = LogisticRegression(C=1.0).fit((x[:, used] - middle[used]) / spread[used], outcome)
        if (model.coef_[0] >= 0).all():
            weights = np.zeros(x.shape[1])
            weights[used] = model.coef_[0] / spread[used]
            intercept = float(model.intercept_[0] - weights @ middle)
            return Rising(intercept=intercept, score=float(weights[0]), lead=float(weights[1]))
        used = [c for c, weight in zip(used, model.coef_[0], strict=True) if weight >= 0]
    return Rising(intercept=math.log((hits + 1) / (n - hits + 1)), score=0.0, lead=0.0)


@dataclass(frozen=True)
class Reliability:
    """How probabilities agree with what happened, in bins of about equally many queries.

    foretold, happened: (b,) mean probability and share of right answers of each bin, rising
    with the probability; queries: (b,) how many.
    ece: mean |foretold - happened| over queries, the expected calibration error.
    chance: the ece that probabilities without any error would have on so many queries.
    """

    ece: float
    chance: float
    foretold: tuple[float, ...]
    happened: tuple[float, ...]
    queries: tuple[int, ...]

    def text(self) -> str:
        """One line for people."""
        return (
            f"probability of the first answer: calibration error {self.ece:.3f} "
            f"(faultless: {self.chance:.3f}), {sum(self.queries)} queries"
        )


def equal_mass_bins(probabilities: npt.ArrayLike, bins: int = BINS) -> npt.NDArray[np.int64]:
    """(q,) bin of each probability, from 0; equal probabilities share a bin, so some stay empty."""
    values = np.asarray(probabilities, dtype=np.float64)
    ordered = np.sort(values)
    low = np.searchsorted(ordered, values, side="left")
    high = np.searchsorted(ordered, values, side="right")
    return np.asarray(bins * (low + high) // (2 * len(values)), dtype=np.int64)


def calibration_error(
    probabilities: npt.ArrayLike, right: npt.ArrayLike, bins: int = BINS
) -> float:
    """Expected calibration error with equal-mass bins.

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
    """`Reliability` of (q,) probabilities beside whether each first answer was right.

    chance: the mean error of 200 draws of what would happen if the probabilities were true
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
        foretold=tuple(mean_p.tolist()),
        happened=tuple(mean_y.tolist()),
        queries=tuple(count[some].tolist()),
    )
