"""Identify the test photographs with several finished runs together and write a submission.

Each run embeds with the network of its identifier; the embeddings stand side by side, so that a
cosine is the weighted mean of the runs' cosines.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from flukeprint.config.ranking import NewShare
from flukeprint.config.schema import Config
from flukeprint.cpu import keep_memory
from flukeprint.data.catalog import Catalog
from flukeprint.data.embeddings import Embeddings
from flukeprint.disks import full_disk_named
from flukeprint.embedding.embed import embed
from flukeprint.embedding.recipe import Compute
from flukeprint.errors import FlukeprintError, counted
from flukeprint.identifier.identifier import Identifier
from flukeprint.identifier.runs import CENTERS, Run
from flukeprint.identifier.studies.run_ensemble import JointFold, centers_in, no_centers
from flukeprint.ranking.ensemble import ensemble, ensemble_centers, shares_of
from flukeprint.ranking.features import Features, extract_features
from flukeprint.ranking.local.descriptor_index import DescriptorIndex
from flukeprint.ranking.local.keypoint_store import KeypointStore
from flukeprint.ranking.local.keypoints import extraction_digest
from flukeprint.ranking.local.lightglue import keypoint_backend
from flukeprint.ranking.pipeline import QueryRanker, RankingGallery, indexes_descriptors
from flukeprint.ranking.ranking import insert_new_individual
from flukeprint.submission.answers import (
    AS_BEFORE,
    Answers,
    check_machine,
    of_readable,
    read_questions,
    share_threshold,
    write_answers,
)
from flukeprint.submission.naming import embeddings_name, ensemble_name


@dataclass(frozen=True)
class _Member:
    """A run that answers with others."""

    run: Run
    known: Identifier

    def embed(self, test: Catalog, config: Config) -> Embeddings:
        """Embed the test photographs, and keep that in the run as `infer` does."""
        recipe, network = self.known.card.recipe, self.known.network
        found = embed(
            network, test, recipe, Compute.of(config), progress=f"photographs, {self.run.path}"
        )  # fmt: skip
        with full_disk_named(self.run.path, lambda: AS_BEFORE):
            found.save(self.run.path / embeddings_name(config, self.run.config()))
        return found

    def centers(self, config: Config) -> Embeddings:
        """The class centres of the identifier's network."""
        centers = self.known.centers
        if centers is None:  # the run was trained without rank.head: its loss may have some
            centers = centers_in(self.run.path / CENTERS, config)
        if centers.stamp != self.known.card.stamp:  # its network was trained further since
            raise no_centers(self.run.identifier, config)
        return centers


def infer_together(
    config: Config, runs: Sequence[Run], weights: Sequence[float] | None = None
) -> Answers:
    """Identify the test photographs of `config` with several runs of one fold.

    The runs may differ in network, image size and losses, and each embeds as it was trained to.
    The sections `rank` and `infer` of `config` say how they answer; what is fitted for that is
    fitted on their fold anew.  Each run keeps its test embeddings, as in `infer`.  The submission
    is named after all runs.

    weights: one positive number for each run; None: equal weights.

    Raises:
        FlukeprintError: runs of other folds or photographs, identifiers with other galleries, or
            what `infer` refuses.
    """
    keep_memory()
    shares_of(weights, len(runs))
    device = check_machine(config)
    if config.rank.local.candidates:
        keypoint_backend(config.rank.local)  # names the package or weights that are missing
    fold = JointFold.read(config, runs, weights)
    members = [_Member(run, Identifier.load(run.identifier, with_index=False)) for run in runs]
    gallery = _gallery(members, weights)
    centers = None
    if config.rank.head:
        centers = ensemble_centers([member.centers(config) for member in members], weights)
    known = sorted({name for name in gallery.identities if name is not None})
    asked = read_questions(config, known)
    stored = _stored_keypoints(config, members, fold.catalog)

    features = fold.features()
    validation, fitted = fold.validate(features)
    if device != "cpu":
        for member in members:
            member.known.net.to(device)

    def embedded(photos: Catalog) -> Embeddings:
        return ensemble([member.embed(photos, config) for member in members], weights)

    test, queries = of_readable(asked, config, embedded)
    kept = stored if isinstance(stored, KeypointStore) else None
    descriptors = stored if isinstance(stored, DescriptorIndex) else None
    if stored is None:
        kept = _keypoints(gallery, features)
    ranking = QueryRanker(
        RankingGallery(Features(gallery, kept), config.rank, centers, descriptors=descriptors),
        extract_features(queries, test, config.image, config.rank, progress="keypoints"),
        progress="matching keypoints",
    ).rank(fitted)
    notes = fold.lines(validation)
    threshold, setting = validation.deployed, config.infer.threshold
    if isinstance(setting, NewShare):  # of the test photographs, not of the fold's
        threshold, note = share_threshold(ranking, setting, config)
        notes = (*notes, note)
    if threshold is not None:
        ranking = insert_new_individual(ranking, threshold)
    named = [(run.config(), run.name) for run in runs]
    target = config.submissions / ensemble_name(config, named, weights)
    notes = (*notes, *write_answers(config, asked.images, ranking, target, known))
    return Answers(target, config.data.new_label, test, ranking, notes)


def _gallery(members: Sequence[_Member], weights: Sequence[float] | None) -> Embeddings:
    """The galleries of all identifiers as one.

    Raises:
        FlukeprintError: they hold other photographs, or in another order.
    """
    first = members[0]
    known = first.known.gallery
    galleries = [member.known.gallery for member in members]
    views = next((gallery.views for gallery in galleries if gallery.views is not None), None)
    for member in members[1:]:
        other = member.known.gallery
        if (other.images, other.identities) != (known.images, known.identities):
            raise FlukeprintError(
                f"the galleries of {first.run.identifier} ({len(known):,} photographs) and "
                f"{member.run.identifier} ({len(other):,}) are not the same photographs in the "
                "same order; enroll the same into both, or train again"
            )
    return ensemble([replace(gallery, views=views) for gallery in galleries], weights)


def _stored_keypoints(
    config: Config, members: Sequence[_Member], catalog: Catalog
) -> KeypointStore | DescriptorIndex | None:
    """The gallery's keypoints of an identifier that has those of rank.local; None without any.

    Raises:
        FlukeprintError: none has, and photographs were enrolled, which `catalog` lacks.
    """
    if not config.rank.local.candidates:
        return None
    for member in members:
        have, mirrored = member.known.keypoints, member.known.card.image.mirror_views
        same = have is not None and have.stamp == extraction_digest(config.rank.local)
        indexed = isinstance(have, DescriptorIndex)
        same = same and (not indexed or indexes_descriptors(config.rank))
        if same and mirrored == config.image.mirror_views:
            return have
    enrolled = len(set(members[0].known.gallery.images) - set(catalog.images))
    if enrolled:
        raise FlukeprintError(
            f"no run has the keypoints of {counted(enrolled, 'enrolled photograph')} that "
            "rank.local asks for; add a run that was trained with it, or set "
            "rank.local.candidates=0"
        )
    return None


def _keypoints(gallery: Embeddings, labelled: Features) -> KeypointStore | None:
    """The gallery's keypoints among those of all labelled photographs."""
    if labelled.keypoints is None:
        return None
    place = {image: row for row, image in enumerate(labelled.embeddings.images)}
    return labelled.keypoints.take([place[image] for image in gallery.images])
