"""The catalogue: which photographs there are, and whom each of them shows.

The functions that read one from files are in `readers`.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from flukeprint.errors import FlukeprintError, listed

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Catalog:
    """Photographs and what is known of each.  All tuples have one entry a photo.

    images: file names as tables and submissions write them, unique.
    paths: their files; where there are none, `pixels` (n, h, w[, 3]) uint8.
    identities: names of individuals; None where unknown (new_whale, test photos).
    views: sides or poses of the animal; None for a photo without one.
    boxes: x0, y0, x1, y1 in pixels of the upright photograph; None for the whole photo.
    bursts: series of photos taken at one time; None for a photo of none.
    """

    images: tuple[str, ...]
    paths: tuple[Path, ...] | None = None
    identities: tuple[str | None, ...] = ()
    views: tuple[str | None, ...] | None = None
    boxes: tuple[Box | None, ...] | None = None
    bursts: tuple[str | None, ...] | None = None
    pixels: npt.NDArray[np.uint8] | None = None

    def __post_init__(self) -> None:
        n = len(self.images)
        if not self.identities and n:
            object.__setattr__(self, "identities", (None,) * n)
        if (self.paths is None) == (self.pixels is None) and n:
            raise ValueError("a catalogue has either paths or pixels")
        for column in ("paths", "identities", "views", "boxes", "bursts", "pixels"):
            values = getattr(self, column)
            if values is not None and len(values) != n:
                raise ValueError(f"{column} has {len(values)} entries for {n} photos")
        if len(set(self.images)) != n:
            twice = [image for image, count in Counter(self.images).items() if count > 1]
            raise FlukeprintError(f"photos listed twice: {listed(twice)}; keep one row for each")

    def __len__(self) -> int:
        return len(self.images)

    def take(self, rows: npt.ArrayLike) -> "Catalog":
        """Select the photos of `rows` (positions, or a boolean mask of length n), in that order."""
        index = np.asarray(rows)
        if index.dtype == bool:
            index = np.flatnonzero(index)
        picked = [int(i) for i in index]
        columns = {
            name: tuple(values[i] for i in picked)
            for name in ("images", "paths", "identities", "views", "boxes", "bursts")
            if (values := getattr(self, name)) is not None
        }
        pixels = None if self.pixels is None else self.pixels[picked]
        return replace(self, **columns, pixels=pixels)

    @staticmethod
    def concatenate(parts: "Sequence[Catalog]") -> "Catalog":
        """Join catalogues one after the other; a column that one lacks is None for its photos.

        Raises ValueError for a mixture of files and pixels and for pixels of different shapes,
        and FlukeprintError for a photo in two parts.
        """
        parts = [part for part in parts if len(part)]
        if len({None if part.pixels is None else part.pixels.shape[1:] for part in parts}) > 1:
            raise ValueError("catalogues of files and of pixels, or of other shapes, do not join")

        def joined(name: str) -> Any:
            columns = [getattr(part, name) for part in parts]
            if all(column is None for column in columns):
                return None
            return tuple(
                value
                for part, column in zip(parts, columns, strict=True)
                for value in ((None,) * len(part) if column is None else column)
            )

        pixels = [part.pixels for part in parts if part.pixels is not None]
        return Catalog(
            images=joined("images") or (),
            paths=joined("paths"),
            identities=joined("identities") or (),
            views=joined("views"),
            boxes=joined("boxes"),
            bursts=joined("bursts"),
            pixels=np.concatenate(pixels) if pixels else None,
        )

    @property
    def known(self) -> npt.NDArray[np.bool_]:
        """(n,) True where the photo has an identity."""
        return np.array([identity is not None for identity in self.identities], dtype=bool)

    def rows_with_identity(self, min_photos: int = 1) -> npt.NDArray[np.int64]:
        """Rows (n,) of the photographs of identities that have at least `min_photos` of them."""
        counts = self.counts()
        rows = [
            row
            for row, name in enumerate(self.identities)
            if name is not None and counts[name] >= min_photos
        ]
        return np.array(rows, dtype=np.int64)

    def in_views(self, views: Sequence[str]) -> list[bool]:
        """(n) whether each photograph shows one of these views; False where its view is unknown."""
        wanted = set(views)
        return [view in wanted for view in self.views or (None,) * len(self)]

    def counts(self) -> Counter[str]:
        """Photos per identity; photos without one are not counted."""
        return Counter(identity for identity in self.identities if identity is not None)

    def vocabulary(self) -> tuple[str, ...]:
        """The identities, sorted: an identity's class number is its position here."""
        return tuple(sorted(self.counts()))
