"""The parts of an identifier: read from its folder, written into it, joined with others' changes.

The names of the files are listed in `identifier.py`.
"""

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np

from flukeprint.config.ranking import RankConfig
from flukeprint.data.embeddings import Embeddings, Ints
from flukeprint.data.thumbnails import Thumbnails
from flukeprint.errors import FlukeprintError, counted
from flukeprint.identifier.card import (
    CARD_FORMAT,
    FILE,
    IdentifierCard,
    card_digest,
    read_card,
)
from flukeprint.identifier.files import (
    INDEX,
    check_digests,
    lazy_network,
    read_gallery,
    read_index,
    write_digests,
    write_gallery,
    write_index,
    write_network,
)
from flukeprint.identifier.integrity import DIGESTS
from flukeprint.identifier.kept_gallery import (
    Kept,
    fitted_card,
    index_of_present,
    read_kept_gallery,
    whole_index,
)
from flukeprint.identifier.photo_input import check_unseen, free_name
from flukeprint.identifier.runs import CENTERS
from flukeprint.identifier.showcase import Showcase
from flukeprint.models.lazy_network import LazyNetwork, built
from flukeprint.ranking.features import Features
from flukeprint.ranking.local.descriptor_index import DescriptorIndex
from flukeprint.ranking.local.keypoint_store import KeypointStore
from flukeprint.ranking.pipeline import indexes_descriptors
from flukeprint.records.pointer import has_catalogue
from flukeprint.search.backends import find_backend
from flukeprint.search.gallery import Gallery
from flukeprint.search.index import Index, PresentRows

if TYPE_CHECKING:
    from flukeprint.models.network import FlukeNet

KEYPOINTS, DESCRIPTORS = "keypoints.npz", "descriptors"


@dataclass(frozen=True)
class Origin:
    """The state of a folder from which an identifier was loaded, or in which it was saved.

    digest: of `identifier.json`, which changes with every file of the folder.
    photos: number of photographs of its gallery.
    """

    folder: Path
    digest: str
    photos: int
    card: IdentifierCard


def added_rows(mine: Embeddings, theirs: Embeddings, origin: Origin) -> Ints:
    """The rows of `mine` that were added since `origin` and are not in `theirs`, ascending.

    mine, theirs: galleries that have both grown from that of `origin`.

    Raises:
        FlukeprintError: one of them has not.
    """
    first = origin.photos
    same = (
        mine.stamp == theirs.stamp
        and mine.images[:first] == theirs.images[:first]
        and mine.identities[:first] == theirs.identities[:first]
    )
    if not same:
        raise FlukeprintError(
            f"{origin.folder} was replaced by another process since it was loaded; load it again"
        )
    there = {_content(theirs, row) for row in range(first, len(theirs))}
    rows = [row for row in range(first, len(mine)) if _content(mine, row) not in there]
    return np.array(rows, dtype=np.int64)


def _content(gallery: Embeddings, row: int) -> tuple[str | None, bytes]:
    return gallery.identities[row], gallery.vectors[row].tobytes()


def joined_card(mine: IdentifierCard, theirs: IdentifierCard, origin: Origin) -> IdentifierCard:
    """The card with the changes of the one process that has changed it.

    Raises:
        FlukeprintError: both have.
    """
    if mine in (origin.card, theirs):
        return theirs
    if theirs == origin.card:
        return mine
    raise FlukeprintError(
        f"another process changed the settings of {origin.folder} since it was loaded; load it "
        "again"
    )


@dataclass(frozen=True)
class IdentifierState:
    """Everything that an identifier holds and that its folder keeps.

    network: built when it is first needed, where it was read from a folder; see `net`.
    keypoints, showcase: of the gallery's photographs, in their order; an index of their descriptors
        where the ranking rules search all of them.
    centers: class centres of the network's head, for the ranking rules.
    index: of the gallery's first `indexed` photographs; later ones are searched exactly, beside it.
        None searches all exactly.
    index_saved: number of photographs in the index's file.
    origin: the folder's state that this one was loaded from or saved in.
    kept: what its catalogue says of the gallery; None where it keeps none.
    """

    card: IdentifierCard
    network: "FlukeNet | LazyNetwork"
    gallery: Embeddings
    keypoints: KeypointStore | DescriptorIndex | None = None
    centers: Embeddings | None = None
    showcase: Showcase | None = None
    index: Index | None = None
    indexed: int = 0
    index_saved: int = 0
    origin: Origin | None = None
    kept: Kept | None = None

    @property
    def net(self) -> "FlukeNet":
        """The network itself, which takes torch and seconds to build for the first time."""
        return built(self.network)

    @cached_property
    def numbers(self) -> Ints:
        """Number of each photograph of the gallery, ascending.

        Others may be removed before it or come back: it keeps its number as its row changes.
        """
        return np.arange(len(self.gallery)) if self.kept is None else self.kept.rows

    def row_of(self, number: int) -> int | None:
        """The row of the photograph with this number; None where there is none."""
        row = int(np.searchsorted(self.numbers, number))
        return row if row < len(self.numbers) and self.numbers[row] == number else None

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

    def grown(self, fresh: Features, thumbnails: Thumbnails) -> Self:
        """This one with further photographs, whose names are new to its gallery."""
        keypoints, showcase = self.keypoints, self.showcase
        if keypoints is not None and fresh.keypoints is not None:
            if isinstance(keypoints, DescriptorIndex):
                keypoints = keypoints.grown(fresh.keypoints)
            else:
                keypoints = KeypointStore.concatenate([keypoints, fresh.keypoints])
        if showcase is not None:
            showcase = showcase.grown(self.gallery, fresh.embeddings, thumbnails)
        gallery = self.gallery.followed_by(fresh.embeddings)
        return replace(self, gallery=gallery, keypoints=keypoints, showcase=showcase)

    def with_changes_in(self, folder: Path) -> Self:
        """This one with what others have saved in `folder` since it was loaded from there.

        Raises:
            FlukeprintError: the changes cannot be joined.
        """
        origin = self.origin
        if origin is None or origin.folder != folder.resolve():
            return self
        if card_digest(folder) in (None, origin.digest):
            return self
        there = self.read(folder, self.index_saved > 0 or self.index is None, self)
        rows = added_rows(self.gallery, there.gallery, origin)
        card = joined_card(self.card, there.card, origin)
        if len(rows):
            fresh = self.gallery.take(rows)
            theirs = there.gallery.take(np.arange(origin.photos, len(there.gallery)))
            if len(theirs):
                check_unseen(Gallery(theirs), fresh, fresh.images)
            taken = set(there.gallery.images)
            named = replace(fresh, images=tuple(free_name(image, taken) for image in fresh.images))
            small = Thumbnails.none(len(rows))
            if self.showcase is not None:
                small = self.showcase.thumbnails.take(rows)
            there = there.grown(Features(named, self._keypoints_of(rows)), small)
        if self.index is not None and not self.index_saved:  # built since
            there = replace(there, index=self.index, indexed=self.indexed, index_saved=0)
        return replace(there, card=card)

    def _keypoints_of(self, rows: Ints) -> KeypointStore | None:
        """Keypoints of photographs that were added since this identifier was loaded or saved."""
        if isinstance(self.keypoints, DescriptorIndex):
            return self.keypoints.recent(rows)
        return None if self.keypoints is None else self.keypoints.take(rows)

    def written(self, draft: Path, old: Path) -> Self:
        """Write all files into `draft`; those that `old` has already are links to its files."""
        write_network(self.network, self.card, old, draft)
        write_gallery(self.gallery, self.card, old, draft)
        return self.written_around(draft, old)

    def written_around(self, draft: Path, old: Path) -> Self:
        """Write all files but network and gallery, which are in `draft` already."""
        saved = self._without_catalogue()
        if saved.index is not None:
            index, there = write_index(
                saved.index, saved.indexed, saved.index_saved, self.gallery, old, draft
            )
            saved = replace(saved, index=index, indexed=there, index_saved=there)
        if isinstance(self.keypoints, DescriptorIndex):
            kept = self.keypoints.save(draft / DESCRIPTORS, old / DESCRIPTORS)
            saved = replace(saved, keypoints=kept)
        elif self.keypoints is not None:
            self.keypoints.save(draft / KEYPOINTS)
        if self.centers is not None:
            self.centers.save(draft / CENTERS)
        if self.showcase is not None:
            self.showcase.save(draft)
        digests = write_digests(draft, old)
        (draft / FILE).write_text(saved.card.model_copy(update={"digests": digests}).text())
        return saved

    def _without_catalogue(self) -> Self:
        """This one as it is saved in a folder by itself, where row numbers are positions."""
        if self.kept is None:
            return self
        card = self.card.model_copy(
            update={"format": CARD_FORMAT, "index": INDEX, "digests_file": DIGESTS}
        )
        index, indexed = self.index, self.indexed
        if isinstance(index, PresentRows):  # photographs that are gone are in it
            if index.shared:  # others search it
                index, card = None, card.model_copy(update={"backend": "exact"})
            else:
                backend = find_backend(index.name)
                index = backend.build(self.gallery, card.gallery, None)
            indexed = 0 if index is None else len(self.gallery)
        return replace(self, card=card, index=index, indexed=indexed, index_saved=0, kept=None)

    @classmethod
    def read(cls, folder: Path, with_index: bool, earlier: Self | None = None) -> Self:
        """Read a folder.

        earlier: a state in memory, whose network is shared if it is the same; of the same folder
            with the same card, in which only the catalogue has changed, its index too.
        """
        unchanged = (
            earlier is not None
            and earlier.origin is not None
            and earlier.kept is not None
            and earlier.origin.folder == folder.resolve()
            and earlier.origin.digest == card_digest(folder)
        )
        card = read_card(folder)
        if not unchanged:  # they were checked when it was read
            check_digests(folder, card)
        same = earlier is not None and earlier.card.stamp == card.stamp
        network = earlier.network if earlier is not None and same else lazy_network(folder, card)
        if card.digests is None and isinstance(network, LazyNetwork):
            network.get()  # nothing else tells whether its file is whole
        rules = card.method.rules
        keypoints, showcase = (
            _read_keypoints(folder, rules),
            Showcase.load(folder, checked=card.digests is not None),
        )
        kept = None
        if has_catalogue(folder):
            found = read_kept_gallery(folder, keypoints, showcase)
            gallery, keypoints, showcase = found.gallery, found.keypoints, found.showcase
            kept = found.kept
        else:
            gallery = read_gallery(folder, checked=card.digests is not None)
        card = card.model_copy(update={"digests": None})
        index, there = (None, 0)
        if with_index and card.backend != "exact":
            photos = len(gallery) if kept is None else kept.stored
            if earlier is not None and unchanged and earlier.index is not None:
                index = whole_index(earlier.index)
                there = min(len(index), photos)
            else:
                index, there = read_index(folder, card.backend, photos, card.index)
            if kept is not None:
                index, there = index_of_present(index, kept, there)
        return cls(
            card if kept is None else fitted_card(card, kept.records),
            network,
            gallery,
            keypoints,
            Embeddings.load(folder / CENTERS) if rules.head else None,
            showcase,
            index,
            there,
            there,
            origin_of(folder, card, gallery),
            kept,
        )


def _read_keypoints(folder: Path, rules: RankConfig) -> KeypointStore | DescriptorIndex | None:
    if indexes_descriptors(rules):
        return DescriptorIndex.load(folder / DESCRIPTORS)
    return KeypointStore.load(folder / KEYPOINTS) if rules.local.candidates else None


def origin_of(folder: Path, card: IdentifierCard, gallery: Embeddings) -> Origin | None:
    """The state of a folder that was just read or written; None where there is none."""
    digest = card_digest(folder)
    return None if digest is None else Origin(folder.resolve(), digest, len(gallery), card)
