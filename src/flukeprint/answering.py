"""From photographs' `Evidence` to answers: gallery and queries enter, a `Ranking` leaves.

A `Method` is the ranking rules of a configuration with the numbers that were fitted for them on
queries with known answers.  Validation and identifier answer through this room alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from flukeprint.catalog import Catalog
from flukeprint.config import ImageConfig, RankConfig, Section
from flukeprint.errors import FlukeprintError
from flukeprint.gallery import Embeddings, Gallery
from flukeprint.half_product import fastest_product
from flukeprint.index import Index
from flukeprint.keypoint_store import KeypointStore
from flukeprint.learned_matching import backend_of
from flukeprint.local_fusion import Contenders, LocalBoost, LocalGain, fit_gain
from flukeprint.ranking import Ranking, rank
from flukeprint.scoring import Scorer, fit_other_view

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Evidence:
    """What answers are made from: embeddings of n photographs and, where asked for, keypoints."""

    embeddings: Embeddings
    keypoints: KeypointStore | None = None

    def __post_init__(self) -> None:
        if self.keypoints is not None and len(self.keypoints) != len(self.embeddings):
            raise ValueError("as many photographs with keypoints as with embeddings")

    def __len__(self) -> int:
        return len(self.embeddings)

    def take(self, rows: npt.ArrayLike) -> "Evidence":
        """The photographs of `rows`, in that order."""
        keypoints = None if self.keypoints is None else self.keypoints.take(rows)
        return Evidence(self.embeddings.take(rows), keypoints)

    @staticmethod
    def concatenate(parts: Sequence["Evidence"]) -> "Evidence":
        """One after the other; keypoints are kept where all parts have them."""
        stores = [part.keypoints for part in parts if part.keypoints is not None]
        return Evidence(
            Embeddings.concatenate([part.embeddings for part in parts]),
            KeypointStore.concatenate(stores) if len(stores) == len(parts) else None,
        )


def gather(
    embeddings: Embeddings,
    catalog: Catalog,
    image: ImageConfig,
    rules: RankConfig,
    *,
    progress: str | None = None,
) -> Evidence:
    """Embeddings of a catalogue's photographs, with their keypoints where `rules` ask for them.

    Raises:
        FlukeprintError: embeddings of other photographs, a photograph that cannot be read, or a
            matcher that cannot be had.
    """
    if not rules.local.candidates:
        return Evidence(embeddings)
    if embeddings.images != catalog.images:
        raise FlukeprintError(
            f"the embeddings are of other photographs ({len(embeddings)}) than the keypoints "
            f"({len(catalog)}); make them again"
        )
    return Evidence(
        embeddings,
        KeypointStore.of(
            catalog, rules.local, cache=image.cache,
            extractor=backend_of(rules.local).extract,
            mirror_views=image.mirror_views, progress=progress,
        ),
    )  # fmt: skip


class Method(Section):
    """Ranking rules and their fitted numbers; JSON-able."""

    rules: RankConfig = RankConfig()
    other_view: float = 0.0  # taken from the similarity of photos of another view
    gain_scale: float = 0.0  # `LocalGain` of matched keypoints
    gain_floor: float = 0.0

    @property
    def gain(self) -> LocalGain:
        """What matched keypoints are worth."""
        return LocalGain(self.gain_scale, self.gain_floor)


class PreparedGallery:
    """A gallery and all that is made of it once, however many queries come.

    gallery: photos with identities; with keypoints where rules.local asks for candidates.
    centers: class centers of the head, for rules.head.
    index: of the gallery's photos, if it is not to look at all of them.
    """

    def __init__(
        self,
        gallery: Evidence,
        rules: RankConfig,
        centers: Embeddings | None = None,
        index: Index | None = None,
    ) -> None:
        self.rules = rules
        self.keypoints = gallery.keypoints
        self.gallery = Gallery(gallery.embeddings, index=index, product=fastest_product)
        self.scorer = Scorer(self.gallery, rules, centers)
        self.backend = backend_of(rules.local) if rules.local.candidates else None


class Desk:
    """A gallery at which queries are answered, one method after the other.

    gallery: prepared, or photos that are prepared by `rules` and `centers`.
    queries: with keypoints where the rules match them.
    Pairs of photographs are matched once, whatever the method.
    """

    def __init__(
        self,
        gallery: Evidence | PreparedGallery,
        queries: Evidence,
        rules: RankConfig | None = None,
        *,
        centers: Embeddings | None = None,
        progress: str | None = None,
    ) -> None:
        if isinstance(gallery, Evidence):
            gallery = PreparedGallery(gallery, rules or RankConfig(), centers)
        elif rules is not None or centers is not None:
            raise ValueError("a prepared gallery has its rules and centers already")
        self.queries, self.rules = queries, gallery.rules
        self.scorer = gallery.scorer
        self.boost: LocalBoost | None = None
        if gallery.backend is not None:
            if gallery.keypoints is None or queries.keypoints is None:
                raise FlukeprintError(
                    f"rank.local.candidates={self.rules.local.candidates} needs keypoints, and "
                    "there are none of these photographs; train again or set it to 0"
                )
            self.boost = LocalBoost(
                gallery.keypoints, queries.keypoints, self.rules.local, LocalGain(),
                match=gallery.backend.match, progress=progress,
            )  # fmt: skip

    def answer(self, method: Method, rows: npt.ArrayLike | None = None, top: int = 5) -> Ranking:
        """The `top` best identities of the queries at `rows` (of all without), no threshold."""
        index = np.arange(len(self.queries)) if rows is None else np.asarray(rows, dtype=np.int64)
        asked = self.queries.embeddings.take(index)
        if self.boost is not None:
            self.boost.gain = method.gain
        found = self.scorer.search(
            asked, top, boost=self.boost, rows=index, other_view=method.other_view
        )
        return rank(found, asked.images, threshold=None, top=top)


def fit_rules(
    ranker: Desk, answers: Sequence[str | None], rows: npt.ArrayLike | None = None
) -> Method:
    """Choose the numbers of the ranking rules that do best on queries with known answers.

    rows: (q,) places of these queries among the ranker's; all without.  answers: (q) the right
    identity of each, None for an individual absent from the gallery.
    """
    index = np.arange(len(ranker.queries)) if rows is None else np.asarray(rows, dtype=np.int64)
    asked = ranker.queries.embeddings.take(index)
    rules, scorer = ranker.rules, ranker.scorer
    other_view = 0.0
    if rules.other_view == "fit":
        other_view = fit_other_view(scorer, asked, answers)
    elif not isinstance(rules.other_view, str):
        other_view = rules.other_view
    gain = LocalGain()
    if ranker.boost is not None and len(index):
        labels, number = scorer.gallery.labels, scorer.gallery.number
        candidates = min(rules.local.candidates, len(labels))
        contenders = Contenders.joined(
            [
                Contenders.of(scored.photos, labels, candidates)
                for scored in scorer.photo_scores(asked, other_view)
            ]
        )
        truth = [-1 if name is None else number.get(name, -1) for name in answers]
        strengths = ranker.boost.strengths(index, contenders.rows)
        gain = fit_gain(contenders, strengths, np.array(truth, dtype=np.int64))
    return Method(rules=rules, other_view=other_view, gain_scale=gain.scale, gain_floor=gain.floor)


def merged(parts: Sequence[tuple[Ints, Ranking]]) -> Ranking:
    """Rankings of some queries each, with their places, as one ranking in the order of places."""
    order = np.argsort(np.concatenate([places for places, _ in parts]))
    rankings = [ranking for _, ranking in parts]
    whole = Ranking(
        images=tuple(name for ranking in rankings for name in ranking.images),
        identities=tuple(names for ranking in rankings for names in ranking.identities),
        scores=np.concatenate([ranking.scores for ranking in rankings]),
        rows=np.concatenate([ranking.rows for ranking in rankings]),
        best_known=np.concatenate([ranking.best_known for ranking in rankings]),
    )
    return whole.take(order)


def fits_something(rules: RankConfig) -> bool:
    """Whether the rules have numbers that queries with known answers must choose."""
    return rules.other_view == "fit" or rules.local.candidates > 0
