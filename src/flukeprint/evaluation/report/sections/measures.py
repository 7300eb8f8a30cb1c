"""What several sections measure: shares with intervals, first answers of the reporting queries."""

import numpy as np
import numpy.typing as npt

from flukeprint.evaluation.metrics import Interval, bootstrap_interval, bootstrap_means
from flukeprint.evaluation.report.material import RunMaterial
from flukeprint.intervals import wilson
from flukeprint.ranking.ranking import Ranking

Mask = npt.NDArray[np.bool_]
AT_ONCE = 256  # queries whose similarities to the whole gallery are computed at a time


def share(right: npt.ArrayLike) -> Interval:
    """Share of True among n, with its 95 % Wilson interval."""
    values = np.asarray(right, dtype=np.float64)
    mean = float(values.mean())
    low, high = wilson(mean, len(values))
    return Interval(float(low), mean, float(high))


def difference(one: npt.ArrayLike, other: npt.ArrayLike, *, seed: int) -> Interval:
    """Mean of `one` less mean of `other`, of different queries, with its 95 % bootstrap interval.

    Both are resampled independently (Efron and Tibshirani 1993, chapter 8.3, two samples).
    """
    first, second = (np.asarray(values, dtype=np.float64) for values in (one, other))
    drawn = bootstrap_means(first, seed=seed) - bootstrap_means(second, seed=seed + 1)
    low, high = np.quantile(drawn, [0.025, 0.975])
    return Interval(float(low), float(first.mean() - second.mean()), float(high))


def mean(values: npt.ArrayLike, *, seed: int) -> Interval:
    """Mean of values from 0 to 1, with its 95 % bootstrap interval.

    Where all values are equal, resampling would give an interval of no width.  Then it reaches as
    far below and above as if all outcomes were that of a binomial share (Clopper and Pearson,
    Biometrika 26:404, 1934).
    """
    numbers = np.asarray(values, dtype=np.float64)
    if np.ptp(numbers) == 0:
        middle, reach = float(numbers[0]), 1 - 0.025 ** (1 / len(numbers))
        return Interval(middle * (1 - reach), middle, middle + (1 - middle) * reach)
    return bootstrap_interval(numbers, seed=seed)


def ends(intervals: list[Interval]) -> tuple[npt.NDArray[np.float64], ...]:
    """Middles, lower and upper ends of intervals, as three rows."""
    rows = [[one.mean, one.low, one.high] for one in intervals]
    return tuple(np.array(rows, dtype=np.float64).reshape(-1, 3).T)


def from_zero(
    high: npt.NDArray[np.float64], *others: npt.NDArray[np.float64]
) -> tuple[float, float]:
    """Limits of an axis of scores from 0 to a little above the highest, at least to 0.1."""
    top = max(float(values.max(initial=0.0)) for values in (high, *others))
    return 0.0, min(1.04, max(0.1, 1.15 * top))


def plain_ranking(run: RunMaterial) -> Ranking:
    """The reporting queries' ranking without a threshold: no answer is a new animal."""
    return run.validation.queries.ranking.take(run.validation.report)


def first_right(ranking: Ranking, truths: tuple[str | None, ...]) -> Mask:
    """(q,) whether the first answer is the right one."""
    both = zip(ranking.identities, truths, strict=True)
    return np.array([bool(names) and names[0] == truth for names, truth in both], dtype=bool)


def is_new(truths: tuple[str | None, ...]) -> Mask:
    """(q,) whether the query shows an animal that is not in the gallery."""
    return np.array([truth is None for truth in truths], dtype=bool)


def percent(value: float) -> str:
    """A share for people: `41 %`, `4.1 %`, `0.41 %`."""
    shown = 100 * value
    if shown == 0 or shown >= 10:
        return f"{shown:.0f} %" if shown < 99.5 or shown == 100 else f"{shown:.1f} %"
    return f"{shown:.2g} %"


def interval_percent(interval: Interval) -> str:
    """`41 % [35 %, 47 %]`"""
    return f"{percent(interval.mean)} [{percent(interval.low)}, {percent(interval.high)}]"
