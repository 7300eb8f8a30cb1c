"""Cross-validate a recipe: train and score its folds and seeds, and add a row per run to a table.

Work is not repeated: a run in the table is skipped, a finished run is only scored, an interrupted
one continues from its checkpoint.  Recipes that differ only in how embeddings are ranked share
their trainings.
"""

import json
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from flukeprint.config.digests import recipe_digest, training_digest
from flukeprint.config.schema import Config
from flukeprint.data.catalog import Catalog
from flukeprint.data.doctor import check_readable
from flukeprint.data.embeddings import Embeddings
from flukeprint.data.readers.read import read_labelled
from flukeprint.data.splits import Split
from flukeprint.errors import FlukeprintError
from flukeprint.evaluation.breakdown import QueryTable, fold_table
from flukeprint.evaluation.results_table import Key, Measured, Row, add_row, read_rows
from flukeprint.evaluation.validation import Validation, validate
from flukeprint.files import check_writable
from flukeprint.identifier.identifier import Identifier
from flukeprint.identifier.runs import CENTERS, PREDICTIONS, Run, data_digest
from flukeprint.ranking.features import extract_features
from flukeprint.training.check import check_config, set_up, split_of
from flukeprint.training.train import train


def crossvalidate(
    config: Config,
    *,
    folds: int | None = None,
    seeds: int = 1,
    into: Path,
    note: str = "",
    report: Callable[[str], None] = print,
) -> list[Row]:
    """Train and score folds 0 to `folds` - 1 for `seeds` seeds, counted from `train.seed`.

    Args:
        folds: how many of `split.folds`; None for all.
        into: the table; each run is added when it is scored.
        note: the recipe's name in tables.
        report: receives the progress, a line at a time.

    Returns:
        The rows of all these runs, with those that were in the table before.

    Raises:
        FlukeprintError: no such fold, wrong data or configuration, a table of another version.
    """
    note = " ".join(note.split())
    plan = plan_folds(config, folds, seeds, into)
    report(f"recipe {plan.recipe}, data {plan.data}, folds: {len(plan.splits)}, seeds: {seeds}")
    for seed, fold in plan.places:
        setting = plan.setting(fold, seed)
        what = f"fold {fold}, seed {setting.train.seed}"
        if plan.key(fold, seed) in {row.key for row in read_rows(into)}:
            report(f"{what}: is in {into} already, skipped")
            continue
        how, make_run = plan_run(setting, plan.data)
        report(f"{what}: {how}")
        run = make_run()
        row = score_run(run, setting, plan.catalog, plan.splits[fold], note, into.parent)
        add_row(row, into)
        report(row.text())
    return plan.rows(into)


@dataclass(frozen=True)
class FoldPlan:
    """What is to be measured of a recipe: the splits of its folds, each for `seeds` seeds.

    recipe, first_seed: the digest and the first seed under which rows stand in the table.
    data: digest of the catalogue.
    """

    config: Config
    catalog: Catalog
    splits: tuple[Split, ...]
    seeds: int
    recipe: str
    first_seed: int
    data: str

    @property
    def places(self) -> list[tuple[int, int]]:
        """Seed, counted from 0, and fold of each run."""
        return [(seed, fold) for seed in range(self.seeds) for fold in range(len(self.splits))]

    def key(self, fold: int, seed: int) -> Key:
        """The key of a run's row."""
        return self.recipe, self.data, fold, self.first_seed + seed

    def rows(self, into: Path) -> list[Row]:
        """The rows of all its runs that are in the table."""
        wanted = {self.key(fold, seed) for seed, fold in self.places}
        return [row for row in read_rows(into) if row.key in wanted]

    def setting(self, fold: int, seed: int) -> Config:
        """The configuration of one run."""
        return _fold(self.config, fold, seed)


def plan_folds(
    config: Config,
    folds: int | None,
    seeds: int,
    into: Path,
    *,
    measured_as: tuple[str, int] | None = None,
) -> FoldPlan:
    """Check a recipe, and the folds of it that are still to be trained.

    measured_as: digest and first seed under which the runs stand in the table; None: the recipe's
        own.

    Raises:
        FlukeprintError: as of `crossvalidate`.
    """
    folds = config.split.folds if folds is None else folds
    if not 1 <= folds <= config.split.folds:
        raise FlukeprintError(f"--folds {folds}: split.folds={config.split.folds} allows 1 to that")
    if seeds < 1:
        raise FlukeprintError(f"--seeds {seeds}: at least one seed is needed")
    if config.train.devices > 1:
        raise FlukeprintError("crossvalidate trains on one device: set train.devices=1")
    rows = read_rows(into)  # a wrong table is refused before anything is trained
    check_writable(into.parent)
    catalog = read_labelled(config.data)
    if config.data.skip_unreadable:
        catalog = check_readable(catalog, True)
    recipe, first_seed = measured_as or (recipe_digest(config), config.train.seed)
    data = data_digest(catalog)
    measured = {row.key for row in rows}
    waiting = [
        fold
        for fold in range(folds)
        for seed in range(seeds)
        if (recipe, data, fold, first_seed + seed) not in measured
        and not _finished(_fold(config, fold, seed), data)
    ]
    splits = _checked_splits(config, catalog, folds, set(waiting))
    return FoldPlan(config, catalog, tuple(splits), seeds, recipe, first_seed, data)


def _checked_splits(
    config: Config, catalog: Catalog, folds: int, waiting: Collection[int]
) -> list[Split]:
    """The split of each fold; refuses what one that is `waiting` for its training would refuse."""
    if waiting:
        check_config(config)
    splits = []
    for fold in range(folds):
        setting = _fold(config, fold, 0)
        splits.append(
            set_up(setting, catalog).split if fold in waiting else split_of(setting, catalog)
        )
    if not config.data.skip_unreadable:
        check_readable(catalog)  # last, because it takes longest
    return splits


def score_run(
    run: Run, config: Config, catalog: Catalog, split: Split, note: str, tables: Path
) -> Row:
    """Score a finished run: its row, and its predictions in `queries.csv` in the run's folder.

    Another recipe with the same training writes `queries-<recipe>.csv` there.  A copy for
    comparisons goes to `Measured.answers` below the table's folder, `tables`.
    """
    answered, constants = answers_of(run, config, catalog, split)
    recipe = recipe_digest(config)
    own = recipe_digest(run.config()) == recipe
    answered.save(run.path / (PREDICTIONS if own else f"queries-{recipe}.csv"))
    spent = spent_on(run)
    measured = Measured(
        config=config.name,
        note=note,
        recipe=recipe,
        data=data_digest(catalog),
        fold=config.split.fold,
        seed=config.train.seed,
        epochs=config.train.epochs,
        minutes=spent.get("minutes"),
        peak_mb=spent.get("peak_mb"),
        million_parameters=million_parameters(run),
    )
    return measured.row(answered, constants, seed=config.split.seed, tables=tables)


def million_parameters(run: Run) -> float:
    """Parameters of a run's network, in millions."""
    net = Identifier.load(run.identifier, with_index=False).net
    return sum(p.numel() for p in net.parameters()) / 1e6


def spent_on(run: Run) -> dict[str, float]:
    """Minutes and peak memory of a run, its pretraining included; none of an older version."""
    found: dict[str, float] = {}
    for file in (run.path / "minutes.json", run.pretrained.with_name("minutes.json")):
        spent: dict[str, float] = json.loads(file.read_text()) if file.is_file() else {}
        if "minutes" in spent:
            found["minutes"] = found.get("minutes", 0.0) + spent["minutes"]
        if "peak_mb" in spent:
            found["peak_mb"] = max(found.get("peak_mb", 0.0), spent["peak_mb"])
    return found


def answers_of(
    run: Run, config: Config, catalog: Catalog, split: Split
) -> tuple[QueryTable, dict[str, float]]:
    """Rank the reporting queries of a finished run.

    Returns:
        The queries with its answers; MAP@5 of the constant answers of an open set, by name.

    Raises FlukeprintError when the run's embeddings are of other photographs.
    """
    embeddings = Embeddings.load(run.path / "embeddings.npz")
    if embeddings.images != catalog.images:
        raise FlukeprintError(f"{run.path}: its embeddings are of other photographs; train again")
    result = _validated(run, embeddings, catalog, split, config)
    table = fold_table(result.ranking, result.report, catalog, split)
    return table, {name: scores.map5.mean for name, scores in result.constants.items()}


def _validated(
    run: Run, embeddings: Embeddings, catalog: Catalog, split: Split, config: Config
) -> Validation:
    """Validate a finished run again, by the ranking rules of `config`."""
    file = run.path / CENTERS
    centers = Embeddings.load(file) if config.rank.head and file.is_file() else None
    features = extract_features(
        embeddings, catalog, config.image, config.rank, progress="keypoints"
    )
    return validate(features, split, config, centers=centers, progress="matching keypoints")[0]


def _fold(config: Config, fold: int, further_seed: int) -> Config:
    """The configuration of one fold, with a seed counted from `train.seed`."""
    train = {"seed": config.train.seed + further_seed}
    return config.model_copy(
        update={
            "split": config.split.model_copy(update={"fold": fold}),
            "train": config.train.model_copy(update=train),
        }
    )


def plan_run(config: Config, data: str) -> tuple[str, Callable[[], Run]]:
    """How to get a finished run of this configuration: in words, and as a function.

    By the newest finished run of the same training, else by resuming the newest unfinished one of
    the recipe, else by training.
    """
    candidates = list(_runs_of(config, data))
    if finished := _finished(config, data):
        return f"{finished[-1].path} has finished, it is only scored", lambda: finished[-1]
    unfinished = [
        (run, known) for run, known in candidates
        if run.resumable
        and run.made_by != "pretrain"
        and recipe_digest(known) == recipe_digest(config)
        and known.data.root == config.data.root  # else resuming would be refused
        and known.train.all_epochs == config.train.all_epochs
        and known.train.all_lr_factor == config.train.all_lr_factor
    ]  # fmt: skip
    if not unfinished:
        return "training", lambda: train(config, made_by="crossvalidate")
    run, known = unfinished[-1]
    image = config.image.model_copy(update={"cache": known.image.cache})
    same = config.model_copy(update={"image": image})
    return f"going on with {run.path}", lambda: train(
        same, resume=run.name, made_by="crossvalidate"
    )


def finished_run(config: Config, catalog: Catalog) -> Run:
    """Find the newest finished run of this training, fold, seed and data.

    Raises FlukeprintError where there is none.
    """
    finished = _finished(config, data_digest(catalog))
    if not finished:
        raise FlukeprintError(
            f"no finished run of {config.name}, fold {config.split.fold}, in {config.runs}; "
            f"flukeprint crossvalidate --config {config.name} makes them"
        )
    return finished[-1]


def _finished(config: Config, data: str) -> list[Run]:
    return [run for run, _ in _runs_of(config, data) if run.finished]


def _runs_of(config: Config, data: str) -> Iterator[tuple[Run, Config]]:
    """Find the runs of the same training, fold, seed and data, oldest first."""
    wanted = (training_digest(config), config.split.fold, config.train.seed, data)
    for file in sorted((config.runs / config.name).glob("*/config.yaml")):
        run = Run(file.parent)
        try:
            known = run.config()
        except FlukeprintError:  # of a version with other settings
            continue
        have = (training_digest(known), known.split.fold, known.train.seed, run.data_digest())
        if have == wanted:
            yield run, known
