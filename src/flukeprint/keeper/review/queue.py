"""The pictures of a review: each photograph beside its candidates, with keypoints that agree."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from flukeprint.data.catalog import Catalog
from flukeprint.data.decoding import Pixels, decode, decode_bytes, decode_row
from flukeprint.data.thumbnails import thumbnail
from flukeprint.errors import FlukeprintError
from flukeprint.identifier.identifier import Identifier
from flukeprint.identifier.integrity import bytes_digest
from flukeprint.keeper.review.questions import ProposedAnimal, ReviewQuestion
from flukeprint.output import Stage
from flukeprint.ranking.local.agreeing_points import agreeing_points
from flukeprint.ranking.local.keypoints import Keypoints
from flukeprint.ranking.local.sift import KeypointBackend, sift_backend

# Long side in px and JPEG quality: of the photograph in question, of a candidate's best, of others.
QUERY, BEST, OTHERS = (512, 64), (288, 56), (120, 60)
MOST_LINES = 40
PARTS = 1000  # coordinates of keypoints are counted in these parts of width and height


@dataclass(frozen=True)
class MatchedPoints:
    """Keypoints that agree in two photographs.

    count: how many do; lines: x, y in the first and in the second photograph, in thousandths of
        width and height, of the most distinct of them.
    """

    count: int
    lines: tuple[tuple[int, int, int, int], ...]


@dataclass(frozen=True)
class CandidatePhoto:
    """A photograph of a candidate; picture: its place in the queue's pictures, None without one."""

    name: str
    similarity: float | None
    picture: int | None


@dataclass(frozen=True)
class ReviewCandidate:
    """An animal that a photograph may show; identity None is one that the gallery lacks.

    photos: best first; matched: keypoints that the photograph shares with the best of them.
    """

    identity: str | None
    probability: float | None
    photos: tuple[CandidatePhoto, ...]
    matched: MatchedPoints | None


@dataclass(frozen=True)
class ReviewEntry:
    """A photograph of the queue; picture: its place in the queue's pictures, None if unreadable."""

    photo: str
    path: str
    digest: str
    picture: int | None
    error: str | None
    outside: bool
    candidates: tuple[ReviewCandidate, ...]


@dataclass(frozen=True)
class ReviewQueue:
    """What a review's page shows.

    stamp: of the network that answered; names: of all known animals.
    event: number of the catalogue's last event when it was made, 0 without a catalogue.
    suggested: name for the first animal that is found to be new, "" for none.
    pictures: JPEGs, to which entries point.
    """

    title: str
    stamp: str
    new_label: str
    names: tuple[str, ...]
    event: int
    suggested: str
    entries: tuple[ReviewEntry, ...]
    pictures: tuple[bytes, ...] = field(repr=False)

    @property
    def id(self) -> str:
        """Digest of what is asked, by which a browser finds its decisions again."""
        asked = [
            [entry.path, entry.digest, [one.identity for one in entry.candidates]]
            for entry in self.entries
        ]
        return bytes_digest(json.dumps([self.stamp, self.event, asked]).encode())[:16]


@dataclass
class _Pictures:
    """JPEGs, each once."""

    files: list[bytes] = field(default_factory=list)
    places: dict[tuple[int | str, int], int] = field(default_factory=dict)

    def place(self, key: int | str, pixels: Pixels, size: tuple[int, int]) -> int:
        """The place of a photograph, named by `key`, at this long side and quality."""
        if (key, size[0]) not in self.places:
            self.places[key, size[0]] = len(self.files)
            self.files.append(thumbnail(pixels, *size))
        return self.places[key, size[0]]


class GalleryPhotos:
    """The photographs of an identifier's gallery: thumbnails that it keeps, else their files."""

    def __init__(self, known: Identifier, labelled: Catalog, local: KeypointBackend) -> None:
        """
        Args:
            labelled: photographs of a configuration, for those without a thumbnail.
            local: extracts their keypoints.
        """
        self.known, self.labelled, self.local = known, labelled, local
        self._rows = {image: row for row, image in enumerate(labelled.images)}
        self._keypoints: dict[int | str, Keypoints] = {}

    def pixels(self, row: int) -> Pixels | None:
        """A photograph of the gallery by its row; None where neither thumbnail nor file is left."""
        image, showcase = self.known.gallery.images[row], self.known.showcase
        file = None if showcase is None else showcase.thumbnails[row]
        if file is not None:
            return decode_bytes(file, image)
        return self.labelled_pixels(image)

    def labelled_pixels(self, image: str) -> Pixels | None:
        """A photograph of the configuration by its name; None where it cannot be read."""
        if image not in self._rows:
            return None
        try:
            return decode_row(self.labelled, self._rows[image], min_size=(BEST[0], BEST[0]))
        except FlukeprintError:
            return None

    def keypoints(self, key: int | str, pixels: Pixels) -> Keypoints:
        """The keypoints of a photograph, extracted once."""
        if key not in self._keypoints:
            self._keypoints[key] = self.local.extract(pixels)
        return self._keypoints[key]

    def labelled_of(self, identity: str, most: int) -> list[str]:
        """Names of the configuration's photographs of an animal that the gallery lacks."""
        of = zip(self.labelled.images, self.labelled.identities, strict=True)
        return [image for image, name in of if name == identity][:most]


def make_queue(
    known: Identifier,
    questions: Sequence[ReviewQuestion],
    labelled: Catalog,
    *,
    title: str,
    photos: int = 3,
    event: int = 0,
    suggested: str = "",
) -> ReviewQueue:
    """Draw the pictures of questions, in their order.

    labelled: photographs of a configuration, for animals of whom the identifier has no thumbnail.
    photos: most photographs of a candidate.
    """
    local = sift_backend(known.card.method.rules.local)
    gallery = GalleryPhotos(known, labelled, local)
    pictures = _Pictures()
    entries = []
    with Stage("pictures", len(questions)) as stage:
        for number, question in enumerate(questions):
            entries.append(_entry(question, number, gallery, local, pictures, photos))
            stage.update()
    names = {*known.identities, *labelled.vocabulary()}
    return ReviewQueue(
        title, known.card.stamp, known.card.new_label, tuple(sorted(names)), event, suggested,
        tuple(entries), tuple(pictures.files),
    )  # fmt: skip


def _entry(
    question: ReviewQuestion,
    number: int,
    gallery: GalleryPhotos,
    local: KeypointBackend,
    pictures: _Pictures,
    photos: int,
) -> ReviewEntry:
    asked, error = question.asked, question.error
    picture: int | None = None
    candidates: tuple[ReviewCandidate, ...] = ()
    if error is None:
        side = max(QUERY[0], gallery.known.card.method.rules.local.side)
        try:
            pixels = decode(asked.path, box=asked.box, min_size=(side, side))
        except FlukeprintError as gone:  # since it was answered
            error = str(gone)
        else:
            picture = pictures.place(f"query {number}", pixels, QUERY)
            mine = local.extract(pixels)
            candidates = tuple(
                _candidate(answer, mine, gallery, local, pictures, photos)
                for answer in question.answers
            )
    return ReviewEntry(
        asked.name, str(asked.path), question.digest, picture, error, question.outside, candidates
    )


def _candidate(
    answer: ProposedAnimal,
    mine: Keypoints,
    gallery: GalleryPhotos,
    local: KeypointBackend,
    pictures: _Pictures,
    most: int,
) -> ReviewCandidate:
    images = gallery.known.gallery.images
    found: list[tuple[int | str, str, float | None, Pixels | None]] = [
        (near.row, images[near.row], near.score, gallery.pixels(near.row))
        for near in answer.nearest[:most]
    ]
    if answer.identity is not None and not found:
        found = [
            (image, image, None, gallery.labelled_pixels(image))
            for image in gallery.labelled_of(answer.identity, most)
        ]
    shown, matched = [], None
    for place, (key, name, similarity, pixels) in enumerate(found):
        picture = None
        if pixels is not None:
            picture = pictures.place(key, pixels, OTHERS if place else BEST)
            if place == 0:
                matched = _matched(mine, gallery.keypoints(key, pixels), local)
        shown.append(CandidatePhoto(name, similarity, picture))
    return ReviewCandidate(answer.identity, answer.probability, tuple(shown), matched)


def _matched(mine: Keypoints, theirs: Keypoints, local: KeypointBackend) -> MatchedPoints:
    found = agreeing_points(mine, theirs, local.match, MOST_LINES)
    lines = np.rint(found.places * PARTS).astype(int)
    return MatchedPoints(
        found.count, tuple((int(a), int(b), int(c), int(d)) for a, b, c, d in lines)
    )
