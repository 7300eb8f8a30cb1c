"""Local fusion.  Scores of photographs enter, the same scores plus a gain by keypoints leave.

    score = cosine + gain(strength),  gain(s) = scale * max(0, log(1 + s) - log(1 + floor))

`strength` is `PairMatch.strength` of query and photograph.  The gain is never negative and is 0
up to a floor that chance agreement seldom passes, so cosines and thresholds keep their meaning.
Two numbers are fitted, on queries with known answers; where they do not help they are 0.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from flukeprint.config.schema import LocalConfig
from flukeprint.data.embeddings import Floats, Ints, Values
from flukeprint.errors import FlukeprintError
from flukeprint.ranking.local.keypoint_store import KeypointStore
from flukeprint.ranking.local.keypoints import extraction_digest
from flukeprint.ranking.local.sift import Matcher, sift_backend
from flukeprint.ranking.reranking import largest


@dataclass(frozen=True)
class KeypointGain:
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


class KeypointFusion:
    """Adds the gain to the best candidates of each query.  Pairs once matched are remembered.

    What a query gets depends on itself and the gallery alone, not on the other queries.
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
