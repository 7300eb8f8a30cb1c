"""Measure what the doctor of catalogues finds of planted faults, and what it finds besides.

    python -m benchmarks.accuracy.doctor RUN [RUN ...]

RUN: folders of finished runs on folds of one catalogue, such as those that `flukeprint
crossvalidate -c nyala.yaml --folds 2` keeps.  In copies of a run's catalogue 20 faults of each kind
are planted, three times, and `flukeprint doctor` examines each copy at its default settings: with
faults among the fold's held-out photographs, whose labels the network has not seen; among those it
was trained on; and with features of a network that was trained on none of them.  A copy that is
measured is not measured again.  Writes `benchmarks/results/doctor.json` and
`benchmarks/reports/doctor.md`.
"""

import json
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.accuracy.doctor_faults import EACH, Faulty, key, plant, without_keypoints
from benchmarks.harness.arguments import options
from benchmarks.harness.places import REPORTS, RESULTS
from flukeprint.config.schema import Config
from flukeprint.data.embeddings import Embeddings
from flukeprint.data.readers.read import read_labelled
from flukeprint.evaluation.breakdown import QueryTable
from flukeprint.files import written_whole
from flukeprint.identifier.identifier import Identifier
from flukeprint.identifier.runs import PREDICTIONS, Run
from flukeprint.keeper.doctor.examine import examine_catalogue
from flukeprint.keeper.doctor.findings import HEADINGS, KINDS, CatalogueReport
from flukeprint.models.network import untrained_embedder
from flukeprint.training.finishing.fold import embed_stamped

RESULT, PAGE = RESULTS / "doctor.json", REPORTS / "doctor.md"
SEEDS = 3
LIGHT = {"height": 224, "width": 304}  # of the untrained network's photographs
WITHIN = 0.5  # as in configs/small.yaml
PLACES = {
    "held out": "among photographs that the network was not trained on",
    "trained on": "among photographs that it was trained on, with their true labels",
    "untrained": "with features of a network that was trained on none of them",
}


def untrained(known: Identifier, config: Config, work: Path) -> Identifier:
    """The same catalogue with features of ImageNet's weights, as small catalogues use them."""
    file = work / "untrained.npz"
    config = config.model_copy(update={"image": config.image.model_copy(update=LIGHT)})
    if not file.is_file():
        work.mkdir(parents=True, exist_ok=True)
        net = untrained_embedder(config.model, (LIGHT["height"], LIGHT["width"]))
        embed_stamped(config, net, read_labelled(config.data), "untrained").save(file)
    found = Embeddings.load(file)
    row = {image: place for place, image in enumerate(found.images)}
    vectors = found.vectors[[row[image] for image in known.gallery.images]]
    method = known.card.method
    rules = method.rules.model_copy(update={"within": WITHIN})
    return replace(
        known,
        gallery=replace(known.gallery, vectors=vectors),
        card=known.card.model_copy(update={"method": method.model_copy(update={"rules": rules})}),
        index=None, indexed=0, origin=None,
    )  # fmt: skip


def copies(runs: list[Run], work: Path) -> Iterator[tuple[str, str, int, Identifier, Faulty]]:
    """Where the faults are, run, seed, the catalogue as it is, and the copy."""
    known = None
    for run in runs:
        known = Identifier.load(run.identifier, with_index=False)
        asked = set(QueryTable.load(run.path / PREDICTIONS).images)
        held = np.array([image in asked for image in known.gallery.images])
        for seed in range(SEEDS):
            yield "held out", run.name, seed, known, plant(known, held, seed, whole=False)
            yield "trained on", run.name, seed, known, plant(known, ~held, seed, whole=True)
    assert known is not None
    bare = untrained(known, runs[-1].config(), work)
    for seed in range(SEEDS):
        yield "untrained", "", seed, bare, plant(bare, [True] * len(bare.gallery), seed, whole=True)


def examined(copy: Faulty) -> CatalogueReport:
    """The doctor's report at its default settings."""
    return examine_catalogue(
        copy.identifier, individuals=copy.individuals, encounters=copy.encounters,
        photographs=copy.photographs,
    )  # fmt: skip


def measured(copy: Faulty, before: set[tuple[str, ...]]) -> dict[str, dict[str, int]]:
    """Of each kind: planted, found, others that are right, and false alarms.

    before: findings of the catalogue without faults, which are alarms too, but may be right.
    """
    report = examined(copy)
    rows = {}
    for kind in KINDS:
        here = report.of(kind)
        planted = copy.faults.get(kind, set())
        found = {key(one) for one in here} & planted
        right = [one for one in here if copy.right(one)]
        wrong = [one for one in here if not copy.right(one)]
        rows[kind] = {
            "planted": len(planted),
            "found": len(found),
            "besides": len(right) - len([one for one in right if key(one) in planted]),
            "false": len(wrong),
            "false_before": sum((kind, *key(one)) in before for one in wrong),
        }
    return rows


def measure(runs: list[Run], work: Path) -> list[dict[str, Any]]:
    """Measure every copy that is not yet, and keep each as soon as it is."""
    rows: list[dict[str, Any]] = []
    if RESULT.is_file():
        rows = json.loads(RESULT.read_text())["rows"]
    done = {(row["faults"], row["run"], row["seed"]) for row in rows}
    plain: dict[tuple[str, str], tuple[set[tuple[str, ...]], float]] = {}
    for where, run, seed, known, copy in copies(runs, work):
        if (where, run, seed) in done:
            continue
        source = (where if where == "untrained" else "", run)
        if source not in plain:
            as_it_is = replace(known, card=without_keypoints(known), keypoints=None)
            start = time.perf_counter()
            report = examine_catalogue(as_it_is)
            plain[source] = (
                {(one.kind, *key(one)) for one in report.findings},
                time.perf_counter() - start,
            )
        kinds = measured(copy, plain[source][0])
        rows.append(
            {
                "faults": where, "run": run, "seed": seed,
                "photographs": len(copy.identifier.gallery), "kinds": kinds,
                "before": len(plain[source][0]), "seconds": round(plain[source][1], 1),
            }
        )  # fmt: skip
        print(where, run, seed, {kind: kinds[kind]["found"] for kind in KINDS})
        with written_whole(RESULT) as partial:
            partial.write_text(json.dumps({"rows": rows}, indent=1) + "\n")
    return rows


def page(rows: list[dict[str, Any]]) -> str:
    """The report in Markdown."""
    text = (Path(__file__).with_name("doctor_template.md")).read_text()
    tables = []
    for where, meaning in PLACES.items():
        mine = [row for row in rows if row["faults"] == where]
        if not mine:
            continue
        tables += [f"## Faults {meaning}", "", f"{len(mine)} copies.", "", *_table(mine), ""]
        tables += ["Found of 20 by copy:", "", *_by_copy(mine), ""]
    seconds = max(row["seconds"] for row in rows)
    return text.format(each=EACH, tables="\n".join(tables).strip(), seconds=f"{seconds:.0f}")


def _table(rows: list[dict[str, Any]]) -> list[str]:
    lines = [
        "| kind | planted | found | missed | also right | false alarms | of these without planting "
        "| recall | precision |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for kind in KINDS:
        total = {
            what: sum(row["kinds"][kind][what] for row in rows)
            for what in ("planted", "found", "besides", "false", "false_before")
        }
        true = total["found"] + total["besides"]
        every = true + total["false"]
        lines.append(
            f"| {HEADINGS[kind][1]} | {total['planted']} | {total['found']} "
            f"| {total['planted'] - total['found']} | {total['besides']} | {total['false']} "
            f"| {total['false_before']} | {total['found'] / max(1, total['planted']):.2f} "
            f"| {f'{true / every:.2f}' if every else '-'} |"
        )
    return lines


def _by_copy(rows: list[dict[str, Any]]) -> list[str]:
    lines = [
        "| run | seed | " + " | ".join(KINDS) + " |", "|---|---" + "|---" * len(KINDS) + "|",
    ]  # fmt: skip
    names = {run: place + 1 for place, run in enumerate(sorted({row["run"] for row in rows}))}
    for row in rows:
        cells = [
            f"{row['kinds'][kind]['found']} ({row['kinds'][kind]['false']} false)" for kind in KINDS
        ]
        lines.append(f"| {names[row['run']]} | {row['seed']} | " + " | ".join(cells) + " |")
    return lines


def main() -> None:
    """Measure what is missing and write the page."""
    parser = options("accuracy.doctor", __doc__, ("render",))
    parser.add_argument("runs", nargs="*", type=Path, help="folders of finished runs")
    parser.add_argument("--work", type=Path, default=Path("runs/doctor"), help="for features")
    given = parser.parse_args()
    if given.render:
        rows = json.loads(RESULT.read_text())["rows"]
    elif given.runs:
        rows = measure([Run(folder) for folder in given.runs], given.work)
    else:
        parser.error("name the folders of finished runs, or give --render")
    with written_whole(PAGE) as partial:
        partial.write_text(page(rows))
    print(f"page: {PAGE}")


if __name__ == "__main__":
    main()
