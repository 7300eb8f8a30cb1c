"""Identify photographs with an `Identifier`: a network, a gallery and a threshold.

It is saved in one folder, without pickles; the names of the files are a contract:

    identifier.json       configuration of network and photographs, threshold, calibration, digest
    network.safetensors   the network's tensors
    gallery/              the gallery's embeddings, stamped with the network's digest
    index/                the gallery's index, if it is large enough for one
    index-*/              instead of it one that was built since the catalogue was begun
    keypoints.npz         the gallery's keypoints, if the ranking rules match them
    descriptors/          instead of these an index of them, if the rules search all at once
    centers.npz           class centres of the network's head, if the ranking rules use them
    digests.json          digests of these files, checked when it is loaded
    digests-*.json        instead of them those written with such an index
    catalogue.json        where the records of its catalogue are, if it keeps one
    catalogue.db          the records, unless a server has them; also whose each photograph is now
    lock                  held by the one process that writes
    thumbnails.npz ...    for the web page, see `showcase.py`
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import cast

import numpy as np

from flukeprint.config.ranking import EngineName
from flukeprint.data.catalog import Box, Catalog
from flukeprint.data.embeddings import Embeddings, Values
from flukeprint.data.names import enrolled_name
from flukeprint.data.thumbnails import Thumbnails, thumbnail
from flukeprint.drafts import clear_drafts
from flukeprint.embedding.embed import embed
from flukeprint.embedding.engine_choice import WORTH_MEASURING, pick_engine
from flukeprint.embedding.engine_timings import FEWEST_REMEMBERED
from flukeprint.embedding.kept_engine import SINGLE, KeptEngines, can_keep
from flukeprint.embedding.recipe import Compute
from flukeprint.errors import FlukeprintError
from flukeprint.evaluation.verification import VerificationThreshold
from flukeprint.files import folder_written_whole, locked_for_writing
from flukeprint.identifier.card import card_digest
from flukeprint.identifier.photo_input import (
    Photograph,
    Prepared,
    check_unseen,
    decoded,
    free_name,
    names_of,
    prepare,
    told_names,
)
from flukeprint.identifier.showcase import sample_photos
from flukeprint.identifier.state import IdentifierState, origin_of
from flukeprint.identifier.verdict import Verdict, verdict_of
from flukeprint.models.lazy_network import LazyNetwork
from flukeprint.output import Stage
from flukeprint.ranking.encounters.combine import merge_encounter
from flukeprint.ranking.features import Features, extract_features
from flukeprint.ranking.local.descriptor_index import DescriptorIndex
from flukeprint.ranking.local.keypoint_store import KeypointStore
from flukeprint.ranking.pipeline import PairScorer, QueryRanker, RankingGallery
from flukeprint.ranking.ranking import Ranking, insert_new_individual
from flukeprint.ranking.rules import scores_are_cosines
from flukeprint.records.pointer import has_catalogue

_RANKED_AT_ONCE = 1 << 16  # answers, of all queries that are ranked together
FEW_IDENTITIES = 200  # most identities that a query is compared with through an index


@dataclass(frozen=True)
class Identifier(IdentifierState):
    """Identifies photographs by a network, a gallery that it embedded, and a threshold.

    Its fields are those of `IdentifierState`.  Nothing that it holds ever changes: `enroll` returns
    another identifier.
    """

    @property
    def identities(self) -> tuple[str, ...]:
        """Identities of the gallery, sorted."""
        return self.prepared.gallery.vocabulary

    @cached_property
    def prepared(self) -> RankingGallery:
        """The gallery prepared for the ranking rules, made once."""
        keypoints, descriptors = self.keypoints, None
        if isinstance(keypoints, DescriptorIndex):
            keypoints, descriptors = None, keypoints
        return RankingGallery(
            Features(self.gallery, keypoints), self.card.method.rules, self.centers, self.index,
            None if self.index is None else self.indexed, descriptors,
        )  # fmt: skip

    def identify(self, photos: Catalog | Sequence[Photograph], *, top: int = 5) -> Ranking:
        """Rank the `top` likeliest identities of each photograph, a new individual among them.

        Args:
            photos: a catalogue, paths, encoded photographs, or RGB arrays (h, w, 3) uint8.

        Raises:
            FlukeprintError: a photograph that cannot be read.
        """
        return self.rank(self.examine(photos), top=top)

    def judge(self, photos: Catalog | Sequence[Photograph]) -> tuple[Verdict, ...]:
        """Identify each photograph, with probabilities and nearest photographs: see `Verdict`."""
        return tuple(self.judge_each(self.examine(photos)))

    def judge_each(self, queries: Features) -> Iterator[Verdict]:
        """Give a verdict on each photograph of `queries` by itself, a few ranked at once."""
        step = max(1, _RANKED_AT_ONCE // self._judged)
        for start in range(0, len(queries), step):
            some = queries.take(range(start, min(start + step, len(queries))))
            ranked = self._ranked(some, self._judged)
            for row in range(len(some)):
                yield self._verdict(some.take([row]), ranked.take([row]), None)

    def judge_encounter(
        self, queries: Features, *, log_weights: Mapping[str, float] | None = None
    ) -> Verdict:
        """Give one verdict on all the photographs of `queries`, as of one encounter.

        log_weights: of a prior by time and place, by identity; see `EncounterPrior.log_weights`.

        Raises:
            FlukeprintError: a prior, and an identifier without probabilities.
        """
        return self._verdict(queries, self._ranked(queries, self._judged), log_weights)

    @property
    def _judged(self) -> int:
        """Identities that a query is ranked against for a verdict."""
        # The calibration needs all identities; an index finds only the nearest, which matter most.
        known = len(self.identities)
        return max(3, known if self.index is None else min(known, FEW_IDENTITIES))

    def _verdict(
        self, queries: Features, ranked: Ranking, log_weights: Mapping[str, float] | None
    ) -> Verdict:
        rule, calibration = self.card.method.rules.encounters, self.card.calibration
        plain = self.index is None and scores_are_cosines(self.card.method.rules)
        return verdict_of(
            merge_encounter(ranked, rule, calibration), queries.embeddings,
            self.prepared.gallery, self.card,
            None if self.showcase is None else self.showcase.taxonomy, log_weights=log_weights,
            near=float(ranked.scores[:, 0].max()) if plain else None,
        )  # fmt: skip

    def verify(self, pair: Features, false_accept: float) -> tuple[float, VerificationThreshold]:
        """Score whether two photographs show one individual, with the threshold for that.

        false_accept: share of pairs of different individuals that may reach it.

        Raises:
            FlukeprintError: as of `pair_threshold`.
        """
        point = self.pair_threshold(false_accept)
        scorer = PairScorer(self.prepared, self.card.method)
        return float(scorer(pair, pair, np.array([[0, 1]]))[0]), point

    def pair_threshold(self, false_accept: float) -> VerificationThreshold:
        """The threshold from which on `verify` takes two photographs for one individual.

        Raises:
            FlukeprintError: the identifier could not measure any threshold.
        """
        if self.card.verifier is None:
            raise FlukeprintError(
                "this identifier cannot tell pairs apart: its fold had too few of them to choose "
                "a threshold, or it is of an earlier version; train again, with more photographs"
            )
        return self.card.verifier.at(false_accept)

    def prepare(self, photo: Photograph, name: str, box: Box | None = None) -> Prepared:
        """Decode and resize a photograph, or a box of its pixels, for `examine_prepared`.

        Raises:
            FlukeprintError: it cannot be read.
        """
        return prepare(
            photo, name, self.card.image, self.card.method.rules.local, self.prepared.backend, box
        )

    def examine_prepared(
        self,
        photos: Sequence[Prepared],
        batch_size: int = 64,
        *,
        engine: EngineName = "auto",
        workers: int = 0,
    ) -> Features:
        """Embed prepared photographs, with their keypoints if the ranking rules match them.

        engine, workers: as of `Compute`.
        """
        names: set[str] = set()
        catalog = Catalog(
            images=tuple(free_name(photo.name, names) for photo in photos),
            # They have the size of the cache already, so they are not resized again.
            pixels=np.stack([photo.pixels for photo in photos]),
        )
        found = [photo.keypoints for photo in photos if photo.keypoints is not None]
        local = self.card.method.rules.local
        return Features(
            self._embedded(catalog, Compute(batch_size, workers, engine, precision="fp32")),
            KeypointStore.pack(found, local) if local.candidates else None,
        )

    def examine(
        self,
        photos: Catalog | Sequence[Photograph],
        *,
        compute: Compute | None = None,
        progress: bool = False,
    ) -> Features:
        """Embed photographs, with their keypoints if the ranking rules match them.

        compute: how a catalogue is embedded; photographs given one by one are always embedded in
            float32, so that none depends on the others.

        Raises:
            FlukeprintError: no photograph, or one that cannot be read.
        """
        compute = compute or Compute()
        if isinstance(photos, Catalog):
            embeddings = self._embedded(photos, compute, "photographs" if progress else None)
            return extract_features(
                embeddings, photos, self.card.image, self.card.method.rules,
                progress="keypoints" if progress else None,
            )  # fmt: skip
        if not len(photos):
            raise FlukeprintError("no photograph was given")
        if len(photos) * self.card.recipe.variants >= WORTH_MEASURING:
            self.warm_up()
        names = names_of(photos)
        parts = []
        with Stage("photographs" if progress else None, len(photos)) as bar:
            for start in range(0, len(photos), compute.batch_size):
                block = slice(start, start + compute.batch_size)
                ready = [
                    self.prepare(photo, name)
                    for photo, name in zip(photos[block], names[block], strict=True)
                ]
                parts.append(self.examine_prepared(ready, compute.batch_size))
                bar.update(len(ready))
        return Features.concatenate(parts)

    def embed(
        self, photos: Catalog | Sequence[Photograph], *, compute: Compute | None = None
    ) -> Embeddings:
        """Embed photographs: unit vectors, stamped with the network's digest."""
        return self.examine(photos, compute=compute).embeddings

    def _embedded(
        self, catalog: Catalog, compute: Compute, progress: str | None = None
    ) -> Embeddings:
        return embed(self.network, catalog, self.card.recipe, compute, progress=progress)

    def warm_up(self, report: Callable[[str], None] | None = None) -> EngineName:
        """Measure and choose the fastest float32 inference engine now, for single photographs.

        Worth it for long-running processes: it takes some seconds, once.  Otherwise only larger
        catalogues are embedded by anything but torch.

        report: receives one line on the choice and its reason, if something was measured.

        Returns:
            The engine's name.
        """
        size = (self.card.image.height, self.card.image.width)
        engine = pick_engine(
            self.network, size, *SINGLE, stamp=self.card.stamp, passes=WORTH_MEASURING,
            sample=partial(sample_photos, self.showcase, self.card.image, FEWEST_REMEMBERED),
            report=report,
        )  # fmt: skip
        return cast(EngineName, engine.name)

    def keep_engine(self, report: Callable[[str], None] | None = None) -> None:
        """Choose the engine for single photographs and keep it, where `lacks_engine`.

        Then the next process need not import torch.

        report: as of `warm_up`; it also receives why none could be chosen.
        """
        if not self.lacks_engine:
            return
        try:
            self.warm_up(report)
        except FlukeprintError as error:  # what the process is for is done
            if report is not None:
                report(f"no engine is kept for the next start: {error}")

    @property
    def lacks_engine(self) -> bool:
        """Whether an engine for single photographs can be kept, and is not yet.

        It can be where OpenVINO is installed and the cache folder can be written.
        """
        if not isinstance(self.network, LazyNetwork) or not can_keep():
            return False
        size = (self.card.image.height, self.card.image.width)
        kept = KeptEngines(self.card.stamp, size).read()
        return kept is None or kept.option(SINGLE) is None

    @cached_property
    def parameters(self) -> int:
        """Number of parameters of the network."""
        if isinstance(self.network, LazyNetwork) and self.network.built is None:
            size = (self.card.image.height, self.card.image.width)
            kept = KeptEngines(self.card.stamp, size).read()
            if kept is not None:
                return kept.parameters
        return sum(weights.numel() for weights in self.net.parameters())

    def rank(self, queries: Features, *, top: int = 5, progress: bool = False) -> Ranking:
        """Rank identities for the queries that `examine` embedded, with the threshold applied.

        Raises:
            FlukeprintError: the queries were embedded by another network.
        """
        ranking = self._ranked(queries, top, progress)
        threshold = self.card.threshold
        return ranking if threshold is None else insert_new_individual(ranking, threshold)

    def _ranked(self, queries: Features, top: int, progress: bool = False) -> Ranking:
        title = "matching keypoints" if progress else None
        return QueryRanker(self.prepared, queries, progress=title).rank(self.card.method, top=top)

    def probabilities(self, ranking: Ranking) -> Values | None:
        """Probability (q,) that each first answer is right; None if it could not be calibrated.

        ranking: from `identify` or `rank`, with `top` of at least three.  The calibration was
            fitted on the fold's queries and its smaller gallery; it holds for photographs like
            those with the same share of new individuals.
        """
        calibration = self.card.calibration
        return None if calibration is None else calibration.probabilities(ranking)

    def enroll(
        self,
        identity: str,
        photos: Sequence[Photograph],
        *,
        thumbnails: bool = True,
        force: bool = False,
    ) -> "Identifier":
        """Add photographs of `identity`, new or known, without training.

        Returns an identifier with them; this one is unchanged.

        thumbnails: also keep thumbnails of them, for the web page.
        force: take a name that is nearly a known one for another animal.

        Raises:
            FlukeprintError: no photo, an unfit or nearly known name, or a photo that is in the
                gallery already or given twice.
        """
        name = enrolled_name(identity, self.identities, self.card.new_label, force=force)
        if not photos:
            raise FlukeprintError(f"no photograph of {name} was given")
        examined = self.examine(photos)
        fresh = examined.embeddings
        taken = set(self.gallery.images)
        images = [free_name(image, taken) for image in fresh.images]
        check_unseen(self.prepared.gallery, fresh, told_names(photos))
        named = replace(fresh, images=tuple(images), identities=(name,) * len(images), views=None)
        small = Thumbnails.none(len(images))
        if thumbnails and self.showcase is not None:
            small = Thumbnails.packed(
                [thumbnail(decoded(p, n)) for p, n in zip(photos, images, strict=True)]
            )
        return self.grown(Features(named, examined.keypoints), small)

    def with_threshold(self, threshold: float | None) -> "Identifier":
        """The same identifier with another threshold; None never answers a new individual."""
        return replace(self, card=self.card.model_copy(update={"threshold": threshold}))

    def save(self, path: Path | str, report: Callable[[str], None] | None = None) -> "Identifier":
        """Write the folder `path` atomically, one process at a time.

        Where an earlier state of this identifier is saved there, only what is new is written.  What
        other processes have saved there since this one was loaded from it is kept: photographs
        that they enrolled come before those of this one.

        report: receives a line if another process is writing there and is waited for.

        Returns:
            The identifier as it is saved.

        Raises:
            FlukeprintError: the folder cannot be written, or another process changed it in a way
                that cannot be joined with the changes here; it is as before.
        """
        folder = Path(path)
        with locked_for_writing(folder, report):
            if has_catalogue(folder):
                raise FlukeprintError(
                    f"{folder} keeps a catalogue, which grows by flukeprint enroll or "
                    "flukeprint.keeper; save this identifier elsewhere"
                )
            whole = self.with_changes_in(folder)
            with folder_written_whole(folder) as draft:
                whole = whole.written(draft, folder)
            return replace(whole, origin=origin_of(folder, whole.card, whole.gallery))

    @classmethod
    def load(
        cls, path: Path | str, *, with_index: bool = True, earlier: "Identifier | None" = None
    ) -> "Identifier":
        """Read the folder that `save` wrote.

        with_index: False leaves its index out, and the gallery is searched exactly.
        earlier: one that was loaded before; what has not changed since is shared with it.

        Raises:
            FlukeprintError: no identifier there, a file of it that was changed or damaged, another
                architecture, or a gallery made by another network.
        """
        folder = Path(path)
        clear_drafts(folder.absolute().parent)
        for _ in range(2):
            before = card_digest(folder)
            try:
                found = cls.read(folder, with_index, earlier)
            except FlukeprintError:
                if card_digest(folder) == before:
                    raise
            else:
                if card_digest(folder) == before:
                    return found
        with locked_for_writing(folder):  # other processes write all the time
            return cls.read(folder, with_index, earlier)
