"""What the protocol says of one fold, and of several."""

from dataclasses import replace

import numpy as np

from flukeprint.evaluation.studies.verification_study import (
    EVERYBODY,
    ONE_VIEW,
    UNSEEN,
    check_pairs,
    verification_lines,
    verify_folds,
)
from tests.evaluation.studies.folds import drawn_fold
from tests.refusals import refused


def test_each_kind_of_pairs_is_measured_where_there_are_enough() -> None:
    fold = drawn_fold(animals=30, each=5, unseen=6)
    views = tuple(("left", "right")[row % 2] for row in range(150))
    study = verify_folds([replace(fold, views=views)], samples=50)
    assert list(study.rates) == [EVERYBODY, ONE_VIEW, UNSEEN]
    assert study.rates[EVERYBODY].same == 24 * 2 * 3
    assert study.rates[ONE_VIEW].same < study.rates[EVERYBODY].same
    assert study.rates[UNSEEN].same == 6 * 10
    assert study.rates[UNSEEN].other == 30 * 29 // 2 - 60
    text = "\n".join(verification_lines(study))
    for words in ("equal error rate", "true accepts at 0.001", "cannot be told from 375 pairs",
                  "fitted on the other half of the individuals", "Training saw"):  # fmt: skip
        assert words in text
    few = verify_folds([drawn_fold(animals=30, each=5, unseen=2)], samples=50)
    assert list(few.rates) == [EVERYBODY]
    assert any("unseen animals are not measured: 20 pairs" in note for note in few.notes)


def test_folds_are_averaged_and_decided_by_each_other() -> None:
    folds = [replace(drawn_fold(seed=seed), number=seed, name=f"f{seed}") for seed in (0, 1)]
    study = verify_folds(folds, samples=50)
    singles = [verify_folds([fold], samples=50) for fold in folds]
    mean = np.mean([one.rates[EVERYBODY].eer.mean for one in singles])
    assert study.rates[EVERYBODY].eer.mean == mean
    assert study.decided is not None
    assert study.decided.fitted_on == "other folds"
    assert len(study.decided.thresholds) == 2
    text = "\n".join(verification_lines(study))
    assert "mean of folds 0, 1" in text
    assert "partly of the same animals" in text


def test_too_few_pairs_are_refused() -> None:
    fold = drawn_fold(animals=4, each=3)
    for call in (lambda: verify_folds([fold]), lambda: check_pairs(fold)):
        refused(call, "8 pairs of one animal", "20 and 100 are needed")


def test_new_photographs_are_never_of_one_animal() -> None:
    fold = drawn_fold(animals=30, each=4, unnamed=20)
    with_new, without = (
        verify_folds([one], samples=20).rates[EVERYBODY]
        for one in (fold, drawn_fold(animals=30, each=4))
    )
    assert with_new.same == without.same
    assert with_new.other == without.other + 20 * len(fold.gallery)
    assert with_new.individuals == 50


def test_an_animal_with_one_photograph_has_no_pair_with_itself() -> None:
    fold = drawn_fold(animals=30, each=4)
    alone = tuple("alone" if row == 2 else name for row, name in enumerate(fold.identities))
    study = verify_folds([replace(fold, identities=alone)], samples=20)
    assert study.rates[EVERYBODY].same == 30 * 4 - 2
    assert study.rates[EVERYBODY].same_individuals == 30
    assert study.rates[EVERYBODY].individuals == 31
