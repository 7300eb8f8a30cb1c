"""The only path from a photograph to an answer: `Identifier` = network + gallery + threshold.

One folder, no pickles:

    identifier.json       configuration of network and photographs, threshold, calibration, digest
    network.safetensors   the network's tensors
    gallery/              the gallery's embeddings, stamped with the network's digest
    index/                the gallery's index, where it is large enough for one
    keypoints.npz         the gallery's keypoints, where the ranking rules match them
    centers.npz           the classes of the network's head, where the ranking rules look at them
    thumbnails.npz ...    what people are shown besides, see `showcase.py`
"""

from flukeprint.config.schema import Config
from flukeprint.data.embeddings import Embeddings
from flukeprint.embedding.recipe import EmbeddingRecipe, network_digest
from flukeprint.evaluation.fold_calibration import FoldCalibration
from flukeprint.identifier.card import CARD_FORMAT, IdentifierCard
from flukeprint.identifier.identifier import WORTH_TELLING, Identifier
from flukeprint.identifier.showcase import Showcase
from flukeprint.models.network import FlukeNet
from flukeprint.ranking.calibration import Calibration
from flukeprint.ranking.features import Features
from flukeprint.ranking.pipeline import FittedRules


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
    """An identifier of a trained network; `gallery` and `centers` must be of it."""
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
    # Of a small gallery there is nothing to tell.
    report = print if backend != "auto" or len(gallery) >= WORTH_TELLING else None
    return plain.with_index(config.gallery, report)
