"""Add a gain for matched keypoints to the scores of the best candidates of each query.

    score = cosine + gain(strength),  gain(s) = scale * max(0, log(1 + s) - log(1 + floor))

`strength` is `PairMatch.strength` of query and photograph.  The gain is never negative and is 0
up to a floor that chance agreement seldom passes, so cosines and thresholds keep their meaning.
Its two numbers are fitted by `evaluation/fitting.py`; where they do not help they are 0.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from flukeprint.config.ranking import LocalConfig
from flukeprint.data.embeddings import Floats, Ints, Values
from flukeprint.errors import FlukeprintError
from flukeprint.output import followed
from flukeprint.ranking.local.keypoint_store import KeypointStore
from flukeprint.ranking.local.keypoints import extraction_digest
from flukeprint.ranking.local.sift import Matcher, sift_backend
from flukeprint.ranking.local.strengths import LocalStrengths
from flukeprint.ranking.neighbours import largest


@dataclass(frozen=True)
class KeypointGain:
    """How much a match of some strength adds to a cosine; two numbers are all there is to save."""

    scale: float = 0.0
    floor: float = 0.0

    def __post_init__(self) -> None:
        if not (0 <= self.scale < np.inf and 0 <= self.floor < np.inf):
            raise ValueError(f"scale {self.scale} and floor {self.floor} must not be negative")

    def __call__(self, strengths: npt.ArrayLike) -> Values:
        """Gains of strengths >= 0 of any shape: >= 0, and never falling as the strength rises."""
        above = np.log1p(np.asarray(strengths, dtype=np.float64)) - np.log1p(self.floor)
        return np.asarray(self.scale * np.maximum(above, 0.0), dtype=np.float64)


class Counts(NamedTuple):
    """The candidates of b queries and how strongly the keypoints of each match its query.

    rows: (b, c) int64 gallery photographs, best score first.  strengths: (b, c) float32, >= 0.
    """

    rows: Ints
    strengths: Floats


class KeypointFusion:
    """A score adjustment: adds the keypoint gain to the best candidates of each query.

    Matches are cached by pair of photographs.  A query's scores do not depend on other queries.
    """

    def __init__(
        self,
        gallery: KeypointStore,
        queries: KeypointStore,
        config: LocalConfig,
        gain: KeypointGain,
        *,
        match: Matcher | None = None,
        progress: str | None = None,
    ) -> None:
        """
        Args:
            match: of the backend that `config.matcher` names; None: SIFT's.
            progress: title of a progress bar over queries; None: no bar.

        Raises FlukeprintError for keypoints found with other settings.
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
        self._candidates = candidates_of(config, len(gallery))
        self._match = match
        self._progress = progress
        self._known: dict[tuple[int, int], float] = {}

    def __call__(self, query_rows: Ints, scores: Floats) -> Floats:
        """Fused scores (b, n) float32 of the queries at (b,) rows; no score falls."""
        if self.candidates == 0:
            return scores
        rows = self._best(query_rows, scores)
        fused = scores.copy()
        best = np.take_along_axis(scores, rows, axis=1)
        np.put_along_axis(fused, rows, self.of_candidates(query_rows, rows, best), axis=1)
        return fused

    @property
    def candidates(self) -> int:
        """How many of a query's best photographs may gain; 0 where nothing is gained."""
        return 0 if self.gain.scale == 0 else self._candidates

    def of_candidates(self, query_rows: Ints, rows: Ints, scores: Floats) -> Floats:
        """Fused scores (b, c) of gallery rows (b, c) with scores (b, c); only these are matched."""
        gained = scores.astype(np.float64) + self.gain(self.strengths(query_rows, rows))
        return gained.astype(np.float32)

    def counts(self, query_rows: Ints, scores: Floats) -> Counts:
        """Match the best candidates of each query by score, equal ones by row."""
        rows = self._best(query_rows, scores)
        return Counts(rows, self.strengths(query_rows, rows))

    def _best(self, query_rows: Ints, scores: Floats) -> Ints:
        if scores.shape != (len(query_rows), len(self._gallery)):
            raise ValueError(
                f"scores are {scores.shape} for {len(query_rows)} queries and "
                f"{len(self._gallery)} photographs"
            )
        return largest(scores, self._candidates).rows

    def strengths(self, query_rows: Ints, rows: Ints) -> Floats:
        """Match strengths (b, c) float32 of query rows (b,) and gallery rows (b, c)."""
        strengths = np.zeros(rows.shape, dtype=np.float32)
        stage = followed(query_rows.tolist(), self._progress, len(query_rows))
        for place, query in enumerate(stage):
            strengths[place] = [self._strength(query, row) for row in rows[place].tolist()]
        return strengths

    def _strength(self, query: int, row: int) -> float:
        known = self._known.get((query, row))
        if known is None:
            known = self._match(self._queries[query], self._gallery[row]).strength
            self._known[query, row] = known
        return known


class PairwiseMatcher:
    """Matches queries with their best candidates pair by pair, for `rank.fuse`."""

    def __init__(self, fusion: KeypointFusion, labels: Ints) -> None:
        """labels: (n,) identity of each photograph of the gallery, numbers from 0 on."""
        self._fusion, self._labels = fusion, labels

    def __call__(self, query_rows: Ints, scores: Floats) -> LocalStrengths:
        """Strengths (b, n), and of each identity (b, c) that of its strongest photograph."""
        found = self._fusion.counts(query_rows, scores)
        photographs = np.zeros(scores.shape, dtype=np.float32)
        np.put_along_axis(photographs, found.rows, found.strengths, axis=1)
        identities = np.zeros((len(scores), int(self._labels.max(initial=-1)) + 1), np.float32)
        places = np.arange(len(scores))[:, None]
        np.maximum.at(identities, (places, self._labels[found.rows]), found.strengths)
        return LocalStrengths(photographs, identities)


def candidates_of(config: LocalConfig, photographs: int) -> int:
    """How many of a gallery's photographs are matched with a query."""
    wanted = config.candidates
    return photographs if wanted == "all" else min(wanted, photographs)
