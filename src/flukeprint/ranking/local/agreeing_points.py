"""Keypoints that agree in two photographs, as places in them: to be drawn, whatever their size."""

from dataclasses import dataclass

import numpy as np

from flukeprint.data.embeddings import Floats
from flukeprint.ranking.local.keypoints import Keypoints
from flukeprint.ranking.local.sift import Matcher, shown_inliers


@dataclass(frozen=True)
class AgreeingPoints:
    """What matching two photographs came to.

    found: keypoints of the first and of the second photograph.
    paired: pairs of them that look alike.  count: those of them that one affine map fits.
    places: (m, 4) float32 x, y in the first and in the second photograph, as shares of their width
        and height, of the most distinct of these.  weights: (m,) float32, how distinct, falling.
    """

    found: tuple[int, int]
    paired: int
    count: int
    places: Floats
    weights: Floats


def agreeing_points(
    first: Keypoints, second: Keypoints, match: Matcher, most: int
) -> AgreeingPoints:
    """Match two photographs; most: pairs that are told."""
    found = match(first, second)
    best = shown_inliers(found, most)
    ends = [
        points.points[found.pairs[best, side]] / (points.size[1], points.size[0])
        for side, points in enumerate((first, second))
    ]
    places = np.concatenate(ends, axis=1).astype(np.float32).clip(0, 1)
    return AgreeingPoints(
        (len(first), len(second)), len(found.pairs), found.count, places, found.weights[best]
    )
