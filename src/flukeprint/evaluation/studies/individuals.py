"""Intervals over individuals: how certain is a figure, if other animals had been photographed?

Photographs of one individual, and pairs that share a photograph or an individual, are not
independent, so that resampling them as if they were gives intervals that are far too narrow.  Here
individuals are drawn with replacement, each with all its photographs.  A pair of one individual
counts as often as that was drawn (subsets bootstrap: Bolle, Ratha and Pankanti, Error analysis of
pattern recognition systems, CVIU 93:1, 2004); a pair of two individuals as often as the one times
the other (vertex bootstrap: Snijders and Borgatti, Non-parametric standard errors and tests for
network statistics, Connections 22:161, 1999; it errs to the wide side: Owen, The pigeonhole
bootstrap, Annals of Applied Statistics 1:386, 2007).  Two copies of one individual make no pair.
"""

import numpy as np

from flukeprint.data.embeddings import Ints, Values
from flukeprint.evaluation.comparison import Difference
from flukeprint.evaluation.metrics import Interval, percentile_interval
from flukeprint.evaluation.verification import SUPPORT

SAMPLES = 1000


def draw_individuals(count: int, *, seed: int, samples: int = SAMPLES) -> Ints:
    """How often each of `count` individuals is in each resample: (samples, count) int64."""
    if count < 1:
        raise ValueError("no individual to draw")
    rng = np.random.default_rng(seed)
    return rng.multinomial(count, np.full(count, 1 / count), size=samples)


def resampled_means(values: Values, owners: Ints, times: Ints) -> Values:
    """Means (samples,) of values (q,) over resamples of their individuals.

    owners: (q,) individual of each value.  times: as `draw_individuals` draws them.  NaN where a
    resample has none of these individuals.
    """
    count = times.shape[1]
    sums = np.bincount(owners, weights=values, minlength=count)
    sizes = np.bincount(owners, minlength=count)
    drawn = (times @ sizes).astype(np.float64)
    with np.errstate(invalid="ignore"):
        return np.asarray(times @ sums / np.where(drawn > 0, drawn, np.nan))


def resampled_interval(means: Values, middle: float) -> Interval:
    """95 % percentile interval of resampled figures around `middle`; NaNs do not count."""
    counted = means[~np.isnan(means)]
    return percentile_interval(counted if len(counted) else np.array([middle]), middle)


def share_interval(values: Values, owners: Ints, times: Ints) -> Interval:
    """Mean of shares (q,) from 0 to 1 with its 95 % interval over individuals.

    Where all are 0, or all 1, nothing can be resampled: the interval is that of the rule of 3.
    """
    middle = float(values.mean())
    found = resampled_interval(resampled_means(values, owners, times), middle)
    return at_least_rule_of_3(found, len(np.unique(owners)))


def at_least_rule_of_3(found: Interval, individuals: int) -> Interval:
    """Widen the interval of a share that is 0 or 1 to what n individuals can tell.

    Of n that are all right, at most 3 / n are wrong with 95 % confidence (Hanley and
    Lippman-Hand, If nothing goes wrong, is everything all right?, JAMA 249:1743, 1983).
    """
    bound = min(1.0, SUPPORT / max(individuals, 1))
    if found.mean <= 0:
        return Interval(0.0, 0.0, max(found.high, bound))
    if found.mean >= 1:
        return Interval(min(found.low, 1 - bound), 1.0, 1.0)
    return found


def paired_difference(a: float, b: float, of_a: Values, of_b: Values) -> Difference:
    """Compare two figures by their values (samples,) on the same resamples of individuals."""
    gains = np.round(of_b - of_a, 9)
    gains = gains[~np.isnan(gains)]
    return Difference(
        a=a,
        b=b,
        gain=resampled_interval(gains, b - a),
        better=float((gains > 0).mean()) if len(gains) else 0.0,
    )
