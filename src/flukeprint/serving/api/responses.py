"""Builds the bodies of answers (`schemas`) from verdicts, identifiers and their galleries.

Numbers are not rounded, except places on the map: rounding is left to whoever shows them.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from flukeprint import __version__
from flukeprint.data.embeddings import Ints
from flukeprint.data.formats.photo_formats import formats
from flukeprint.identifier import class_cards
from flukeprint.identifier.identifier import Identifier
from flukeprint.identifier.taxonomy import Taxonomy
from flukeprint.identifier.verdict import Verdict
from flukeprint.serving.api.schemas import (
    About,
    Accuracy,
    Answer,
    ClassCard,
    Classes,
    ClassInfo,
    GalleryMap,
    Identification,
    NearPhoto,
    Placement,
    Similar,
    SimilarPhoto,
    VerifyPoint,
    Words,
)
from flukeprint.serving.service import Service

MOST_POINTS = 5_000  # on the map; more would hide each other and be slow on a phone


def identification(
    verdict: Verdict, photos: int, new_label: str, numbers: Ints | None = None
) -> Identification:
    """The body for a verdict on `photos` photographs of one encounter.

    numbers: of the gallery's photographs; their rows by default.
    """
    ranking, likely = verdict.ranking, verdict.probabilities
    names = ranking.identities[0]
    placed = verdict.placement
    return Identification(
        photos=photos,
        unknown=verdict.kind != "known",
        verdict=verdict.kind,
        answers=[
            Answer(
                identity=name,
                label=new_label if name is None else name,
                score=float(ranking.scores[0, place]),
                probability=None if likely is None else likely[place],
                photos=[
                    NearPhoto(
                        photo=near.row if numbers is None else int(numbers[near.row]),
                        score=near.score,
                    )
                    for near in verdict.nearest[place]
                ],
            )
            for place, name in enumerate(names)
        ],
        probability_unknown=verdict.new,
        closeness=verdict.nearest_cosine,
        placement=None
        if placed is None
        else Placement(rank=placed.rank, name=placed.name, probability=placed.probability),
    )


def about(service: Service, identifier: Identifier | None = None) -> About:
    """The facts of the service: model, gallery, measured accuracy, thresholds and limits.

    identifier: the one that is served by default.
    """
    identifier, settings = identifier or service.identifier, service.settings
    card, shown = identifier.card, identifier.showcase
    taxonomy = None if shown is None else shown.taxonomy
    point = None if card.verifier is None else card.verifier.at(settings.false_accept)
    return About(
        name=card.name,
        title=settings.title or card.name,
        version=__version__,
        backbone=" + ".join([card.model.backbone, *(b.backbone for b in card.model.beside)]),
        parameters=identifier.parameters,
        model=card.stamp,
        embedding_dim=identifier.gallery.vectors.shape[1],
        classes=len(identifier.identities),
        photos=len(identifier.gallery),
        thumbnails=shown is not None and any(shown.thumbnails[row] for row in range(len(shown))),
        examples=len(service.examples),
        new_label=card.new_label,
        threshold=card.threshold,
        outside=None if card.outside is None else card.outside.floor,
        confidence=None if taxonomy is None else card.confidence,
        ranks=[] if taxonomy is None else list(taxonomy.ranks),
        calibrated=card.calibration is not None,
        accuracy=None if card.measured is None else Accuracy(**card.measured.model_dump()),
        measured_by=card.measured_by,
        verify=None
        if point is None
        else VerifyPoint(
            threshold=point.threshold,
            false_accept_rate=point.false_accept,
            false_reject_rate=point.false_reject,
            pairs=point.pairs,
        ),
        enroll=settings.enroll,
        catalogue=identifier.kept is not None,
        people=settings.people is not None,
        max_bytes=settings.photo_bytes,
        max_pixels=settings.photo_pixels,
        max_photos=settings.photos,
        max_request_bytes=settings.request_bytes,
        formats=list(formats()),
    )


def class_infos(identifier: Identifier) -> tuple[ClassInfo, ...]:
    """All classes of the gallery, in the order of their names."""
    shown = identifier.showcase
    cards = {} if shown is None else shown.cards
    taxonomy = None if shown is None else shown.taxonomy
    gallery = identifier.prepared.gallery
    _, first, counts = np.unique(gallery.labels, return_index=True, return_counts=True)
    numbers = identifier.numbers[first].tolist()
    infos = []
    for name, number, photos in zip(identifier.identities, numbers, counts.tolist(), strict=True):
        card = cards.get(name)
        infos.append(
            ClassInfo(
                identity=name,
                photos=photos,
                photo=number,
                card=None if card is None else _card(card, name, taxonomy),
            )
        )
    return tuple(infos)


@dataclass(frozen=True)
class _Described:
    identifier: Identifier
    about: About
    classes: tuple[ClassInfo, ...]
    by_identity: Mapping[str, ClassInfo]
    map_: GalleryMap | None


class Descriptions:
    """Facts, classes and map of the current gallery, built once after each change of it."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._current = self._describe(service.identifier)
        self._next = self._current
        service.prepares.append(self.prepare)

    def identifier(self) -> Identifier:
        """The identifier that is described."""
        return self._now().identifier

    def about(self) -> About:
        """The facts of the service."""
        return self._now().about

    def classes(self) -> tuple[ClassInfo, ...]:
        """All classes, in the order of their names."""
        return self._now().classes

    def by_identity(self) -> Mapping[str, ClassInfo]:
        """All classes by identity."""
        return self._now().by_identity

    def map(self) -> GalleryMap | None:
        """The map, as of `gallery_map`."""
        return self._now().map_

    def prepare(self, identifier: Identifier) -> None:
        """Build what is told of an identifier that is about to be served."""
        self._next = self._describe(identifier)

    def page(self, offset: int, limit: int) -> Classes:
        """At most `limit` classes, from `offset` on."""
        known = self.classes()
        page = list(known[offset : offset + limit])
        return Classes(total=len(known), offset=offset, classes=page)

    def _now(self) -> _Described:
        served = self._service.identifier
        for known in (self._current, self._next):
            if known.identifier is served:
                self._current = known
                return known
        self._current = self._describe(served)
        return self._current

    def _describe(self, identifier: Identifier) -> _Described:
        classes = class_infos(identifier)
        return _Described(
            identifier,
            about(self._service, identifier),
            classes,
            {info.identity: info for info in classes},
            gallery_map(identifier),
        )


def _card(
    card: class_cards.ClassDescription, identity: str, taxonomy: Taxonomy | None
) -> ClassCard:
    lineage = {}
    if taxonomy is not None:
        names = taxonomy.lineages.get(identity, (None,) * len(taxonomy.ranks))
        lineage = {
            rank: name for rank, name in zip(taxonomy.ranks, names, strict=True) if name is not None
        }
    return ClassCard(
        name=card.name,
        rank=card.rank,
        common_name=_words(card.common_en, card.common_es),
        lineage=lineage,
        where=_words(card.where_en, card.where_es),
        medically_important=card.medically_important,
        note=_words(card.note_en, card.note_es),
        advice=_words(card.advice_en, card.advice_es),
        call=card.call,
        source=card.source,
        credit=card.credit,
    )


def _words(en: str | None, es: str | None) -> Words | None:
    """A text in both languages; one that is missing is replaced by the other."""
    if en is None and es is None:
        return None
    return Words(en=en or es or "", es=es or en or "")


def similar(identifier: Identifier, at: int, most: int) -> Similar:
    """The `most` other photos of the gallery that are nearest to that in a row of it, by cosine."""
    gallery, numbers = identifier.prepared.gallery, identifier.numbers
    query = gallery.embeddings.take([at])
    found = gallery.search(query, most + 1)
    near = [
        (int(row), float(score))
        for row, score in zip(found.rows[0], found.scores[0], strict=True)
        if int(row) != at
    ]
    return Similar(
        photo=int(numbers[at]),
        identity=gallery.identities[at],
        similar=[
            SimilarPhoto(photo=int(numbers[row]), score=score, identity=gallery.identities[row])
            for row, score in near[:most]
        ],
    )


def gallery_map(identifier: Identifier) -> GalleryMap | None:
    """Coordinates of the gallery's photos, None where the identifier has no map.

    Of a gallery of more than MOST_POINTS photos as many, evenly spaced.
    """
    shown = identifier.showcase
    if shown is None:
        return None
    n = len(shown)
    rows = np.unique(np.linspace(0, n - 1, min(n, MOST_POINTS)).astype(np.int64))
    identities = identifier.prepared.gallery.identities
    return GalleryMap(
        photos=identifier.numbers[rows].tolist(),
        x=np.round(shown.xy[rows, 0].astype(np.float64), 4).tolist(),
        y=np.round(shown.xy[rows, 1].astype(np.float64), 4).tolist(),
        identities=[identities[row] for row in rows.tolist()],
    )
