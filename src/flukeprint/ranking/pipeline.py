"""Rank a gallery's identities for queries, with embeddings and, where asked for, keypoints.

`FittedRules` are the ranking rules of a configuration with the numbers fitted for them on queries
with known answers.  Validation and `Identifier` rank through this module alone.
"""

import numpy as np
import numpy.typing as npt

from flukeprint.config.schema import RankConfig, Section
from flukeprint.data.embeddings import Embeddings, Ints, Values
from flukeprint.errors import FlukeprintError
from flukeprint.ranking.features import Features
from flukeprint.ranking.local.fusion import KeypointFusion, KeypointGain
from flukeprint.ranking.local.lightglue import keypoint_backend
from flukeprint.ranking.ranking import Ranking, rank
from flukeprint.ranking.scoring import Scorer
from flukeprint.search.gallery import Gallery
from flukeprint.search.index import Index


class FittedRules(Section):
    """Ranking rules and their fitted numbers; JSON-able."""

    rules: RankConfig = RankConfig()
    other_view: float = 0.0  # taken from the similarity of photos of another view
    gain_scale: float = 0.0  # `KeypointGain` of matched keypoints
    gain_floor: float = 0.0

    @property
    def gain(self) -> KeypointGain:
        """What matched keypoints are worth."""
        return KeypointGain(self.gain_scale, self.gain_floor)


class RankingGallery:
    """A gallery and all that is made of it once, however many queries come.

    gallery: photos with identities; with keypoints where rules.local asks for candidates.
    centers: class centers of the head, for rules.head.
    index: of the gallery's photos, if it is not to look at all of them.
    """

    def __init__(
        self,
        gallery: Features,
        rules: RankConfig,
        centers: Embeddings | None = None,
        index: Index | None = None,
    ) -> None:
        self.rules = rules
        self.keypoints = gallery.keypoints
        self.gallery = Gallery(gallery.embeddings, index=index)
        self.scorer = Scorer(self.gallery, rules, centers)
        self.backend = keypoint_backend(rules.local) if rules.local.candidates else None


class QueryRanker:
    """A gallery at which queries are answered, one method after the other.

    gallery: prepared, or photos that are prepared by `rules` and `centers`.
    queries: with keypoints where the rules match them.
    Pairs of photographs are matched once, whatever the method.
    """

    def __init__(
        self,
        gallery: Features | RankingGallery,
        queries: Features,
        rules: RankConfig | None = None,
        *,
        centers: Embeddings | None = None,
        progress: str | None = None,
    ) -> None:
        if isinstance(gallery, Features):
            gallery = RankingGallery(gallery, rules or RankConfig(), centers)
        elif rules is not None or centers is not None:
            raise ValueError("a prepared gallery has its rules and centers already")
        self.queries, self.rules = queries, gallery.rules
        self.scorer = gallery.scorer
        self.boost: KeypointFusion | None = None
        if gallery.backend is not None:
            if gallery.keypoints is None or queries.keypoints is None:
                raise FlukeprintError(
                    f"rank.local.candidates={self.rules.local.candidates} needs keypoints, and "
                    "there are none of these photographs; train again or set it to 0"
                )
            self.boost = KeypointFusion(
                gallery.keypoints, queries.keypoints, self.rules.local, KeypointGain(),
                match=gallery.backend.match, progress=progress,
            )  # fmt: skip

    def rank(self, method: FittedRules, rows: npt.ArrayLike | None = None, top: int = 5) -> Ranking:
        """The `top` best identities of the queries at `rows` (of all without), no threshold."""
        index = np.arange(len(self.queries)) if rows is None else np.asarray(rows, dtype=np.int64)
        asked = self.queries.embeddings.take(index)
        if self.boost is not None:
            self.boost.gain = method.gain
        found = self.scorer.search(
            asked, top, boost=self.boost, rows=index, other_view=method.other_view
        )
        return rank(found, asked.images, threshold=None, top=top)


class PairScorer:
    """What the ranking rules make of two photographs alone.

    The cosine of their embeddings, whitened as the gallery is, and what keypoints add that agree,
    averaged over both directions: which photograph comes first makes no difference.
    """

    def __init__(self, gallery: RankingGallery, method: FittedRules) -> None:
        self._gallery, self._method = gallery, method

    def __call__(self, first: Features, second: Features, pairs: Ints) -> Values:
        """(p,) scores of (p, 2) rows of `first` and of `second`.

        Raises FlukeprintError for photographs without the keypoints that the rules match, or
        embedded by two networks.
        """
        if first.embeddings.stamp != second.embeddings.stamp:
            raise FlukeprintError("embeddings of two networks do not compare; embed with one")
        whitened = self._gallery.scorer.whitened
        left = whitened(first.embeddings.vectors[pairs[:, 0]]).astype(np.float64)
        right = whitened(second.embeddings.vectors[pairs[:, 1]]).astype(np.float64)
        scores = (left * right).sum(axis=1)
        backend, gain = self._gallery.backend, self._method.gain
        if backend is None or gain.scale == 0:
            return np.asarray(scores)
        if first.keypoints is None or second.keypoints is None:
            raise FlukeprintError("the ranking rules match keypoints, and there are none of these")
        strengths = []
        for i, j in pairs.tolist():
            one, other = first.keypoints[i], second.keypoints[j]
            both = backend.match(one, other).strength, backend.match(other, one).strength
            strengths.append(sum(both) / 2)
        return np.asarray(scores + gain(strengths))
