"""Thresholds that need no right answers: for new individuals and for other subjects.

`threshold_for_share` chooses the threshold below which a query is answered as a new individual
(new_whale) so that at most a given share of queries is; `ranking/ranking.py` applies it, and
`evaluation/fitting.py` fits one on right answers instead.  `OutOfDistribution` recognises
photographs of another species, or of no animal.
"""

import math

import numpy as np
import numpy.typing as npt
from pydantic import Field

from flukeprint.config.base import Section
from flukeprint.data.embeddings import Embeddings, Values
from flukeprint.search.gallery import Gallery


class OutOfDistribution(Section):
    """Recognises photographs that show none of the gallery's kind: similarity below `floor`.

    An individual that is not in the gallery still resembles its photographs; a photograph of
    another animal, or of none, does not.  The plain cosine to the nearest photograph separates
    them better than scores after the ranking rules, or a mean over several neighbours.

    share: at most this share of the queries it was fitted on lies below the floor.
    queries: how many queries it was fitted on; of few, none lies below.
    """

    floor: float = Field(allow_inf_nan=False)
    share: float = Field(ge=0, lt=1)
    queries: int = Field(ge=1)

    @classmethod
    def fit(cls, cosines: npt.ArrayLike, share: float) -> "OutOfDistribution":
        """Fit the highest floor with at most `share` of the queries' cosines (q,) below it."""
        values = np.sort(np.asarray(cosines, dtype=np.float64))
        if values.size == 0:
            raise ValueError("no queries to fit a floor on")
        below = math.floor(share * len(values) + 1e-9)  # 0.3 * 10 is 3
        return cls(floor=float(values[below]), share=share, queries=len(values))

    def __call__(self, cosines: npt.ArrayLike) -> npt.NDArray[np.bool_]:
        """True (q,) where a photograph shows something else."""
        return np.asarray(cosines, dtype=np.float64) < self.floor


def nearest_cosine(gallery: Gallery, queries: Embeddings) -> Values:
    """Cosine (q,) of each query to the nearest photograph of the gallery."""
    return gallery.search(queries, 1).scores[:, 0].astype(np.float64)


def threshold_for_share(best_known: npt.ArrayLike, share: float) -> float:
    """Choose the threshold at which at most `share` of queries are answered new_whale first.

    best_known: (q,) score of the nearest known identity of each query.  As many queries as
    the share allows are answered so, unless scores are equal.  `insert_new_individual` in
    `ranking/ranking.py` applies the threshold.
    """
    if not 0 <= share <= 1:
        raise ValueError(f"a share lies between 0 and 1: {share}")
    scores = np.sort(np.asarray(best_known, dtype=np.float64))
    if scores.size == 0:
        raise ValueError("no queries to choose a threshold on")
    below = math.floor(share * len(scores) + 1e-9)  # 0.3 * 10 is 3
    values = np.unique(scores)
    edges = interval_edges(values)
    i = len(values) if below == len(scores) else int(np.searchsorted(values, scores[below]))
    return float((edges[i] + edges[i + 1]) / 2)


def interval_edges(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The ends (v + 2,) of the intervals below, between and above v ascending scores."""
    if values.size == 0:
        return np.array([-1.0, 1.0])
    lowest = min(-1.0, float(values[0]) - 1e-6)
    highest = max(1.0, float(values[-1]) + 1e-6)
    return np.concatenate([[lowest], values, [highest]])
