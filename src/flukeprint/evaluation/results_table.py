"""Read and write the table of measured runs, `benchmarks/accuracy/table.csv`: a `Row` per run."""

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from flukeprint.data.tables import lines, read_header, read_table
from flukeprint.drafts import one_writer
from flukeprint.errors import FlukeprintError, counted
from flukeprint.evaluation.breakdown import QueryGroup, QueryTable, by_size, by_view, score_table
from flukeprint.files import written_whole

Key = tuple[str, str, int, int]  # recipe, data, fold, seed


@dataclass(frozen=True)
class RunFacts:
    """What is known of a run of a recipe before its answers are scored.

    recipe: digest of the configuration without fold, seed and places on disk.
    data: digest of the labelled photographs' names and identities.
    minutes: of training, with validations.  peak_mb: peak memory of the process and its largest
        worker until the end of training, in MB.  None: not recorded.
    """

    config: str
    note: str
    recipe: str
    data: str
    fold: int
    seed: int
    epochs: int
    minutes: float | None
    peak_mb: float | None
    million_parameters: float


@dataclass(frozen=True)
class Row(RunFacts):
    """The results of one run of one recipe.

    `_low`, `_high`: ends of the 95 % bootstrap interval over queries; auroc is None in a
        closed set.
    views, sizes: metrics by view and by number of gallery photographs of the individual.
    never_new, always_new: MAP@5 of never, and of always first, answering a new individual, on the
        same queries; None in a closed set and in rows of an older version.
    answers: path of the run's predictions (a `breakdown.QueryTable`), relative to this table's
        folder, such as `predictions/whales/<recipe>-<data>-fold0-seed0.csv`.
    """

    queries: int
    new_queries: int
    map5: float
    map5_low: float
    map5_high: float
    top1: float
    top1_low: float
    top1_high: float
    top5: float
    top5_low: float
    top5_high: float
    auroc: float | None
    auroc_low: float | None
    auroc_high: float | None
    views: Mapping[str, QueryGroup]
    sizes: Mapping[str, QueryGroup]
    answers: str
    never_new: float | None = None
    always_new: float | None = None

    @property
    def key(self) -> Key:
        return self.recipe, self.data, self.fold, self.seed

    def text(self) -> str:
        """One line for people."""
        parts = [
            f"fold {self.fold}, seed {self.seed}: "
            f"MAP@5 {self.map5:.3f} [{self.map5_low:.3f}, {self.map5_high:.3f}]",
            f"top-1 {self.top1:.3f} [{self.top1_low:.3f}, {self.top1_high:.3f}]",
            f"top-5 {self.top5:.3f}",
        ]
        if self.auroc is not None:
            parts.append(f"new-individual AUROC {self.auroc:.3f}")
        if self.never_new is not None and self.always_new is not None:
            parts.append(
                f"MAP@5 of never answering new {self.never_new:.3f}, of always answering it first "
                f"{self.always_new:.3f}"
            )
        return f"{', '.join(parts)} ({self.queries} queries, {self.new_queries} new)"


@dataclass(frozen=True)
class Measured(RunFacts):
    """A run that was measured, of which `row` makes a row."""

    @property
    def answers(self) -> Path:
        """Path of the predictions, relative to the folder of the table.

        Both digests are in its name, so that no other recipe or data set shares it.
        """
        name = f"{self.recipe}-{self.data}-fold{self.fold}-seed{self.seed}.csv"
        return Path("predictions") / self.config / name

    def row(
        self, answered: QueryTable, constants: Mapping[str, float], *, seed: int, tables: Path
    ) -> Row:
        """Score the answers, and copy them into the folder of the table, `tables`.

        constants: MAP@5 of the constant answers of an open set, by name.  seed: of the bootstrap.
        """
        file = tables / self.answers
        file.parent.mkdir(parents=True, exist_ok=True)
        answered.save(file)
        figures = score_table(answered, seed=seed)
        auroc = figures.auroc
        return Row(
            **asdict(self),
            queries=figures.queries,
            new_queries=figures.new_queries,
            map5=figures.map5.mean,
            map5_low=figures.map5.low,
            map5_high=figures.map5.high,
            top1=figures.top1.mean,
            top1_low=figures.top1.low,
            top1_high=figures.top1.high,
            top5=figures.top5.mean,
            top5_low=figures.top5.low,
            top5_high=figures.top5.high,
            auroc=None if auroc is None else auroc.mean,
            auroc_low=None if auroc is None else auroc.low,
            auroc_high=None if auroc is None else auroc.high,
            views=by_view(answered),
            sizes=by_size(answered),
            answers=self.answers.as_posix(),
            never_new=constants.get("never new"),
            always_new=constants.get("always new first"),
        )


RESULT_COLUMNS = tuple(field.name for field in fields(Row))
_LATER = ("never_new", "always_new")  # the last columns; older tables lack them
_OPTIONAL = {"minutes", "peak_mb", "auroc", "auroc_low", "auroc_high", *_LATER}


def read_rows(path: Path) -> list[Row]:
    """Read all rows of the table, in order; none where there is no file yet.

    Raises FlukeprintError for other columns and for cells that cannot be read.
    """
    if not path.exists():
        return []
    header = tuple(read_header(path))
    older = RESULT_COLUMNS[: -len(_LATER)]
    if header not in (RESULT_COLUMNS, older):
        other = sorted(set(header) ^ set(RESULT_COLUMNS)) or ["their order"]
        raise FlukeprintError(
            f"{path} is of another version: its columns differ in {', '.join(other)}; "
            "move it away or name another file with --into"
        )
    table = read_table(path, header)
    rows: list[Row] = []
    for place, cells in zip(table.index, table.to_dict("records"), strict=True):
        try:
            rows.append(_row(cells))
        except (ValueError, TypeError, AttributeError) as error:
            why = " ".join(str(error).split())
            raise FlukeprintError(f"{path}, {lines([place])} cannot be read: {why}") from None
    return rows


def add_row(row: Row, path: Path) -> None:
    """Append a row to the table, unless its run is there already.

    The table is read again first: another training may have added to it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with one_writer(path.parent):
        rows = read_rows(path)
        if row.key not in {known.key for known in rows}:
            write_rows([*rows, row], path)


def write_rows(rows: Sequence[Row], path: Path) -> None:
    """Write the whole table."""
    with written_whole(path) as partial, partial.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(RESULT_COLUMNS)
        writer.writerows([_cell(getattr(row, name)) for name in RESULT_COLUMNS] for row in rows)


def summary_lines(rows: Sequence[Row]) -> list[str]:
    """Mean and range of MAP@5, top-1 and top-5 over runs, a line each.

    Of an open set also the MAP@5 of both constant answers.
    """
    lines = []
    for column, name in (
        ("map5", "map5"),
        ("never_new", "map5 of never answering new"),
        ("always_new", "map5 of always answering new first"),
        ("top1", "top1"),
        ("top5", "top5"),
    ):
        values = [getattr(row, column) for row in rows if getattr(row, column) is not None]
        if len(values) < len(rows):  # a closed set, or a run that was measured without them
            continue
        lines.append(
            f"{name}: mean {sum(values) / len(values):.3f} of {counted(len(rows), 'run')}, "
            f"{min(values):.3f} to {max(values):.3f}"
        )
    return lines


def named_rows(name: str, path: Path) -> list[Row]:
    """Find the rows whose note is `name`, or else whose recipe begins with `name`.

    Raises FlukeprintError when there are none, or rows of several recipes or data.
    """
    rows = read_rows(path)
    found = [row for row in rows if row.note == name] or [
        row for row in rows if name and row.recipe.startswith(name)
    ]
    kinds = {(row.config, row.note, row.recipe, row.data): None for row in found}
    if not found:
        known = "; ".join(dict.fromkeys(f"{row.recipe} ({row.note})" for row in rows)) or "none"
        raise FlukeprintError(
            f"{name} is no run folder, and no recipe or note in {path}; known there: {known}"
        )
    if len({(recipe, data) for _, _, recipe, data in kinds}) > 1:
        several = "; ".join(
            f"{config} {recipe} ({note}) on data {data}" for config, note, recipe, data in kinds
        )
        raise FlukeprintError(f"{name} names several recipes in {path}: {several}; name one")
    return found


def _row(cells: Mapping[str, str]) -> Row:
    values: dict[str, Any] = {}
    for field in fields(Row):
        cell = cells.get(field.name, "")
        if field.name in ("views", "sizes"):
            values[field.name] = {key: QueryGroup(**part) for key, part in json.loads(cell).items()}
        elif field.name in _OPTIONAL:
            values[field.name] = float(cell) if cell else None
        else:
            kind: Any = field.type
            values[field.name] = kind(cell)
    return Row(**values)


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, Mapping):
        parts = {key: _rounded(asdict(part)) for key, part in value.items()}
        return json.dumps(parts, ensure_ascii=False)
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _rounded(part: dict[str, Any]) -> dict[str, Any]:
    return {
        key: round(value, 4) if isinstance(value, float) else value for key, value in part.items()
    }
