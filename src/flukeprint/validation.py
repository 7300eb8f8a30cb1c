"""How good a network is on its fold: embeddings and a split enter, figures with intervals leave.

The threshold is fitted on one half of the queries and everything is reported on
the other; no individual stands on both.  A closed set has no threshold, so all of its
queries report, unless early stopping has chosen the weights on one half.
"""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from flukeprint.catalog import Catalog
from flukeprint.config import Config
from flukeprint.errors import FlukeprintError
from flukeprint.gallery import Embeddings, Gallery
from flukeprint.metrics import Scores, commonest_labels, evaluate, map_at_5
from flukeprint.ranking import Ranking, fit_threshold, insert_new, rank
from flukeprint.splits import Split, halves

TOP = 5


@dataclass(frozen=True)
class Validation:
    """The fold's figures; `ranking` answers the reporting queries, whose places are `report`."""

    scores: Scores
    threshold: float | None
    fitted_on: int  # queries that fitted the threshold or chose the weights
    ranking: Ranking
    report: npt.NDArray[np.int64]

    def summary(self) -> dict[str, Any]:
        """Numbers alone, for JSON."""
        return {
            "text": self.text(),
            **asdict(self.scores),
            "threshold": self.threshold,
            "fitted_on": self.fitted_on,
        }

    def text(self) -> str:
        """One line for people."""
        return self.scores.text()


def validate(embeddings: Embeddings, split: Split, config: Config) -> Validation:
    """Answer the fold's queries from its gallery and measure the answers.

    Args:
        embeddings: of the whole catalogue that `split` has the rows of.
    """
    fit, report = _sides(embeddings.identities, split, config)
    ranking = _answer(embeddings, split)
    threshold = _threshold(ranking, split, fit, config)
    if threshold is not None:
        ranking = insert_new(ranking, threshold)
    answers = [split.answers[i] for i in report]
    return Validation(
        scores=evaluate(ranking.take(report), answers, seed=config.split.seed),
        threshold=threshold,
        fitted_on=len(fit),
        ranking=ranking.take(report),
        report=report,
    )


def selection_map5(embeddings: Embeddings, split: Split, config: Config) -> float:
    """MAP@5 that early stopping may look at: on the half that does not report."""
    fit, _ = _sides(embeddings.identities, split, config)
    if not len(fit):  # nothing is chosen, the whole fold may be shown
        fit = np.arange(len(split.queries))
    ranking = _answer(embeddings, split)
    threshold = _threshold(ranking, split, fit, config)
    if threshold is not None:
        ranking = insert_new(ranking, threshold)
    return map_at_5(ranking.take(fit).identities, [split.answers[i] for i in fit])


def check_fittable(identities: tuple[str | None, ...], split: Split, config: Config) -> None:
    """Refuse, before anything is trained, a fold on which no threshold can be fitted."""
    if config.infer.threshold != "fit" or config.data.closed_set:
        return
    fit, report = _sides(identities, split, config)
    for half in (fit, report):
        if len({split.answers[i] is None for i in half}) < 2:
            raise FlukeprintError(
                f"the {len(split.queries)} queries of fold {config.split.fold} are too few to fit "
                "a threshold on one half and measure it on the other: lower split.folds, raise "
                "split.unseen_share, set data.closed_set=true or give infer.threshold"
            )


def commonest_baseline(catalog: Catalog, split: Split, config: Config) -> Scores:
    """The figures of always answering the five labels with most photographs outside the queries."""
    with_new = not config.data.closed_set
    asked = np.isin(np.arange(len(catalog)), split.queries)
    labels = [
        name for name, is_query in zip(catalog.identities, asked, strict=True) if not is_query
    ]
    answer = commonest_labels(labels, with_new=with_new)
    _, report = _sides(catalog.identities, split, config)
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


def _answer(embeddings: Embeddings, split: Split) -> Ranking:
    gallery = Gallery(embeddings.take(split.gallery))
    queries = embeddings.take(split.queries)
    return rank(gallery.search_identities(queries, TOP), queries.images, threshold=None, top=TOP)


def _sides(
    identities: tuple[str | None, ...], split: Split, config: Config
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Places of the queries that fit, and of those that report."""
    every = np.arange(len(split.queries))
    nothing_fitted = config.data.closed_set or config.infer.threshold != "fit"
    if nothing_fitted and config.train.patience is None:
        return every[:0], every
    true = [identities[row] for row in split.queries]
    fits = halves(split.answers, true, config.split.seed)
    return every[fits], every[~fits]


def _threshold(
    ranking: Ranking, split: Split, fit: npt.NDArray[np.int64], config: Config
) -> float | None:
    wish = config.infer.threshold
    if wish == "none" or (wish == "fit" and config.data.closed_set):
        return None
    if wish == "fit":
        return fit_threshold(ranking.take(fit), [split.answers[i] for i in fit])
    return float(wish)
