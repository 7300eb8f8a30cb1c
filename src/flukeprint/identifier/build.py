"""Build an identifier from a trained network, its gallery and the rules fitted on the fold."""

from collections.abc import Callable
from dataclasses import replace

from flukeprint.config.ranking import GalleryConfig, RankConfig
from flukeprint.config.schema import Config
from flukeprint.data.embeddings import Embeddings
from flukeprint.embedding.recipe import EmbeddingRecipe, network_digest
from flukeprint.evaluation.fold_calibration import FoldCalibration
from flukeprint.identifier.card import CARD_FORMAT, IdentifierCard
from flukeprint.identifier.identifier import Identifier
from flukeprint.identifier.showcase import Showcase
from flukeprint.models.network import FlukeNet
from flukeprint.ranking.calibration import Calibration
from flukeprint.ranking.features import Features
from flukeprint.ranking.local.descriptor_index import DescriptorIndex
from flukeprint.ranking.local.keypoint_store import KeypointStore
from flukeprint.ranking.pipeline import indexes_descriptors
from flukeprint.ranking.rules import FittedRules
from flukeprint.ranking.scoring import looks_at_all
from flukeprint.search.backends import BACKENDS, choose

WORTH_REPORTING = 50_000  # photographs from which it matters how a gallery is searched


def build_identifier(
    config: Config,
    net: FlukeNet,
    gallery: Features,
    threshold: float | None,
    calibration: Calibration | None = None,
    *,
    fitted: FittedRules | None = None,
    centers: Embeddings | None = None,
    fold_calibration: FoldCalibration | None = None,
    showcase: Showcase | None = None,
) -> Identifier:
    """Build the identifier of a trained network, and the index of its gallery.

    gallery, centers: must have been made by `net`.
    """
    plain = Identifier(
        IdentifierCard(
            format=CARD_FORMAT,
            name=config.name,
            model=config.model,
            image=config.image,
            mirror=config.infer.mirror,
            zooms=config.infer.zooms,
            threshold=threshold,
            new_label=config.data.new_label,
            stamp=network_digest(net, EmbeddingRecipe.of(config)),
            method=fitted or FittedRules(),
            calibration=calibration,
            outside=None if fold_calibration is None else fold_calibration.outside,
            verifier=None if fold_calibration is None else fold_calibration.verifier,
            measured=None if fold_calibration is None else fold_calibration.measured,
            confidence=None if config.taxonomy is None else config.taxonomy.confidence,
        ),
        net.eval(),
        gallery.embeddings,
        _kept_keypoints(gallery, config.rank),
        centers if config.rank.head else None,
        showcase,
    )
    backend = config.gallery.backend
    report = print if backend != "auto" or len(gallery) >= WORTH_REPORTING else None
    return with_index(plain, config.gallery, report)


def with_index(
    known: Identifier,
    settings: GalleryConfig,
    report: Callable[[str], None] | None = None,
) -> Identifier:
    """Build the index of an identifier's gallery; returns the same identifier with it.

    report: receives a line on the back end and why it was chosen, and one on the recall of an
        approximate index.

    Raises:
        FlukeprintError: an approximate back end is configured, and the ranking rules need the
            scores of all photographs.
    """
    vectors = known.gallery.vectors
    choice = choose(
        len(vectors), vectors.shape[1], settings,
        looks_at_all=looks_at_all(known.card.method.rules),
    )  # fmt: skip
    if report is not None:
        report(f"gallery: {choice.backend}, for {choice.reason}")
    index = BACKENDS[choice.backend].build(known.gallery, settings, report)
    card = known.card.model_copy(update={"backend": choice.backend, "gallery": settings})
    return replace(known, card=card, index=index, indexed=len(vectors), index_saved=0)


def _kept_keypoints(gallery: Features, rules: RankConfig) -> KeypointStore | DescriptorIndex | None:
    """What the identifier keeps of the gallery's keypoints."""
    if gallery.keypoints is not None and indexes_descriptors(rules):
        return DescriptorIndex.build(gallery.keypoints)
    return gallery.keypoints
