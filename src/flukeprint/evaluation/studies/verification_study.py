"""Verification of one fold or of several, as in face recognition: all that is said of it."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from flukeprint.errors import FlukeprintError, counted, listed
from flukeprint.evaluation.studies.decision import Decided, decide_elsewhere
from flukeprint.evaluation.studies.error_rates import ErrorRates, error_rates
from flukeprint.evaluation.studies.fold import Fold, number_individuals
from flukeprint.evaluation.studies.individuals import SAMPLES, draw_individuals
from flukeprint.evaluation.studies.pairs import (
    MOST_PAIRS,
    LabelledPairs,
    fold_pairs,
    half_of_individuals,
    score_pairs,
    unseen_pairs,
)
from flukeprint.evaluation.verification import FEWEST_OTHER, FEWEST_SAME

EVERYBODY, ONE_VIEW, UNSEEN = "of query and gallery", "of one view", "of unseen animals"


@dataclass(frozen=True)
class VerificationStudy:
    """How well cosine similarity tells pairs of one animal from pairs of two.

    names, numbers: of the folds; several are measured each by itself and averaged.
    rates: by kind of pairs; all pairs of a query and a gallery photograph, those of one view, and
        those among animals that training never saw.  A kind with too few pairs is left out.
    decided: what a threshold fitted elsewhere does; None with too few pairs.
    notes: what is to be known about the figures, sentences.
    seconds: it took.
    """

    names: tuple[str, ...]
    numbers: tuple[int, ...]
    rates: dict[str, ErrorRates]
    decided: Decided | None
    notes: tuple[str, ...]
    seconds: float


def verify_folds(
    folds: Sequence[Fold], *, most: int = MOST_PAIRS, samples: int = SAMPLES
) -> VerificationStudy:
    """Measure verification on folds of one data set and one recipe.

    most: pairs of one animal, and of two, of each fold; more are drawn from.

    Raises FlukeprintError where a fold has too few pairs.
    """
    start_time = time.perf_counter()
    owners = number_individuals([name for fold in folds for name in fold.identities])
    total = int(owners.max(initial=-1)) + 1
    seed = folds[0].seed
    times = draw_individuals(total, seed=seed, samples=samples)
    rates: dict[str, ErrorRates] = {}
    notes = []
    drawn = [fold_pairs(fold, most=most) for fold in folds]
    kinds: dict[str, Callable[[], list[LabelledPairs]]] = {
        EVERYBODY: lambda: drawn,
        ONE_VIEW: lambda: [
            pairs.in_one_view(fold) for fold, pairs in zip(folds, drawn, strict=True)
        ],
        UNSEEN: lambda: [unseen_pairs(fold, most=most) for fold in folds],
    }
    for kind, draw in kinds.items():
        pairs = draw()
        short = too_few(pairs)
        if short and kind == EVERYBODY:
            raise FlukeprintError(_refusal(folds[0], short))
        if not short:
            rates[kind] = error_rates(score_pairs(folds, pairs), seed=seed, times=times)
        elif kind == UNSEEN and any(len(fold.unseen()) for fold in folds):
            notes.append(f"Pairs {kind} are not measured: {short}.")
    scored = score_pairs(folds, drawn)
    parts, start = [], 0
    for fold in folds:
        mine = owners[start : start + len(fold.identities)]
        start += len(fold.identities)
        parts.append(half_of_individuals(fold, total, mine))
    decided = decide_elsewhere(scored, [fold.number for fold in folds], parts, times)
    return VerificationStudy(
        names=tuple(fold.name for fold in folds),
        numbers=tuple(fold.number for fold in folds),
        rates=rates,
        decided=decided,
        notes=(*notes, *_notes(folds, drawn, decided, most)),
        seconds=time.perf_counter() - start_time,
    )


def check_pairs(fold: Fold, *, most: int = MOST_PAIRS) -> None:
    """Refuse a fold with too few pairs of a query and a gallery photograph."""
    if short := too_few([fold_pairs(fold, most=most)]):
        raise FlukeprintError(_refusal(fold, short))


def _refusal(fold: Fold, short: str) -> str:
    return f"{fold.name}: {short}; lower split.folds or add photographs, and train again"


def too_few(pairs: Sequence[LabelledPairs]) -> str:
    """Why these pairs are too few to measure on, of any fold; empty if they are enough."""
    for mine in pairs:
        if len(mine.same) < FEWEST_SAME or len(mine.other) < FEWEST_OTHER:
            return (
                f"{counted(len(mine.same), 'pair')} of one animal and {len(mine.other):,} of two, "
                f"where {FEWEST_SAME} and {FEWEST_OTHER} are needed"
            )
    return ""


def _notes(
    folds: Sequence[Fold], drawn: Sequence[LabelledPairs], decided: Decided | None, most: int
) -> list[str]:
    notes = [
        "Intervals are of 95 % and resample individuals, since pairs that share a photograph or an "
        "animal are not independent; no pair is of one burst, of copies or of boxes of one picture."
    ]
    if any(fold.trained[row] for fold in folds for row in fold.gallery):
        new = (
            f"only pairs {UNSEEN} show how it does on new ones"
            if any(len(fold.unseen()) for fold in folds)
            else "no animal is new to the network, and on new ones it may do far worse"
        )
        notes.append(
            "Training saw the gallery's photographs, but not those of the queries; of most of the "
            f"queries' animals it saw others: {new}."
        )
    full = [place for place, pairs in enumerate(drawn) if len(pairs.other) >= 0.95 * most]
    if full:
        notes.append(f"At most {most:,} pairs of each kind are drawn, evenly over the queries.")
    if decided is None:
        notes.append(
            "No threshold is fitted elsewhere: a half of the individuals lacks pairs of one animal "
            "or of two."
        )
    elif decided.fitted_on == "other folds":
        notes.append(
            "The threshold was fitted on the pairs of the other folds: other photographs and "
            "another network of the same recipe, but partly of the same animals."
        )
    return notes


def verification_lines(study: VerificationStudy) -> list[str]:
    """The figures as lines for people."""
    title = listed(study.names, 4)
    if len(set(study.numbers)) > 1:
        title += f" (mean of folds {listed(sorted(set(study.numbers)))})"
    lines = [title]
    for kind, found in study.rates.items():
        lines.append(
            f"pairs {kind}: {found.same:,} of one animal ({found.same_individuals:,} animals), "
            f"{found.other:,} of two"
        )
        lines.append(f"  equal error rate           {found.eer.text()}")
        lines += [
            f"  true accepts at {point.rate:<10g} {point.text()}" for point in found.true_accepts
        ]
    if study.decided is not None:
        lines += decision_lines(study.decided)
    return [*lines, *study.notes]


def decision_lines(decided: Decided) -> list[str]:
    """The confusion matrix and the accuracy as lines for people."""
    thresholds = ", ".join(f"{threshold:.4f}" for threshold in decided.thresholds)
    width = len(f"{max(decided.accepted_other, decided.rejected_other):,}")
    return [
        f"threshold {thresholds}, fitted on {decided.fitted_on}:",
        f"  of one animal:  {decided.accepted_same:>{width},} accepted, "
        f"{decided.rejected_same:>{width},} rejected",
        f"  of two animals: {decided.accepted_other:>{width},} accepted, "
        f"{decided.rejected_other:>{width},} rejected",
        f"  both kinds counted alike: accuracy {decided.balanced.text()}",
        f"  every pair counted alike: accuracy {decided.accuracy:.3f} "
        f"(always answering two animals: {decided.accuracy_of_never:.3f})",
    ]
