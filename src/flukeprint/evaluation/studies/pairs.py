"""Which photographs verification compares: labelled pairs of a fold, with the individuals of each.

`fold_pairs` draws pairs of a query and a gallery photograph, `unseen_pairs` pairs of photographs of
individuals that training never saw.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from flukeprint.data.embeddings import Ints, Values
from flukeprint.data.splits import halves
from flukeprint.evaluation.studies.fold import Fold, number_individuals
from flukeprint.evaluation.verification import Pairs, sample_pairs

MOST_PAIRS = 100_000  # of one individual, and of two
_PAIRS_AT_ONCE = 1 << 12

# Similarities (m,) of pairs of rows (m, 2) of a fold.
PairScore = Callable[[Fold, Ints], Values]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class LabelledPairs:
    """Pairs of photographs of a fold, as rows of its vectors: same (s, 2), other (o, 2)."""

    same: Ints
    other: Ints

    def in_one_view(self, fold: Fold) -> "LabelledPairs":
        """Keep the pairs of two photographs of one view; none where a view is unknown."""
        known = sorted({view for view in fold.views or () if view is not None})
        number: dict[str | None, int] = {view: place for place, view in enumerate(known)}
        views = np.array(
            [number.get(view, -1) for view in fold.views or (None,) * len(fold.groups)]
        )

        def kept(pairs: Ints) -> Ints:
            left, right = views[pairs[:, 0]], views[pairs[:, 1]]
            return np.asarray(pairs[(left == right) & (left >= 0)])

        return LabelledPairs(kept(self.same), kept(self.other))


def fold_pairs(fold: Fold, *, most: int = MOST_PAIRS) -> LabelledPairs:
    """Draw pairs of a query and a gallery photograph, by `sample_pairs`.

    most: of one individual, and of two; they are spread evenly over the queries.  A query of no
    identity is of an individual of its own, so that all its pairs are of two.
    """
    return _drawn(fold, fold.queries, fold.gallery, most)


def unseen_pairs(fold: Fold, *, most: int = MOST_PAIRS) -> LabelledPairs:
    """Draw pairs among the photographs of individuals that training never saw, each pair once."""
    rows = fold.unseen()
    found = _drawn(fold, rows, rows, 2 * most)
    once = [pairs[pairs[:, 0] < pairs[:, 1]] for pairs in (found.same, found.other)]
    return LabelledPairs(*once)


def _drawn(fold: Fold, left: Ints, right: Ints, most: int) -> LabelledPairs:
    """Pairs of a photograph of `left` and one of `right` that are not of one group."""
    same, other = sample_pairs(
        [fold.identities[row] for row in left],
        [fold.identities[row] for row in right],
        most_same=most, most_other=most, seed=fold.seed,
    )  # fmt: skip

    def apart(pairs: Ints) -> Ints:
        rows = np.stack([left[pairs[:, 0]], right[pairs[:, 1]]], axis=1)
        return np.asarray(rows[fold.groups[rows[:, 0]] != fold.groups[rows[:, 1]]])

    return LabelledPairs(apart(same), apart(other))


def cosine_of_pairs(fold: Fold, pairs: Ints) -> Values:
    """Cosine similarity (m,) of pairs of rows (m, 2), summed in float64."""
    found = np.empty(len(pairs))
    for start in range(0, len(pairs), _PAIRS_AT_ONCE):
        rows = pairs[start : start + _PAIRS_AT_ONCE]
        left, right = (fold.vectors[rows[:, side]].astype(np.float64) for side in (0, 1))
        lengths = np.linalg.norm(left, axis=1) * np.linalg.norm(right, axis=1)
        found[start : start + len(rows)] = np.einsum("md,md->m", left, right) / lengths
    return found


@dataclass(frozen=True)
class ScoredPairs:
    """Scores of labelled pairs with the individuals that they are of.

    same_owners: (s,) individual of each pair; other_owners: (o, 2) the two of each.
    individuals: how many there are in all; numbers are below.
    """

    scores: Pairs
    same_owners: Ints
    other_owners: Ints
    individuals: int

    def __post_init__(self) -> None:
        if self.same_owners.shape != self.scores.same.shape:
            raise ValueError("one individual for each pair of one")
        if self.other_owners.shape != (len(self.scores.other), 2):
            raise ValueError("two individuals for each pair of two")
        if np.any(self.other_owners[:, 0] == self.other_owners[:, 1]):
            raise ValueError("a pair of two individuals is of one")

    @property
    def measurable(self) -> bool:
        """Whether there are pairs of both kinds."""
        return len(self.scores.same) > 0 and len(self.scores.other) > 0

    def take(self, same: Mask, other: Mask) -> "ScoredPairs":
        """The pairs of these masks."""
        return ScoredPairs(
            Pairs(self.scores.same[same], self.scores.other[other]),
            self.same_owners[same], self.other_owners[other], self.individuals,
        )  # fmt: skip

    def within(self, individuals: Mask) -> "ScoredPairs":
        """The pairs of which all individuals are among these (individuals,)."""
        return self.take(
            individuals[self.same_owners], np.asarray(individuals[self.other_owners].all(axis=1))
        )


def score_pairs(
    folds: Sequence[Fold], pairs: Sequence[LabelledPairs], score: PairScore = cosine_of_pairs
) -> list[ScoredPairs]:
    """Score the pairs of each fold; an individual has one number in all of them."""
    owners = number_individuals([name for fold in folds for name in fold.identities])
    total = int(owners.max(initial=-1)) + 1
    found, start = [], 0
    for fold, labelled in zip(folds, pairs, strict=True):
        mine = owners[start : start + len(fold.identities)]
        start += len(fold.identities)
        scores = Pairs(score(fold, labelled.same), score(fold, labelled.other))
        found.append(ScoredPairs(scores, mine[labelled.same[:, 0]], mine[labelled.other], total))
    return found


def half_of_individuals(fold: Fold, count: int, owners: Ints) -> Mask:
    """Halve the individuals of a fold's queries and gallery: (count,) True for one half.

    owners: (n,) number of the individual of each photograph, below `count`.  Both halves have
    about as many photographs of known individuals, and of photographs without an identity.
    """
    rows = np.concatenate([fold.queries, fold.gallery])
    names = [fold.identities[row] for row in rows]
    side = np.zeros(count, dtype=bool)
    side[owners[rows[halves(names, names, fold.seed)]]] = True
    return side
