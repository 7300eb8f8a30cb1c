"""Photographs that are to come into a catalogue, and what is wrong with them, all at once."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from flukeprint.data.copies import NEAR_BITS, difference_hash
from flukeprint.data.decoding import Pixels, decode_bytes
from flukeprint.data.embeddings import PRECISIONS, Embeddings
from flukeprint.errors import FlukeprintError, counted
from flukeprint.identifier.identifier import Identifier
from flukeprint.identifier.photo_input import SAME_PHOTO, Photograph, decoded
from flukeprint.records.kinds import DecidedBy, Encounter
from flukeprint.search.gallery import Gallery

LOOKED_AT = 5  # nearest photographs among which a copy is sought
ALIKE = 0.8  # cosine below which no photograph is taken for a copy
# Cosine from which a photograph whose thumbnail is not kept is taken for a copy.
COPY = 0.985


@dataclass(frozen=True)
class NewPhotograph:
    """A photograph that is to be enrolled.

    told: what messages call it.  name: in the gallery; made unique there.
    identity: whom it shows; None where nobody was named.
    box: x0, y0, x1, y1 in pixels of the upright photograph; None for all of it.
    encounter: when and where; photographs with equal ones become one encounter.
    """

    photo: Photograph
    told: str
    name: str
    identity: str | None
    encounter: Encounter | None = None
    view: str | None = None
    box: tuple[float, float, float, float] | None = None
    decided_by: DecidedBy = "person"
    decider: str | None = None
    probability: float | None = None

    @staticmethod
    def of_file(path: Path, identity: str | None) -> "NewPhotograph":
        """A photograph in a file, of which nothing else is known."""
        return NewPhotograph(path, str(path), path.name, identity)

    def data(self) -> bytes | None:
        """The bytes of its file; None for pixels."""
        if isinstance(self.photo, np.ndarray):
            return None
        return self.photo if isinstance(self.photo, bytes) else Path(self.photo).read_bytes()

    def pixels(self) -> Pixels:
        """The upright pixels in its box (h, w, 3); FlukeprintError where it cannot be read."""
        whole = decoded(self.photo, self.told)
        if self.box is None:
            return whole
        height, width = whole.shape[:2]
        x0, y0 = (max(0, int(np.floor(low))) for low in self.box[:2])
        x1, y1 = (int(np.ceil(high)) for high in self.box[2:])
        part = whole[y0 : min(y1, height), x0 : min(x1, width)]
        if min(part.shape[:2]) < 1:
            raise FlukeprintError(f"{self.told}: its box lies outside the photograph")
        return np.ascontiguousarray(part)


class ProblemsError(FlukeprintError):
    """Several things are wrong with what a user gave; each is a line of `problems`."""

    def __init__(self, problems: Iterable[str], what: str) -> None:
        told = tuple(problems)
        if len(told) == 1:
            super().__init__(told[0])
            return
        super().__init__(f"{what}: {counted(len(told), 'problem')}; nothing was changed")
        self.problems = told


def copies_in_gallery(
    known: Identifier, fresh: Embeddings, hashes: Sequence[int], told: Sequence[str], *, force: bool
) -> list[str]:
    """Say of each photograph that is in the gallery already, or was given twice, which one it is.

    hashes: `difference_hash` of each one's pixels.
    force: near copies are wanted; only the very same photograph is told.
    """
    problems = []
    gallery: Gallery = known.prepared.gallery
    held = gallery.embeddings
    same = 1 - SAME_PHOTO[max(fresh.precision, held.precision, key=PRECISIONS.index)]
    nearest = gallery.search(fresh, LOOKED_AT)
    shown = None if known.showcase is None else known.showcase.thumbnails
    for place, name in enumerate(told):
        vector = fresh.vectors[place]
        twins = np.flatnonzero(fresh.vectors[:place] @ vector > 1 - SAME_PHOTO["fp32"])
        if len(twins):
            problems.append(f"{name} is the same photo as {told[int(twins[0])]}")
            continue
        for score, row in zip(nearest.scores[place], nearest.rows[place].tolist(), strict=True):
            if score > same:
                problems.append(
                    f"{name} is in the gallery already, as {held.images[row]} "
                    f"of {held.identities[row]}"
                )
                break
            small = None if shown is None else shown[row]
            if not force and _is_copy(float(score), hashes[place], small):
                problems.append(
                    f"{name} looks like photo {held.images[row]} of {held.identities[row]}, "
                    f"similarity {score:.3f}; with force it is enrolled all the same"
                )
                break
    return problems


def _is_copy(score: float, seen: int, small: bytes | None) -> bool:
    if small is None:
        return score >= COPY
    if score < ALIKE:
        return False
    other = difference_hash(decode_bytes(small, "thumbnail"))
    return (seen ^ other).bit_count() <= NEAR_BITS and seen.bit_count() > NEAR_BITS
