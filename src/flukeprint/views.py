"""Views.  Which sides of whom were photographed enters, what can be found at best leaves.

A left flank says little about the right one.  A query whose animal has no photo of the
same view in the gallery can be answered only by what both sides share.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Ceiling:
    """Share of queries, 0 to 1, whose animal has a gallery photo of the same view.

    overall: of all queries; None where there are none.
    of_view: of the queries of each view, views sorted.
    queries: how many these are, with the same keys.
    Only queries count whose view and identity are known.
    """

    overall: float | None
    of_view: dict[str, float]
    queries: dict[str, int]


def ceiling(
    query_views: Sequence[str | None],
    query_identities: Sequence[str | None],
    gallery_views: Sequence[str | None],
    gallery_identities: Sequence[str | None],
) -> Ceiling:
    """How many queries could be answered from photos of the same view alone.

    Views and identities of the (q) queries and the (n) gallery photos; None where nobody
    knows.  A photo without a view or an identity helps nobody.
    """
    there = set(zip(gallery_views, gallery_identities, strict=True))
    hits: dict[str, list[bool]] = {}
    for view, identity in zip(query_views, query_identities, strict=True):
        if view is not None and identity is not None:
            hits.setdefault(view, []).append((view, identity) in there)
    every = [hit for found in hits.values() for hit in found]
    return Ceiling(
        overall=sum(every) / len(every) if every else None,
        of_view={view: sum(hits[view]) / len(hits[view]) for view in sorted(hits)},
        queries={view: len(hits[view]) for view in sorted(hits)},
    )


def view_numbers(
    queries: Sequence[str | None] | None, gallery: Sequence[str | None] | None
) -> tuple[Numbers | None, Numbers | None]:
    """(q,), (n,) numbers, the same for the same view, -1 for an unknown one.

    None, None where either side knows no views at all.
    """
    if queries is None or gallery is None:
        return None, None
    number: dict[str | None, int] = {None: -1}
    mine, theirs = (
        np.array([number.setdefault(view, len(number)) for view in views], dtype=np.int64)
        for views in (queries, gallery)
    )
    return mine, theirs
