"""Validate a network on its fold: fit the threshold on half of the queries, report on the other.

No individual is in both halves.  Where nothing is fitted (a closed set, a given threshold) all
queries report, unless early stopping has chosen the weights on one half.

`threshold_choice.py` chooses the threshold for new individuals (new_whale) by `infer.threshold`;
`insert_new_individual` in `ranking/ranking.py` then applies it.
"""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from flukeprint.config.schema import Config
from flukeprint.data.catalog import Catalog
from flukeprint.data.embeddings import Embeddings, Ints
from flukeprint.data.splits import Split, halves
from flukeprint.errors import FlukeprintError
from flukeprint.evaluation.breakdown import Ceiling, ceiling
from flukeprint.evaluation.fitting import (
    FEWEST_KNOWN,
    fit_calibration,
    fit_rules,
    fits_something,
)
from flukeprint.evaluation.metrics import (
    Prediction,
    Scores,
    commonest_labels,
    evaluate,
    map_at_5,
)
from flukeprint.evaluation.reliability import (
    Reliability,
    ThresholdReport,
    measure_reliability,
    report_threshold,
)
from flukeprint.evaluation.studies.encounters import fit_encounters
from flukeprint.evaluation.threshold_choice import (
    check_half,
    choose_threshold,
    is_fitted,
    threshold_of_half,
)
from flukeprint.evaluation.validation_queries import ValidationQueries
from flukeprint.ranking.calibration import Calibration
from flukeprint.ranking.features import Features
from flukeprint.ranking.pipeline import QueryRanker
from flukeprint.ranking.ranking import Ranking, insert_new_individual, merge_rankings, rank
from flukeprint.ranking.rules import FittedRules
from flukeprint.search.gallery import Gallery

ANSWERS = 5


@dataclass(frozen=True)
class Validation:
    """Metrics, threshold and calibration of one fold.

    ranking: of the reporting queries, whose places among all are `report`.
    expectation: error rates at the threshold, None without one.  calibration: fitted on all
    queries, for the identifier; reliability: of probabilities for the reporting queries, fitted on
    queries of other individuals.  Both are None when the queries are too few.
    queries: all queries ranked without a threshold, to choose another threshold later.
    constants: metrics of the constant answers of an open set, `never new` and `always new first`,
    on the reporting queries.  doubt: why the threshold is that of `infer.fallback`, one line.
    deployed: the threshold for the identifier, whose ranking rules were fitted on all queries.
    drawn_from: number of queries of which these are a sample; None: these are all.
    """

    scores: Scores
    threshold: float | None
    fitted_on: int  # number of queries that fitted the threshold or chose the weights
    ranking: Ranking
    report: npt.NDArray[np.int64]
    expectation: ThresholdReport | None
    calibration: Calibration | None
    reliability: Reliability | None
    queries: ValidationQueries
    constants: dict[str, Scores]
    doubt: str | None = None
    deployed: float | None = None
    drawn_from: int | None = None

    def summary(self) -> dict[str, Any]:
        """Everything for `validation.json`; `text` and `lines` are for people."""
        return {
            "text": self.text(),
            "lines": self.lines(),
            **asdict(self.scores),
            "constants": {
                name: {"text": scores.text(), **asdict(scores)}
                for name, scores in self.constants.items()
            },
            "doubt": self.doubt,
            "threshold": self.threshold,
            "fitted_on": self.fitted_on,
            "drawn_from": self.drawn_from,
            "expectation": None if self.expectation is None else asdict(self.expectation),
            "reliability": None if self.reliability is None else self.reliability.summary(),
        }

    def text(self) -> str:
        """One line for people."""
        return self.scores.text()

    def lines(self) -> list[str]:
        """Lines for people on the threshold and on the probabilities."""
        lines = [] if self.doubt is None else [self.doubt]
        if self.drawn_from is not None:
            lines.append(
                f"the {len(self.queries.answers):,} queries were drawn from {self.drawn_from:,}; "
                f"MAP@5 of all is in {self.scores.map5.text()} with 95 % confidence"
            )
        if self.expectation is not None:
            lines += self.expectation.text().splitlines()
        if self.reliability is None:
            return [
                *lines,
                f"no probabilities: each half of the queries needs {FEWEST_KNOWN} of known animals",
            ]
        return [*lines, self.reliability.text()]


def validate(
    features: Features,
    split: Split,
    config: Config,
    *,
    centers: Embeddings | None = None,
    progress: str | None = None,
) -> tuple[Validation, FittedRules]:
    """Rank the fold's queries against its gallery and measure the rankings.

    The fitted rules that are returned were fitted on all queries; but for the metrics, each half
    of the queries is ranked with rules fitted on the other half.  Where a threshold is fitted too,
    only one half reports, and both are ranked with the rules of the other: fitted rules set the
    scale of scores, and a threshold holds on one scale alone.

    Args:
        features: of the whole catalogue, whose rows `split` names.
        centers: class centres of the head, for rank.head.
        progress: title of a progress bar over keypoint matching.
    """
    individuals = _individuals(features.embeddings.identities, split)
    gallery, queries = features.take(split.gallery), features.take(split.queries)
    ranker = QueryRanker(gallery, queries, config.rank, centers=centers, progress=progress)
    fitted = fit_rules(ranker, split.answers)

    def rules_of(half: Ints) -> FittedRules:
        return fit_rules(ranker, [split.answers[i] for i in half], half)

    turns = _turns(split.answers, individuals, config.split.seed)
    if not fits_something(config.rank):
        ranking = ranker.rank(fitted)
    elif is_fitted(config):
        ranking = ranker.rank(rules_of(turns[0][0]))
    else:
        ranking = merge_rankings(
            [(report, ranker.rank(rules_of(fit), report)) for fit, report in turns]
        )
    found = validate_rankings(ValidationQueries(ranking, split.answers, individuals), config)
    if fits_something(config.rank) and is_fitted(config):
        found = _deployed(found, ranker.rank(fitted), split.answers, config)
    found = replace(found, drawn_from=split.drawn_from)
    return found, fit_encounters(
        ranker, fitted, split.answers, found.calibration, seed=config.split.seed
    )


def _deployed(
    found: Validation, ranking: Ranking, answers: Sequence[str | None], config: Config
) -> Validation:
    """The validation with threshold and calibration on the scale of the rules fitted on all.

    ranking: of all queries, by these rules.
    """
    rule = config.infer.threshold if found.doubt is None else config.infer.fallback
    infer = config.infer.model_copy(update={"threshold": "best_map5" if rule == "fitted" else rule})
    every = np.arange(len(answers))
    threshold = threshold_of_half(
        ranking, answers, every, config.model_copy(update={"infer": infer})
    )
    calibration = None if found.calibration is None else fit_calibration(ranking, answers)
    return replace(found, deployed=threshold, calibration=calibration)


def validate_rankings(queries: ValidationQueries, config: Config) -> Validation:
    """Choose the threshold by `infer.threshold` on one half of the queries, report on the other.

    Raises:
        FlukeprintError: the queries are too few.
    """
    _check_halves(queries.answers, queries.individuals, config)
    fit, report = _sides(queries.answers, queries.individuals, config)
    chosen = choose_threshold(queries.ranking, queries.answers, fit, report, config)
    threshold = chosen.threshold
    final = (
        queries.ranking if threshold is None else insert_new_individual(queries.ranking, threshold)
    )
    answers = [queries.answers[i] for i in report]
    seed = config.split.seed
    reliability = _reliability(queries, final, fit, report, seed)
    return Validation(
        scores=evaluate(final.take(report), answers, seed=seed),
        threshold=threshold,
        fitted_on=len(fit),
        ranking=final.take(report),
        report=report,
        expectation=None
        if threshold is None
        else report_threshold(queries.ranking.take(report), answers, threshold, seed=seed),
        # Kept only where it could be measured.
        calibration=None
        if reliability is None
        else fit_calibration(queries.ranking, queries.answers),
        reliability=reliability,
        queries=queries,
        constants={}
        if config.data.closed_set
        else constant_scores(queries.ranking.take(report), answers, seed=seed),
        doubt=chosen.doubt,
        deployed=threshold,
    )


def selection_map5(embeddings: Embeddings, split: Split, config: Config) -> float:
    """MAP@5 for early stopping, on the half of the queries that does not report."""
    fit, _ = _sides(split.answers, _individuals(embeddings.identities, split), config)
    if not len(fit):  # nothing is fitted on queries, so all of them may be used
        fit = np.arange(len(split.queries))
    ranking = _nearest(embeddings, split)  # the ranking rules are applied after training only
    threshold = threshold_of_half(ranking, split.answers, fit, config)
    if threshold is not None:
        ranking = insert_new_individual(ranking, threshold)
    return map_at_5(ranking.take(fit).identities, [split.answers[i] for i in fit])


def check_fittable(identities: tuple[str | None, ...], split: Split, config: Config) -> None:
    """Raise FlukeprintError, before training, for a fold on which no threshold can be chosen."""
    _check_halves(split.answers, _individuals(identities, split), config)


def view_ceiling(embeddings: Embeddings, split: Split) -> Ceiling:
    """Upper bound on recall if only gallery photographs of the query's view could match."""
    gallery, queries = embeddings.take(split.gallery), embeddings.take(split.queries)
    return ceiling(
        queries.views or (None,) * len(queries),
        split.answers,
        gallery.views or (None,) * len(gallery),
        gallery.identities,
    )


def commonest_baseline(catalog: Catalog, split: Split, config: Config) -> Scores:
    """Metrics of always answering the five labels with the most photographs, queries aside."""
    with_new = not config.data.closed_set
    in_queries = np.isin(np.arange(len(catalog)), split.queries)
    labels = [
        name for name, is_query in zip(catalog.identities, in_queries, strict=True) if not is_query
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


def constant_scores(plain: Ranking, answers: Prediction, *, seed: int) -> dict[str, Scores]:
    """Metrics of never, and of always first, answering a new individual, on the same queries.

    plain: the ranking made without a threshold.
    """
    return {
        "never new": evaluate(plain, answers, seed=seed),
        "always new first": evaluate(insert_new_individual(plain, math.inf), answers, seed=seed),
    }


def _nearest(embeddings: Embeddings, split: Split) -> Ranking:
    gallery = Gallery(embeddings.take(split.gallery))
    queries = embeddings.take(split.queries)
    return rank(
        gallery.search_identities(queries, ANSWERS), queries.images, threshold=None, top=ANSWERS
    )


def _individuals(identities: tuple[str | None, ...], split: Split) -> tuple[str | None, ...]:
    return tuple(identities[row] for row in split.queries)


def _sides(
    answers: Sequence[str | None], individuals: Sequence[str | None], config: Config
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Places of the queries used for fitting, and of those that report."""
    every = np.arange(len(answers))
    if not is_fitted(config) and config.train.patience is None:
        return every[:0], every
    return _turns(answers, individuals, config.split.seed)[0]


def _turns(
    answers: Sequence[str | None], individuals: Sequence[str | None], seed: int
) -> list[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]]:
    """Two-fold split of the queries: places (fit, report), each half used once for fitting."""
    side = halves(answers, individuals, seed)
    one, other = np.flatnonzero(side), np.flatnonzero(~side)
    return [(one, other), (other, one)]


def _check_halves(
    answers: Sequence[str | None], individuals: Sequence[str | None], config: Config
) -> None:
    if not is_fitted(config):
        return
    for half in _sides(answers, individuals, config):
        if not check_half([answers[i] for i in half], config):
            raise FlukeprintError(
                f"the {len(answers)} queries of fold {config.split.fold} are too few to fit "
                "a threshold on one half and measure it on the other: lower split.folds, raise "
                "split.unseen_share, set data.closed_set=true or give infer.threshold as a number"
            )


def _reliability(
    queries: ValidationQueries,
    final: Ranking,
    fit: npt.NDArray[np.int64],
    report: npt.NDArray[np.int64],
    seed: int,
) -> Reliability | None:
    """Reliability of the reporting queries' probabilities, calibrated on other individuals."""
    # Where all queries report, each half is calibrated on the other.
    turns = [(fit, report)] if len(fit) else _turns(queries.answers, queries.individuals, seed)
    probabilities = np.full(len(final), np.nan)
    for one, other in turns:
        calibration = fit_calibration(queries.ranking.take(one), [queries.answers[i] for i in one])
        if calibration is None:
            return None
        probabilities[other] = calibration.probabilities(final.take(other))
    right = np.array([final.identities[i][0] == queries.answers[i] for i in report])
    return measure_reliability(probabilities[report], right, seed=seed)
