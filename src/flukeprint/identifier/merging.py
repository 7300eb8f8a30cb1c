"""Joins what several processes have changed in one identifier since they loaded it."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from flukeprint.data.embeddings import Embeddings, Ints
from flukeprint.errors import FlukeprintError
from flukeprint.identifier.card import IdentifierCard


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
