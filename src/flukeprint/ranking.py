"""Ranking.  `IdentityMatches` (q, t) enter, a `Ranking` leaves: up to five answers a query.

A new individual, written None, is one of the answers where a threshold is given: it
comes before the first identity whose score is below the threshold.  The second
half of this room chooses that threshold on queries with known answers.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from flukeprint.errors import FlukeprintError
from flukeprint.gallery import Floats, IdentityMatches, Ints


@dataclass(frozen=True)
class Ranking:
    """The answers for q queries, best first.

    images: (q) names of the query photos.
    identities: for each query up to `top` distinct answers, None at most once for a new
        individual.  A tuple is shorter than `top` when the gallery has fewer identities.
    scores: (q, top) float32, descending; the threshold for a new individual, NaN where
        there is no answer.
    rows: (q, top) int64, the gallery photo that speaks for the answer; -1 for a new individual
        and where there is no answer.
    best_known: (q,) float32, similarity to the nearest known identity, whatever was answered.
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
        """The queries at these positions (or of this boolean mask), in that order."""
        index = np.asarray(queries)
        index = np.flatnonzero(index) if index.dtype == bool else index.astype(np.int64)
        return Ranking(
            images=tuple(self.images[i] for i in index),
            identities=tuple(self.identities[i] for i in index),
            scores=self.scores[index],
            rows=self.rows[index],
            best_known=self.best_known[index],
        )


def rank(
    matches: IdentityMatches, images: Sequence[str], *, threshold: float | None, top: int = 5
) -> Ranking:
    """The first `top` identities of every query; with a threshold, a new individual among them.

    matches: of `Gallery.search_identities` with at least `top` identities (or all there are).
    images: (q) names of the query photos.
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
            tuple(matches.vocabulary[label] for label in labels)
            for labels in matches.labels[:, :have].tolist()
        ),
        scores=scores,
        rows=rows,
        best_known=matches.scores[:, 0].copy(),
    )
    return ranking if threshold is None else insert_new(ranking, threshold)


def insert_new(ranking: Ranking, threshold: float) -> Ranking:
    """The ranking with a new individual before the first identity whose score < threshold.

    It is as if every gallery had one more identity that resembles every photo by `threshold`
    (1st place of the 2022 whale competition), behind identities that resemble it as much.
    So it is not among the answers when all `top` identities reach the threshold, and it is
    the last one when fewer than `top` identities exist and all reach it.
    `ranking` must be made without a threshold (else its last identities are lost).
    """
    if math.isnan(threshold):
        raise ValueError("the threshold is not a number")
    _refuse_new(ranking)
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
    # In float64: rounded to float32 a threshold between two neighbours would fall on one.
    return scores.astype(np.float64) >= np.float64(threshold)


def _refuse_new(ranking: Ranking) -> None:
    if any(None in answers for answers in ranking.identities):
        raise ValueError("the ranking already has new individuals; rank without a threshold")


def fit_threshold(ranking: Ranking, answers: Sequence[str | None]) -> float:
    """The threshold with the best MAP@top on these queries (answer None: a new individual).

    ranking: made without a threshold.  As the threshold rises past the i-th score of a query,
    the new individual moves from place i + 1 to place i.  A query of a new individual then
    gains 1/i - 1/(i+1) (1/i for the last place), a query whose right identity was i-th loses
    the same, and no other query changes.  One sort of these steps and their running sum give
    the score of every threshold, in O(q log q).

    The best thresholds form an interval between two neighbouring scores; its middle is
    returned, of several equally good intervals the widest (the one that a small change of
    the scores leaves right).  Beyond the outermost scores intervals end at -1 and 1.
    Raises FlukeprintError unless there are both known and new individuals to weigh.
    """
    _refuse_new(ranking)
    if len(answers) != len(ranking):
        raise ValueError(f"{len(answers)} answers for {len(ranking)} queries")
    is_new = np.array([answer is None for answer in answers], dtype=bool)
    if is_new.all() or not is_new.any():
        kind = "known" if is_new.all() else "new"
        raise FlukeprintError(
            f"no threshold can be fitted: no query is of a {kind} individual; "
            "change split.unseen_share, or set infer.threshold to a number or none"
        )
    top = ranking.scores.shape[1]
    # Reciprocals of places as whole numbers, so that equal sums are equal.
    unit = math.lcm(*range(1, top + 1))
    worth = np.array([*(unit // place for place in range(1, top + 1)), 0], dtype=np.int64)
    step = worth[:-1] - worth[1:]
    sign = np.where(np.isnan(ranking.scores), 0, is_new[:, None]).astype(np.int64)
    for query, (answer, found) in enumerate(zip(answers, ranking.identities, strict=True)):
        if answer is not None and answer in found:
            sign[query, found.index(answer)] = -1
    moves = sign != 0
    values, which = np.unique(ranking.scores[moves].astype(np.float64), return_inverse=True)
    change = np.zeros(len(values), dtype=np.int64)
    np.add.at(change, which, (sign * step)[moves])
    quality = np.concatenate([[0], np.cumsum(change)])  # of the interval that ends at values[i]
    edges = _edges(values)
    best = np.flatnonzero(quality == quality.max())
    i = best[np.argmax(np.diff(edges)[best])]
    return float((edges[i] + edges[i + 1]) / 2)


def threshold_for_share(best_known: npt.ArrayLike, share: float) -> float:
    """The threshold that makes a new individual the first answer of at most `share` of queries.

    best_known: (q,) similarity of each query to the nearest known identity.  The share is
    reached to the photo unless scores are equal.
    """
    if not 0 <= share <= 1:
        raise ValueError(f"a share lies between 0 and 1: {share}")
    scores = np.sort(np.asarray(best_known, dtype=np.float64))
    if scores.size == 0:
        raise ValueError("no queries to choose a threshold on")
    below = math.floor(share * len(scores) + 1e-9)  # 0.3 * 10 is 3
    values = np.unique(scores)
    edges = _edges(values)
    i = len(values) if below == len(scores) else int(np.searchsorted(values, scores[below]))
    return float((edges[i] + edges[i + 1]) / 2)


def threshold_for_false_new(best_known: npt.ArrayLike, is_new: npt.ArrayLike, rate: float) -> float:
    """The threshold at which at most `rate` of the known individuals are called new first.

    best_known: (q,) similarities; is_new: (q,) True for the queries of new individuals.
    """
    known = np.asarray(best_known)[~np.asarray(is_new, dtype=bool)]
    return threshold_for_share(known, rate)


def _edges(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """(v + 2,) ends of the intervals below, between and above v ascending scores."""
    if values.size == 0:
        return np.array([-1.0, 1.0])
    lowest = min(-1.0, float(values[0]) - 1e-6)
    highest = max(1.0, float(values[-1]) + 1e-6)
    return np.concatenate([[lowest], values, [highest]])
