"""Fit verification thresholds on labelled pairs: do two photographs show one individual?

`sample_pairs` draws query and gallery photographs to compare, `roc` counts the errors at every
threshold, and `Verifier` keeps the thresholds at a few rates of false acceptance.
From the threshold on, a score takes two photographs for one individual.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Self

import numpy as np
from pydantic import Field, model_validator

from flukeprint.config.base import Section
from flukeprint.data.embeddings import Ints, Values

FEWEST_SAME, FEWEST_OTHER = 20, 100  # least pairs to fit a verifier
FALSE_ACCEPTS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1)

# The rule of 3: no rate below 3 / o can be told from o pairs with 95 % confidence (Mansfield and
# Wayman, Best Practices in Testing and Reporting Performance of Biometric Devices, 2002).
SUPPORT = 3
Rate = Annotated[float, Field(ge=0, le=1)]
Finite = Annotated[float, Field(allow_inf_nan=False)]


@dataclass(frozen=True)
class Pairs:
    """Scores of labelled pairs of photographs.

    same: (s,) float64 of pairs of one individual; other: (o,) of two individuals.
    """

    same: Values
    other: Values

    def __post_init__(self) -> None:
        for name, scores in (("same", self.same), ("other", self.other)):
            if scores.dtype != np.float64 or scores.ndim != 1 or not np.isfinite(scores).all():
                raise ValueError(f"scores of {name} pairs must be finite float64 (n,)")


@dataclass(frozen=True)
class Roc:
    """The ROC curve: errors at every threshold that makes a difference, strictest first.

    thresholds: (k,) float64, descending, each in the middle between two neighbouring scores.
    accepted_other, accepted_same: (k,) int64, number of the `others` and `sames` pairs accepted.
    """

    thresholds: Values
    accepted_other: Ints
    accepted_same: Ints
    others: int
    sames: int

    @property
    def false_accept(self) -> Values:
        """False acceptance rate (k,): share of pairs of two individuals accepted, from 0 to 1."""
        return np.asarray(self.accepted_other / self.others, dtype=np.float64)

    @property
    def false_reject(self) -> Values:
        """False rejection rate (k,): share of pairs of one individual rejected, from 1 to 0."""
        return np.asarray((self.sames - self.accepted_same) / self.sames, dtype=np.float64)

    def equal(self) -> int:
        """Place of the equal error rate, where false acceptance and rejection are nearest.

        They seldom meet exactly.  Of the strictest threshold with rejection <= acceptance and the
        loosest with rejection >= acceptance, the one with the smaller sum of both; the equal error
        rate is their mean there.  Source: Maio et al., FVC2000: Fingerprint Verification
        Competition (IEEE TPAMI 24:402, 2002), section on performance evaluation.
        """
        # Cross-multiplied, so that equal rates are equal.
        accept = self.accepted_other * self.sames
        reject = (self.sames - self.accepted_same) * self.others
        strict = int(np.argmax(reject <= accept))
        loose = len(accept) - 1 - int(np.argmax((reject >= accept)[::-1]))
        total = accept + reject
        return strict if total[strict] <= total[loose] else loose


def roc(pairs: Pairs) -> Roc:
    """Compute the ROC curve of pairs, at least one of each kind.

    False acceptance at t is the share of other pairs with score >= t, false rejection the share
    of same pairs with score < t.  Source: Fawcett, An introduction to ROC analysis (Pattern
    Recognition Letters 27:861, 2006), algorithm 1; ISO/IEC 19795-1 for the two rates.
    """
    if len(pairs.same) == 0 or len(pairs.other) == 0:
        raise ValueError("pairs of one individual and pairs of two are needed")
    scores = np.unique(np.concatenate([pairs.same, pairs.other]))
    same, other = np.sort(pairs.same), np.sort(pairs.other)
    # Accepted from the score on; above the highest score none.
    accepted_same = np.append(len(same) - np.searchsorted(same, scores), 0)
    accepted_other = np.append(len(other) - np.searchsorted(other, scores), 0)
    lowest, highest = float(scores[0]), float(scores[-1])
    edges = np.concatenate(
        [
            [min(-1.0, lowest - 1e-6 * (1 + abs(lowest)))],
            scores,
            [max(1.0, highest + 1e-6 * (1 + abs(highest)))],
        ]
    )
    middles = edges[:-1] + np.diff(edges) / 2
    # Between neighbouring floats there is no middle: the upper one separates them as well.
    thresholds = np.where(middles > edges[:-1], middles, edges[1:])
    return Roc(
        thresholds=thresholds[::-1],
        accepted_other=accepted_other[::-1].astype(np.int64),
        accepted_same=accepted_same[::-1].astype(np.int64),
        others=len(other),
        sames=len(same),
    )


@dataclass(frozen=True)
class VerificationThreshold:
    """A verification decision: two photographs are of one individual from `threshold` on.

    false_accept: share of pairs of two individuals that reach it, measured on `pairs` of them.
    false_reject: share of pairs of one individual that do not.
    """

    threshold: float
    false_accept: float
    false_reject: float
    pairs: int


class Verifier(Section):
    """Verification thresholds from strict to loose, with error rates measured on labelled pairs.

    thresholds: descending; false_accept, false_reject: the rates measured at each.
    pairs_same, pairs_other: number of pairs they were measured on.  Pairs that share a photograph
    are not independent, so the rates are less certain than the number of pairs suggests.
    eer: equal error rate, the mean of both rates where they are nearest to each other.
    """

    thresholds: tuple[Finite, ...] = Field(min_length=1)
    false_accept: tuple[Rate, ...]
    false_reject: tuple[Rate, ...]
    pairs_same: int = Field(ge=1)
    pairs_other: int = Field(ge=1)
    eer: Rate

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        columns = (self.thresholds, self.false_accept, self.false_reject)
        if len({len(column) for column in columns}) != 1:
            raise ValueError("every threshold has both rates")
        down, accept, reject = (np.diff(np.array(column)) for column in columns)
        if np.any(down >= 0) or np.any(accept < 0) or np.any(reject > 0):
            raise ValueError("thresholds go from strict to loose")
        return self

    @classmethod
    def fit(cls, pairs: Pairs) -> "Verifier | None":
        """Fit the thresholds for the rates `FALSE_ACCEPTS` and for the equal error rate.

        The threshold for a rate is the smallest that accepts at most this share of the other
        pairs.  A rate of which fewer than `SUPPORT` accepted pairs are expected is left out.
        None with fewer than 20 same or 100 other pairs.
        """
        if len(pairs.same) < FEWEST_SAME or len(pairs.other) < FEWEST_OTHER:
            return None
        curve = roc(pairs)
        equal = curve.equal()
        kept = {equal}
        for rate in FALSE_ACCEPTS:
            most = math.floor(rate * curve.others + 1e-9)  # 0.1 * 30 is 3
            if most >= SUPPORT:
                kept.add(int(np.searchsorted(curve.accepted_other, most, side="right")) - 1)
        at = sorted(kept)
        accept, reject = curve.false_accept, curve.false_reject
        return cls(
            thresholds=tuple(curve.thresholds[at].tolist()),
            false_accept=tuple(accept[at].tolist()),
            false_reject=tuple(reject[at].tolist()),
            pairs_same=curve.sames,
            pairs_other=curve.others,
            eer=float((accept[equal] + reject[equal]) / 2),
        )

    def at(self, false_accept: float) -> VerificationThreshold:
        """Select the loosest decision with at most this false acceptance, or the strictest one."""
        place = int(np.searchsorted(self.false_accept, false_accept, side="right"))
        place = max(place - 1, 0)
        return VerificationThreshold(
            threshold=self.thresholds[place],
            false_accept=self.false_accept[place],
            false_reject=self.false_reject[place],
            pairs=self.pairs_other,
        )


def sample_pairs(
    query_identities: Sequence[str | None],
    gallery_identities: Sequence[str | None],
    *,
    most_other: int = 5000,
    most_same: int = 5000,
    seed: int,
) -> tuple[Ints, Ints]:
    """Draw pairs of query and gallery photographs, of the same and of different individuals.

    Returns rows same (s, 2) and other (o, 2), int64, of a query and of a gallery photograph: at
    most `most_same` and `most_other` distinct pairs, in ascending order.  They are spread evenly
    over the queries, to within one pair where a query has pairs left, and drawn by `seed`.
    A query of identity None is of an individual absent from the gallery: all its pairs are other.
    Raises ValueError for a gallery photograph without an identity.
    """
    if most_other < 0 or most_same < 0:
        raise ValueError(
            f"numbers of pairs must not be negative: {most_same} same, {most_other} other"
        )
    rows_of: dict[str, list[int]] = {}
    for row, identity in enumerate(gallery_identities):
        if identity is None:
            raise ValueError(f"gallery photograph {row} has no identity")
        rows_of.setdefault(identity, []).append(row)
    members = {name: np.array(rows, dtype=np.int64) for name, rows in rows_of.items()}
    nobody = np.empty(0, dtype=np.int64)
    own = [nobody if name is None else members.get(name, nobody) for name in query_identities]
    have = np.array([len(rows) for rows in own], dtype=np.int64)
    lacking = len(gallery_identities) - have
    rng = np.random.default_rng(seed)
    same = _drawn(have, most_same, rng, lambda query, places: own[query][places])
    # The i-th row that is not among ascending rows: shifted past each of them before it.
    other = _drawn(
        lacking,
        most_other,
        rng,
        lambda query, places: (
            places + np.searchsorted(own[query] - np.arange(have[query]), places, side="right")
        ),
    )
    return same, other


def _drawn(
    have: Ints, most: int, rng: np.random.Generator, row_of: Callable[[int, Ints], Ints]
) -> Ints:
    """Draw pairs (n, 2): from each query's `have` places as many as `_shares` allots it."""
    pairs = [np.empty((0, 2), dtype=np.int64)]
    for query, share in enumerate(_shares(have, most, rng).tolist()):
        if share:
            places = np.sort(rng.choice(int(have[query]), size=share, replace=False, shuffle=False))
            rows = row_of(query, places)
            pairs.append(np.stack([np.full(share, query), rows], axis=1))
    return np.concatenate(pairs)


def _shares(have: Ints, most: int, rng: np.random.Generator) -> Ints:
    """How many of each query's `have` pairs to draw (q,): `most` in all, as evenly as possible."""
    low, high = 0, int(have.max(initial=0))
    while low < high:  # find the highest level to which all can be filled
        level = (low + high + 1) // 2
        if np.minimum(have, level).sum() <= most:
            low = level
        else:
            high = level - 1
    shares = np.minimum(have, low)
    more = np.flatnonzero(have > low)
    rest = min(most - int(shares.sum()), len(more))
    shares[rng.permutation(more)[:rest]] += 1
    return shares
