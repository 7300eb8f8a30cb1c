"""Decode the photographs of a report, each once: thumbnails, and how good a picture each is."""

import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import cv2
import numpy as np

from flukeprint.data.catalog import Catalog
from flukeprint.data.decoding import Pixels, look_at_row
from flukeprint.data.formats.photo_formats import UnusableError
from flukeprint.data.thumbnails import thumbnail

SIDE = 160  # px, long side of a thumbnail
COMMON = 256  # px, long side at which photographs are measured


@dataclass(frozen=True)
class Quality:
    """How good a picture a photograph is, measured at a long side of 256 px.

    sharpness: variance of the Laplacian (Pech-Pacheco et al., Diatom autofocusing in brightfield
        microscopy, ICPR 2000).
    brightness: mean of the grey values, 0 to 255; contrast: their standard deviation.
    megapixels: of the photograph at full size, or of its box.
    """

    sharpness: float
    brightness: float
    contrast: float
    megapixels: float


def measure(pixels: Pixels, size: tuple[float, float]) -> Quality:
    """Measure a photograph (h, w, 3) RGB; size: width, height at full size.

    A photograph smaller than 256 px is enlarged, so that all are measured at one scale.
    """
    height, width = pixels.shape[:2]
    scale = COMMON / max(height, width)
    common = (max(1, round(width * scale)), max(1, round(height * scale)))
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    grey = cv2.cvtColor(cv2.resize(pixels, common, interpolation=how), cv2.COLOR_RGB2GRAY)
    return Quality(
        sharpness=float(cv2.Laplacian(grey, cv2.CV_64F).var()),
        brightness=float(np.mean(grey)),
        contrast=float(np.std(grey)),
        megapixels=size[0] * size[1] / 1e6,
    )


@dataclass(frozen=True)
class Photographs:
    """The photographs of a catalogue, decoded when they are first asked for.

    One that can no longer be read has no thumbnail and no quality.
    """

    catalog: Catalog
    _seen: dict[int, tuple[bytes, Quality] | None] = field(
        default_factory=dict, repr=False, compare=False
    )

    def thumbnail(self, row: int) -> bytes | None:
        """A JPEG of at most 160 px; None where the photograph cannot be read."""
        found = self._look(row)
        return None if found is None else found[0]

    def quality(self, row: int) -> Quality | None:
        """How good a picture it is; None where it cannot be read."""
        found = self._look(row)
        return None if found is None else found[1]

    def prepare(self, rows: Iterable[int]) -> None:
        """Decode photographs with several threads, for what is asked of them later."""
        wanted = sorted({int(row) for row in rows} - set(self._seen))
        with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
            list(pool.map(self._look, wanted))

    def _look(self, row: int) -> tuple[bytes, Quality] | None:
        row = int(row)
        if row not in self._seen:
            self._seen[row] = self._decoded(row)
        return self._seen[row]

    def _decoded(self, row: int) -> tuple[bytes, Quality] | None:
        try:
            found = look_at_row(self.catalog, row, None, min_size=(COMMON, COMMON))
        except UnusableError:
            return None
        return thumbnail(found.pixels, SIDE), measure(found.pixels, found.size)
