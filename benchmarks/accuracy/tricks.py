"""Measure each training trick alone against the same training without it.

    python -m benchmarks.accuracy.tricks --photos input/nyala

Real nyala and drawn whales, small photographs, all three folds, with the settings of
`benchmarks.accuracy.losses`.  A row is written as soon as it is measured and not measured again, so
it may be stopped at any time and started anew; runs that others learn from are kept in the working
folder.  Writes `benchmarks/results/tricks.csv` and `benchmarks/reports/tricks.md`.
"""

import multiprocessing
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import torch

from benchmarks.accuracy import losses
from benchmarks.accuracy.tricks_page import (
    ARMS,
    BASE,
    BATCH,
    BOTH_SIDES,
    CONFIDENCE,
    DATA,
    EPOCHS,
    FOLDS,
    RESULT,
    SEEDS,
    Row,
    read_rows,
    save_rows,
    write_page,
)
from benchmarks.harness.arguments import options
from benchmarks.harness.places import RESULTS
from benchmarks.harness.rows import draw_once, keep_finished, queries_digest, ranks_of
from flukeprint.config.schema import Config
from flukeprint.cpu import keep_memory
from flukeprint.data.catalog import Catalog
from flukeprint.data.embeddings import Embeddings
from flukeprint.data.readers.read import read_labelled, read_test
from flukeprint.data.splits import Split
from flukeprint.embedding.embed import embed, pick_device
from flukeprint.embedding.recipe import Compute, EmbeddingRecipe
from flukeprint.errors import FlukeprintError
from flukeprint.evaluation.breakdown import fold_table
from flukeprint.evaluation.validation import validate
from flukeprint.files import locked_for_writing
from flukeprint.identifier.runs import Run, new_run
from flukeprint.models.network import FlukeNet
from flukeprint.output import say
from flukeprint.ranking.features import Features
from flukeprint.submission.pseudo_label import pseudo_label
from flukeprint.training.check import TrainingSetup, check, split_of
from flukeprint.training.train import finish, fit_network
from flukeprint.training.trainer import make_trainer, quieten_lightning

COMMON = ("name=tricks", f"split.folds={FOLDS}", f"train.epochs={EPOCHS}")
OF_DATA = {
    "nyala": ("image.height=96", "image.width=128"),
    "whales": ("data.synthetic.identities=500", "data.synthetic.test_photos=400"),
}
KEPT, LABELS = "embeddings.npz", f"pseudo_labels-{CONFIDENCE:g}.csv"
NEEDED = {need for arm in ARMS.values() for need in arm.needs}


def settings(data: str, root: Path, work: Path, *more: str) -> Config:
    """The configuration that all trainings share on one data set."""
    return losses.settings(data, root, work, *COMMON, *OF_DATA[data], *more)


def kept_run(data: str, name: str, seed: int, work: Path) -> Run | None:
    """The run of an arm that others learn from, if it is there and whole."""
    last = LABELS if name == BASE else KEPT  # what is written last
    found = sorted(_folder(data, name, seed, work).glob(f"*/*/{last}"))
    return Run(found[-1].parent) if found else None


def configured(data: str, name: str, seed: int, root: Path, work: Path, runs: Path) -> Config:
    """The configuration of an arm on a fold, with as many steps as the base has in its epochs.

    Raises:
        FlukeprintError: a run that it learns from is missing, or names too few photographs.
    """
    arm = ARMS[name]
    more = [
        f"name={_file_name(name)}", f"runs={runs}", f"split.fold={seed}",
        f"train.seed={seed + arm.seed}", *arm.settings, *dict(arm.of_data).get(data, ()),
    ]  # fmt: skip
    needed = {need: kept_run(data, need, seed, work) for need in arm.needs}
    if missing := [need for need, run in needed.items() if run is None]:
        raise FlukeprintError(f"{data}, fold {seed}: {name} needs the run of {missing[0]}")
    paths = [run.path for run in needed.values() if run is not None]
    if name == "distillation":
        more.append(f"train.teachers=[{', '.join(map(str, paths))}]")
    elif name == "pseudo-labels":
        more += [f"data.pseudo_labels={paths[0] / LABELS}", f"data.pseudo_confidence={CONFIDENCE}"]
    config = settings(data, root, work, *more)
    trained = len(split_of(config, read_labelled(config.data)).train)
    more.append(f"train.max_steps={EPOCHS * -(-trained // BATCH)}")
    if arm.longer:
        more.append("train.epochs=1000")
    return settings(data, root, work, *more)


def measure(data: str, name: str, seed: int, root: Path, work: Path) -> list[Row]:
    """Train an arm on a fold, ask the fold's queries, and keep the run if others learn from it."""
    quieten_lightning()
    keep_memory()
    torch.set_num_threads(1)
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    with tempfile.TemporaryDirectory(dir=work) as temporary:
        kept = name in NEEDED
        runs = _folder(data, name, seed, work) if kept else Path(temporary)
        config = configured(data, name, seed, root, work, runs)
        setup = check(config)
        run = new_run(config, setup.catalog)
        trainer = make_trainer(config, run)
        begun = time.process_time()
        fit_network(trainer, config, run, setup)
        spent = time.process_time() - begun
        net, rows = setup.module.net, []
        for sides in (False, True) if ARMS[name].both_sides else (False,):
            infer = config.infer.model_copy(update={"mirror": sides})
            asked = config.model_copy(update={"infer": infer})
            # Of whom others learn, all photographs are embedded; else those of gallery and queries.
            catalog, split = (setup.catalog, setup.split) if kept else only(setup)
            embeddings = embedded(asked, net, catalog)
            validation, _ = validate(Features(embeddings), split, asked)
            table = fold_table(validation.ranking, validation.report, catalog, split)
            photos = len(setup.data.train_catalog)
            rows.append(
                Row(
                    data=data, arm=name + (BOTH_SIDES if sides else ""), seed=seed, photos=photos,
                    added=photos - len(setup.split.train), queries=len(table),
                    of_queries=queries_digest(table), steps=trainer.global_step,
                    cpu_seconds=spent, ranks=ranks_of(table),
                )
            )  # fmt: skip
            if kept and not sides:
                embeddings.save(run.path / KEPT)
        if name == BASE:
            finish(config, run, setup)
            embedded(config, net, read_test(config.data)).save(run.path / "test.npz")
            pseudo_label(run, CONFIDENCE)
        return rows


def only(setup: TrainingSetup) -> tuple[Catalog, Split]:
    """The photographs of a fold's gallery and queries alone, and the fold by their rows."""
    split = setup.split
    rows = np.union1d(split.gallery, split.queries)
    gallery, queries = (np.searchsorted(rows, part) for part in (split.gallery, split.queries))
    return setup.catalog.take(rows), Split(gallery, gallery, queries, split.answers)


def embedded(config: Config, net: FlukeNet, catalog: Catalog) -> Embeddings:
    """Embed a catalogue as at test time."""
    return embed(
        net, catalog, EmbeddingRecipe.of(config).stamped(net), Compute.of(config),
        device=pick_device("cpu"),
    )  # fmt: skip


def _folder(data: str, name: str, seed: int, work: Path) -> Path:
    return work / "kept" / f"{data}-{_file_name(name)}-{seed}"


def _file_name(name: str) -> str:
    return name.replace(", ", "-").replace(" ", "-")


def drawn_whales(work: Path) -> Path:
    """The folder of the drawn whales, drawn where they are missing."""
    root = work / "whales"
    return draw_once(settings("whales", root, work).data.synthetic, root)


def missing(
    rows: Sequence[Row], data_sets: Sequence[str], *, first: bool
) -> list[tuple[str, str, int]]:
    """Data, arm and seed of what is not measured yet; a seed of everything before the next.

    first: those that learn from no other run; otherwise those that do.
    """
    done = {(row.data, row.arm, row.seed) for row in rows}
    wanted = [
        (data, name, seed)
        for seed in SEEDS
        for data in data_sets
        for name, arm in ARMS.items()
        if bool(arm.needs) != first
    ]
    return [what for what in wanted if what not in done]


def measure_all(roots: dict[str, Path], work: Path, workers: int) -> None:
    """Measure what is missing, each arm in one of `workers` processes of one thread."""
    rows = read_rows()

    def keep(done: list[Row]) -> None:
        rows.extend(done)
        save_rows(rows)

    with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn")) as pool:
        for first in (True, False):
            todo = missing(rows, list(roots), first=first)
            asked = [
                pool.submit(measure, data, name, seed, roots[data], work)
                for data, name, seed in todo
            ]
            keep_finished(pool, asked, keep)


def main() -> None:
    """Measure what is missing, and write the page."""
    parser = options("accuracy.tricks", __doc__, ["render"])
    parser.add_argument("--photos", type=Path, help="nyala, as Kaggle lays it out")
    parser.add_argument("--work", type=Path, default=Path("runs/tricks"))
    parser.add_argument("--workers", type=int, default=2, help="processes, of one core each")
    parser.add_argument("--data", nargs="+", choices=list(DATA), default=list(DATA))
    given = parser.parse_args()
    if not given.render:
        if given.photos is None and "nyala" in given.data:
            parser.error("--photos is missing; or leave nyala out with --data whales")
        given.work.mkdir(parents=True, exist_ok=True)
        with locked_for_writing(RESULTS, say):
            roots = {
                data: given.photos if data == "nyala" else drawn_whales(given.work)
                for data in given.data
            }
            measure_all(roots, given.work, given.workers)
    if not RESULT.is_file():
        raise FlukeprintError(f"{RESULT} is missing: measure first, without --render")
    write_page(read_rows())


if __name__ == "__main__":
    main()
