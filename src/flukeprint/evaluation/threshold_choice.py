"""Choose the threshold for new individuals by `infer.threshold`, unless queries tell too little.

`best_map5` is fitted by `fit_threshold` and `{false_new: x}` by `threshold_for_false_new` (both in
`evaluation/fitting.py`), `{share: x}` by `threshold_for_share` (`ranking/threshold.py`).  A number
is the threshold itself; `none` answers no new individuals.

A `best_map5` that was fitted on few queries is worth little: it may answer every photograph as new.
It is used only where both kinds of queries are enough, and where the other half of the queries
shows that it is better than both constant answers, never and always answering new first, beyond
noise.  Otherwise `infer.fallback` takes its place, and the reason is said.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from flukeprint.config.ranking import FalseNew, NewShare
from flukeprint.config.schema import Config
from flukeprint.errors import FlukeprintError, counted
from flukeprint.evaluation.fitting import FEWEST_KNOWN, fit_threshold, threshold_for_false_new
from flukeprint.evaluation.reliability import report_threshold
from flukeprint.ranking.ranking import Ranking
from flukeprint.ranking.threshold import threshold_for_share

FEWEST_NEW = 5  # queries of new individuals that a fitted threshold needs


@dataclass(frozen=True)
class ThresholdChoice:
    """A threshold, None for no new individuals; and why it is not the one that was asked for."""

    threshold: float | None
    doubt: str | None = None


def is_fitted(config: Config) -> bool:
    """Whether the threshold is fitted on queries."""
    rule = config.infer.threshold
    if rule == "best_map5":
        return not config.data.closed_set
    return isinstance(rule, NewShare | FalseNew)


def check_half(answers: Sequence[str | None], config: Config) -> bool:
    """Whether a threshold can be chosen, or measured, on queries of these answers at all."""
    kinds = {answer is None for answer in answers}
    rule = config.infer.threshold
    if rule == "best_map5" and config.infer.fallback == "fitted":
        return len(kinds) == 2
    # A false-new rate needs known individuals, a share and the fallback any queries.
    return False in kinds if isinstance(rule, FalseNew) else bool(kinds)


def choose_threshold(
    ranking: Ranking,
    answers: Sequence[str | None],
    fit: npt.NDArray[np.int64],
    report: npt.NDArray[np.int64],
    config: Config,
) -> ThresholdChoice:
    """Choose the threshold on the queries at `fit`; doubt a fitted one by those at `report`.

    ranking: of all q queries, without a threshold; answers: (q) the right ones.
    """
    if config.infer.threshold != "best_map5" or not is_fitted(config):
        return ThresholdChoice(threshold_of_half(ranking, answers, fit, config))
    if config.infer.fallback == "fitted":
        return ThresholdChoice(fit_threshold(ranking.take(fit), [answers[i] for i in fit]))
    new = sum(answers[i] is None for i in fit)
    known = len(fit) - new
    if known < FEWEST_KNOWN or new < FEWEST_NEW:
        return _fallback(
            ranking, fit, config,
            f"too little is known to fit a threshold for new animals: "
            f"{counted(known, 'query', 'queries')} of known and {new} of new ones, where "
            f"{FEWEST_KNOWN} and {FEWEST_NEW} are needed",
        )  # fmt: skip
    threshold = fit_threshold(ranking.take(fit), [answers[i] for i in fit])
    measured = report_threshold(
        ranking.take(report), [answers[i] for i in report], threshold, seed=config.split.seed
    )
    against = [
        constant
        for constant, gain in (
            ("never answering new", measured.over_never),
            ("always answering new first", measured.over_always),
        )
        if not gain.low > 0
    ]
    if not against:
        return ThresholdChoice(threshold)
    return _fallback(
        ranking, fit, config,
        f"the fitted threshold for new animals ({threshold:.4f}) shows no gain beyond noise over "
        f"{' or '.join(against)} on {counted(len(report), 'other query', 'other queries')}: "
        f"{measured.gains()}",
    )  # fmt: skip


def threshold_of_half(
    ranking: Ranking,
    answers: Sequence[str | None],
    fit: npt.NDArray[np.int64],
    config: Config,
) -> float | None:
    """The threshold by `infer.threshold` on the queries at `fit` alone, whether reliable or not."""
    rule = config.infer.threshold
    if rule == "none" or (rule == "best_map5" and config.data.closed_set):
        return None
    if isinstance(rule, float):
        return rule
    is_new = [answers[i] is None for i in fit]
    if isinstance(rule, NewShare):
        return threshold_for_share(ranking.best_known[fit], rule.share)
    if isinstance(rule, FalseNew):
        return threshold_for_false_new(ranking.best_known[fit], is_new, rule.false_new)
    if all(is_new) or not any(is_new):
        return _fallback(ranking, fit, config, "").threshold
    return fit_threshold(ranking.take(fit), [answers[i] for i in fit])


def _fallback(
    ranking: Ranking, fit: npt.NDArray[np.int64], config: Config, why: str
) -> ThresholdChoice:
    """The threshold of `infer.fallback`, chosen without right answers."""
    rule = config.infer.fallback
    if isinstance(rule, NewShare):
        threshold = threshold_for_share(ranking.best_known[fit], rule.share)
        taken = (
            f"{threshold:.4f}, below which at most {rule.share:.1%} of "
            f"{counted(len(fit), 'query', 'queries')} lie"
        )
        return ThresholdChoice(threshold, f"{why}; infer.fallback takes {taken}")
    if isinstance(rule, float):
        return ThresholdChoice(rule, f"{why}; infer.fallback takes {rule:.4f}")
    if rule == "none":
        return ThresholdChoice(None, f"{why}; infer.fallback: new is never answered")
    raise FlukeprintError(
        "infer.fallback=fitted, but no threshold can be fitted: the queries are of one kind"
    )
