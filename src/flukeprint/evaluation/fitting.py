"""Fit the ranking rules, the new_whale threshold and the calibration on queries of known answer.

Everything that is chosen by looking at right answers is chosen here, on the queries of one fold;
measure it on other queries than these.  `fit_threshold` chooses the threshold below which a query
is answered as a new individual; `insert_new_individual` in `ranking/ranking.py` applies it.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from flukeprint.config.ranking import RankConfig
from flukeprint.data.embeddings import Embeddings, Floats, Ints, Values
from flukeprint.errors import FlukeprintError
from flukeprint.evaluation.fusion_fitting import fit_parts, places_of
from flukeprint.evaluation.metrics import ap_at_5, map_at_5
from flukeprint.ranking.calibration import Calibration, Rising, features
from flukeprint.ranking.local.fusion import KeypointGain, candidates_of
from flukeprint.ranking.neighbours import largest
from flukeprint.ranking.pipeline import QueryRanker
from flukeprint.ranking.ranking import Ranking, rank, refuse_new_individuals
from flukeprint.ranking.rules import FittedRules
from flukeprint.ranking.scoring import ScoreAdjustment, Scorer
from flukeprint.ranking.threshold import interval_edges, threshold_for_share

# Tried by `fit_gain`: cosines that a strength of e - 1 above the floor adds, smallest first; and
# shares of other animals' photographs that stay below the floor, highest first.
GAIN_SCALES = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
FLOOR_SHARES = (0.99, 0.9)
_OTHERS = 6  # best identities without a candidate, enough to decide the first five answers
FEWEST_KNOWN = 20  # queries of known individuals that a calibration needs

# Tried by `fit_other_view`, ascending.
OTHER_VIEW_GRID = (0.0, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5, 1.0)


def fit_rules(
    ranker: QueryRanker, answers: Sequence[str | None], rows: npt.ArrayLike | None = None
) -> FittedRules:
    """Fit the weight of other views and the keypoint gain on queries with known answers.

    rows: (q,) places of these queries among the ranker's; None: all.  answers: (q) the right
    identity of each, None for an individual absent from the gallery.
    """
    index = np.arange(len(ranker.queries)) if rows is None else np.asarray(rows, dtype=np.int64)
    queries = ranker.queries.embeddings.take(index)
    rules, scorer = ranker.rules, ranker.scorer
    other_view = 0.0
    if rules.other_view == "fit":
        other_view = fit_other_view(scorer, queries, answers)
    elif not isinstance(rules.other_view, str):
        other_view = rules.other_view
    gain = KeypointGain()
    if rules.fuse:
        fusion = fit_parts(ranker, answers, index, other_view)
        return FittedRules(rules=rules, other_view=other_view, fusion=fusion)
    if ranker.fusion is not None and len(index):
        labels, number = scorer.gallery.labels, scorer.gallery.number
        candidates = candidates_of(rules.local, len(labels))
        contenders = Contenders.joined(
            [
                Contenders.of(scored.photos, labels, candidates)
                for scored in scorer.photo_scores(queries, other_view)
            ]
        )
        truth = [-1 if name is None else number.get(name, -1) for name in answers]
        strengths = ranker.fusion.strengths(index, contenders.rows)
        gain = fit_gain(contenders, strengths, np.array(truth, dtype=np.int64))
    return FittedRules(
        rules=rules, other_view=other_view, gain_scale=gain.scale, gain_floor=gain.floor
    )


def fits_something(rules: RankConfig) -> bool:
    """Whether the rules have numbers that are fitted on queries with known answers."""
    return rules.other_view == "fit" or rules.local.candidates != 0 or rules.fuse


@dataclass(frozen=True)
class Contenders:
    """The scores that can decide the first five answers to q queries, whatever candidates gain.

    rows, labels: (q, c) int64 candidates, best first, and their identities; scores: (q, c) float32.
    other_labels, other_scores: (q, 6) the best identities without a candidate and the score of
    their best photograph; minus infinity where there are fewer.
    """

    rows: Ints
    labels: Ints
    scores: Floats
    other_labels: Ints
    other_scores: Floats

    @classmethod
    def of(cls, scores: Floats, labels: Ints, candidates: int) -> "Contenders":
        """Select them from scores (q, n) of all photographs; labels (n,) are numbers from 0 on."""
        best = largest(scores, candidates)
        named = labels[best.rows]
        order = np.argsort(labels, kind="stable")  # an identity's photographs together
        starts = np.searchsorted(labels[order], np.arange(int(labels.max()) + 1))
        identities = np.maximum.reduceat(scores[:, order], starts, axis=1)
        np.put_along_axis(identities, named, -np.inf, axis=1)
        others = largest(identities, _OTHERS)
        return cls(best.rows, named, best.scores, others.rows, others.scores)

    @classmethod
    def joined(cls, parts: Sequence["Contenders"]) -> "Contenders":
        """Join blocks of queries one after the other."""
        return cls(
            np.concatenate([part.rows for part in parts]),
            np.concatenate([part.labels for part in parts]),
            np.concatenate([part.scores for part in parts]),
            np.concatenate([part.other_labels for part in parts]),
            np.concatenate([part.other_scores for part in parts]),
        )


def fit_gain(seen: Contenders, strengths: Floats, truth: Ints) -> KeypointGain:
    """Fit the keypoint gain with the best MAP@5 on these queries; no gain where none is better.

    strengths: (q, c) of the candidates.  truth: (q,) label of the right identity, -1 for a new
    individual, whose candidates are used for the floor alone.

    An identity counts by its best photograph.  A small grid is tried, because MAP@5 has steps; of
    equal ones the smallest scale with the highest floor is taken.
    """
    if not len(seen.rows) == len(strengths) == len(truth):
        raise ValueError(f"{len(truth)} answers and {len(strengths)} matched for {len(seen.rows)}")
    others = strengths[seen.labels != truth[:, None]]
    known = truth >= 0
    if not others.size or not known.any():
        return KeypointGain()
    truth, strengths = truth[known], strengths[known]
    seen = Contenders(
        seen.rows[known], seen.labels[known], seen.scores[known],
        seen.other_labels[known], seen.other_scores[known],
    )  # fmt: skip
    cosines = seen.scores.astype(np.float64)
    best, chosen = ap_at_5(_places(seen, cosines, truth)).mean(), KeypointGain()
    for scale in GAIN_SCALES:
        for share in FLOOR_SHARES:
            gain = KeypointGain(scale, float(np.quantile(others, share)))
            quality = ap_at_5(_places(seen, cosines + gain(strengths), truth)).mean()
            if quality > best + 1e-9:
                best, chosen = quality, gain
    return chosen


def _places(seen: Contenders, fused: Values, truth: Ints) -> Ints:
    """Places (q,) of the right identities by scores (q, c) of the candidates, 0 where missing.

    Of equal scores the right one counts as last.

    An identity without a candidate has no photograph above any candidate's own score, and gains
    are not negative: it ranks behind all that have one.
    """
    q, c = fused.shape
    # Identities of the candidates, numbered from 0 for each query.
    order = np.argsort(seen.labels, axis=1, kind="stable")
    named = np.take_along_axis(seen.labels, order, axis=1)
    slot = np.cumsum(np.diff(named, axis=1, prepend=named[:, :1]) != 0, axis=1)
    scores = np.full((q, c + seen.other_scores.shape[1]), -np.inf)
    labels = np.full(scores.shape, -1, dtype=np.int64)
    rows = np.arange(q)[:, None]
    np.maximum.at(scores, (rows, slot), np.take_along_axis(fused, order, axis=1))
    labels[rows, slot] = named
    scores[:, c:], labels[:, c:] = seen.other_scores, seen.other_labels
    own = np.where(labels == truth[:, None], scores, -np.inf).max(axis=1)
    places = (scores >= own[:, None]).sum(axis=1)  # itself included
    return np.where(np.isfinite(own), places, 0)


def fit_calibration(ranking: Ranking, answers: Sequence[str | None]) -> Calibration | None:
    """Fit the probability that the first answer is right on q queries with known answers.

    None when fewer than `FEWEST_KNOWN` are of known individuals.
    """
    if len(answers) != len(ranking):
        raise ValueError(f"{len(answers)} answers for {len(ranking)} queries")
    is_known = np.array([answer is not None for answer in answers], dtype=bool)
    if is_known.sum() < FEWEST_KNOWN:
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


def _fit(x: Values, outcome: npt.NDArray[np.bool_]) -> Rising:
    """Logistic regression on standardised features; features of negative weight are left out.

    Laplace's rule of succession where all outcomes are alike or no feature is left.
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


def fit_threshold(ranking: Ranking, answers: Sequence[str | None]) -> float:
    """Fit the new_whale threshold that gives the best MAP@top on these queries.

    `insert_new_individual` in `ranking/ranking.py` applies it.  answers: (q) the right identities,
    None for a new individual.  ranking: made without a threshold.

    As the threshold rises past the i-th score of a query,
    the new individual moves from place i + 1 to place i.  A query of a new individual then
    gains 1/i - 1/(i+1) (1/i for the last place), a query whose right identity was i-th loses
    the same, and no other query changes.  One sort of these steps and their running sum give
    the score of every threshold, in O(q log q).

    The best thresholds form an interval between two neighbouring scores; its middle is
    returned, of several equally good intervals the widest (it stays right under small changes
    of the scores).  Beyond the outermost scores intervals end at -1 and 1.
    Raises FlukeprintError unless there are both known and new individuals to weigh.
    """
    refuse_new_individuals(ranking)
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
    edges = interval_edges(values)
    best = np.flatnonzero(quality == quality.max())
    i = best[np.argmax(np.diff(edges)[best])]
    return float((edges[i] + edges[i + 1]) / 2)


def threshold_for_false_new(best_known: npt.ArrayLike, is_new: npt.ArrayLike, rate: float) -> float:
    """Choose the threshold at which at most `rate` of the known individuals are answered new first.

    best_known: (q,) scores; is_new: (q,) True for the queries of new individuals.
    """
    known = np.asarray(best_known)[~np.asarray(is_new, dtype=bool)]
    return threshold_for_share(known, rate)


def fit_other_view(
    scorer: Scorer,
    queries: Embeddings,
    answers: Sequence[str | None],
    *,
    adjustment: ScoreAdjustment | None = None,
) -> float:
    """Fit the penalty for photographs of another view: the number of OTHER_VIEW_GRID by MAP@5.

    Of equally good ones the smallest.
    answers: (q) right identities; queries without one (new individuals) are left out.
    0 where no view of the queries or of the gallery is known, or no query has an answer.
    """
    if len(answers) != len(queries):
        raise ValueError(f"{len(answers)} answers for {len(queries)} queries")
    known = np.array([row for row, answer in enumerate(answers) if answer is not None], np.int64)
    seen = [set(views or ()) - {None} for views in (queries.views, scorer.gallery.embeddings.views)]
    if not len(known) or not all(seen):
        return 0.0
    queries, truth = queries.take(known), [answers[row] for row in known]
    best, chosen = -1.0, 0.0
    for value in OTHER_VIEW_GRID:
        if scorer.rules.fuse:
            quality = _embedding_quality(scorer, queries, truth, value)
        else:
            matches = scorer.search(queries, 5, adjustment=adjustment, rows=known, other_view=value)
            quality = map_at_5(rank(matches, queries.images, threshold=None).identities, truth)
        if quality > best + 1e-12:
            best, chosen = quality, value
    return chosen


def _embedding_quality(
    scorer: Scorer, queries: Embeddings, truth: Sequence[str | None], other_view: float
) -> float:
    """MAP@5 by embedding alone, of rules whose parts are fused after this penalty is fitted."""
    scores = np.concatenate(
        [block.parts.embedding for block in scorer.part_scores(queries, other_view=other_view)]
    )
    places = np.zeros(len(truth), dtype=np.int64)  # 0: not in the gallery
    labels = np.array([scorer.gallery.number.get(name or "", -1) for name in truth], np.int64)
    places[labels >= 0] = places_of(scores[labels >= 0], labels[labels >= 0])
    return float(ap_at_5(places).mean())
