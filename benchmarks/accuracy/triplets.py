"""Measure what drawing a run's hardest triplets again is worth, on a fold of nyala.

    python -m benchmarks.accuracy.triplets --photos input/nyala

Trains a small network with the triplet loss, exports the hardest triplets of its training
photographs, and trains on from its weights: with the batches as before, with a quarter of each
batch from those triplets, and with as many triplets drawn at random.  Steps, photographs a step
and schedule are equal; three seeds.  Writes `benchmarks/results/triplets.json` and
`benchmarks/reports/triplets.md`.  A finished run in the working folder is not trained again.
"""

import csv
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.harness.arguments import options
from benchmarks.harness.places import REPORTS, RESULTS
from flukeprint.config.load import load_config
from flukeprint.config.schema import Config
from flukeprint.cpu import keep_memory
from flukeprint.data.embeddings import Embeddings
from flukeprint.data.readers.read import read_labelled
from flukeprint.data.splits import split_for
from flukeprint.evaluation.breakdown import QueryTable
from flukeprint.evaluation.comparison import Judged, compare_answers
from flukeprint.evaluation.studies.triplets import PHOTO_COLUMNS, mine_hardest
from flukeprint.files import written_whole
from flukeprint.identifier.identifier import Identifier
from flukeprint.identifier.reports.triplet_export import export_triplets
from flukeprint.identifier.runs import PREDICTIONS, Run, new_run
from flukeprint.training.check import check
from flukeprint.training.train import finish, fit_network, train
from flukeprint.training.trainer import make_trainer, quieten_lightning

SEEDS = (0, 1, 2)
BASE_STEPS, STEPS = 200, 120
MARGIN, SHARE, BATCH = 0.3, 0.25, 48
ARMS = ("as before", "hardest triplets", "random triplets")
PAGE, RESULT = REPORTS / "triplets.md", RESULTS / "triplets.json"


def settings(photos: Path, work: Path, seed: int, steps: int, *more: str) -> Config:
    """The small configuration of a seed."""
    return load_config(
        "nyala.yaml",
        [
            f"data.root={photos}", f"runs={work}", f"image.cache={work / 'cache'}",
            "image.height=96", "image.width=128", "image.flip=none", "split.folds=5",
            f"losses=[{{name: triplet, params: {{mining: batch_hard, margin: {MARGIN}}}}}]",
            "sampler.name=positive_available", f"sampler.batch_size={BATCH}",
            f"train.max_steps={steps}", "train.epochs=1000", "train.validate_every=1000",
            "train.sizes=[]", "train.report=false", "train.workers=0",
            "train.accelerator=cpu", f"train.seed={seed}",
            "rank.head=0", "rank.local.candidates=0", "infer.mirror=false", *more,
        ],
    )  # fmt: skip


def finished(config: Config) -> Run | None:
    """The finished run of this configuration's name, if there is one."""
    runs = [Run(path) for path in sorted((config.runs / config.name).glob("*"))]
    return next((run for run in runs if run.finished), None)


def trained_on(config: Config, base: Run) -> Run:
    """Train on from the weights of a run, unless it has been done."""
    if (run := finished(config)) is not None:
        return run
    setup = check(config)
    setup.module.net.load_state_dict(Identifier.load(base.identifier).net.state_dict())
    run = new_run(config, setup.catalog)
    fit_network(make_trainer(config, run), config, run, setup)
    finish(config, run, setup)
    return run


def random_triplets(base: Run, like: Path, file: Path, seed: int) -> None:
    """Write as many triplets as `like` has, of training photographs drawn at random."""
    config = base.config()
    catalog = read_labelled(config.data)
    rows = split_for(config, catalog).train
    names = np.array([catalog.identities[row] for row in rows])
    with like.open(newline="") as found:
        count = len(list(csv.DictReader(found)))
    rng = np.random.default_rng(seed)
    drawn: set[tuple[str, str, str]] = set()
    while len(drawn) < count:
        anchor = int(rng.integers(len(rows)))
        positives = np.flatnonzero((names == names[anchor]) & (np.arange(len(rows)) != anchor))
        if not len(positives):
            continue
        negatives = np.flatnonzero(names != names[anchor])
        three = (anchor, int(rng.choice(positives)), int(rng.choice(negatives)))
        drawn.add(tuple(catalog.images[rows[place]] for place in three))  # type: ignore[arg-type]
    with written_whole(file) as partial, partial.open("w", newline="") as out:
        csv.writer(out).writerows([PHOTO_COLUMNS, *sorted(drawn)])


def still_violated(base: Run, run: Run) -> tuple[float, float]:
    """Share of training photographs whose hardest triplet violates the margin, before and after."""
    shares = []
    for one in (base, run):
        config = one.config()
        catalog = read_labelled(config.data)
        rows = split_for(config, catalog).train
        vocabulary = {name: i for i, name in enumerate(catalog.vocabulary())}
        animals = np.array([vocabulary[catalog.identities[row] or ""] for row in rows])
        each = np.arange(len(rows))
        vectors = Embeddings.load(one.path / "embeddings.npz").vectors[rows]
        found = mine_hardest(
            vectors, animals=animals, classes=animals, groups=each, alike=each, margin=MARGIN
        )
        shares.append(len(found) / found.anchors)
    return shares[0], shares[1]


def measure(photos: Path, work: Path) -> dict[str, Any]:
    """Train all runs and compare them."""
    runs: dict[str, list[Run]] = {arm: [] for arm in ("base", *ARMS)}
    exported = []
    for seed in SEEDS:
        config = settings(photos, work, seed, BASE_STEPS, f"name=base-{seed}")
        base = finished(config) or train(config)
        hard, at_random = work / f"hard-{seed}.csv", work / f"random-{seed}.csv"
        _, found = export_triplets(base, hard)
        random_triplets(base, hard, at_random, seed)
        exported.append([len(found), found.anchors, float(found.violation[0])])
        runs["base"].append(base)
        for arm, file in zip(ARMS, (None, hard, at_random), strict=True):
            name = f"name={arm.replace(' ', '-')}-{seed}"
            more = [] if file is None else [f"sampler.triplets={file}"]
            config = settings(
                photos, work, seed, STEPS, name, "train.lr=5.0e-4",
                f"sampler.triplets_share={SHARE}", *more,
            )  # fmt: skip
            runs[arm].append(trained_on(config, base))
    judged = {
        arm: Judged(
            arm, mine[0].data_digest(), (0,) * len(SEEDS),
            tuple(QueryTable.load(run.path / PREDICTIONS) for run in mine),
        )
        for arm, mine in runs.items()
    }  # fmt: skip
    pairs = (("base", ARMS[0]), (ARMS[0], ARMS[1]), (ARMS[0], ARMS[2]), (ARMS[2], ARMS[1]))
    return {
        "seeds": list(SEEDS), "base_steps": BASE_STEPS, "steps": STEPS, "batch": BATCH,
        "share": SHARE, "margin": MARGIN, "exported": exported,
        "figures": {
            arm: [
                {"map5": run.figures()["map5"]["mean"], "top1": run.figures()["top1"],
                 "minutes": json.loads((run.path / "minutes.json").read_text())["minutes"],
                 "violated": still_violated(base, run)[1]}
                for base, run in zip(runs["base"], mine, strict=True)
            ]
            for arm, mine in runs.items()
        },
        "comparisons": {
            f"{b} against {a}": asdict(compare_answers(judged[a], judged[b])) for a, b in pairs
        },
    }  # fmt: skip


def _said(name: str, found: dict[str, Any]) -> str:
    gain = found["gain"]
    text = f"{gain['mean']:+.3f} [{gain['low']:+.3f}, {gain['high']:+.3f}]"
    if gain["low"] > 0:
        return f"{name} {text}: better"
    if gain["high"] < 0:
        return f"{name} {text}: worse"
    return f"{name} {text}: the data cannot tell"


def page(found: dict[str, Any]) -> str:
    """The report of a result."""

    def row(arm: str, rows: Sequence[dict[str, float]]) -> str:
        cells = [
            ", ".join(f"{one[key]:.3f}" for one in rows)
            + f" (mean {np.mean([o[key] for o in rows]):.3f})"
            for key in ("map5", "top1", "violated")
        ]
        return f"| {arm} | {' | '.join(cells)} | {np.mean([o['minutes'] for o in rows]):.1f} |"

    each = found["comparisons"]
    hardest = each[f"{ARMS[1]} against {ARMS[0]}"]["map5"]["gain"]
    if hardest["low"] > 0:
        verdict = "**It pays here.**"
    elif hardest["high"] < 0:
        verdict = "**It does not pay here: the network is worse for it.**"
    else:
        verdict = (
            "**It does not pay here: the difference is within what these queries cannot tell.**"
        )
    exported = "; ".join(
        f"{count:,} of {anchors:,} photographs, the worst by {worst:.2f}"
        for count, anchors, worst in found["exported"]
    )
    queries = next(iter(each.values()))["queries"]
    lines = [
        "# Hardest triplets, drawn again",
        "",
        f"A small network (tf_efficientnet_lite0, 96 x 128 px, stem and two stages frozen) learns "
        f"nyala with the batch-hard triplet loss (margin {found['margin']:g}) for "
        f"{found['base_steps']} batches of {found['batch']} photographs. `flukeprint triplets` "
        "exports the hardest triplet of each training photograph that violates the margin "
        f"({exported}). Then the training goes on from these weights for {found['steps']} batches "
        f"in three ways: as before, with {found['share']:.0%} of each batch from the exported "
        "triplets (`sampler.triplets`), and with as many triplets drawn at random. Everything else "
        f"is equal; fold 0 of 5, {queries} queries, seeds {', '.join(map(str, found['seeds']))}.",
        "",
        verdict,
        "",
        "| training | MAP@5, each seed | top-1, each seed | training photographs whose hardest "
        "triplet violates the margin | minutes |",
        "|---|---|---|---|---|",
        *(row(arm, rows) for arm, rows in found["figures"].items()),
        "",
        "Differences with their 95 % interval, by a paired bootstrap over the queries; a query "
        "counts once, with its mean over the seeds:",
        "",
        *(
            f"- {name}: {_said('MAP@5', one['map5'])}; {_said('top-1', one['top1'])}"
            for name, one in each.items()
        ),
        "",
        "What these figures cannot say: they are of one data set, one loss that mines within its "
        "batch anyway, and one share; the intervals are over queries, and three seeds say little "
        "of how much a seed matters.",
        "",
        "Made by `python -m benchmarks.accuracy.triplets`.",
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure, or write the page again."""
    parser = options("accuracy.triplets", __doc__, ("render",))
    parser.add_argument("--photos", type=Path, help="nyala, as Kaggle lays it out")
    parser.add_argument("--work", type=Path, default=Path("runs/triplets"))
    given = parser.parse_args()
    if not given.render:
        if given.photos is None:
            parser.error("--photos names the folder of nyala")
        keep_memory()
        quieten_lightning()
        found = measure(given.photos, given.work)
        with written_whole(RESULT) as partial:
            partial.write_text(json.dumps(found, indent=1) + "\n")
    with written_whole(PAGE) as partial:
        partial.write_text(page(json.loads(RESULT.read_text())))
    print(PAGE.read_text())


if __name__ == "__main__":
    main()
