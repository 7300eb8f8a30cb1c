"""The gallery of an identifier that keeps a catalogue: its files, as the records say they are now.

The files of the gallery only grow, and the database counts what is valid in them.  Whose a
photograph is, and whether it is there at all, the records say; keypoints and thumbnails of
photographs that were added later are in the database too.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from itertools import compress
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from pydantic import ValidationError

from flukeprint.config.base import Section
from flukeprint.data.embeddings import Embeddings, Ints
from flukeprint.data.thumbnails import Thumbnails
from flukeprint.errors import FlukeprintError
from flukeprint.identifier.card import IdentifierCard
from flukeprint.identifier.files import GALLERY
from flukeprint.identifier.showcase import Showcase
from flukeprint.ranking.calibration import Calibration
from flukeprint.ranking.local.descriptor_index import DescriptorIndex
from flukeprint.ranking.local.keypoint_store import KeypointStore
from flukeprint.ranking.local.keypoints import SIFT_DIMENSIONS, Keypoints
from flukeprint.search.gallery_files import StoreFacts, damaged
from flukeprint.search.gallery_store import GalleryStore
from flukeprint.search.index import Index, PresentRows

if TYPE_CHECKING:
    from flukeprint.records.gallery import GalleryRecords, PhotoParts

KeptKeypoints = KeypointStore | DescriptorIndex


class Fit(Section):
    """A threshold and a calibration that were fitted after the training."""

    threshold: float | None
    calibration: Calibration | None


@dataclass(frozen=True)
class Kept:
    """What the records say of an identifier's gallery.

    rows: place in the files of each photograph of the gallery, ascending.
    stored: number of photographs in the files.
    """

    records: "GalleryRecords"
    rows: Ints
    stored: int

    @property
    def all_present(self) -> bool:
        """Whether every photograph in the files is in the gallery."""
        return len(self.rows) == self.stored


@dataclass(frozen=True)
class KeptGallery:
    """The parts of an identifier that its catalogue decides; without photographs that are gone."""

    gallery: Embeddings
    keypoints: KeptKeypoints | None
    showcase: Showcase | None
    kept: Kept


def read_kept_gallery(
    folder: Path, keypoints: KeptKeypoints | None, showcase: Showcase | None
) -> KeptGallery:
    """Read the gallery of the identifier in `folder`, which keeps a catalogue.

    keypoints, showcase: of the photographs that were there when it began.

    Raises:
        FlukeprintError: the database or the gallery cannot be read.
    """
    from flukeprint.records.database import Database
    from flukeprint.records.gallery import read_gallery_records, read_parts

    database = Database.open(folder)
    with database.reading() as connection:
        records = read_gallery_records(connection)
        facts = facts_of(folder, records.store)
        first = len(
            keypoints if keypoints is not None else showcase if showcase is not None else ()
        )
        later: list[PhotoParts] = []
        if keypoints is not None or showcase is not None:
            later = list(read_parts(connection, first, facts.photos))
            if [one.row for one in later] != list(range(first, facts.photos)):
                raise FlukeprintError(
                    f"{database.label} lacks parts of photographs after the first {first:,}; "
                    "restore it from a copy"
                )
    store = GalleryStore(folder / GALLERY, facts, renamed=records.renamed, changed=records.changed)
    gallery = store.embeddings
    if later:
        keypoints = _with_keypoints(keypoints, later)
        showcase = _with_pictures(showcase, later)
    if showcase is not None:
        old_names = store.stored_names()
        renamed = {old_names[number]: name for number, name in records.renamed.items()}
        names = dict.fromkeys(name for name in gallery.identities if name is not None)
        showcase = showcase.naming(names, renamed)
    rows = np.arange(facts.photos)
    if None in gallery.identities:
        rows = np.array([who is not None for who in gallery.identities]).nonzero()[0]
        if not len(rows):
            raise FlukeprintError(f"{folder} has no photograph left; flukeprint undo brings back")
        gallery = _present(gallery)
        keypoints = None if keypoints is None else keypoints.take(rows)
        showcase = None if showcase is None else showcase.take(rows)
    return KeptGallery(gallery, keypoints, showcase, Kept(records, rows, facts.photos))


def all_rows(folder: Path) -> Embeddings:
    """All photographs in the files, also removed ones, each with an owner's name.

    Raises:
        FlukeprintError: the database or the gallery cannot be read.
    """
    from flukeprint.records.database import Database
    from flukeprint.records.gallery import read_gallery_records

    with Database.open(folder).reading() as connection:
        records = read_gallery_records(connection)
    facts = facts_of(folder, records.store)
    stored = GalleryStore(folder / GALLERY, facts).embeddings
    names = GalleryStore(
        folder / GALLERY, facts, renamed=records.renamed, changed=records.changed
    ).embeddings.identities
    owners = tuple(
        now or was or "nobody" for now, was in zip(names, stored.identities, strict=True)
    )
    return Embeddings.trusted(
        stored.vectors, stored.images, owners, stored.views, stored.stamp, stored.precision
    )


def _present(gallery: Embeddings) -> Embeddings:
    """The photographs of somebody; `take` would look at every vector."""
    there = [who is not None for who in gallery.identities]
    return Embeddings.trusted(
        gallery.vectors[np.array(there)],
        tuple(compress(gallery.images, there)),
        tuple(compress(gallery.identities, there)),
        None if gallery.views is None else tuple(compress(gallery.views, there)),
        gallery.stamp,
        gallery.precision,
    )


def facts_of(folder: Path, store: str) -> StoreFacts:
    """The counts of a gallery's files, as the records hold them."""
    try:
        return StoreFacts.of_text(store)
    except (ValueError, KeyError, TypeError) as error:
        raise damaged(folder / GALLERY, error) from None


def fitted_card(card: IdentifierCard, records: "GalleryRecords") -> IdentifierCard:
    """The card with the threshold and the calibration in use."""
    if records.fit is None:
        return card
    try:
        fit = Fit.model_validate_json(records.fit)
    except ValidationError as error:
        raise FlukeprintError(
            f"the fit in use cannot be read: {error.errors()[0]['msg']}"
        ) from None
    return card.model_copy(update={"threshold": fit.threshold, "calibration": fit.calibration})


def keypoint_bytes(found: Keypoints) -> bytes:
    """One photograph's keypoints as they are kept in the database: `.npz` without pickles."""
    file = BytesIO()
    np.savez(
        file,
        points=found.points,
        descriptors=found.descriptors,
        size=np.array(found.size, np.int64),
    )
    return file.getvalue()


def _keypoints_of(data: bytes | None, like: KeptKeypoints) -> Keypoints:
    """The keypoints of one photograph; none where none are kept, of the type of the others."""
    if data is None:
        kind = like.kind if isinstance(like, KeypointStore) else np.uint8
        return Keypoints(np.empty((0, 2), np.float32), np.empty((0, SIFT_DIMENSIONS), kind), (1, 1))
    with np.load(BytesIO(data), allow_pickle=False) as arrays:
        height, width = arrays["size"].tolist()
        return Keypoints(arrays["points"], arrays["descriptors"], (height, width))


def _with_keypoints(
    keypoints: KeptKeypoints | None, later: "Sequence[PhotoParts]"
) -> KeptKeypoints | None:
    if keypoints is None:
        return None
    found = [_keypoints_of(one.keypoints, keypoints) for one in later]
    fresh = KeypointStore.packed(found, keypoints.stamp)
    if isinstance(keypoints, DescriptorIndex):
        return keypoints.grown(fresh)
    return KeypointStore.concatenate([keypoints, fresh])


def _with_pictures(showcase: Showcase | None, later: "Sequence[PhotoParts]") -> Showcase | None:
    if showcase is None:
        return None
    places = [(one.x or 0.0, one.y or 0.0) for one in later]
    small = Thumbnails.packed([one.thumbnail for one in later])
    return showcase.followed_by(small, np.array(places, np.float32).reshape(-1, 2))


def whole_index(index: Index) -> Index:
    """The index of all photographs of the files, of one that `index_of_present` may have made."""
    return index.inner if isinstance(index, PresentRows) else index


def index_of_present(index: Index, kept: Kept, there: int) -> tuple[Index, int]:
    """An index of the first `there` photographs of the files, as one of the gallery.

    Returns:
        The index, and how many of the gallery's photographs it holds.
    """
    if kept.all_present:
        return index, there
    rows = kept.rows[kept.rows < there]
    return PresentRows(index, rows, there), len(rows)
