"""Photographs that are in a catalogue already: the same ones, and near copies of others."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import sqlalchemy as sa

from flukeprint.data.copies import NEAR_BITS, difference_hash
from flukeprint.data.decoding import decode_bytes
from flukeprint.data.embeddings import PRECISIONS, Embeddings, Floats, Ints
from flukeprint.identifier.identifier import Identifier
from flukeprint.identifier.photo_input import SAME_PHOTO
from flukeprint.records.batches import batches
from flukeprint.records.schema import individuals, parts, photographs
from flukeprint.search.index import Matches

LOOKED_AT = 5  # nearest photographs among which a copy is sought
ALIKE = 0.8  # cosine below which no photograph is taken for a copy
# Cosine from which a photograph of which neither thumbnail nor hash is kept is taken for a copy.
COPY = 0.985
_AT_ONCE = 256  # new photographs that are compared with all recent ones together


@dataclass(frozen=True)
class RowsSince:
    """Photographs that came after a gallery was read: rows in its files, and their vectors."""

    rows: Ints
    vectors: Floats


def copies_in_gallery(
    connection: sa.Connection,
    known: Identifier,
    near: Matches,
    since: RowsSince,
    fresh: Embeddings,
    hashes: Sequence[int],
    told: Sequence[str],
    *,
    force: bool,
) -> list[str]:
    """Say of each photograph that is in the gallery already, or was given twice, which one it is.

    known: the identifier as it was read; near: its photographs that are nearest to the fresh ones.
    hashes: `difference_hash` of each one's pixels.
    force: near copies are wanted; only the very same photograph is told.
    """
    assert known.kept is not None
    held = known.gallery
    same = 1 - SAME_PHOTO[max(fresh.precision, held.precision, key=PRECISIONS.index)]
    rows = known.kept.rows
    thumbnails = None if known.showcase is None else known.showcase.thumbnails
    nearest = [
        sorted(
            [
                *zip(near.scores[place].tolist(), rows[near.rows[place]].tolist(), strict=True),
                *recent,
            ],
            reverse=True,
        )
        for place, recent in enumerate(_nearest_since(since, fresh.vectors))
    ]
    looked_at = {row for one in nearest for score, row in one if score >= min(ALIKE, same)}
    there = _records(connection, looked_at, shown=thumbnails is not None)
    problems = []
    for place, name in enumerate(told):
        twins = np.flatnonzero(
            fresh.vectors[:place] @ fresh.vectors[place] > 1 - SAME_PHOTO["fp32"]
        )
        if len(twins):
            problems.append(f"{name} is the same photo as {told[int(twins[0])]}")
            continue
        for score, row in nearest[place]:
            record = there.get(row)
            if record is None:  # too far, or removed
                continue
            if score > same:
                problems.append(
                    f"{name} is in the gallery already, as {record.image} of {record.name}"
                )
                break
            small = record.thumbnail
            at = int(np.searchsorted(rows, row))
            if thumbnails is not None and at < len(rows) and rows[at] == row:
                small = thumbnails[at]
            if not force and _is_copy(score, hashes[place], small, record.hash):
                problems.append(
                    f"{name} looks like photo {record.image} of {record.name}, similarity "
                    f"{score:.3f}; with force it is enrolled all the same"
                )
                break
    return problems


def _nearest_since(since: RowsSince, fresh: Floats) -> Iterator[list[tuple[float, int]]]:
    for start in range(0, len(fresh), _AT_ONCE):
        scores = fresh[start : start + _AT_ONCE] @ since.vectors.T
        best = np.argsort(-scores, axis=1, kind="stable")[:, :LOOKED_AT]
        for line, places in zip(scores, best, strict=True):
            yield list(zip(line[places].tolist(), since.rows[places].tolist(), strict=True))


def _records(connection: sa.Connection, rows: set[int], *, shown: bool) -> dict[int, Any]:
    """Image, animal, thumbnail and hash of photographs, without those that are removed."""
    asked = (
        sa.select(
            photographs.c.row, photographs.c.image, individuals.c.name,
            parts.c.thumbnail if shown else sa.null().label("thumbnail"), parts.c.hash,
        )
        .outerjoin(individuals, individuals.c.id == photographs.c.individual_id)
        .outerjoin(parts, parts.c.photograph_id == photographs.c.id)
        .where(~photographs.c.removed)
    )  # fmt: skip
    found: dict[int, Any] = {}
    for batch in batches(sorted(rows)):
        some = photographs.c.row.in_(batch)
        found |= {row.row: row for row in connection.execute(asked.where(some))}
    return found


def _is_copy(score: float, seen: int, small: bytes | None, kept: str | None) -> bool:
    """Whether two photographs are one; kept: the hash of the other, small: its thumbnail."""
    if kept is None and small is None:
        return score >= COPY
    if score < ALIKE:
        return False
    if kept is not None:
        other = int(kept, 16)
    else:
        assert small is not None
        other = difference_hash(decode_bytes(small, "thumbnail"))
    return (seen ^ other).bit_count() <= NEAR_BITS and seen.bit_count() > NEAR_BITS
