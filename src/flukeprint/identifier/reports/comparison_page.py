"""Put two runs side by side as a page: figures with paired intervals, curves, answers, settings."""

from pathlib import Path

from flukeprint.errors import FlukeprintError
from flukeprint.evaluation.comparison import Comparison
from flukeprint.evaluation.report.charts import Part
from flukeprint.evaluation.report.comparison_parts import (
    figures,
    only_one_right,
    recognised,
    settings,
    similarities,
    trained,
)
from flukeprint.evaluation.report.material import RunMaterial
from flukeprint.evaluation.report.page import ReportPage
from flukeprint.evaluation.report.written import write_page
from flukeprint.files import check_writable
from flukeprint.identifier.reports.run_report import gather
from flukeprint.identifier.runs import Run, flat_settings


def check_comparison(a: str, b: str, target: Path) -> tuple[RunMaterial, RunMaterial]:
    """Read two runs for a page at `target`, which must be writable.

    Raises:
        FlukeprintError: a or b is no folder of a finished run, or the page cannot be written.
    """
    for name in (a, b):
        if not (Path(name) / "config.yaml").is_file():
            raise FlukeprintError(
                f"{name} is no folder of a run, and a page (--html) compares two runs; recipes of "
                "a table are compared without --html"
            )
    if target.suffix.lower() not in (".html", ".htm"):
        raise FlukeprintError(f"{target}: a page ends in .html; choose such a name for --html")
    if target.is_dir():
        raise FlukeprintError(f"{target} is a folder; name a file for --html")
    check_writable(target.parent)
    return gather(Run(Path(a))), gather(Run(Path(b)))


def write_comparison(
    two: tuple[RunMaterial, RunMaterial], result: Comparison, target: Path
) -> Path:
    """Write the page of two runs, and its charts into a folder of its name beside it.

    result: of `compare_recipes` for the same runs.

    Raises:
        FlukeprintError: it cannot be written; nothing half-written is left.
    """
    flat = [flat_settings(run.config) for run in two]
    made: list[Part | None] = [
        figures(two, result),
        recognised(two),
        only_one_right(two),
        similarities(two),
        trained(two),
        settings(*flat),
    ]
    page = ReportPage(
        title="Two runs side by side",
        lead=tuple(
            f"{letter}: {run.folder}, MAP@5 {run.validation.scores.map5.text()}, top-1 "
            f"{run.validation.scores.top1:.3f} on {run.validation.scores.queries:,} queries."
            for letter, run in zip("AB", two, strict=True)
        ),
        parts=tuple(part for part in made if part is not None),
        charts=f"{target.stem}-charts",
    )
    return write_page(page, target)
