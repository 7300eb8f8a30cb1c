"""Cross-validate several recipes together: a row of the table for their ensemble on every fold.

Each recipe is trained and scored as by itself; what has finished is used again.
"""

import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path

from flukeprint.config.digests import recipe_digest, training_digest
from flukeprint.config.schema import Config
from flukeprint.errors import FlukeprintError
from flukeprint.evaluation.breakdown import fold_table
from flukeprint.evaluation.results_table import Measured, Row, add_row, read_rows
from flukeprint.identifier.runs import Run
from flukeprint.identifier.studies.run_ensemble import OF_THE_FOLD, JointFold, check_one_fold
from flukeprint.ranking.ensemble import shares_of
from flukeprint.training.check import set_up
from flukeprint.training.cross_validation import (
    FoldPlan,
    million_parameters,
    plan_folds,
    plan_run,
    score_run,
    spent_on,
)


def crossvalidate_together(
    configs: Sequence[Config],
    *,
    weights: Sequence[float] | None = None,
    folds: int | None = None,
    seeds: int = 1,
    into: Path,
    note: str = "",
    report: Callable[[str], None] = print,
) -> list[Row]:
    """Train and score recipes on every fold, and the ensemble of their runs beside them.

    The first configuration says how the ensemble answers, and its row stands under that name.

    Args:
        configs: two or more.
        weights: one positive number for each; None: equal weights.
        note: the ensemble's name in tables; without one the names of all.  A recipe's rows are
            named after its configuration, unless they were in the table before.
        Others: as of `crossvalidate`.

    Returns:
        The rows of the ensemble, with those that were in the table before.

    Raises:
        FlukeprintError: recipes of other folds or photographs, one of them twice, or what
            `crossvalidate` refuses of each.
    """
    digest = ensemble_digest(configs, weights)
    note = " ".join(note.split()) or " + ".join(config.name for config in configs)
    plans = _checked(configs, digest, folds, seeds, into)
    first = plans[0]
    report(f"ensemble {digest}, data {first.data}, folds: {len(first.splits)}, seeds: {seeds}")
    for seed, fold in first.places:
        setting, what = first.setting(fold, seed), f"fold {fold}, seed {first.first_seed + seed}"
        if first.key(fold, seed) in {row.key for row in read_rows(into)}:
            report(f"{what}: is in {into} already, skipped")
            continue
        runs = [_run_of(plan, fold, seed, into, report) for plan in plans]
        joint = JointFold.of(setting, runs, first.catalog, first.splits[fold], weights)
        result, _ = joint.validate(joint.features())
        row = _measured(configs, note, first, joint, seed).row(
            fold_table(result.ranking, result.report, joint.catalog, joint.split),
            {name: scores.map5.mean for name, scores in result.constants.items()},
            seed=setting.split.seed,
            tables=into.parent,
        )
        add_row(row, into)
        report(f"together, {row.text()}")
    return first.rows(into)


def ensemble_digest(configs: Sequence[Config], weights: Sequence[float] | None = None) -> str:
    """Digest of an ensemble, 12 hex digits: the same for all its folds and seeds.

    Of the first recipe with how it ranks, and of the others' trainings.

    Raises:
        FlukeprintError: weights that do not fit.
    """
    shares = shares_of(weights, len(configs))
    first = configs[0].train.seed
    facts = [
        [training_digest(config), config.train.seed - first, f"{share:.9f}"]
        for config, share in zip(configs, shares, strict=True)
    ]
    text = json.dumps(["ensemble", recipe_digest(configs[0]), facts])
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _checked(
    configs: Sequence[Config], digest: str, folds: int | None, seeds: int, into: Path
) -> list[FoldPlan]:
    """Check all recipes and that they go together, before anything is trained."""
    check_one_fold(
        [(config.name, config) for config in configs],
        [key for key in OF_THE_FOLD if key != "split.fold"],
    )
    trainings = [(training_digest(config), config.train.seed) for config in configs]
    for place, training in enumerate(trainings):
        if training in trainings[:place]:
            twin = configs[trainings.index(training)].name
            raise FlukeprintError(
                f"{twin} and {configs[place].name} are the same training, which an ensemble gains "
                "nothing from; give one another train.seed or recipe"
            )
    first_seed = configs[0].train.seed
    plans = [
        plan_folds(config, folds, seeds, into, measured_as=(digest, first_seed))
        for config in configs
    ]
    for plan in plans[1:]:
        if plan.data != plans[0].data:
            raise FlukeprintError(
                f"{configs[0].name} has other photographs or labels (data {plans[0].data}) than "
                f"{plan.config.name} (data {plan.data}); an ensemble needs the same"
            )
        if configs[0].rank.head:  # of each network class centres are asked for
            ranked = plan.setting(0, 0).model_copy(update={"rank": configs[0].rank})
            try:
                set_up(ranked, plan.catalog)
            except FlukeprintError as error:
                raise FlukeprintError(f"{plan.config.name}: {error}") from None
    return plans


def _run_of(plan: FoldPlan, fold: int, seed: int, into: Path, report: Callable[[str], None]) -> Run:
    """The finished run of one recipe, trained where there is none, with its row in the table."""
    setting = plan.setting(fold, seed)
    how, make_run = plan_run(setting, plan.data)
    report(f"{setting.name}, fold {fold}, seed {setting.train.seed}: {how}")
    run = make_run()
    own = (recipe_digest(setting), plan.data, fold, setting.train.seed)
    if own not in {row.key for row in read_rows(into)}:
        row = score_run(run, setting, plan.catalog, plan.splits[fold], setting.name, into.parent)
        add_row(row, into)
        report(row.text())
    return run


def _measured(
    configs: Sequence[Config], note: str, plan: FoldPlan, joint: JointFold, seed: int
) -> Measured:
    """What a row of the ensemble says beside its figures: the sums of its runs."""
    spent = [spent_on(run) for run in joint.runs]
    return Measured(
        config=configs[0].name,
        note=note,
        recipe=plan.recipe,
        data=plan.data,
        fold=joint.config.split.fold,
        seed=plan.first_seed + seed,
        epochs=sum(config.train.epochs for config in configs),
        minutes=sum(one["minutes"] for one in spent) if _all(spent, "minutes") else None,
        peak_mb=max(one["peak_mb"] for one in spent) if _all(spent, "peak_mb") else None,
        million_parameters=sum(million_parameters(run) for run in joint.runs),
    )


def _all(spent: Sequence[dict[str, float]], what: str) -> bool:
    return all(what in one for one in spent)
