"""Match a query with a whole gallery at once: local naive Bayes nearest neighbour (LNBNN).

Each descriptor of a query looks for its k nearest of the gallery, and gives the photograph of each

    weight = (d_(k+1) - d_i) / d_(k+1)

d_i being the distance to it and d_(k+1) that to the next one, which is taken for chance: 1 for the
same descriptor, 0 for one that many photographs have.  Sources: McCann and Lowe, Local naive Bayes
nearest neighbor for image classification (2012); Crall et al., HotSpotter (2013), who count it by
name as below.  Dividing by the distance makes the weights those of any descriptor.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from flukeprint.config.ranking import LocalConfig
from flukeprint.data.embeddings import Floats, Ints, Values
from flukeprint.errors import needs
from flukeprint.output import followed
from flukeprint.ranking.local.descriptor_index import DescriptorIndex, NearestDescriptors
from flukeprint.ranking.local.keypoint_store import KeypointStore
from flukeprint.ranking.local.keypoints import Keypoints, directions
from flukeprint.ranking.local.sift import affine_map
from flukeprint.ranking.local.strengths import LocalStrengths
from flukeprint.ranking.neighbours import largest

_TRIALS = 500


class NaiveBayesMatcher:
    """Matches queries with the whole gallery, or exactly with the candidates that scores choose.

    Answers are kept, as rules are fitted on the same queries several times.  A query's strengths do
    not depend on other queries.
    """

    def __init__(
        self,
        gallery: DescriptorIndex | KeypointStore,
        queries: KeypointStore,
        labels: Ints,
        config: LocalConfig,
        *,
        progress: str | None = None,
    ) -> None:
        """
        Args:
            gallery: an index of all descriptors, or the keypoints from which candidates are taken.
            labels: (n,) identity of each photograph, numbers from 0 on.
            progress: title of a progress bar over queries; None: no bar.
        """
        if len(gallery) != len(labels):
            raise ValueError(f"{len(labels)} labels for {len(gallery)} photographs")
        self._gallery, self._queries, self._labels, self._config = gallery, queries, labels, config
        self._progress = progress
        self._known: dict[tuple[int, bytes], tuple[_Counted, _Counted]] = {}

    def __call__(self, query_rows: Ints, scores: Floats) -> LocalStrengths:
        """Strengths (b, n) and (b, c) of the queries at (b,) rows.

        scores: (b, n), of which the best are the candidates, equal ones by row, if not all are.
        """
        n, c = len(self._labels), int(self._labels.max(initial=-1)) + 1
        photographs = np.zeros((len(query_rows), n), np.float32)
        identities = np.zeros((len(query_rows), c), np.float32)
        wanted = self._config.candidates
        every = isinstance(self._gallery, DescriptorIndex) or not isinstance(wanted, int)
        candidates = None if every else largest(scores, int(wanted)).rows
        stage = followed(query_rows.tolist(), self._progress, len(query_rows))
        for place, query in enumerate(stage):
            among = None if candidates is None else np.sort(candidates[place])
            of_photographs, of_identities = self._strengths(query, among)
            photographs[place, of_photographs.rows] = of_photographs.sums
            identities[place, of_identities.rows] = of_identities.sums
        return LocalStrengths(photographs, identities)

    def _strengths(self, query: int, among: Ints | None) -> tuple["_Counted", "_Counted"]:
        key = (query, b"" if among is None else among.tobytes())
        known = self._known.get(key)
        if known is None:
            keypoints = self._queries[query]
            known = self._known[key] = self._counted(keypoints, self._nearest(keypoints, among))
        return known

    def _nearest(self, query: Keypoints, among: Ints | None) -> NearestDescriptors:
        k = self._config.neighbours + 1
        if isinstance(self._gallery, DescriptorIndex):
            return self._gallery.search(query.descriptors, k)
        rows = np.arange(len(self._gallery)) if among is None else among
        return nearest_exactly(query, self._gallery, rows, k)

    def _counted(self, query: Keypoints, near: NearestDescriptors) -> tuple["_Counted", "_Counted"]:
        weights = naive_bayes_weights(near.distances)
        rows = near.photographs[:, :-1]
        some = (rows >= 0) & (weights > 0)
        labels = np.where(some, self._labels[rows], -1)
        photographs = _summed(rows[some], weights[some])
        once = some & ~_seen_before(labels)
        identities = _summed(labels[once], weights[once])
        if self._config.verify:
            gained = self._verified(query, near, weights, photographs)
            photographs = photographs.plus(gained)
            best = np.zeros(int(self._labels.max()) + 1)
            np.maximum.at(best, self._labels[gained.rows], gained.sums)
            named = np.flatnonzero(best)
            identities = identities.plus(_Counted(named, best[named]))
        return photographs, identities

    def _verified(
        self, query: Keypoints, near: NearestDescriptors, weights: Values, found: "_Counted"
    ) -> "_Counted":
        """Sums of weights over the pairs that agree in one affine map, of the best photographs."""
        order = np.argsort(-found.sums, kind="stable")[: self._config.verify]
        best = found.rows[order]
        sums = np.zeros(len(best))
        side = self._config.side
        for place, row in enumerate(best.tolist()):
            descriptor, neighbour = np.nonzero((near.photographs[:, :-1] == row) & (weights > 0))
            fitted = affine_map(
                query.points[descriptor],
                near.points[descriptor, neighbour],
                self._config.reach * side,
                _TRIALS,
            )
            if fitted is not None:
                sums[place] = weights[descriptor, neighbour][fitted[1]].sum()
        return _Counted(best, sums)


class _Counted(NamedTuple):
    """Sums above 0 by row, the rows ascending or in any order, each once."""

    rows: Ints
    sums: Values

    def plus(self, other: "_Counted") -> "_Counted":
        rows = np.concatenate([self.rows, other.rows])
        return _summed(rows, np.concatenate([self.sums, other.sums]))


def naive_bayes_weights(distances: Floats) -> Values:
    """Weights (m, k) in [0, 1] of the nearest k from ascending distances (m, k + 1).

    Where there are fewer than k + 1 descriptors, the last distance is infinite and the weight is 1.
    """
    wide = distances.astype(np.float64)
    chance = wide[:, -1:]
    with np.errstate(invalid="ignore", divide="ignore"):
        weights = 1 - wide[:, :-1] / chance
    weights[np.isnan(weights)] = 0  # equal distances of 0, or of infinity
    return np.asarray(np.clip(weights, 0, 1))


def nearest_exactly(
    query: Keypoints, gallery: KeypointStore, rows: Ints, k: int
) -> NearestDescriptors:
    """Find the k nearest descriptors among those of some photographs (r,), by all distances."""
    some = [gallery[row] for row in rows.tolist()]
    owners = np.repeat(rows, [len(keypoints) for keypoints in some])
    m, have = len(query), min(k, len(owners))
    distances = np.full((m, k), np.inf, np.float32)
    photographs = np.full((m, k), -1, np.int64)
    points = np.full((m, k, 2), np.nan, np.float32)
    if m and have:
        with needs("search"):
            import faiss
        there = directions(np.concatenate([keypoints.descriptors for keypoints in some]))
        squares, near = faiss.knn(directions(query.descriptors), there, have)
        distances[:, :have] = np.sqrt(np.maximum(squares, 0))
        photographs[:, :have] = owners[near]
        points[:, :have] = np.concatenate([keypoints.points for keypoints in some])[near]
    return NearestDescriptors(distances, photographs, points)


def _seen_before(labels: Ints) -> npt.NDArray[np.bool_]:
    """Where (m, k) labels stand further left in their row already."""
    seen = np.zeros(labels.shape, dtype=bool)
    for right in range(1, labels.shape[1]):
        seen[:, right] = (labels[:, :right] == labels[:, right : right + 1]).any(axis=1)
    return seen


def _summed(rows: Ints, weights: Values) -> _Counted:
    named, places = np.unique(rows, return_inverse=True)
    sums = np.bincount(places, weights, minlength=len(named))
    return _Counted(named, sums.astype(np.float64))
