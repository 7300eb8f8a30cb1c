"""Report what each step of a recipe gains in accuracy, with paired bootstrap intervals.

    python -m benchmarks.accuracy.ladder [CSV [MARKDOWN]]

Reads the table that `flukeprint crossvalidate` writes, `benchmarks/accuracy/table.csv`, and updates
`benchmarks/reports/accuracy.md` with one ladder per configuration, its rungs in the order of the
rows.  A ladder stands between `<!-- ladder:NAME -->` and `<!-- end -->` and is replaced in place;
all other text of the page stays.  Intervals of gains need the runs' predictions, which are stored
in `predictions/` beside the CSV; without them the plain difference is given.
"""

import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.harness.arguments import options
from benchmarks.harness.places import BENCHMARKS, REPORTS
from flukeprint.errors import FlukeprintError
from flukeprint.evaluation.breakdown import SIZES
from flukeprint.evaluation.comparison import Difference, Judged, compare_answers, pooled
from flukeprint.evaluation.metrics import Interval
from flukeprint.evaluation.results_table import Row, read_rows
from flukeprint.files import written_whole
from flukeprint.identifier.studies.run_comparison import judged_rows

TABLE, PAGE = BENCHMARKS / "accuracy" / "table.csv", REPORTS / "accuracy.md"
NEW_PAGE = """# Accuracy, rung by rung

Every rung is one recipe, trained and scored on whole folds by `flukeprint crossvalidate`. Brackets
hold 95 % bootstrap intervals over queries; a query that several seeds answered counts once. Gains
are paired: both rungs are scored on the same queries, of the folds that both have. Minutes and
memory are means over runs.
"""
HEAD = (
    "rung", "folds x seeds", "queries", "top-1", "MAP@5", "MAP@5 over the first rung",
    "over the rung before", "AUROC", "minutes", "million parameters", "peak MB",
)  # fmt: skip


@dataclass(frozen=True)
class Rung:
    """One recipe: its rows, and its predictions in `judged` if their files exist."""

    rows: tuple[Row, ...]
    judged: Judged | None

    @property
    def name(self) -> str:
        return self.rows[0].note or self.rows[0].recipe

    @property
    def folds(self) -> set[int]:
        return {row.fold for row in self.rows}


def rungs_of(rows: Sequence[Row], beside: Path) -> dict[str, list[Rung]]:
    """Group rows into ladders: configuration -> its rungs, in the order of the rows.

    `beside`: folder of the table, from which the rows name their predictions.
    """
    groups: dict[tuple[str, str, str], list[Row]] = {}
    for row in rows:
        groups.setdefault((row.config, row.recipe, row.data), []).append(row)
    ladders: dict[str, list[Rung]] = {}
    for (config, _, _), group in groups.items():
        try:
            judged = judged_rows(group, group[0].note or group[0].recipe, beside)
        except FlukeprintError as error:
            print(f"no paired intervals: {error}", file=sys.stderr)
            judged = None
        ladders.setdefault(config, []).append(Rung(tuple(group), judged))
    return ladders


def ladder(rungs: Sequence[Rung]) -> str:
    """Two Markdown tables: the rungs' figures, and their top-1 by gallery size and view."""
    cells = [[*HEAD]]
    for place, rung in enumerate(rungs):
        rows, figures = rung.rows, None if rung.judged is None else pooled(rung.judged)
        seeds = len({row.seed for row in rows})
        auroc = _mean([row.auroc for row in rows])
        cells.append([
            rung.name,
            f"{len(rung.folds)} x {seeds}" + ("" if _full(rung) else " (incomplete)"),
            str(figures.queries if figures else _queries(rows)),
            (figures.top1 if figures else _over_folds(rows, "top1")).text(),
            (figures.map5 if figures else _over_folds(rows, "map5")).text(),
            _gain(rungs[0], rung) if place else "",
            _gain(rungs[place - 1], rung) if place else "",
            "" if auroc is None else f"{auroc:.3f}",
            _number(_mean([row.minutes for row in rows]), 1),
            _number(_mean([row.million_parameters for row in rows]), 1),
            _number(_mean([row.peak_mb for row in rows]), 0),
        ])  # fmt: skip
    return f"{_table(cells)}\n\n{_parts(rungs)}"


def put(page: str, name: str, text: str) -> str:
    """Replace the text between the markers of `name` in a page; add a section if there are none.

    Raises FlukeprintError for a start marker without an end.
    """
    start = f"<!-- ladder:{name} -->"
    block = f"{start}\n{text}\n<!-- end -->"
    if start not in page:
        return f"{page.rstrip()}\n\n## {name}\n\n{block}\n"
    found = re.search(re.escape(start) + r"((?!<!-- ladder:).)*?<!-- end -->", page, re.DOTALL)
    if found is None:
        raise FlukeprintError(f"the page has {start} without <!-- end --> after it; add it")
    return page[: found.start()] + block + page[found.end() :]


def _gain(before: Rung, rung: Rung) -> str:
    """Gain on the folds that both have: paired by query, else the difference of the means."""
    if before.rows[0].data != rung.rows[0].data:
        return "other data"
    folds = before.folds & rung.folds
    if not folds:
        return "no fold in common"
    if before.judged is None or rung.judged is None:
        one, two = ([row for row in r.rows if row.fold in folds] for r in (before, rung))
        gains = {
            name: _over_folds(two, name).mean - _over_folds(one, name).mean
            for name in ("map5", "top1")
        }
        return f"{gains['map5']:+.3f}; top-1 {gains['top1']:+.3f}"
    try:
        found = compare_answers(before.judged.only(folds), rung.judged.only(folds))
    except FlukeprintError as error:
        print(f"no gain of {rung.name}: {error}", file=sys.stderr)
        return "other queries"
    return f"{_with_interval(found.map5)}; top-1 {_with_interval(found.top1)}"


def _with_interval(difference: Difference) -> str:
    gain = difference.gain
    return f"{gain.mean:+.3f} [{gain.low:+.3f}, {gain.high:+.3f}]"


def _full(rung: Rung) -> bool:
    """Whether every seed was run on every fold."""
    return len(rung.rows) == len(rung.folds) * len({row.seed for row in rung.rows})


def _over_folds(rows: Sequence[Row], name: str) -> Interval:
    """Mean of a figure over folds, weighted by queries, from the rows alone.

    Folds have different queries, so their variances add; seeds share queries, so a fold's
    spread is the mean of its seeds'.
    """
    total, variance, weight = 0.0, 0.0, 0.0
    for fold in sorted({row.fold for row in rows}):
        here = [row for row in rows if row.fold == fold]
        queries = float(np.mean([row.queries for row in here]))
        ends = [(getattr(row, f"{name}_low"), getattr(row, f"{name}_high")) for row in here]
        total += queries * float(np.mean([getattr(row, name) for row in here]))
        variance += (queries * float(np.mean([high - low for low, high in ends])) / 2) ** 2
        weight += queries
    half = variance**0.5 / weight
    return Interval(total / weight - half, total / weight, total / weight + half)


def _queries(rows: Sequence[Row]) -> int:
    return sum({row.fold: row.queries for row in rows}.values())


def _parts(rungs: Sequence[Rung]) -> str:
    """Table of top-1 by number of gallery photographs of the individual, and by view."""
    views = sorted({view for rung in rungs for row in rung.rows for view in row.views})
    cells = [["top-1 of", *(f"{size} photos" for size in SIZES), *(v or "no view" for v in views)]]
    for rung in rungs:
        line = [rung.name]
        for kind, keys in (("sizes", list(SIZES)), ("views", views)):
            for key in keys:
                parts = [p for row in rung.rows if (p := getattr(row, kind).get(key)) is not None]
                queries = sum(part.queries for part in parts)
                hits = sum(part.top1 * part.queries for part in parts)
                line.append(f"{hits / queries:.3f}" if queries else "")
        cells.append(line)
    return _table(cells)


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


def _number(value: float | None, digits: int) -> str:
    return "" if value is None else f"{value:.{digits}f}"


def _table(cells: Sequence[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(cell.replace("|", "/") for cell in row) + " |" for row in cells]
    return "\n".join([lines[0], "|" + "---|" * len(cells[0]), *lines[1:]])


def main() -> None:
    """Update the page from the table."""
    parser = options("accuracy.ladder", __doc__)
    parser.add_argument("table", type=Path, nargs="?", default=TABLE, help="CSV of measured runs")
    parser.add_argument("page", type=Path, nargs="?", help="Markdown file to write")
    given = parser.parse_args()
    table: Path = given.table
    page: Path = given.page or (PAGE if table.resolve() == TABLE else table.with_suffix(".md"))
    try:
        rows = read_rows(table)
        if not rows:
            raise FlukeprintError(f"{table} has no rows; run flukeprint crossvalidate first")
        text = page.read_text() if page.is_file() else NEW_PAGE
        for name, rungs in rungs_of(rows, table.parent).items():
            text = put(text, name, ladder(rungs))
        with written_whole(page) as path:
            path.write_text(text)
    except FlukeprintError as error:
        sys.exit(f"error: {error}")
    print(page)


if __name__ == "__main__":
    main()
