"""Photographs of something else.  Similarities to the gallery enter, a floor for them leaves.

An individual that is not in the gallery still resembles its photographs; a photograph of another
animal, or of none, does not.  The plain cosine to the nearest photo tells them apart better than
what ranking rules make of it, and better than a mean over several neighbours.
"""

import math

import numpy as np
import numpy.typing as npt
from pydantic import Field

from flukeprint.config.schema import Section
from flukeprint.data.embeddings import Embeddings, Values
from flukeprint.search.gallery import Gallery


class OutOfDistribution(Section):
    """Below `floor` a photograph shows something else.

    share: of the queries that it was fitted on, so many may lie below it, at most.
    queries: how many these were; of few, none lies below.
    """

    floor: float = Field(allow_inf_nan=False)
    share: float = Field(ge=0, lt=1)
    queries: int = Field(ge=1)

    @classmethod
    def fit(cls, cosines: npt.ArrayLike, share: float) -> "OutOfDistribution":
        """The highest floor below which at most `share` of (q,) queries lie."""
        values = np.sort(np.asarray(cosines, dtype=np.float64))
        if values.size == 0:
            raise ValueError("no queries to fit a floor on")
        below = math.floor(share * len(values) + 1e-9)  # 0.3 * 10 is 3
        return cls(floor=float(values[below]), share=share, queries=len(values))

    def __call__(self, cosines: npt.ArrayLike) -> npt.NDArray[np.bool_]:
        """(q,) True where a photograph shows something else."""
        return np.asarray(cosines, dtype=np.float64) < self.floor


def nearest_cosine(gallery: Gallery, queries: Embeddings) -> Values:
    """(q,) cosine of each query to the nearest photo of the gallery."""
    return gallery.search(queries, 1).scores[:, 0].astype(np.float64)


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
    edges = interval_edges(values)
    i = len(values) if below == len(scores) else int(np.searchsorted(values, scores[below]))
    return float((edges[i] + edges[i + 1]) / 2)


def interval_edges(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """(v + 2,) ends of the intervals below, between and above v ascending scores."""
    if values.size == 0:
        return np.array([-1.0, 1.0])
    lowest = min(-1.0, float(values[0]) - 1e-6)
    highest = max(1.0, float(values[-1]) + 1e-6)
    return np.concatenate([[lowest], values, [highest]])
