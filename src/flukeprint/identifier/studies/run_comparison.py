"""Compare recipes by the predictions of their measured runs."""

from pathlib import Path

from flukeprint.data.doctor import check_readable
from flukeprint.data.readers.read import read_labelled
from flukeprint.data.splits import split_for
from flukeprint.errors import FlukeprintError, counted
from flukeprint.evaluation.breakdown import QueryTable, fold_table
from flukeprint.evaluation.comparison import Comparison, Judged, compare_answers
from flukeprint.evaluation.results_table import Row, named_rows
from flukeprint.evaluation.validation import validate_rankings
from flukeprint.evaluation.validation_queries import QUERIES_FILE, ValidationQueries
from flukeprint.identifier.runs import PREDICTIONS, Run, check_same_labels


def compare_recipes(a: str, b: str, into: Path) -> tuple[Judged, Judged, Comparison]:
    """Compare recipe B with recipe A by a paired bootstrap over the queries that both answered.

    Args:
        a, b: each a run's folder, or a recipe's digest (or its beginning) or note in `into`.

    Raises:
        FlukeprintError: no such run or row, other data or folds, or missing predictions.
    """
    first, second = _judged(a, into), _judged(b, into)
    return first, second, compare_answers(first, second)


def comparison_text(a: Judged, b: Judged, result: Comparison) -> str:
    """Format a comparison of recipes as lines."""
    folds = ", ".join(map(str, result.folds))
    return "\n".join(
        (
            f"A  {a.name} ({counted(len(a.runs), 'run')})",
            f"B  {b.name} ({counted(len(b.runs), 'run')})",
            f"{counted(result.queries, 'query', 'queries')} of both in folds {folds}; "
            f"{result.left_out:,} of one alone",
            f"MAP@5  {result.map5.text()}",
            f"top-1  {result.top1.text()}",
        )
    )


def judged_rows(rows: list[Row], name: str, folder: Path) -> Judged:
    """Read the predictions of a recipe's rows.

    folder: of the table that the rows are from.

    Raises FlukeprintError where a run's predictions are missing.
    """
    return Judged(
        name=name,
        data=rows[0].data,
        folds=tuple(row.fold for row in rows),
        runs=tuple(_queries(folder / row.answers) for row in rows),
    )


def _judged(name: str, into: Path) -> Judged:
    folder = Path(name)
    if not (folder / "config.yaml").is_file():
        return judged_rows(named_rows(name, into), name, into.parent)
    run = Run(folder)
    if not run.finished:
        raise FlukeprintError(f"run {name} is not finished, so it has no answers to compare")
    return Judged(name, run.data_digest(), (run.config().split.fold,), (_answered(run),))


def _queries(path: Path) -> QueryTable:
    if not path.is_file():
        raise FlukeprintError(
            f"{path} is missing; flukeprint crossvalidate makes it (remove the run's row "
            "from the table if it has one)"
        )
    return QueryTable.load(path)


def _answered(run: Run) -> QueryTable:
    """The predictions of a run, made again where it is of a version that did not write them."""
    file = run.path / PREDICTIONS
    if file.is_file():
        return QueryTable.load(file)
    config = run.config()
    asked = ValidationQueries.load(run.path / QUERIES_FILE)
    catalog = check_readable(read_labelled(config.data), config.data.skip_unreadable)
    check_same_labels(run, catalog)
    result = validate_rankings(asked, config)
    return fold_table(result.ranking, result.report, catalog, split_for(config, catalog))
