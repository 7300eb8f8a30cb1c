"""Metrics on the same embeddings, verification and identification among distractors, on real folds.

    python -m benchmarks.accuracy.metrics RUN [RUN ...]

RUN is the folder of a finished run, one for each data set.  Those of the page are made by

    train.py -c nyala_open data.root=NYALA image.height=144 image.width=192 train.epochs=8
        train.validate_every=2 train.sizes=[] rank.local.candidates=30
    train.py -c spiders_open data.root=SPIDERS image.height=160 image.width=160 train.epochs=8
        rank.local.candidates=0
    train.py -c lions data.root=LIONS image.height=160 image.width=160 train.epochs=8
        rank.local.candidates=30

Each fold is also measured with the untrained backbone of its run's configuration.  Writes
`benchmarks/results/metrics.json`, where the rows of other data sets are kept, and from it alone
(`--render`) `benchmarks/reports/metrics.md`.
"""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.harness.arguments import options
from benchmarks.harness.places import REPORTS, RESULTS
from flukeprint.errors import counted
from flukeprint.evaluation.metrics import Interval
from flukeprint.evaluation.studies.distractors import DISTRACTORS, DistractorCurve, identify_among
from flukeprint.evaluation.studies.few_shot import FewShotCell, few_shots
from flukeprint.evaluation.studies.fold import Fold
from flukeprint.evaluation.studies.metric_study import BASELINE, FIGURES, compare_metrics
from flukeprint.evaluation.studies.verification_study import verify_folds
from flukeprint.files import written_whole
from flukeprint.identifier.runs import Run
from flukeprint.identifier.studies.run_fold import read_run_fold, untrained_fold
from flukeprint.output import say

RESULT, PAGE = RESULTS / "metrics.json", REPORTS / "metrics.md"
MOST_PAIRS, SAMPLES = 100_000, 2000


def measure(fold: Fold, facts: dict[str, Any]) -> dict[str, Any]:
    """Everything that the page shows of one network on one fold."""
    say(f"{facts['data']}, {facts['network']}")
    study = compare_metrics(fold, most_pairs=MOST_PAIRS, samples=SAMPLES)
    verified = verify_folds([fold], most=MOST_PAIRS)
    rates = {
        kind: {
            "same": found.same, "other": found.other, "same_individuals": found.same_individuals,
            "eer": asdict(found.eer),
            "true_accepts": [asdict(point) for point in found.true_accepts],
        }
        for kind, found in verified.rates.items()
    }  # fmt: skip
    return {
        **facts,
        "photographs": len(fold.vectors), "gallery": len(fold.gallery),
        "dimension": fold.vectors.shape[1], "queries": study.queries,
        "same": study.same, "other": study.other,
        "metrics": {name: asdict(found) for name, found in study.metrics.items()},
        "left_out": study.left_out, "seconds": study.seconds, "rates": rates,
        "decided": None if verified.decided is None else {
            **asdict(verified.decided), "accuracy": verified.decided.accuracy,
            "accuracy_of_never": verified.decided.accuracy_of_never,
        },
        "distractors": [asdict(identify_among(fold, kind)) for kind in DISTRACTORS],
        "few_shots": [asdict(cell) for cell in few_shots(fold).cells],
    }  # fmt: skip


def main() -> None:
    """Measure the runs and write result and page."""
    parser = options("accuracy.metrics", __doc__, ["render"])
    parser.add_argument("runs", nargs="*", type=Path, help="folders of finished runs")
    given = parser.parse_args()
    if not given.render:
        if not given.runs:
            parser.error("name the folders of finished runs")
        rows = json.loads(RESULT.read_text()) if RESULT.exists() else []
        for folder in given.runs:
            config = Run(folder).config()
            rows = [row for row in rows if row["data"] != config.name]
            facts = {"data": config.name, "epochs": config.train.epochs, "fold": config.split.fold}
            rows.append(
                measure(read_run_fold(folder), {**facts, "network": "trained", "run": folder.name})
            )
            rows.append(
                measure(untrained_fold(config, split=True), {**facts, "network": "untrained"})
            )
            with written_whole(RESULT) as partial:
                partial.write_text(json.dumps(rows, indent=1) + "\n")
    text = page(json.loads(RESULT.read_text()))
    with written_whole(PAGE) as partial:
        partial.write_text(text)
    print(text)


HEAD = """# Metrics, verification and distractors on the same embeddings

Made by `python -m benchmarks.accuracy.metrics RUN [RUN ...]`, whose docstring says how the runs are
made. One fold of each data set; identification by the nearest photograph of each animal, queries of
known animals only; pairs of a query and a gallery photograph, never of one burst or of copies.
Keypoints and the other rules of ranking are not used. Intervals are of 95 % and resample animals.
Differences to cosine are paired: on the same resamples. Of the equal error rate (EER) less is
better. A difference in bold is beyond noise.

Training saw the photographs of the gallery. Mahalanobis learns the covariance within animals
from them, by Ledoit-Wolf shrinkage.
"""


def page(rows: list[dict[str, Any]]) -> str:
    """The page in Markdown."""
    parts = [HEAD, "## Metrics\n", *map(_metrics, rows)]
    parts += ["## What it says\n", _verdict(rows), "## Verification by cosine\n", _verified(rows)]
    parts += ["## Identification among drawn animals\n", _distractors(rows)]
    parts += ["## Few shots\n", _few_shots(rows)]
    return "\n".join(parts)


def _title(row: dict[str, Any]) -> str:
    trained = f"after {counted(row['epochs'], 'epoch')}" if "run" in row else "untrained backbone"
    return f"{row['data']}, {trained}"


def _metrics(row: dict[str, Any]) -> str:
    shown = [name for name in FIGURES if name in row["metrics"][BASELINE]["values"]]
    lines = [
        f"**{_title(row)}** (fold {row['fold']}, {row['dimension']} dimensions, "
        f"{row['gallery']:,} photographs in the gallery, {row['queries']:,} queries, "
        f"{row['same']:,} pairs of one animal, {row['other']:,} of two)\n",
        "| metric | " + " | ".join(f"{name} | - cosine" for name in shown) + " |",
        "|---|" + "---|---|" * len(shown),
    ]
    for name, found in row["metrics"].items():
        cells = []
        for figure in shown:
            cells.append(_interval(found["values"][figure]))
            gain = found["over_cosine"].get(figure)
            cells.append("" if gain is None else _gain(gain["gain"]))
        lines.append(f"| {name} | {' | '.join(cells)} |")
    lines += [f"| {name} | {why} |" for name, why in row["left_out"].items()]
    return "\n".join([*lines, ""])


def _verdict(rows: list[dict[str, Any]]) -> str:
    """For each metric, on how many folds it differs from cosine beyond noise, and by how much."""
    lines = [
        "On vectors of length 1, |x - y|^2 = 2 - 2 x.y: Euclidean distance and cosine rank alike, "
        "and their figures are the same. A run keeps no embeddings of other lengths; both were "
        "compared on such in the tests only.",
        "",
        f"| metric | figure | better than cosine | worse | cannot be told, of {len(rows)} |",
        "|---|---|---|---|---|",
    ]
    names = [name for name in rows[0]["metrics"] if name not in (BASELINE, "euclidean")]
    for name in names:
        for figure in FIGURES:
            gains = [
                (_title(row), row["metrics"][name]["over_cosine"][figure]["gain"])
                for row in rows
                if name in row["metrics"] and figure in row["metrics"][name]["over_cosine"]
            ]
            sign = -1 if figure == "EER" else 1
            better = [title for title, gain in gains if _side(gain) == sign]
            worse = [title for title, gain in gains if _side(gain) == -sign]
            rest = len(gains) - len(better) - len(worse)
            lines.append(
                f"| {name} | {figure} | {'; '.join(better) or '-'} | {'; '.join(worse) or '-'} "
                f"| {rest} |"
            )
    return "\n".join([*lines, ""])


def _verified(rows: list[dict[str, Any]]) -> str:
    lines = [
        "| network | pairs | of one animal | of two | EER | accepted at 0.1 | at 0.01 | at 0.001 |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        for kind, found in row["rates"].items():
            if "run" not in row and kind == "of unseen animals":
                continue  # all its animals are unseen
            points = [
                f"cannot be told from {point['others']:,} pairs"
                if point["share"] is None
                else _interval(point["share"])
                for point in found["true_accepts"]
            ]
            lines.append(
                f"| {_title(row)} | {kind} | {found['same']:,} | {found['other']:,} | "
                f"{_interval(found['eer'])} | {' | '.join(points)} |"
            )
    lines += [
        "",
        "At a threshold fitted on the pairs among the other half of the animals:",
        "",
        "| network | of one: accepted | rejected | of two: accepted | rejected "
        "| accuracy, both kinds alike | of all pairs | of always answering two |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        if (decided := row["decided"]) is not None:
            numbers = " | ".join(
                f"{decided[name]:,}"
                for name in ("accepted_same", "rejected_same", "accepted_other", "rejected_other")
            )
            lines.append(
                f"| {_title(row)} | {numbers} | {_interval(decided['balanced'])} | "
                f"{decided['accuracy']:.3f} | {decided['accuracy_of_never']:.3f} |"
            )
    return "\n".join([*lines, ""])


def _distractors(rows: list[dict[str, Any]]) -> str:
    curves = [
        (_title(row), DistractorCurve(**{**curve, "rank1": _intervals(curve["rank1"]),
                                         "rank5": _intervals(curve["rank5"]),
                                         "instead": Interval(**curve["instead"])}))
        for row in rows
        for curve in row["distractors"]
    ]  # fmt: skip
    sizes = curves[0][1].sizes
    lines = [
        "Rank-1 with N drawn unit vectors in the gallery, each an animal of its own. *Instead*: "
        "rank-1 with as many drawn ones as the gallery has photographs, in the place of those of "
        "all other animals. Where it is above N = 0, drawn animals are easier than real ones, and "
        "a gallery of real ones would be harder than the curve says.",
        "",
        "| network | drawn | " + " | ".join(f"{size:,}" for size in sizes) + " | instead | s |",
        "|---|---|" + "---|" * (len(sizes) + 2),
    ]
    for title, curve in curves:
        rates = " | ".join(f"{rate.mean:.3f}" for rate in curve.rank1)
        lines.append(
            f"| {title} | {curve.kind} | {rates} | {curve.instead.mean:.3f} | {curve.seconds:.0f} |"
        )
    first = curves[0][1]
    lines += [
        "",
        f"The interval of {first.rank1[0].mean:.3f}, {curves[0][0]}, is "
        f"[{first.rank1[0].low:.3f}, {first.rank1[0].high:.3f}]; the others are in the result.",
        "",
    ]
    return "\n".join(lines)


def _few_shots(rows: list[dict[str, Any]]) -> str:
    lines = [
        "1,000 episodes of each; the interval is over animals. *Seen*: training saw these animals, "
        "only the queries are new to it. *Unseen*: it saw none of their photographs.",
        "",
        "| network | episodes | animals | prototype | nearest photograph | chance |",
        "|---|---|---|---|---|---|",
    ]
    for row in rows:
        for found in row["few_shots"]:
            cell = FewShotCell(**found)
            rates = [_interval(found["over_animals"][name]) for name in found["over_animals"]]
            lines.append(
                f"| {_title(row)} | {cell.ways}-way {cell.shots}-shot | "
                f"{cell.animals:,} {cell.source} | {' | '.join(rates)} | {1 / cell.ways:.3f} |"
            )
    return "\n".join([*lines, ""])


def _intervals(found: list[dict[str, float]]) -> tuple[Interval, ...]:
    return tuple(Interval(**each) for each in found)


def _interval(found: dict[str, float]) -> str:
    return Interval(**found).text()


def _side(gain: dict[str, float]) -> int:
    """1 where a difference is above nothing beyond noise, -1 below, else 0."""
    return int(gain["low"] > 0) - int(gain["high"] < 0)


def _gain(gain: dict[str, float]) -> str:
    text = f"{gain['mean']:+.3f} [{gain['low']:+.3f}, {gain['high']:+.3f}]"
    return f"**{text}**" if _side(gain) else text


if __name__ == "__main__":
    main()
