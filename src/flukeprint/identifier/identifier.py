"""Identify photographs with an `Identifier`: a network, a gallery and a threshold.

It is saved in one folder, without pickles; the names of the files are a contract:

    identifier.json       configuration of network and photographs, threshold, calibration, digest
    network.safetensors   the network's tensors
    gallery/              the gallery's embeddings, stamped with the network's digest
    index/                the gallery's index, if it is large enough for one
    keypoints.npz         the gallery's keypoints, if the ranking rules match them
    centers.npz           class centres of the network's head, if the ranking rules use them
    thumbnails.npz ...    for the web page, see `showcase.py`
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path

import numpy as np
from tqdm import tqdm

from flukeprint.data.catalog import Catalog
from flukeprint.data.embeddings import Embeddings, Values
from flukeprint.data.names import enrolled_name
from flukeprint.data.thumbnails import Thumbnails, thumbnail
from flukeprint.embedding.embed import embed
from flukeprint.embedding.engine_choice import PHOTOGRAPHS, WORTH_MEASURING, pick_engine
from flukeprint.embedding.recipe import Compute
from flukeprint.errors import FlukeprintError, counted
from flukeprint.evaluation.verification import VerificationThreshold
from flukeprint.files import folder_written_whole
from flukeprint.identifier.card import FILE, IdentifierCard, read_card
from flukeprint.identifier.files import (
    read_gallery,
    read_index,
    read_network,
    write_gallery,
    write_index,
    write_network,
)
from flukeprint.identifier.photo_input import (
    Photograph,
    Prepared,
    check_unseen,
    decoded,
    free_name,
    names_of,
    prepare,
)
from flukeprint.identifier.runs import CENTERS
from flukeprint.identifier.showcase import Showcase, sample_photos
from flukeprint.identifier.verdict import Verdict, verdict_of
from flukeprint.models.network import FlukeNet
from flukeprint.ranking.features import Features, extract_features
from flukeprint.ranking.local.keypoint_store import KeypointStore
from flukeprint.ranking.pipeline import PairScorer, QueryRanker, RankingGallery
from flukeprint.ranking.ranking import Ranking, insert_new_individual, merge_encounter
from flukeprint.search.index import Index

KEYPOINTS = "keypoints.npz"
FEW_IDENTITIES = 200  # most identities that a query is compared with through an index


@dataclass(frozen=True)
class Identifier:
    """Identifies photographs by a network, a gallery that it embedded, and a threshold.

    keypoints, showcase: of the gallery's photographs, in their order.
    centers: class centres of the network's head, for the ranking rules.
    index: of the gallery; None searches exactly.
    index_saved: number of photographs in the index's file.
    """

    card: IdentifierCard
    net: FlukeNet
    gallery: Embeddings
    keypoints: KeypointStore | None = None
    centers: Embeddings | None = None
    showcase: Showcase | None = None
    index: Index | None = None
    index_saved: int = 0

    def __post_init__(self) -> None:
        if self.gallery.stamp != self.card.stamp:
            raise FlukeprintError(
                f"the gallery was embedded by network {self.gallery.stamp}, "
                f"this identifier's is {self.card.stamp}; embed the gallery again with infer.py"
            )
        for what, held in (("keypoints", self.keypoints), ("thumbnails", self.showcase)):
            if held is not None and len(held) != len(self.gallery):
                raise FlukeprintError(
                    f"{what} of {counted(len(held), 'photograph')} and a gallery of "
                    f"{len(self.gallery):,} do not belong together; train again"
                )

    @property
    def identities(self) -> tuple[str, ...]:
        """Identities of the gallery, sorted."""
        return self.prepared.gallery.vocabulary

    @cached_property
    def prepared(self) -> RankingGallery:
        """The gallery prepared for the ranking rules, made once."""
        features = Features(self.gallery, self.keypoints)
        return RankingGallery(features, self.card.method.rules, self.centers, self.index)

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
        queries = self.examine(photos)
        return tuple(self.judge_encounter(queries.take([row])) for row in range(len(queries)))

    def judge_encounter(self, queries: Features) -> Verdict:
        """Give one verdict on all the photographs of `queries`, as of one encounter."""
        # The calibration needs all identities; an index finds only the nearest, which matter most.
        known = len(self.identities)
        every = max(3, known if self.index is None else min(known, FEW_IDENTITIES))
        return verdict_of(
            merge_encounter(self._ranked(queries, every)), queries.embeddings,
            self.prepared.gallery, self.card,
            None if self.showcase is None else self.showcase.taxonomy,
        )  # fmt: skip

    def verify(self, pair: Features, false_accept: float) -> tuple[float, VerificationThreshold]:
        """Score whether two photographs show one individual, with the threshold for that.

        false_accept: share of pairs of different individuals that may reach it.

        Raises:
            FlukeprintError: the identifier could not measure any threshold.
        """
        if self.card.verifier is None:
            raise FlukeprintError(
                "this identifier cannot tell pairs apart: its fold had too few of them to choose "
                "a threshold, or it is of an earlier version; train again, with more photographs"
            )
        scorer = PairScorer(self.prepared, self.card.method)
        score = scorer(pair, pair, np.array([[0, 1]]))[0]
        return float(score), self.card.verifier.at(false_accept)

    def prepare(self, photo: Photograph, name: str) -> Prepared:
        """Decode and resize a photograph for `examine_prepared`.

        Raises:
            FlukeprintError: it cannot be read.
        """
        return prepare(
            photo, name, self.card.image, self.card.method.rules.local, self.prepared.backend
        )

    def examine_prepared(self, photos: Sequence[Prepared], batch_size: int = 64) -> Features:
        """Embed prepared photographs, with their keypoints if the ranking rules match them."""
        names: set[str] = set()
        catalog = Catalog(
            images=tuple(free_name(photo.name, names) for photo in photos),
            # They have the size of the cache already, so they are not resized again.
            pixels=np.stack([photo.pixels for photo in photos]),
        )
        found = [photo.keypoints for photo in photos if photo.keypoints is not None]
        local = self.card.method.rules.local
        return Features(
            self._embedded(catalog, Compute(batch_size, precision="fp32")),
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
        with tqdm(total=len(photos), desc="photographs", unit="photo", disable=not progress) as bar:
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
        return embed(self.net, catalog, self.card.recipe, compute, progress=progress)

    def warm_up(self, report: Callable[[str], None] | None = None) -> None:
        """Measure and choose the fastest float32 inference engine now, for single photographs.

        Worth it for long-running processes: it takes some seconds, once.  Otherwise only larger
        catalogues are embedded by anything but torch.

        report: receives one line on the choice and its reason, if something was measured.
        """
        size = (self.card.image.height, self.card.image.width)
        pick_engine(
            self.net, size, "auto", "fp32", stamp=self.card.stamp, passes=WORTH_MEASURING,
            sample=partial(sample_photos, self.showcase, self.card.image, PHOTOGRAPHS),
            report=report,
        )  # fmt: skip

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

        Returns an identifier with them.  This one is unchanged, but for an index, which both share:
        use the returned one alone.

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
        check_unseen(self.prepared.gallery, fresh, images)
        named = replace(fresh, images=tuple(images), identities=(name,) * len(images), views=None)
        grown = self.gallery.followed_by(named)
        keypoints = self.keypoints
        if keypoints is not None and examined.keypoints is not None:
            keypoints = KeypointStore.concatenate([keypoints, examined.keypoints])
        showcase = self.showcase
        if showcase is not None:
            small = Thumbnails.none(len(images))
            if thumbnails:
                small = Thumbnails.packed(
                    [thumbnail(decoded(p, n)) for p, n in zip(photos, images, strict=True)]
                )
            showcase = showcase.grown(self.gallery, named, small)
        if self.index is not None:
            rows = np.arange(len(self.gallery), len(grown))
            self.index.add(named, rows)  # the old gallery leaves out rows beyond its own
        return replace(self, gallery=grown, keypoints=keypoints, showcase=showcase)

    def with_threshold(self, threshold: float | None) -> "Identifier":
        """The same identifier with another threshold; None never answers a new individual."""
        return replace(self, card=self.card.model_copy(update={"threshold": threshold}))

    def save(self, path: Path | str) -> None:
        """Write the folder `path` atomically.

        Where an earlier state of this identifier is saved there, only what is new is written.
        """
        old = Path(path)
        with folder_written_whole(old) as folder:
            write_network(self.net, self.card, old, folder)
            write_gallery(self.gallery, self.card, old, folder)
            if self.index is not None:
                write_index(self.index, self.index_saved, old, folder)
            if self.keypoints is not None:
                self.keypoints.save(folder / KEYPOINTS)
            if self.centers is not None:
                self.centers.save(folder / CENTERS)
            if self.showcase is not None:
                self.showcase.save(folder)
            text = json.dumps(self.card.model_dump(mode="json"), indent=2)
            (folder / FILE).write_text(text + "\n")

    @classmethod
    def load(cls, path: Path | str, *, with_index: bool = True) -> "Identifier":
        """Read the folder that `save` wrote.

        with_index: False leaves its index out, and the gallery is searched exactly.

        Raises:
            FlukeprintError: no identifier there, damaged, of another architecture, or its gallery
                made by another network.
        """
        folder = Path(path)
        card = read_card(folder)
        net = read_network(folder, card)
        rules = card.method.rules
        gallery = read_gallery(folder)
        index, saved = (None, 0)
        if with_index and card.backend != "exact":
            index, saved = read_index(folder, card.backend, gallery)
        return cls(
            card,
            net,
            gallery,
            KeypointStore.load(folder / KEYPOINTS) if rules.local.candidates else None,
            Embeddings.load(folder / CENTERS) if rules.head else None,
            Showcase.load(folder),
            index,
            saved,
        )
