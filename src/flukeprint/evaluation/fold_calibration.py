"""Calibrate the out-of-distribution floor and the verification thresholds on a validation fold."""

from dataclasses import dataclass

from flukeprint.config.schema import Config
from flukeprint.data.embeddings import Embeddings
from flukeprint.data.splits import Split
from flukeprint.evaluation.metrics import FoldScores
from flukeprint.evaluation.validation import Validation
from flukeprint.evaluation.verification import Pairs, Verifier, sample_pairs
from flukeprint.ranking.features import Features
from flukeprint.ranking.pipeline import PairScorer, RankingGallery
from flukeprint.ranking.rules import FittedRules, scores_are_cosines
from flukeprint.ranking.threshold import OutOfDistribution, nearest_cosine
from flukeprint.search.gallery import Gallery

MOST_PAIRS = 5000  # of the same individual, and of different ones


@dataclass(frozen=True)
class FoldCalibration:
    """Everything that an identifier learns from its validation fold besides the threshold.

    measured: the fold's metrics.  outside: the out-of-distribution floor, None without
    `infer.outside` or queries.  verifier: verification thresholds, None with too few pairs.
    """

    measured: FoldScores
    outside: OutOfDistribution | None
    verifier: Verifier | None


def calibrate_fold(
    features: Features,
    split: Split,
    config: Config,
    validation: Validation,
    fitted: FittedRules,
    centers: Embeddings | None = None,
) -> FoldCalibration:
    """Calibrate on the fold's queries against its gallery; the network was trained on neither.

    features: of the whole catalogue, whose rows `split` names.  validation: of this fold.
    """
    gallery, queries = features.take(split.gallery), features.take(split.queries)
    outside = None
    if config.infer.outside is not None and len(queries):
        nearest = (  # every photograph was compared already, or is now
            validation.queries.ranking.best_known
            if scores_are_cosines(config.rank)
            else nearest_cosine(Gallery(gallery.embeddings), queries.embeddings)
        )
        outside = OutOfDistribution.fit(nearest, config.infer.outside)
    prepared = RankingGallery(gallery, config.rank, centers)
    same, other = sample_pairs(
        queries.embeddings.identities, prepared.gallery.identities, seed=config.split.seed,
        most_other=MOST_PAIRS, most_same=MOST_PAIRS,
    )  # fmt: skip
    score = PairScorer(prepared, fitted)
    pairs = Pairs(score(queries, gallery, same), score(queries, gallery, other))
    return FoldCalibration(FoldScores.of(validation.scores), outside, Verifier.fit(pairs))
