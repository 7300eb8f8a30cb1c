"""Study finished runs: verification, identification among distractors, and metrics compared."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from flukeprint.config.digests import training_digest
from flukeprint.errors import FlukeprintError, listed
from flukeprint.evaluation.studies.distractors import (
    DISTRACTORS,
    SIZES,
    DistractorCurve,
    distractor_lines,
    identify_among,
)
from flukeprint.evaluation.studies.fold import Fold
from flukeprint.evaluation.studies.metric_study import (
    MetricStudy,
    compare_metrics,
    metric_lines,
)
from flukeprint.evaluation.studies.verification_study import (
    VerificationStudy,
    check_pairs,
    verification_lines,
    verify_folds,
)
from flukeprint.identifier.runs import Run
from flukeprint.identifier.studies.run_fold import read_run_fold
from flukeprint.output import followed


@dataclass(frozen=True)
class RunStudy:
    """The figures of one run: each by itself, whatever other runs were given."""

    run: str
    verification: VerificationStudy
    distractors: tuple[DistractorCurve, ...]
    metrics: MetricStudy


@dataclass(frozen=True)
class RunStudies:
    """The figures of each run, and of runs of several folds of one recipe as means over them."""

    runs: tuple[RunStudy, ...]
    over_folds: tuple[VerificationStudy, ...]

    def text(self) -> str:
        """All figures for people."""
        lines: list[str] = []
        for study in self.runs:
            lines += verification_lines(study.verification)
            for curve in study.distractors:
                lines += ["", *distractor_lines(curve)]
            lines += ["", *metric_lines(study.metrics), ""]
        for mean in self.over_folds:
            lines += [*verification_lines(mean), ""]
        return "\n".join(lines).rstrip()

    def summary(self) -> dict[str, Any]:
        """Everything for JSON."""
        found: dict[str, Any] = _plain(asdict(self))
        return found


def study_runs(folders: Sequence[Path], *, most_distractors: int = SIZES[-1]) -> RunStudies:
    """Study runs, each by itself, and runs of one recipe and data set on several folds together.

    most_distractors: the largest number of drawn vectors in the gallery.

    Raises FlukeprintError, before anything is measured, for a folder that is no finished run,
    and for a run with too few pairs.
    """
    twice = sorted({str(folder) for folder in folders if folders.count(folder) > 1})
    if twice:
        raise FlukeprintError(f"runs given twice: {listed(twice)}; name each once")
    folds = [read_run_fold(folder) for folder in folders]
    for fold in folds:
        check_pairs(fold)
    sizes = (*(size for size in SIZES if size < most_distractors), most_distractors)
    studies = []
    for folder, fold in zip(followed(folders, "studies", len(folders), "run"), folds, strict=True):
        studies.append(
            RunStudy(
                str(folder),
                verify_folds([fold]),
                tuple(identify_among(fold, kind, sizes) for kind in DISTRACTORS),
                compare_metrics(fold),
            )
        )
    return RunStudies(tuple(studies), tuple(map(verify_folds, _of_one_recipe(folders, folds))))


def _of_one_recipe(folders: Sequence[Path], folds: Sequence[Fold]) -> list[list[Fold]]:
    """The folds of runs of one recipe and data set, where they are of several folds."""
    groups: dict[tuple[str, str], list[Fold]] = {}
    for folder, fold in zip(folders, folds, strict=True):
        run = Run(folder)
        groups.setdefault((training_digest(run.config()), run.data_digest()), []).append(fold)
    return [mine for mine in groups.values() if len({fold.number for fold in mine}) > 1]


def _plain(value: Any) -> Any:
    """Numbers and lists in the place of arrays."""
    if isinstance(value, dict):
        return {key: _plain(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    return value.tolist() if isinstance(value, np.ndarray) else value
