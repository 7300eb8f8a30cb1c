"""Local fusion.  Scores of photographs enter, the same scores plus a gain by keypoints leave.

    score = cosine + gain(strength),  gain(s) = scale * max(0, log(1 + s) - log(1 + floor))

`strength` is `PairMatch.strength` of query and photograph.  The gain is never negative and is 0
up to a floor that chance agreement seldom passes, so cosines and thresholds keep their meaning.
Two numbers are fitted, on queries with known answers; where they do not help they are 0.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from flukeprint.config import LocalConfig
from flukeprint.errors import FlukeprintError
from flukeprint.keypoint_matching import Matcher, sift_backend
from flukeprint.keypoint_store import KeypointStore
from flukeprint.keypoints import extraction_digest
from flukeprint.reranking import largest

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]
Values = npt.NDArray[np.float64]

# Tried by `fit_gain`: cosines that a strength of e - 1 above the floor adds, smallest first; and
# shares of other animals' photographs that stay below the floor, highest first.
SCALES = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
FLOOR_SHARES = (0.99, 0.9)
_OTHERS = 6  # identities without a candidate that can matter to the first five answers


@dataclass(frozen=True)
class LocalGain:
    """What a strength is worth, in cosines.  Its two numbers are all there is to save."""

    scale: float = 0.0
    floor: float = 0.0

    def __post_init__(self) -> None:
        if not (0 <= self.scale < np.inf and 0 <= self.floor < np.inf):
            raise ValueError(f"scale {self.scale} and floor {self.floor} must not be negative")

    def __call__(self, strengths: npt.ArrayLike) -> Values:
        """Of any shape, >= 0, to gains of that shape, >= 0 and never falling."""
        above = np.log1p(np.asarray(strengths, dtype=np.float64)) - np.log1p(self.floor)
        return np.asarray(self.scale * np.maximum(above, 0.0), dtype=np.float64)


class Counts(NamedTuple):
    """The candidates of b queries and how much each has in common with its query.

    rows: (b, c) int64 gallery photos, best score first.  strengths: (b, c) float32, >= 0.
    """

    rows: Ints
    strengths: Floats


class LocalBoost:
    """Adds the gain to the best candidates of each query.  Pairs once matched are remembered.

    What a query gets depends on itself and the gallery alone, not on the other queries.
    """

    def __init__(
        self,
        gallery: KeypointStore,
        queries: KeypointStore,
        config: LocalConfig,
        gain: LocalGain,
        *,
        match: Matcher | None = None,
        progress: str | None = None,
    ) -> None:
        """
        Args:
            match: instead of SIFT's, which `config.matcher` must then name.
            progress: title of a progress bar over queries; none without.

        Raises FlukeprintError for keypoints that other settings found.
        """
        if match is None:
            if config.matcher != "sift":
                raise ValueError(f"matcher {config.matcher} needs the `match` of its backend")
            match = sift_backend(config).match
        for name, store in (("gallery", gallery), ("queries", queries)):
            if store.stamp != extraction_digest(config):
                raise FlukeprintError(
                    f"keypoints of the {name} were found with other settings of rank.local "
                    f"({store.stamp}, not {extraction_digest(config)}); find them again"
                )
        self.gain = gain
        self._gallery, self._queries = gallery, queries
        self._candidates = min(config.candidates, len(gallery))
        self._match = match
        self._progress = progress
        self._known: dict[tuple[int, int], float] = {}

    def __call__(self, query_rows: Ints, scores: Floats) -> Floats:
        """(b,) rows of the queries, (b, n) scores -> (b, n) float32, no score below its own."""
        if self.gain.scale == 0 or self._candidates == 0:
            return scores
        found = self.counts(query_rows, scores)
        fused = scores.copy()
        best = np.take_along_axis(scores, found.rows, axis=1).astype(np.float64)
        gained = (best + self.gain(found.strengths)).astype(np.float32)
        np.put_along_axis(fused, found.rows, gained, axis=1)
        return fused

    def counts(self, query_rows: Ints, scores: Floats) -> Counts:
        """The `candidates` best photos of each query by score (equal ones by row), matched."""
        if scores.shape != (len(query_rows), len(self._gallery)):
            raise ValueError(
                f"scores are {scores.shape} for {len(query_rows)} queries and "
                f"{len(self._gallery)} photos"
            )
        rows = largest(scores, self._candidates).rows
        return Counts(rows, self.strengths(query_rows, rows))

    def strengths(self, query_rows: Ints, rows: Ints) -> Floats:
        """(b,) rows of the queries, (b, c) of gallery photos -> (b, c) float32, matched."""
        strengths = np.zeros(rows.shape, dtype=np.float32)
        bar = tqdm(
            query_rows.tolist(), desc=self._progress, unit="query", disable=self._progress is None
        )
        for place, query in enumerate(bar):
            strengths[place] = [self._strength(query, row) for row in rows[place].tolist()]
        return strengths

    def _strength(self, query: int, row: int) -> float:
        known = self._known.get((query, row))
        if known is None:
            known = self._match(self._queries[query], self._gallery[row]).strength
            self._known[query, row] = known
        return known


@dataclass(frozen=True)
class Contenders:
    """What decides the first five answers to q queries, whatever candidates gain.

    rows, labels: (q, c) int64 candidates, best first, and their identities; scores: (q, c) float32.
    other_labels, other_scores: (q, 6) the best identities without a candidate and the score of
    their best photo; minus infinity where there are fewer.
    """

    rows: Ints
    labels: Ints
    scores: Floats
    other_labels: Ints
    other_scores: Floats

    @classmethod
    def of(cls, scores: Floats, labels: Ints, candidates: int) -> "Contenders":
        """Of (q, n) scores of all photos, whose identities (n,) are numbers from 0 on."""
        best = largest(scores, candidates)
        named = labels[best.rows]
        order = np.argsort(labels, kind="stable")  # an identity's photos stand together
        starts = np.searchsorted(labels[order], np.arange(int(labels.max()) + 1))
        identities = np.maximum.reduceat(scores[:, order], starts, axis=1)
        np.put_along_axis(identities, named, -np.inf, axis=1)
        others = largest(identities, _OTHERS)
        return cls(best.rows, named, best.scores, others.rows, others.scores)

    @classmethod
    def joined(cls, parts: Sequence["Contenders"]) -> "Contenders":
        """One after the other."""
        return cls(
            np.concatenate([part.rows for part in parts]),
            np.concatenate([part.labels for part in parts]),
            np.concatenate([part.scores for part in parts]),
            np.concatenate([part.other_labels for part in parts]),
            np.concatenate([part.other_scores for part in parts]),
        )


def fit_gain(seen: Contenders, strengths: Floats, truth: Ints) -> LocalGain:
    """The gain with the best MAP@5 on these queries; no gain at all where none is better.

    strengths: (q, c) of the candidates.  truth: (q,) label of the right identity, -1 for a new
    individual, whose candidates help to set the floor and nothing else.

    An identity counts by its best photo.  A small grid is tried, for MAP@5 has steps; of equal
    ones the smallest scale with the highest floor is taken.  Report on other queries than these.
    """
    if not len(seen.rows) == len(strengths) == len(truth):
        raise ValueError(f"{len(truth)} answers and {len(strengths)} matched for {len(seen.rows)}")
    others = strengths[seen.labels != truth[:, None]]
    asked = truth >= 0
    if not others.size or not asked.any():
        return LocalGain()
    truth, strengths = truth[asked], strengths[asked]
    seen = Contenders(
        seen.rows[asked], seen.labels[asked], seen.scores[asked],
        seen.other_labels[asked], seen.other_scores[asked],
    )  # fmt: skip
    cosines = seen.scores.astype(np.float64)
    best, chosen = _map_at_5(seen, cosines, truth), LocalGain()
    for scale in SCALES:
        for share in FLOOR_SHARES:
            gain = LocalGain(scale, float(np.quantile(others, share)))
            quality = _map_at_5(seen, cosines + gain(strengths), truth)
            if quality > best + 1e-9:
                best, chosen = quality, gain
    return chosen


def _map_at_5(seen: Contenders, fused: Values, truth: Ints) -> float:
    """MAP@5 with (q, c) scores of the candidates; of equal ones the right one counts as last.

    An identity without a candidate has no photo above any candidate's own score, and gains are not
    negative: it stands behind all that have one.
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
    return float(np.where((places <= 5) & np.isfinite(own), 1 / np.maximum(places, 1), 0.0).mean())
