"""Match the keypoints of two photographs with SIFT descriptors and check their geometry.

Descriptors are paired by Lowe's ratio test (2004) if each is the other's nearest.  Pairs are
inliers if one affine map, found by RANSAC (Fischler and Bolles 1981), maps one onto the other.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from flukeprint.config.ranking import LocalConfig
from flukeprint.data.embeddings import Floats
from flukeprint.ranking.local.keypoints import Extractor, Keypoints, directions, extract

# An animal seen again is not mirrored, not very much larger or smaller, and not flattened.
AREA_RATIOS = (0.05, 20.0)  # least and greatest change of an area
STRETCH = 4.0  # most stretch of one direction against the other
_TRIALS = 1000
_CONFIDENCE = 0.99


@dataclass(frozen=True)
class PairMatch:
    """The matched keypoints of two photographs, and which of them agree on one affine map.

    pairs: (m, 2) int64, a keypoint of the query and one of the candidate, each at most once.
    weights: (m,) float32 in [0, 1], how distinct a pair is: 1 - ratio, or a learned confidence.
    inlier: (m,) True for the pairs that the transform maps onto each other.
    transform: (2, 3) float64 from the query's px to the candidate's; None without agreement.
    """

    pairs: npt.NDArray[np.int64]
    weights: Floats
    inlier: npt.NDArray[np.bool_]
    transform: npt.NDArray[np.float64] | None

    def __post_init__(self) -> None:
        m = len(self.inlier)
        if self.pairs.shape != (m, 2) or self.weights.shape != (m,):
            raise ValueError(f"pairs {self.pairs.shape}, weights {self.weights.shape} for {m}")

    @property
    def count(self) -> int:
        """Number of inliers."""
        return int(self.inlier.sum())

    @property
    def strength(self) -> float:
        """Sum of the inliers' weights, which ranks better than their count."""
        return float(self.weights[self.inlier].sum(dtype=np.float64))


Matcher = Callable[[Keypoints, Keypoints], PairMatch]


@dataclass(frozen=True)
class KeypointBackend:
    """An extractor of keypoints with its matcher of two photographs (query, candidate)."""

    extract: Extractor
    match: Matcher


def sift_backend(config: LocalConfig) -> KeypointBackend:
    """The SIFT backend: `extract` and `match` with these settings."""
    return KeypointBackend(
        extract=lambda pixels: extract(pixels, config),
        match=lambda query, candidate: match(query, candidate, config),
    )


def match(query: Keypoints, candidate: Keypoints, config: LocalConfig) -> PairMatch:
    """Match two photographs by mutual nearest descriptors that pass the ratio test, then RANSAC.

    A pair passes if its distance is below `config.ratio` times that of the second nearest.

    A pure function: the same two photographs always give the same answer.
    """
    pairs, ratios = _nearest_pairs(query, candidate, config.ratio)
    return agreed(query, candidate, pairs, (1 - ratios).astype(np.float32), config)


def agreed(
    query: Keypoints,
    candidate: Keypoints,
    pairs: npt.NDArray[np.int64],
    weights: Floats,
    config: LocalConfig,
) -> PairMatch:
    """Find the inliers among pairs (m, 2): one affine map fits them to within `reach * side` px."""
    there, found = query.points[pairs[:, 0]], candidate.points[pairs[:, 1]]
    fitted = affine_map(there, found, config.reach * config.side, _TRIALS)
    if fitted is None:
        return PairMatch(pairs, weights, np.zeros(len(pairs), dtype=np.bool_), None)
    transform, inlier = fitted
    return PairMatch(pairs, weights, inlier, transform)


def affine_map(
    there: Floats, found: Floats, reach: float, trials: int
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]] | None:
    """Fit one affine map from points (m, 2) to others (m, 2) by RANSAC of at most `trials`.

    Returns:
        The map (2, 3), and which points it maps to within `reach` px (m,); None for too few points
        or a map that no photographs of one animal have.
    """
    if len(there) < 3:
        return None
    cv2.setRNGSeed(0)
    transform, mask = cv2.estimateAffine2D(
        there,
        found,
        method=cv2.RANSAC,
        ransacReprojThreshold=reach,
        maxIters=trials,
        confidence=_CONFIDENCE,
    )
    if transform is None or not plausible(transform):
        return None
    return np.asarray(transform, dtype=np.float64), mask.ravel() != 0


def _nearest_pairs(
    query: Keypoints, candidate: Keypoints, ratio: float
) -> tuple[npt.NDArray[np.int64], Floats]:
    """Mutual nearest neighbours (m, 2) that pass the ratio test, and their ratios (m,)."""
    if len(query) == 0 or len(candidate) < 2:  # the ratio needs a second nearest
        return np.empty((0, 2), dtype=np.int64), np.empty(0, dtype=np.float32)
    cosines = directions(query.descriptors) @ directions(candidate.descriptors).T
    own = np.arange(len(query))
    nearest = cosines.argmax(axis=1)
    first = cosines[own, nearest]
    cosines[own, nearest] = -2
    second = cosines.max(axis=1)
    cosines[own, nearest] = first
    ratios = np.sqrt(np.maximum(1 - first, 0) / np.maximum(1 - second, 1e-6))
    passed = np.flatnonzero(ratios < ratio)
    back = cosines[:, nearest[passed]].argmax(axis=0)
    kept = passed[back == passed]
    return np.stack([kept, nearest[kept]], axis=1).astype(np.int64), ratios[kept]


def plausible(transform: npt.NDArray[Any]) -> bool:
    """Whether the linear part [[a, b], [c, d]] does not mirror, and roughly keeps size and shape.

    Its singular values s >= t have s t = determinant and s s + t t = a a + b b + c c + d d, so
    s / t <= STRETCH is a bound on the quotient of the two.
    """
    if not np.isfinite(transform).all():
        return False
    linear = transform[:, :2]
    area = float(linear[0, 0] * linear[1, 1] - linear[0, 1] * linear[1, 0])
    squares = float((linear**2).sum())
    if not AREA_RATIOS[0] <= area <= AREA_RATIOS[1]:
        return False
    return squares / area <= STRETCH + 1 / STRETCH


def shown_inliers(found: PairMatch, most: int = 60) -> npt.NDArray[np.int64]:
    """The inliers to draw: places in `found.pairs` of those with the greatest weights."""
    lines = np.flatnonzero(found.inlier)
    return lines[np.argsort(-found.weights[lines], kind="stable")][:most]
