"""Build an identifier from a trained network, its gallery and the rules fitted on the fold."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from flukeprint.config.ranking import GalleryConfig
from flukeprint.config.schema import Config
from flukeprint.data.embeddings import Embeddings
from flukeprint.embedding.recipe import EmbeddingRecipe, network_digest
from flukeprint.evaluation.fold_calibration import FoldCalibration
from flukeprint.files import folder_written_whole, locked_for_writing
from flukeprint.identifier.card import CARD_FORMAT, FILE, IdentifierCard, read_card
from flukeprint.identifier.files import (
    check_digests,
    exchange_index,
    read_network,
    write_network,
)
from flukeprint.identifier.identifier import Identifier
from flukeprint.identifier.kept_gallery import all_rows
from flukeprint.identifier.runs import CENTERS, Run
from flukeprint.identifier.showcase import Showcase
from flukeprint.ranking.calibration import Calibration
from flukeprint.ranking.features import Features
from flukeprint.ranking.pipeline import matched_keypoints
from flukeprint.ranking.rules import FittedRules, looks_at_all
from flukeprint.records.pointer import has_catalogue
from flukeprint.search.backends import BACKENDS, choose
from flukeprint.search.index import Index

if TYPE_CHECKING:
    from flukeprint.models.network import FlukeNet

WORTH_REPORTING = 50_000  # photographs from which it matters how a gallery is searched


def build_identifier(
    config: Config,
    net: "FlukeNet",
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
    card = make_card(
        config, net, threshold, calibration, fitted=fitted, fold_calibration=fold_calibration
    )
    return assemble_identifier(config, card, net, gallery, centers=centers, showcase=showcase)


def make_card(
    config: Config,
    net: "FlukeNet",
    threshold: float | None,
    calibration: Calibration | None = None,
    *,
    fitted: FittedRules | None = None,
    fold_calibration: FoldCalibration | None = None,
) -> IdentifierCard:
    """Make the card of a trained network with everything that was fitted on its fold."""
    return IdentifierCard(
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
    )


def assemble_identifier(
    config: Config,
    card: IdentifierCard,
    net: "FlukeNet",
    gallery: Features,
    *,
    centers: Embeddings | None = None,
    showcase: Showcase | None = None,
) -> Identifier:
    """Put an identifier together and build the index of its gallery.

    card: that of `net`, or of the network that it was trained further from, whose figures and
        fitted numbers the identifier keeps.
    """
    stamp = network_digest(net, EmbeddingRecipe.of(config))
    if stamp != card.stamp:
        card = card.model_copy(update={"stamp": stamp, "measured_by": card.stamp})
    plain = Identifier(
        card,
        net.eval(),
        gallery.embeddings,
        matched_keypoints(gallery.keypoints, config.rank),
        centers if config.rank.head else None,
        showcase,
    )
    backend = config.gallery.backend
    report = print if backend != "auto" or len(gallery) >= WORTH_REPORTING else None
    return with_index(plain, config.gallery, report)


def keep_measured(run: Run, card: IdentifierCard, net: "FlukeNet") -> None:
    """Keep the network that a run's figures are of, before it is trained further."""
    with folder_written_whole(run.measured) as draft:
        write_network(net, card, run.measured, draft)
        (draft / FILE).write_text(card.text())


def measured_identifier(run: Run) -> Identifier:
    """The identifier with the network that the run's figures and embeddings are of, without index.

    It is the run's own, unless that was trained further on all labelled photographs; then the
    gallery is that of the training, without photographs that were enrolled since.
    """
    known = Identifier.load(run.identifier, with_index=False)
    if not run.measured.is_dir():
        return known
    card = read_card(run.measured)
    embeddings = Embeddings.load(run.path / "embeddings.npz")
    place = {image: row for row, image in enumerate(embeddings.images)}
    rows = [row for row, image in enumerate(known.gallery.images) if image in place]
    return Identifier(
        card,
        read_network(run.measured, card),
        embeddings.take([place[known.gallery.images[row]] for row in rows]),
        None if known.keypoints is None else known.keypoints.take(rows),
        Embeddings.load(run.path / CENTERS) if card.method.rules.head else None,
    )


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
    card, index = _indexed(known.card, known.gallery, settings, report)
    return replace(known, card=card, index=index, indexed=len(known.gallery), index_saved=0)


def build_index_again(
    folder: Path,
    settings: GalleryConfig,
    report: Callable[[str], None] | None = None,
    waiting: Callable[[str], None] | None = None,
) -> Identifier:
    """Build the index of the identifier in `folder` anew, and keep it there.

    Where it keeps a catalogue, others go on reading and enrolling meanwhile; photographs that have
    been removed are in the index too, so that they can come back.

    report: as in `with_index`.
    waiting: receives a line if another process is writing there and is waited for.

    Raises:
        FlukeprintError: as of `with_index`, `Identifier.load` and `Identifier.save`.
    """
    if not has_catalogue(folder):
        plain = Identifier.load(folder, with_index=False)
        return with_index(plain, settings, report).save(folder, waiting)
    with locked_for_writing(folder, waiting):
        card = read_card(folder)
        check_digests(folder, card)
        card, index = _indexed(card, all_rows(folder), settings, report)
        exchange_index(folder, card, index)
    return Identifier.load(folder)


def _indexed(
    card: IdentifierCard,
    gallery: Embeddings,
    settings: GalleryConfig,
    report: Callable[[str], None] | None,
) -> tuple[IdentifierCard, Index | None]:
    """The index of a gallery, and the card that says so."""
    choice = choose(
        len(gallery), gallery.vectors.shape[1], settings,
        looks_at_all=looks_at_all(card.method.rules),
    )  # fmt: skip
    if report is not None:
        report(f"gallery: {choice.backend}, for {choice.reason}")
    index = BACKENDS[choice.backend].build(gallery, settings, report)
    return card.model_copy(update={"backend": choice.backend, "gallery": settings}), index
