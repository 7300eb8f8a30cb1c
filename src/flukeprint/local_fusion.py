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

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]
Values = npt.NDArray[np.float64]

# Tried by `fit_gain`: cosines that a strength of e - 1 above the floor adds, smallest first; and
# shares of other animals' photographs that stay below the floor, highest first.
SCALES = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
FLOOR_SHARES = (0.99, 0.9)


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
        rows = np.argsort(-scores, axis=1, kind="stable")[:, : self._candidates]
        strengths = np.zeros(rows.shape, dtype=np.float32)
        bar = tqdm(
            query_rows.tolist(), desc=self._progress, unit="query", disable=self._progress is None
        )
        for place, query in enumerate(bar):
            strengths[place] = [self._strength(query, row) for row in rows[place].tolist()]
        return Counts(rows.astype(np.int64), strengths)

    def _strength(self, query: int, row: int) -> float:
        known = self._known.get((query, row))
        if known is None:
            known = self._match(self._queries[query], self._gallery[row]).strength
            self._known[query, row] = known
        return known


def fit_gain(
    scores: Floats,
    found: Counts,
    identities: Sequence[str],
    answers: Sequence[str | None],
) -> LocalGain:
    """The gain with the best MAP@5 on these queries; no gain at all where none is better.

    scores: (q, n) of all gallery photos, of which `found` are the (q, c) candidates.
    identities: (n) of the gallery photos.  answers: (q), None for a new individual, whose
    candidates help to set the floor and nothing else.

    An identity counts by its best photo.  A small grid is tried, for MAP@5 has steps; of equal
    ones the smallest scale with the highest floor is taken.  Report on other queries than these.
    """
    if len(answers) != len(scores) or len(identities) != scores.shape[1]:
        raise ValueError(f"{len(answers)} answers, {len(identities)} photos for {scores.shape}")
    vocabulary = {name: label for label, name in enumerate(dict.fromkeys(identities))}
    labels = np.array([vocabulary[name] for name in identities], dtype=np.int64)
    truth = np.array(
        [-1 if name is None else vocabulary.get(name, -1) for name in answers], dtype=np.int64
    )
    named = labels[found.rows]
    others = found.strengths[named != truth[:, None]]
    asked = np.flatnonzero(truth >= 0)
    if not others.size or not asked.size:
        return LocalGain()
    order = np.argsort(labels, kind="stable")  # an identity's photos stand together
    starts = np.searchsorted(labels[order], np.arange(len(vocabulary)))
    plain = np.maximum.reduceat(scores[:, order], starts, axis=1).astype(np.float64)
    cosines = np.take_along_axis(scores, found.rows, axis=1).astype(np.float64)
    queries = np.arange(len(scores))[:, None]
    best, chosen = _map_at_5(plain[asked], truth[asked]), LocalGain()
    for scale in SCALES:
        for share in FLOOR_SHARES:
            gain = LocalGain(scale, float(np.quantile(others, share)))
            fused = plain.copy()
            # Gains are not negative, so an identity's other photos need no second look.
            np.maximum.at(fused, (queries, named), cosines + gain(found.strengths))
            quality = _map_at_5(fused[asked], truth[asked])
            if quality > best + 1e-9:
                best, chosen = quality, gain
    return chosen


def _map_at_5(scores: Values, truth: Ints) -> float:
    """MAP@5 of (q, identities) scores; of equal ones the right one counts as last."""
    own = scores[np.arange(len(truth)), truth]
    places = (scores >= own[:, None]).sum(axis=1)  # itself included
    return float(np.where(places <= 5, 1 / places, 0.0).mean())
