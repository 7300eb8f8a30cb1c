"""The photographs of a gallery as points of its map, and the few bytes that a browser needs.

The bytes, little-endian: the number n of points as uint32; x and y as uint16 each, shares of the
map's width and height times 65,535; the class of each as uint32, its position among the
identities; the id of each photograph as uint32, as the difference from the one before; the group
of each as uint8, which says how it is drawn.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from flukeprint.data.embeddings import Floats, Ints
from flukeprint.identifier.identifier import Identifier

SIDE = 65_535


@dataclass(frozen=True)
class MapPoints:
    """The points of n photographs.

    xy: (n, 2), right and up.  photos: their ids, ascending.  classes: (n,) positions among the
    identities.  identities: all, sorted.
    """

    xy: Floats
    photos: Ints
    classes: Ints
    identities: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.photos)

    @classmethod
    def of(cls, identifier: Identifier) -> "MapPoints | None":
        """The points of an identifier's photographs, None where it was made without a map."""
        shown = identifier.showcase
        if shown is None or len(shown) == 0:
            return None
        gallery = identifier.prepared.gallery
        return cls(shown.xy, identifier.numbers, gallery.labels, gallery.vocabulary)

    @cached_property
    def shares(self) -> Floats:
        """(n, 2) where each point lies between the ends of the map, 0 to 1; one scale for both."""
        low, high = self.xy.min(axis=0), self.xy.max(axis=0)
        wide = float((high - low).max()) or 1.0
        middle = (low + high) / 2
        shares: Floats = ((self.xy - middle) / wide + 0.5).astype(np.float32)
        return shares

    def packed(self, groups: Sequence[int]) -> bytes:
        """The bytes for the browser.  groups: (n,) of each point, below 256."""
        places = np.rint(np.clip(self.shares, 0, 1) * SIDE).astype("<u2")
        steps = np.diff(self.photos, prepend=0)
        return b"".join(
            [
                np.array([len(self)], "<u4").tobytes(),
                places[:, 0].tobytes(),
                places[:, 1].tobytes(),
                self.classes.astype("<u4").tobytes(),
                steps.astype("<u4").tobytes(),
                np.asarray(groups, np.uint8).tobytes(),
            ]
        )
