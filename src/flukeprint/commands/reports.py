"""The commands that report on finished runs: report, compare and triplets."""

from pathlib import Path
from typing import Annotated

import typer

from flukeprint.errors import counted

ResultTable = Annotated[Path, typer.Option("--into", help="The table of measured runs.")]


def compare(
    a: Annotated[str, typer.Argument(help="A run's folder, or a recipe's digest or note.")],
    b: Annotated[str, typer.Argument(help="The same, for what may be better.")],
    into: ResultTable = Path("benchmarks/accuracy/table.csv"),
    html: Annotated[
        Path | None, typer.Option(help="Also write a page that puts two runs side by side.")
    ] = None,
) -> None:
    """Compare recipe B with A on the queries that both answered."""
    from flukeprint.identifier.reports.comparison_page import check_comparison, write_comparison
    from flukeprint.identifier.studies.run_comparison import compare_recipes, comparison_text

    two = None if html is None else check_comparison(a, b, html)
    found = compare_recipes(a, b, into)
    print(comparison_text(*found))
    if two is not None and html is not None:
        print(f"page: {write_comparison(two, found[2], html)}")


def triplets(
    run: Annotated[Path, typer.Argument(help="The folder of a finished run.")],
    out: Annotated[
        Path | None, typer.Option(help="The CSV to write; triplets.csv in the run's folder.")
    ] = None,
    most: Annotated[int, typer.Option(help="Most triplets, the worst first.", min=1)] = 1000,
    margin: Annotated[
        float | None, typer.Option(help="Margin; by default that of the run's triplet loss.", min=0)
    ] = None,
) -> None:
    """Export the hardest triplets of a run's training photographs, for sampler.triplets."""
    from flukeprint.identifier.reports.triplet_export import export_triplets
    from flukeprint.identifier.runs import Run

    file, found = export_triplets(Run(run), out, most=most, margin=margin)
    written = counted(min(most, len(found)), "triplet")
    print(
        f"{written} of {len(found):,} that violate the margin {found.margin:g}, the worst by "
        f"{found.violation[0]:.3f}: {file}\nnext: train with sampler.triplets={file}"
    )


def report(
    run: Annotated[Path, typer.Argument(help="The folder of a finished run.")],
) -> None:
    """Write a run's report again: report.html in its folder, and its charts."""
    from flukeprint.identifier.reports.run_report import write_report
    from flukeprint.identifier.runs import Run

    found = Run(run)
    write_report(found)
    print(f"report: {found.report}")
