"""Groups the photographs of the map, so that each group has a colour and a sign of its own."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from flukeprint.serving.page.context import PageContext
from flukeprint.serving.page.map_points import MapPoints

# Colours with a contrast of at least 3:1 on a light and on a dark page, each with a symbol of its
# own for people who cannot tell the colours apart (after Okabe and Ito, 2008).
# `map.js` draws the shapes in this order, and `parts.css` has the colours.
SIGNS: Final = ("●", "■", "◆", "▲", "▼", "✚", "★", "⬢")
REST: Final = len(SIGNS)  # number of the group of all others
REST_SIGN: Final = "○"
FEW = 8  # classes that can have a colour each


@dataclass(frozen=True)
class Group:
    """Photographs that are drawn alike: of a family or a class; name "" for the rest.

    number: of its colour and shape.  photos: how many there are.
    """

    name: str
    number: int
    photos: int

    @property
    def sign(self) -> str:
        """Its shape, as text."""
        return REST_SIGN if self.number == REST else SIGNS[self.number]


@dataclass(frozen=True)
class Grouping:
    """The groups of the map, largest first, and the rank that they stand for, "" for none.

    of_points: (n,) uint8, the number of each point's group.
    """

    rank: str
    groups: tuple[Group, ...]
    of_points: npt.NDArray[np.uint8]


def grouping(context: PageContext, points: MapPoints) -> Grouping:
    """Group the points by family, or by class if there are few, or not at all."""
    for rank in ("family", "superfamily", "order"):
        names = [_of_rank(context, identity, rank) for identity in points.identities]
        if len(set(filter(None, names))) > 1:
            return _grouped(rank, names, points)
    if 1 < len(points.identities) <= FEW:
        names = [context.name_of(identity) for identity in points.identities]
        return _grouped(context.kind, names, points)
    return _grouped("", [""] * len(points.identities), points)


def _of_rank(context: PageContext, identity: str, rank: str) -> str:
    card = context.card_of(identity)
    return "" if card is None else card.lineage.get(rank, "")


def _grouped(rank: str, names: Sequence[str], points: MapPoints) -> Grouping:
    """names: the group of each class."""
    photos = np.bincount(points.classes, minlength=len(names))
    counts: Counter[str] = Counter()
    for name, count in zip(names, photos.tolist(), strict=True):
        counts[name] += count
    rest = counts.pop("", 0)
    ordered = sorted(counts, key=lambda name: (-counts[name], name))
    shown = {name: number for number, name in enumerate(ordered[: len(SIGNS)])}
    rest += sum(counts[name] for name in ordered[len(SIGNS) :])
    groups = [Group(name, number, counts[name]) for name, number in shown.items()]
    others = REST if groups else 0
    if rest:
        groups.append(Group("", others, rest))
    of_classes = np.array([shown.get(name, others) for name in names], np.uint8)
    return Grouping(rank, tuple(groups), of_classes[points.classes])
