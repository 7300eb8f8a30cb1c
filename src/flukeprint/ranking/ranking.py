"""Rank identities for queries, and decide at which place a new individual (new_whale) stands.

`rank` orders the identities found by search; `insert_new_individual` then applies the open-set
threshold: a new individual, written None, stands before the first identity whose score is below
it.  `infer.threshold` says how `evaluation/validation.py` has the threshold chosen:

    best_map5      `fit_threshold` in `evaluation/fitting.py`, by MAP@5 on queries of known answer
    {false_new: r} `threshold_for_false_new` in `evaluation/fitting.py`
    {share: s}     `threshold_for_share` in `ranking/threshold.py`, without right answers
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from flukeprint.data.embeddings import Floats, Ints
from flukeprint.search.index import IdentityMatches


@dataclass(frozen=True)
class Ranking:
    """The ranked identities of q queries, best first.

    images: (q) names of the query photographs.
    identities: for each query up to `top` distinct answers, None at most once for a new
        individual.  A tuple is shorter than `top` when the gallery has fewer identities.
    scores: (q, top) float32, descending; the threshold for a new individual, NaN where
        there is no answer.
    rows: (q, top) int64, the best-matching gallery photograph of each answer; -1 for a new
        individual and where there is no answer.
    best_known: (q,) float32, score of the nearest known identity, whatever is ranked first.
    """

    images: tuple[str, ...]
    identities: tuple[tuple[str | None, ...], ...]
    scores: Floats
    rows: Ints
    best_known: Floats

    def __post_init__(self) -> None:
        q = len(self.images)
        if self.scores.ndim != 2 or self.scores.shape != self.rows.shape:
            raise ValueError("scores and rows must both be (q, top)")
        if not q == len(self.identities) == len(self.scores) == len(self.best_known):
            raise ValueError("a ranking has one entry of everything for each query")
        for answers, scores in zip(self.identities, self.scores, strict=True):
            if len(set(answers)) != len(answers):
                raise ValueError(f"answers must be distinct: {answers}")
            if len(answers) != np.count_nonzero(~np.isnan(scores)):
                raise ValueError("as many scores as answers, NaN after them")

    def __len__(self) -> int:
        return len(self.images)

    def take(self, queries: npt.ArrayLike) -> "Ranking":
        """Select the queries at these positions (or of this boolean mask), in that order."""
        index = np.asarray(queries)
        index = np.flatnonzero(index) if index.dtype == bool else index.astype(np.int64)
        return Ranking(
            images=tuple(self.images[i] for i in index),
            identities=tuple(self.identities[i] for i in index),
            scores=self.scores[index],
            rows=self.rows[index],
            best_known=self.best_known[index],
        )

    def first(self, top: int) -> "Ranking":
        """Keep the `top` best answers of each query."""
        width = min(top, self.scores.shape[1])
        pad = ((0, 0), (0, top - width))
        return replace(
            self,
            identities=tuple(names[:top] for names in self.identities),
            scores=np.pad(self.scores[:, :width], pad, constant_values=np.nan),
            rows=np.pad(self.rows[:, :width], pad, constant_values=-1),
        )


def merge_rankings(parts: Sequence[tuple[Ints, Ranking]]) -> Ranking:
    """Join rankings of parts of the queries, each with its (places, ranking), ordered by place."""
    order = np.argsort(np.concatenate([places for places, _ in parts]))
    rankings = [ranking for _, ranking in parts]
    whole = Ranking(
        images=tuple(name for ranking in rankings for name in ranking.images),
        identities=tuple(names for ranking in rankings for names in ranking.identities),
        scores=np.concatenate([ranking.scores for ranking in rankings]),
        rows=np.concatenate([ranking.rows for ranking in rankings]),
        best_known=np.concatenate([ranking.best_known for ranking in rankings]),
    )
    return whole.take(order)


def rank(
    matches: IdentityMatches, images: Sequence[str], *, threshold: float | None, top: int = 5
) -> Ranking:
    """Rank the first `top` identities of every query, with a threshold also a new individual.

    matches: of `Gallery.search_identities` or `Scorer.search`, at least `top` identities (or all
        there are).
    images: (q) names of the query photographs.
    threshold: see `insert_new_individual`; None: no new individual.
    """
    if top < 1:
        raise ValueError(f"at least one answer must be asked for, not {top}")
    if matches.scores.shape[1] < min(top, len(matches.vocabulary)):
        raise ValueError(f"{matches.scores.shape[1]} matches cannot fill {top} answers")
    q, have = len(matches.scores), min(top, matches.scores.shape[1])
    scores = np.full((q, top), np.nan, dtype=np.float32)
    rows = np.full((q, top), -1, dtype=np.int64)
    scores[:, :have] = matches.scores[:, :have]
    rows[:, :have] = matches.rows[:, :have]
    ranking = Ranking(
        images=tuple(images),
        identities=tuple(
            tuple(map(matches.vocabulary.__getitem__, labels))
            for labels in matches.labels[:, :have].tolist()
        ),
        scores=scores,
        rows=rows,
        best_known=matches.scores[:, 0].copy(),
    )
    return ranking if threshold is None else insert_new_individual(ranking, threshold)


def insert_new_individual(ranking: Ranking, threshold: float) -> Ranking:
    """Answer new_whale: place a new individual before the first identity below the threshold.

    This is where a new individual is decided; the module's docstring names what chooses the
    threshold.  It is as if the gallery had one more identity, whose score for every query is
    `threshold` (1st place of the 2022 whale competition), behind identities of equal score.
    So it is not among the answers when all `top` identities reach the threshold, and it is
    the last one when fewer than `top` identities exist and all reach it.

    ranking: made without a threshold, otherwise ValueError.
    """
    if math.isnan(threshold):
        raise ValueError("the threshold is not a number")
    refuse_new_individuals(ranking)
    top = ranking.scores.shape[1]
    place = _reached(ranking.scores, threshold).sum(axis=1)
    column = np.arange(top)
    behind = column > place[:, None]
    at = column == place[:, None]
    scores = np.where(behind, np.roll(ranking.scores, 1, axis=1), ranking.scores)
    rows = np.where(behind, np.roll(ranking.rows, 1, axis=1), ranking.rows)
    scores[at] = threshold
    rows[at] = -1
    return Ranking(
        images=ranking.images,
        identities=tuple(
            (*answers[:p], None, *answers[p:])[:top]
            for answers, p in zip(ranking.identities, place.tolist(), strict=True)
        ),
        scores=scores,
        rows=rows,
        best_known=ranking.best_known,
    )


def _reached(scores: Floats, threshold: float) -> npt.NDArray[np.bool_]:
    # In float64: rounded to float32, a threshold between neighbouring scores would equal one.
    return scores.astype(np.float64) >= np.float64(threshold)


def refuse_new_individuals(ranking: Ranking) -> None:
    """Raise ValueError for a ranking that was made with a threshold."""
    if any(None in answers for answers in ranking.identities):
        raise ValueError("the ranking already has new individuals; rank without a threshold")
