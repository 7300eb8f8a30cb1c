"""Animals of which a view is missing, or shown by poor photographs alone."""

from collections.abc import Sequence

import cv2
import numpy as np

from flukeprint.data.embeddings import Values
from flukeprint.data.thumbnails import Thumbnails
from flukeprint.keeper.doctor.findings import CatalogueFinding
from flukeprint.keeper.doctor.material import CatalogueMaterial
from flukeprint.records.kinds import PhotoRecord

POOREST = 0.05  # share of a catalogue's photographs that are called poor
SMALL = 96  # px; a photograph with a shorter long side is poor
COMMON = 0.05  # share of the photographs that a view needs to be asked for


def sharpness(jpeg: bytes) -> float:
    """Share of fine detail in a photograph's contrast; 0 for one too small to show any.

    The variance of the Laplacian by that of the brightness, which blur lowers and light does not.
    """
    grey = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_GRAYSCALE)
    if grey is None or max(grey.shape) < SMALL:
        return 0.0
    pixels = np.asarray(grey, np.float64)
    contrast = float(pixels.var())
    return float(cv2.Laplacian(pixels, cv2.CV_64F).var()) / contrast if contrast > 1e-9 else 0.0


def qualities(
    images: Sequence[str],
    thumbnails: Thumbnails | None,
    photographs: Sequence[PhotoRecord] | None = None,
) -> Values | None:
    """Quality (n,) of photographs: as recorded where all are, by their thumbnails otherwise.

    Not a number where a photograph has neither; None where none has a quality.
    """
    recorded = {one.image: one.quality for one in photographs or () if one.quality is not None}
    if all(image in recorded for image in images):
        return np.array([recorded[image] for image in images], np.float64)
    if thumbnails is None:
        return None
    found = np.full(len(images), np.nan)
    for row in range(len(images)):
        if (jpeg := thumbnails[row]) is not None:
            found[row] = sharpness(jpeg)
    return None if np.isnan(found).all() else found


def poor_views(material: CatalogueMaterial, quality: Values | None) -> list[CatalogueFinding]:
    """Views of animals without a good photograph: those without any first, by name.

    quality: of `qualities`; the poorest photographs of a catalogue are not good, those of unknown
    quality are taken for good.
    """
    known = material.view_of >= 0
    if not known.any():
        return []
    good = np.ones(len(material), bool)
    if quality is not None:
        line = np.nanquantile(quality, POOREST)
        good = ~(quality <= line) & ~(quality == 0)
    shares = np.bincount(material.view_of[known], minlength=len(material.views)) / known.sum()
    missing, poor = [], []
    for label, name in enumerate(material.names):
        for view in np.flatnonzero(shares >= COMMON).tolist():
            rows = material.rows_of.get((label, view))
            if rows is None:
                words = f"no photograph of the view {material.views[view]}"
                missing.append(CatalogueFinding("view", (name,), words))
            elif not good[rows].any():
                images = tuple(material.images[row] for row in rows)
                what = "its only photograph is" if len(images) == 1 else f"all {len(images)} are"
                words = f"view {material.views[view]}: {what} blurred or small"
                poor.append(CatalogueFinding("view", (name,), words, (images,)))
    return poor + missing
