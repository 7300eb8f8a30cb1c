"""Write a page with its charts as PNG and SVG files beside it, each whole or not at all."""

from pathlib import Path

from flukeprint.evaluation.report.charts import Chart, Picture
from flukeprint.evaluation.report.page import ReportPage, render
from flukeprint.evaluation.report.static_charts import draw
from flukeprint.files import folder_written_whole, written_whole

_SUFFIXES = {"jpeg": "jpg", "png": "png"}


def write_page(page: ReportPage, target: Path) -> Path:
    """Write a page to `target`, and its charts and pictures to the folder `page.charts` beside it.

    An older page and its folder are replaced, the folder first.

    Raises:
        FlukeprintError: they cannot be written; nothing half-written is left.
    """
    document = render(page)
    with folder_written_whole(target.parent / page.charts) as folder:
        for block in page.named():
            if isinstance(block, Chart):
                for kind, file in draw(block).items():
                    (folder / f"{block.name}.{kind}").write_bytes(file)
            elif isinstance(block, Picture):
                (folder / f"{block.name}.{_SUFFIXES[block.kind]}").write_bytes(block.file)
    with written_whole(target) as path:
        path.write_bytes(document)
    return target
