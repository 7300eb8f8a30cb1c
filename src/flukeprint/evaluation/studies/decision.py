"""One threshold for verification, measured on pairs that did not choose it.

The threshold is fitted on the pairs of other folds, or, with one fold, on the pairs among one half
of the individuals and measured on the pairs among the other half, and the reverse.  It is the one
with the best balanced accuracy, which counts both kinds of pairs alike, however many there are.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from flukeprint.data.embeddings import Ints
from flukeprint.evaluation.metrics import Interval
from flukeprint.evaluation.studies.individuals import at_least_rule_of_3, resampled_interval
from flukeprint.evaluation.studies.pairs import Mask, ScoredPairs
from flukeprint.evaluation.verification import Pairs, roc

FittedOn = Literal["other folds", "the other half of the individuals"]


@dataclass(frozen=True)
class Decided:
    """What a threshold fitted elsewhere does.

    thresholds: those that were fitted, one for each part that was measured.
    accepted_same, rejected_same, accepted_other, rejected_other: numbers of pairs, the confusion
        matrix.  balanced: the mean of the true accept and the true reject rate, with its 95 %
        interval over individuals for these thresholds.
    """

    fitted_on: FittedOn
    thresholds: tuple[float, ...]
    accepted_same: int
    rejected_same: int
    accepted_other: int
    rejected_other: int
    balanced: Interval

    @property
    def accuracy(self) -> float:
        """Share of all pairs that are decided rightly."""
        right = self.accepted_same + self.rejected_other
        return right / (right + self.rejected_same + self.accepted_other)

    @property
    def accuracy_of_never(self) -> float:
        """Accuracy of taking no two photographs for one individual."""
        other = self.accepted_other + self.rejected_other
        return other / (other + self.accepted_same + self.rejected_same)


def best_threshold(pairs: Pairs) -> float:
    """The threshold with the best balanced accuracy on pairs of both kinds; the strictest of them.

    This maximises Youden's J = true accept - false accept rate (Cancer 3:32, 1950).
    """
    curve = roc(pairs)
    return float(curve.thresholds[int(np.argmax(-curve.false_reject - curve.false_accept))])


def decide_elsewhere(
    pairs: Sequence[ScoredPairs], numbers: Sequence[int], sides: Sequence[Mask], times: Ints
) -> Decided | None:
    """Measure the pairs of each run at a threshold that was fitted elsewhere.

    With runs of several folds that is on the pairs of all runs of other folds, whose scores must be
    on about one scale: networks of one recipe.  With one fold it is on the pairs within the other
    half of the individuals; pairs across the halves are not used.

    Args:
        numbers: the fold of each run.
        sides: of each run its halves (individuals,), as `half_of_individuals` makes them.
        times: resamples of individuals.

    Returns:
        None where a half lacks pairs of a kind.
    """
    if len(set(numbers)) > 1:
        parts = []
        for mine, number in zip(pairs, numbers, strict=True):
            rest = [
                other.scores for other, fold in zip(pairs, numbers, strict=True) if fold != number
            ]
            fitted = Pairs(
                np.concatenate([one.same for one in rest]),
                np.concatenate([one.other for one in rest]),
            )
            parts.append((best_threshold(fitted), mine))
        return _decided("other folds", parts, times)
    parts = []
    for mine, half in zip(pairs, sides, strict=True):
        halves = (mine.within(half), mine.within(~half))
        if not all(part.measurable for part in halves):
            return None
        parts += [(best_threshold(halves[1 - side].scores), halves[side]) for side in (0, 1)]
    return _decided("the other half of the individuals", parts, times)


def _decided(
    fitted_on: FittedOn, parts: Sequence[tuple[float, ScoredPairs]], times: Ints
) -> Decided:
    same = np.concatenate([part.scores.same >= threshold for threshold, part in parts])
    other = np.concatenate([part.scores.other >= threshold for threshold, part in parts])
    same_owners = np.concatenate([part.same_owners for _, part in parts])
    other_owners = np.concatenate([part.other_owners for _, part in parts])
    drawn = np.full(len(times), np.nan)
    for sample, weight in enumerate(times):
        of_same, of_other = weight[same_owners], weight[other_owners].prod(axis=1)
        if of_same.any() and of_other.any():
            drawn[sample] = (
                (of_same * same).sum() / of_same.sum() + (of_other * ~other).sum() / of_other.sum()
            ) / 2
    balanced = float((same.mean() + (~other).mean()) / 2)
    return Decided(
        fitted_on=fitted_on,
        thresholds=tuple(threshold for threshold, _ in parts),
        accepted_same=int(same.sum()),
        rejected_same=int((~same).sum()),
        accepted_other=int(other.sum()),
        rejected_other=int((~other).sum()),
        balanced=at_least_rule_of_3(
            resampled_interval(drawn, balanced), len(np.unique(same_owners))
        ),
    )
