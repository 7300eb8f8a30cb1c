"""Drawn descriptors of photographs, and what LNBNN must say of them, in plain loops."""

import numpy as np
import numpy.typing as npt

from flukeprint.config.ranking import LocalConfig
from flukeprint.ranking.local.keypoint_store import KeypointStore
from flukeprint.ranking.local.keypoints import Keypoints

CONFIG = LocalConfig(matcher="lnbnn", candidates="all", side=96, keypoints=60, verify=0)
SIZE = (72, 96)


def drawn_store(
    counts: list[int], seed: int, config: LocalConfig = CONFIG, near: KeypointStore | None = None
) -> KeypointStore:
    """Photographs with so many keypoints each; every other one is nearly one of `near`."""
    rng = np.random.default_rng(seed)
    found = []
    for count in counts:
        descriptors = rng.integers(0, 256, (count, 128)).astype(np.uint8)
        if near is not None and len(near.points):
            for place in range(0, count, 2):
                other = near.descriptors[rng.integers(len(near.points))].astype(int)
                descriptors[place] = np.clip(other + rng.integers(-9, 10, 128), 0, 255)
        points = rng.uniform(0, 72, (count, 2)).astype(np.float32)
        found.append(Keypoints(points, descriptors, SIZE))
    return KeypointStore.pack(found, config)


def unit(descriptors: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
    wide = descriptors.astype(np.float64)
    return wide / np.linalg.norm(wide, axis=1, keepdims=True)


def nearest_by_hand(
    query: Keypoints, gallery: KeypointStore, rows: list[int], k: int
) -> list[list[tuple[float, int, int]]]:
    """For each descriptor the distance, photograph and number of its k nearest."""
    known = [
        (row, number)
        for row in rows
        for number in range(int(gallery.offsets[row]), int(gallery.offsets[row + 1]))
    ]
    found = []
    theirs = unit(gallery.descriptors)
    for mine in unit(query.descriptors):
        pairs = [(float(np.linalg.norm(mine - theirs[i])), row, i) for row, i in known]
        found.append(sorted(pairs)[:k])
    return found


def counted_by_hand(
    query: Keypoints, gallery: KeypointStore, labels: list[int], rows: list[int], neighbours: int
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Sums of weights by photograph and by identity, once for a descriptor and an identity."""
    photographs = np.zeros(len(labels))
    identities = np.zeros(max(labels, default=-1) + 1)
    for near in nearest_by_hand(query, gallery, rows, neighbours + 1):
        chance = near[neighbours][0] if len(near) > neighbours else np.inf
        named = set()
        for distance, row, _ in near[:neighbours]:
            weight = 0.0 if chance == 0 else 1 - distance / chance
            photographs[row] += weight
            if weight > 0 and labels[row] not in named:
                named.add(labels[row])
                identities[labels[row]] += weight
    return photographs, identities
