"""Rank a gallery's identities for queries, by embeddings and, optionally, matched keypoints.

`FittedRules` are the ranking rules of a configuration with the numbers that
`evaluation/fitting.py` fitted for them.  Validation and `Identifier` rank with `QueryRanker` alone.
Rankings are made without a threshold: see `ranking/ranking.py` for where new individuals enter.
"""

from functools import cached_property

import numpy as np
import numpy.typing as npt

from flukeprint.config.ranking import RankConfig
from flukeprint.data.embeddings import Embeddings, Ints, Values, check_stamp
from flukeprint.errors import FlukeprintError
from flukeprint.ranking.features import Features
from flukeprint.ranking.local.descriptor_index import DescriptorIndex
from flukeprint.ranking.local.fusion import KeypointFusion, KeypointGain, PairwiseMatcher
from flukeprint.ranking.local.keypoint_store import KeypointStore
from flukeprint.ranking.local.lightglue import keypoint_backend
from flukeprint.ranking.local.naive_bayes import NaiveBayesMatcher
from flukeprint.ranking.local.strengths import LocalMatcher
from flukeprint.ranking.ranking import Ranking, rank
from flukeprint.ranking.rules import FittedRules
from flukeprint.ranking.scoring import Scorer
from flukeprint.search.gallery import Gallery
from flukeprint.search.index import Index


class RankingGallery:
    """A gallery prepared for ranking: everything that does not depend on the queries.

    gallery: features of photographs with identities; with keypoints if rules.local.candidates.
    centers: class centres of the head, for rules.head.
    index: of the gallery's first `indexed` photographs, for approximate search; None: exact search.
    descriptors: index of the gallery's keypoints, instead of these; None: built where it is needed.
    """

    def __init__(
        self,
        gallery: Features,
        rules: RankConfig,
        centers: Embeddings | None = None,
        index: Index | None = None,
        indexed: int | None = None,
        descriptors: DescriptorIndex | None = None,
    ) -> None:
        self.rules = rules
        self._found, self._descriptors = gallery.keypoints, descriptors
        self.gallery = Gallery(gallery.embeddings, index=index, indexed=indexed)
        self.scorer = Scorer(self.gallery, rules, centers)
        self.backend = keypoint_backend(rules.local) if rules.local.candidates else None

    @cached_property
    def keypoints(self) -> KeypointStore | DescriptorIndex | None:
        """What queries are matched with; an index is built when first needed."""
        if self._descriptors is not None:
            return self._descriptors
        return matched_keypoints(self._found, self.rules)


class QueryRanker:
    """Ranks a set of queries against a gallery, with any fitted numbers of the rules.

    gallery: prepared, or features that are prepared with `rules` and `centers`.
    queries: features, with keypoints where the rules match them.
    progress: title of a progress bar over keypoint matching.
    The keypoints of a pair of photographs are matched once, also when `rank` is called again with
    other numbers.
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
            raise ValueError("a prepared gallery has its rules and class centres already")
        self.queries, self.rules = queries, gallery.rules
        self.scorer = gallery.scorer
        self.fusion: KeypointFusion | None = None
        self.local: LocalMatcher | None = None
        if gallery.backend is not None:
            if gallery.keypoints is None or queries.keypoints is None:
                raise FlukeprintError(
                    f"rank.local.candidates={self.rules.local.candidates} needs keypoints, and "
                    "these photographs have none; train again or set it to 0"
                )
            labels = self.scorer.gallery.labels
            if self.rules.local.matcher == "lnbnn":
                self.local = NaiveBayesMatcher(
                    gallery.keypoints, queries.keypoints, labels, self.rules.local,
                    progress=progress,
                )  # fmt: skip
                return
            assert isinstance(gallery.keypoints, KeypointStore)  # only lnbnn has an index
            self.fusion = KeypointFusion(
                gallery.keypoints, queries.keypoints, self.rules.local, KeypointGain(),
                match=gallery.backend.match, progress=progress,
            )  # fmt: skip
            if self.rules.fuse:
                self.local = PairwiseMatcher(self.fusion, labels)

    def rank(self, fitted: FittedRules, rows: npt.ArrayLike | None = None, top: int = 5) -> Ranking:
        """Rank the `top` best identities of each query, without a threshold.

        rows: places of the queries to rank; None: all.
        """
        index = np.arange(len(self.queries)) if rows is None else np.asarray(rows, dtype=np.int64)
        queries = self.queries.embeddings.take(index)
        if self.rules.fuse:
            if fitted.fusion is None:
                raise ValueError("the fusion of these rules was not fitted")
            matches = self.scorer.search_fused(
                queries, top, fitted.fusion, local=self.local, rows=index,
                other_view=fitted.other_view,
            )  # fmt: skip
            return rank(matches, queries.images, threshold=None, top=top)
        if self.fusion is not None:
            self.fusion.gain = fitted.gain
        matches = self.scorer.search(
            queries, top, adjustment=self.fusion, rows=index, other_view=fitted.other_view
        )
        return rank(matches, queries.images, threshold=None, top=top)


def indexes_descriptors(rules: RankConfig) -> bool:
    """Whether the rules search the descriptors of the whole gallery, through an index of them."""
    return rules.local.matcher == "lnbnn" and rules.local.candidates == "all"


def matched_keypoints(
    found: KeypointStore | None, rules: RankConfig
) -> KeypointStore | DescriptorIndex | None:
    """A gallery's keypoints as the rules match queries with them: an index, where they search all.

    Raises FlukeprintError where an index needs FAISS and it is not installed.
    """
    if found is not None and indexes_descriptors(rules):
        return DescriptorIndex.build(found)
    return found


class PairScorer:
    """Scores pairs of photographs for verification: do the two show one individual?

    The score is the cosine of their embeddings, whitened as the gallery's are, plus the keypoint
    gain, averaged over both directions of matching: the order of the two makes no difference.
    Keypoints that are fused (`rank.fuse`) are weighted against a whole gallery, so they add nothing
    to a pair.
    """

    def __init__(self, gallery: RankingGallery, fitted: FittedRules) -> None:
        self._gallery, self._fitted = gallery, fitted

    def __call__(self, first: Features, second: Features, pairs: Ints) -> Values:
        """Score pairs (p, 2), rows of `first` and of `second`: (p,).

        Raises FlukeprintError for photographs without the keypoints that the rules match, or
        embedded by two networks.
        """
        check_stamp(
            first.embeddings,
            second.embeddings,
            first="the first photographs",
            second="the second photographs",
        )
        whitened = self._gallery.scorer.whitened
        left = whitened(first.embeddings.vectors[pairs[:, 0]]).astype(np.float64)
        right = whitened(second.embeddings.vectors[pairs[:, 1]]).astype(np.float64)
        scores = (left * right).sum(axis=1)
        backend, gain = self._gallery.backend, self._fitted.gain
        if backend is None or gain.scale == 0:
            return np.asarray(scores)
        if first.keypoints is None or second.keypoints is None:
            raise FlukeprintError(
                "the ranking rules match keypoints, and these photographs have none"
            )
        strengths = []
        for i, j in pairs.tolist():
            one, other = first.keypoints[i], second.keypoints[j]
            both = backend.match(one, other).strength, backend.match(other, one).strength
            strengths.append(sum(both) / 2)
        return np.asarray(scores + gain(strengths))
