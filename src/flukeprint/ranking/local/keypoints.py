"""Extract keypoints and their descriptors from a photograph with SIFT.

Stripes, scars and notched edges are local: SIFT (Lowe 2004) finds them, RootSIFT (Arandjelovic
and Zisserman 2012) describes them.  A matcher may bring another `Extractor` instead of `extract`;
`keypoint_store.py` keeps the keypoints of a whole catalogue.
"""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from flukeprint.config.ranking import LocalConfig
from flukeprint.data.decoding import Pixels
from flukeprint.data.embeddings import Floats

Descriptors = npt.NDArray[np.uint8 | np.float16]

# To be raised when extraction finds other keypoints: older cache entries are then not used.
EXTRACTION_VERSION = 1
SIFT_DIMENSIONS = 128
CONTRAST = 0.02  # half of Lowe's: fur has little contrast
DESCRIPTOR_TYPES: dict[str, type[np.uint8] | type[np.float16]] = {
    "sift": np.uint8,
    "lightglue": np.float16,
    "lnbnn": np.uint8,
}


@dataclass(frozen=True)
class Keypoints:
    """The keypoints of one photograph, strongest first.

    points: (k, 2) float32 x, y in px of the resized photograph.
    descriptors: (k, 128) uint8 of SIFT, float16 of a learned extractor; only their directions
        matter.
    size: height, width of the resized photograph, px.
    """

    points: Floats
    descriptors: Descriptors
    size: tuple[int, int]

    def __post_init__(self) -> None:
        k = len(self.points)
        if self.points.dtype != np.float32 or self.points.shape != (k, 2):
            raise ValueError(f"points are {self.points.dtype} {self.points.shape}, not (k, 2)")
        if self.descriptors.shape != (k, SIFT_DIMENSIONS):
            raise ValueError(f"descriptors are {self.descriptors.shape} for {k} points")
        if self.descriptors.dtype not in DESCRIPTOR_TYPES.values():
            raise ValueError(f"descriptors are {self.descriptors.dtype}, not uint8 or float16")

    def __len__(self) -> int:
        return len(self.points)


Extractor = Callable[[Pixels], Keypoints]


def shrink(pixels: Pixels, side: int) -> Pixels:
    """Resize pixels (h, w[, 3]) to a long side of `side` px; small photographs are enlarged."""
    height, width = pixels.shape[:2]
    scale = side / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(pixels, size, interpolation=how), dtype=np.uint8)


def extract(pixels: Pixels, config: LocalConfig) -> Keypoints:
    """Extract at most `config.keypoints` SIFT keypoints, the strongest, from RGB (h, w, 3) uint8.

    RootSIFT: a descriptor divided by its sum, then the root of each number, so that its length
    is 1 and the Euclidean distance compares histograms (Hellinger).  Kept as round(255 v).
    `config.upright` does not rotate descriptors to the direction of their keypoint.
    """
    grey = shrink(np.asarray(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), dtype=np.uint8), config.side)
    size = (grey.shape[0], grey.shape[1])
    sift = cv2.SIFT.create(nfeatures=config.keypoints, contrastThreshold=CONTRAST)
    if config.upright:
        found, raw = sift.compute(grey, _upright(sift.detect(grey, None)))
    else:
        found, raw = sift.detectAndCompute(grey, None)
    if raw is None or not found:
        return empty(size)
    # OpenCV gives more than nfeatures where strengths tie: cut in a fixed order.
    order = sorted(
        range(len(found)),
        key=lambda i: (-found[i].response, *found[i].pt, found[i].size, found[i].angle),
    )[: config.keypoints]
    points = np.array([found[i].pt for i in order], dtype=np.float32)
    histograms = np.asarray(raw, dtype=np.float32)[order]
    sums = np.maximum(histograms.sum(axis=1, keepdims=True), 1e-9)
    root = np.rint(255 * np.sqrt(histograms / sums)).astype(np.uint8)
    some = root.any(axis=1)  # a descriptor of zeros has no direction
    return Keypoints(points[some], root[some], size)


def _upright(found: Sequence[cv2.KeyPoint]) -> list[cv2.KeyPoint]:
    """Keep each place and size once (SIFT repeats it for every direction), with direction 0."""
    once = {(*keypoint.pt, keypoint.size): keypoint for keypoint in found}
    for keypoint in once.values():
        keypoint.angle = 0
    return list(once.values())


def empty(size: tuple[int, int], *, matcher: str = "sift") -> Keypoints:
    """Keypoints of a photograph of `size` in which none were found."""
    return Keypoints(
        np.empty((0, 2), np.float32),
        np.empty((0, SIFT_DIMENSIONS), DESCRIPTOR_TYPES[matcher]),
        size,
    )


def directions(descriptors: npt.NDArray[Any]) -> Floats:
    """Descriptors (k, d) of any type as float32 rows of length 1, or of zeros."""
    wide = descriptors.astype(np.float32)
    lengths = np.sqrt(np.einsum("ij,ij->i", wide, wide))
    wide /= np.maximum(lengths, 1e-6)[:, None]
    return wide


def extraction_digest(config: LocalConfig) -> str:
    """Digest (12 hex digits) of all settings that keypoints depend on, to refuse a mixture."""
    extractor = "sift" if config.matcher == "lnbnn" else config.matcher
    settings = (extractor, config.side, config.keypoints, config.upright)
    text = json.dumps([EXTRACTION_VERSION, *settings])
    return hashlib.sha256(text.encode()).hexdigest()[:12]
