"""Measure the recipe for small catalogues: 40 animals, and test photographs of strangers as well.

    python -m benchmarks.accuracy.small_catalogue --photos input/nyala

Draws 40 of the animals with 4 to 10 labelled photographs; a quarter of the photographs of each is
kept for testing, and two photographs of each of 12 further animals, which the catalogue lacks.  The
recipes are trained on the rest, answer the test photographs, and are scored by the labels that were
kept: `benchmarks/results/small_catalogue.json`.  A finished run in the working folder is not
trained again.
"""

import json
import math
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.harness.arguments import options
from benchmarks.harness.places import RESULTS
from flukeprint.config.load import load_config
from flukeprint.cpu import keep_memory
from flukeprint.data.readers.read import read_labelled, read_test
from flukeprint.embedding.recipe import Compute
from flukeprint.evaluation.metrics import bootstrap_interval, evaluate, map_at_5, per_query_ap
from flukeprint.evaluation.validation import validate_rankings
from flukeprint.evaluation.validation_queries import QUERIES_FILE, ValidationQueries
from flukeprint.files import written_whole
from flukeprint.identifier.identifier import Identifier
from flukeprint.identifier.runs import Run
from flukeprint.ranking.ranking import Ranking, insert_new_individual
from flukeprint.training.train import train

KNOWN, STRANGERS = 40, 12
RECIPES = ("nyala.yaml", "small.yaml")


def lay_out(photos: Path, folder: Path) -> dict[str, str | None]:
    """Link the photographs into the layout of the reader `folders`; returns the right answers."""
    config = load_config("nyala.yaml", [f"data.root={photos}", "data.views=null"])
    catalog = read_labelled(config.data)
    assert catalog.paths is not None
    of: dict[str, list[Path]] = defaultdict(list)
    for path, name in zip(catalog.paths, catalog.identities, strict=True):
        if name is not None:
            of[name].append(Path(path))
    rng = np.random.default_rng(0)
    several = sorted(name for name in of if 4 <= len(of[name]) <= 10)
    drawn = [several[i] for i in rng.permutation(len(several))]
    truth: dict[str, str | None] = {}
    for name in sorted(drawn[:KNOWN]):
        mine = [of[name][i] for i in rng.permutation(len(of[name]))]
        kept = max(1, round(len(mine) / 4))
        for path in mine[:kept]:
            truth[_link(path, folder / "test")] = name
        for path in mine[kept:]:
            _link(path, folder / "train" / name)
    for name in sorted(drawn[KNOWN : KNOWN + STRANGERS]):
        mine = [of[name][i] for i in rng.permutation(len(of[name]))]
        for path in mine[:2]:
            truth[_link(path, folder / "test")] = None
    return truth


def _link(path: Path, folder: Path) -> str:
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / path.name).exists():
        (folder / path.name).symlink_to(path.resolve())
    return path.name


def measure(recipe: str, work: Path, truth: dict[str, str | None]) -> dict[str, Any]:
    """Train a recipe, unless it has been, and score its answers with several thresholds."""
    runs = work / "runs" / Path(recipe).stem
    config = load_config(
        recipe,
        [
            "data.reader=folders", f"data.root={work / 'mine'}", "data.views=null",
            "data.sample_submission=null", "data.closed_set=false", f"runs={work / 'runs'}",
            f"image.cache={work / 'cache'}",
        ],
    )  # fmt: skip
    finished = [Run(path) for path in sorted(runs.glob("*")) if Run(path).finished]
    run = finished[-1] if finished else train(config)
    test = read_test(config.data)
    identifier = Identifier.load(run.identifier).with_threshold(None)
    plain = identifier.rank(identifier.examine(test, compute=Compute.of(config), progress=True))
    answers = [truth[Path(image).name] for image in plain.images]
    queries = ValidationQueries.load(run.path / QUERIES_FILE)
    rows: dict[str, Any] = {}
    for name, setting in (("fallback", None), ("fitted", "fitted")):
        infer = config.infer if setting is None else config.infer.model_copy(
            update={"fallback": setting}
        )  # fmt: skip
        judged = validate_rankings(queries, run.config().model_copy(update={"infer": infer}))
        rows[name] = _row(_with(plain, judged.threshold), answers, judged.threshold)
        rows[name]["doubt"] = judged.doubt
        rows[name]["map5_on_the_fold"] = judged.scores.map5.mean
    rows["never new"] = _row(plain, answers, None)
    rows["always new first"] = _row(insert_new_individual(plain, math.inf), answers, None)
    known = [i for i, answer in enumerate(answers) if answer is not None]
    always = per_query_ap(insert_new_individual(plain, math.inf).identities, answers)
    gain = per_query_ap(_with(plain, rows["fallback"]["threshold"]).identities, answers) - always
    found = bootstrap_interval(gain, seed=0)
    stopwatch = json.loads((run.path / "minutes.json").read_text())
    return {
        "thresholds": rows,
        "over_always": [found.low, found.mean, found.high],
        "map5_of_known": map_at_5(
            [plain.identities[i] for i in known], [answers[i] for i in known]
        ),
        "auroc": evaluate(plain, answers, seed=0).auroc,
        "minutes": stopwatch["minutes"],
        "photographs": len(read_labelled(config.data)),
    }


def _with(plain: Ranking, threshold: float | None) -> Ranking:
    return plain if threshold is None else insert_new_individual(plain, threshold)


def _row(
    ranking: Ranking, answers: Sequence[str | None], threshold: float | None
) -> dict[str, Any]:
    scores = evaluate(ranking, answers, seed=0)
    first = [names[0] is None for names in ranking.identities]
    return {
        "threshold": threshold,
        "map5": [scores.map5.low, scores.map5.mean, scores.map5.high],
        "top1": scores.top1,
        "top5": scores.top5,
        "new_first": float(np.mean(first)),
        "queries": scores.queries,
        "new_queries": scores.new_queries,
    }


def main() -> None:
    """Measure the recipes and write the result."""
    parser = options("accuracy.small_catalogue", __doc__)
    parser.add_argument("--photos", type=Path, required=True, help="nyala, as Kaggle lays it out")
    parser.add_argument("--work", type=Path, default=Path("runs/small_catalogue"))
    given = parser.parse_args()
    keep_memory()
    truth = lay_out(given.photos, given.work / "mine")
    found = {recipe: measure(recipe, given.work, truth) for recipe in RECIPES}
    with written_whole(RESULTS / "small_catalogue.json") as partial:
        partial.write_text(json.dumps(found, indent=1) + "\n")
    for recipe, result in found.items():
        for name, row in result["thresholds"].items():
            print(
                f"{recipe:12} {name:17} MAP@5 {row['map5'][1]:.3f}, top-1 {row['top1']:.3f}, "
                f"new first {row['new_first']:.0%}"
            )


if __name__ == "__main__":
    main()
