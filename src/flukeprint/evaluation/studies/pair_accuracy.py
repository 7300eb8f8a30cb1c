"""Measure a decision on pairs of photographs: do two embeddings nearer than a distance show one?

Same and different pairs weigh the same, whatever their numbers, so that guessing gives 0.5.
Distances are Euclidean, of unit embeddings: 0 to 2.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from flukeprint.data.embeddings import Floats, Ints, Values
from flukeprint.evaluation.metrics import Interval

Mask = npt.NDArray[np.bool_]

SAMPLES = 1000  # of the bootstrap
MOST = 400  # photographs, of which all pairs are judged


@dataclass(frozen=True)
class AllPairs:
    """All pairs of two of n photographs.

    first, second: (p,) places of the photographs, first < second.  distances: (p,) float64.
    same: (p,) whether both show one individual.
    """

    photos: int
    first: Ints
    second: Ints
    distances: Values
    same: Mask


@dataclass(frozen=True)
class PairAccuracy:
    """How often a decision on pairs is right.

    accuracy: mean of `same_right` and `different_right`, the shares of either kind of pairs that
        are judged right, with its interval over photographs.
    """

    accuracy: Interval
    same_right: float
    different_right: float
    sames: int
    differents: int
    photos: int


def labelled_pairs(vectors: Floats, identities: Sequence[str | None]) -> AllPairs:
    """Make all pairs of unit vectors (n, dim) whose individuals are known.

    Two photographs of identity None may show one individual or two; such pairs are left out.
    """
    names = np.array([-1 if name is None else 0 for name in identities])
    known = {name: place for place, name in enumerate(dict.fromkeys(identities))}
    numbers = np.array([known[name] for name in identities])
    first, second = np.triu_indices(len(vectors), 1)
    told = (names[first] >= 0) | (names[second] >= 0)
    first, second = first[told], second[told]
    exact = vectors.astype(np.float64)
    cosines = (exact @ exact.T)[first, second]
    distances = np.sqrt(np.maximum(0.0, 2 - 2 * cosines))
    same = (numbers[first] == numbers[second]) & (names[first] >= 0)
    return AllPairs(len(vectors), first, second, distances, same)


def accuracy_of(pairs: AllPairs, judged_same: Mask, *, seed: int) -> PairAccuracy:
    """Measure decisions (p,) on pairs, at least one of each kind.

    The 95 % interval is over photographs, which are resampled with all their pairs, as pairs that
    share a photograph are not independent.  Where every pair is right it reaches as far down as
    that of a share of n photographs (Clopper and Pearson, Biometrika 26:404, 1934).
    """
    right = judged_same == pairs.same
    if not pairs.same.any() or pairs.same.all():
        raise ValueError("pairs of one individual and pairs of two are needed")
    rng = np.random.default_rng(seed)
    n = pairs.photos
    weights = rng.multinomial(n, np.full(n, 1 / n), size=SAMPLES).astype(np.float64)
    rates = []
    for kind in (pairs.same, ~pairs.same):
        every, good = (_weighed(pairs, mask, weights) for mask in (kind, kind & right))
        with np.errstate(invalid="ignore"):
            rates.append(good / every)
    drawn = (rates[0] + rates[1]) / 2
    low, high = np.nanquantile(drawn, [0.025, 0.975])
    same_right = float(right[pairs.same].mean())
    different_right = float(right[~pairs.same].mean())
    mean = (same_right + different_right) / 2
    reach = 1 - 0.025 ** (1 / n)
    if right.all():
        low = 1 - reach
    elif not right.any():
        high = reach
    return PairAccuracy(
        Interval(float(min(low, mean)), mean, float(max(high, mean))),
        same_right, different_right, int(pairs.same.sum()), int((~pairs.same).sum()), n,
    )  # fmt: skip


def _weighed(pairs: AllPairs, mask: Mask, weights: Values) -> Values:
    """(samples,) sums over the masked pairs of the product of both photographs' weights."""
    matrix = np.zeros((pairs.photos, pairs.photos))
    matrix[pairs.first[mask], pairs.second[mask]] = 1
    return np.asarray(((weights @ matrix) * weights).sum(axis=1))


def best_distance(pairs: AllPairs) -> float:
    """The distance below which pairs are judged the same with the highest accuracy on these pairs.

    It lies in the middle between two neighbouring distances; of several, it is the smallest.
    """
    order = np.argsort(pairs.distances, kind="stable")
    distances, same = pairs.distances[order], pairs.same[order]
    accepted = np.concatenate([[0], np.cumsum(same)]) / same.sum()
    wrong = np.concatenate([[0], np.cumsum(~same)]) / (~same).sum()
    gain = accepted - wrong
    ends = np.concatenate([[0.0], distances, [2.0]])
    gain[1:-1][distances[1:] == distances[:-1]] = -np.inf  # none lies between equal distances
    place = int(np.argmax(gain))
    return float((ends[place] + ends[place + 1]) / 2)


def some(rows: Ints, *, seed: int, most: int = MOST) -> Ints:
    """At most `most` of the rows, drawn by `seed`, ascending."""
    if len(rows) <= most:
        return rows
    return np.sort(np.random.default_rng(seed).choice(rows, most, replace=False))
