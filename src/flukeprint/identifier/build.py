"""Build an identifier from a trained network, a gallery and what was fitted on the fold."""

from collections.abc import Callable
from dataclasses import replace

from flukeprint.config.schema import Config, GalleryConfig
from flukeprint.data.embeddings import Embeddings
from flukeprint.embedding.recipe import EmbeddingRecipe, network_digest
from flukeprint.evaluation.fold_calibration import FoldCalibration
from flukeprint.identifier.card import CARD_FORMAT, IdentifierCard
from flukeprint.identifier.identifier import Identifier
from flukeprint.identifier.showcase import Showcase
from flukeprint.models.network import FlukeNet
from flukeprint.ranking.calibration import Calibration
from flukeprint.ranking.features import Features
from flukeprint.ranking.pipeline import FittedRules
from flukeprint.ranking.scoring import looks_at_all
from flukeprint.search.backends import BACKENDS, choose

WORTH_TELLING = 50_000  # photographs from which it matters how a gallery is searched


def build_identifier(
    config: Config,
    net: FlukeNet,
    gallery: Features,
    threshold: float | None,
    calibration: Calibration | None = None,
    *,
    method: FittedRules | None = None,
    centers: Embeddings | None = None,
    facts: FoldCalibration | None = None,
    showcase: Showcase | None = None,
) -> Identifier:
    """The identifier of a trained network, which must have made `gallery` and `centers`."""
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
            method=method or FittedRules(),
            calibration=calibration,
            outside=None if facts is None else facts.outside,
            verifier=None if facts is None else facts.verifier,
            measured=None if facts is None else facts.measured,
            confidence=None if config.taxonomy is None else config.taxonomy.confidence,
        ),
        net.eval(),
        gallery.embeddings,
        gallery.keypoints,
        centers if config.rank.head else None,
        showcase,
    )
    backend = config.gallery.backend
    # How a small gallery is searched is not worth a line.
    report = print if backend != "auto" or len(gallery) >= WORTH_TELLING else None
    return with_index(plain, config.gallery, report)


def with_index(
    known: Identifier,
    settings: GalleryConfig,
    report: Callable[[str], None] | None = None,
) -> Identifier:
    """The same identifier with an index of its gallery, built as `settings` ask.

    report: called with a line on what was chosen and why, and on an approximate index's recall.

    Raises:
        FlukeprintError: an approximate one was asked for, and the ranking rules look at all.
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
    return replace(known, card=card, index=index, index_saved=0)
