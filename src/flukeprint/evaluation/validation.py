"""How good a network is on its fold: embeddings and a split enter, figures with intervals leave.

The threshold is chosen on one half of the queries and everything is reported on
the other; no individual stands on both.  Where nothing is chosen (a closed set, a given
threshold) all queries report, unless early stopping has chosen the weights on one half.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from flukeprint.config.schema import Config, FalseNew, NewShare
from flukeprint.data.catalog import Catalog
from flukeprint.data.embeddings import Embeddings
from flukeprint.data.splits import Split, halves
from flukeprint.errors import FlukeprintError
from flukeprint.evaluation.breakdown import Ceiling, ceiling
from flukeprint.evaluation.fitting import (
    FEWEST_KNOWN,
    fit_calibration,
    fit_rules,
    fit_threshold,
    fits_something,
    threshold_for_false_new,
)
from flukeprint.evaluation.metrics import Scores, commonest_labels, evaluate, map_at_5
from flukeprint.evaluation.reliability import (
    Reliability,
    ThresholdReport,
    measure_reliability,
    report_threshold,
)
from flukeprint.evaluation.validation_queries import ValidationQueries
from flukeprint.ranking.calibration import Calibration
from flukeprint.ranking.features import Features
from flukeprint.ranking.pipeline import FittedRules, QueryRanker
from flukeprint.ranking.ranking import Ranking, insert_new_individual, merge_rankings, rank
from flukeprint.ranking.threshold import threshold_for_share
from flukeprint.search.gallery import Gallery

ANSWERS = 5


@dataclass(frozen=True)
class Validation:
    """The fold's figures; `ranking` answers the reporting queries, whose places are `report`.

    expectation: at the threshold, None without one.  reliability: of the probabilities that
    queries of other individuals gave the reporting ones; calibration: fitted on all queries, to
    be kept.  Both are None when the queries are too few.
    """

    scores: Scores
    threshold: float | None
    fitted_on: int  # queries that fitted the threshold or chose the weights
    ranking: Ranking
    report: npt.NDArray[np.int64]
    expectation: ThresholdReport | None
    calibration: Calibration | None
    reliability: Reliability | None
    asked: ValidationQueries

    def summary(self) -> dict[str, Any]:
        """Numbers alone, for JSON; `lines` is what people should read besides `text`."""
        return {
            "text": self.text(),
            "lines": self.lines(),
            **asdict(self.scores),
            "threshold": self.threshold,
            "fitted_on": self.fitted_on,
            "expectation": None if self.expectation is None else asdict(self.expectation),
            "reliability": None if self.reliability is None else asdict(self.reliability),
        }

    def text(self) -> str:
        """One line for people."""
        return self.scores.text()

    def lines(self) -> list[str]:
        """What to expect of the threshold and of the probabilities."""
        lines = [] if self.expectation is None else self.expectation.text().splitlines()
        if self.reliability is None:
            return [
                *lines,
                f"no probabilities: each half of the queries needs {FEWEST_KNOWN} of known animals",
            ]
        return [*lines, self.reliability.text()]


def validate(
    evidence: Features,
    split: Split,
    config: Config,
    *,
    centers: Embeddings | None = None,
    progress: str | None = None,
) -> tuple[Validation, FittedRules]:
    """Answer the fold's queries from its gallery and measure the answers.

    Numbers of the ranking rules that have to be fitted are fitted on all queries to be kept; but
    each half of the queries is answered with those that the other half chose.

    Args:
        evidence: of the whole catalogue that `split` has the rows of.
        centers: of the head's classes, for rank.head.
        progress: title of a progress bar over keypoint matching.
    """
    individuals = _individuals(evidence.embeddings.identities, split)
    gallery, queries = evidence.take(split.gallery), evidence.take(split.queries)
    ranker = QueryRanker(gallery, queries, config.rank, centers=centers, progress=progress)
    method = fit_rules(ranker, split.answers)
    if fits_something(config.rank):
        parts = []
        for fit, report in _turns(split.answers, individuals, config.split.seed):
            fitted = fit_rules(ranker, [split.answers[i] for i in fit], fit)
            parts.append((report, ranker.rank(fitted, report)))
        ranking = merge_rankings(parts)
    else:
        ranking = ranker.rank(method)
    return validate_rankings(ValidationQueries(ranking, split.answers, individuals), config), method


def validate_rankings(asked: ValidationQueries, config: Config) -> Validation:
    """Choose the threshold that `config` wishes on one half of the queries, measure on the other.

    Raises:
        FlukeprintError: the queries are too few for that.
    """
    _check_halves(asked.answers, asked.individuals, config)
    fit, report = _sides(asked.answers, asked.individuals, config)
    threshold = _threshold(asked.ranking, asked.answers, fit, config)
    final = asked.ranking if threshold is None else insert_new_individual(asked.ranking, threshold)
    answers = [asked.answers[i] for i in report]
    seed = config.split.seed
    reliability = _reliability(asked, final, fit, report, seed)
    return Validation(
        scores=evaluate(final.take(report), answers, seed=seed),
        threshold=threshold,
        fitted_on=len(fit),
        ranking=final.take(report),
        report=report,
        expectation=None
        if threshold is None
        else report_threshold(asked.ranking.take(report), answers, threshold, seed=seed),
        # Kept only where it could be measured.
        calibration=None if reliability is None else fit_calibration(asked.ranking, asked.answers),
        reliability=reliability,
        asked=asked,
    )


def selection_map5(embeddings: Embeddings, split: Split, config: Config) -> float:
    """MAP@5 that early stopping may look at: on the half that does not report."""
    fit, _ = _sides(split.answers, _individuals(embeddings.identities, split), config)
    if not len(fit):  # nothing is chosen, the whole fold may be shown
        fit = np.arange(len(split.queries))
    ranking = _nearest(embeddings, split)  # the ranking rules are for the end
    threshold = _threshold(ranking, split.answers, fit, config)
    if threshold is not None:
        ranking = insert_new_individual(ranking, threshold)
    return map_at_5(ranking.take(fit).identities, [split.answers[i] for i in fit])


def check_fittable(identities: tuple[str | None, ...], split: Split, config: Config) -> None:
    """Refuse, before anything is trained, a fold on which the threshold cannot be chosen."""
    _check_halves(split.answers, _individuals(identities, split), config)


def view_ceiling(embeddings: Embeddings, split: Split) -> Ceiling:
    """How many of the fold's queries could be answered from photos of the same view alone."""
    gallery, queries = embeddings.take(split.gallery), embeddings.take(split.queries)
    return ceiling(
        queries.views or (None,) * len(queries),
        split.answers,
        gallery.views or (None,) * len(gallery),
        gallery.identities,
    )


def commonest_baseline(catalog: Catalog, split: Split, config: Config) -> Scores:
    """The figures of always answering the five labels with most photographs outside the queries."""
    with_new = not config.data.closed_set
    asked = np.isin(np.arange(len(catalog)), split.queries)
    labels = [
        name for name, is_query in zip(catalog.identities, asked, strict=True) if not is_query
    ]
    answer = commonest_labels(labels, with_new=with_new)
    _, report = _sides(split.answers, _individuals(catalog.identities, split), config)
    names = tuple(catalog.images[split.queries[i]] for i in report)
    q = len(report)
    same = Ranking(
        images=names,
        identities=(answer,) * q,
        scores=np.tile(np.arange(len(answer), 0, -1, dtype=np.float32), (q, 1)),
        rows=np.full((q, len(answer)), -1, dtype=np.int64),
        best_known=np.zeros(q, dtype=np.float32),
    )
    return evaluate(same, [split.answers[i] for i in report], seed=config.split.seed)


def _nearest(embeddings: Embeddings, split: Split) -> Ranking:
    gallery = Gallery(embeddings.take(split.gallery))
    queries = embeddings.take(split.queries)
    return rank(
        gallery.search_identities(queries, ANSWERS), queries.images, threshold=None, top=ANSWERS
    )


def _individuals(identities: tuple[str | None, ...], split: Split) -> tuple[str | None, ...]:
    return tuple(identities[row] for row in split.queries)


def _chosen(config: Config) -> bool:
    """Whether queries choose the threshold."""
    wish = config.infer.threshold
    if wish == "best_map5":
        return not config.data.closed_set
    return isinstance(wish, NewShare | FalseNew)


def _sides(
    answers: Sequence[str | None], individuals: Sequence[str | None], config: Config
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Places of the queries that fit, and of those that report."""
    every = np.arange(len(answers))
    if not _chosen(config) and config.train.patience is None:
        return every[:0], every
    return _turns(answers, individuals, config.split.seed)[0]


def _turns(
    answers: Sequence[str | None], individuals: Sequence[str | None], seed: int
) -> list[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]]:
    """Places of one half of the queries, that is learnt from, and of the other; and vice versa."""
    side = halves(answers, individuals, seed)
    one, other = np.flatnonzero(side), np.flatnonzero(~side)
    return [(one, other), (other, one)]


def _check_halves(
    answers: Sequence[str | None], individuals: Sequence[str | None], config: Config
) -> None:
    if not _chosen(config):
        return
    wish = config.infer.threshold
    for half in _sides(answers, individuals, config):
        kinds = {answers[i] is None for i in half}
        if wish == "best_map5":
            enough = len(kinds) == 2
        else:  # a share needs any queries, a false-new rate some of known individuals
            enough = False in kinds or (isinstance(wish, NewShare) and bool(kinds))
        if not enough:
            raise FlukeprintError(
                f"the {len(answers)} queries of fold {config.split.fold} are too few to fit "
                "a threshold on one half and measure it on the other: lower split.folds, raise "
                "split.unseen_share, set data.closed_set=true or give infer.threshold as a number"
            )


def _threshold(
    ranking: Ranking,
    answers: Sequence[str | None],
    fit: npt.NDArray[np.int64],
    config: Config,
) -> float | None:
    wish = config.infer.threshold
    if wish == "none" or (wish == "best_map5" and config.data.closed_set):
        return None
    if isinstance(wish, float):
        return wish
    right = [answers[i] for i in fit]
    if isinstance(wish, NewShare):
        return threshold_for_share(ranking.best_known[fit], wish.share)
    if isinstance(wish, FalseNew):
        is_new = [answer is None for answer in right]
        return threshold_for_false_new(ranking.best_known[fit], is_new, wish.false_new)
    return fit_threshold(ranking.take(fit), right)


def _reliability(
    asked: ValidationQueries,
    final: Ranking,
    fit: npt.NDArray[np.int64],
    report: npt.NDArray[np.int64],
    seed: int,
) -> Reliability | None:
    """Of probabilities for the reporting queries, each foretold from other individuals alone."""
    # Where all report, each half foretells the other.
    turns = [(fit, report)] if len(fit) else _turns(asked.answers, asked.individuals, seed)
    probabilities = np.full(len(final), np.nan)
    for learn, tell in turns:
        calibration = fit_calibration(asked.ranking.take(learn), [asked.answers[i] for i in learn])
        if calibration is None:
            return None
        probabilities[tell] = calibration.probabilities(final.take(tell))
    right = np.array([final.identities[i][0] == asked.answers[i] for i in report])
    return measure_reliability(probabilities[report], right, seed=seed)
