"""The command import: what other programs of the field have written about photographs."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from flukeprint.errors import FlukeprintError, counted
from flukeprint.output import say


def import_source(
    source: Annotated[
        Path,
        typer.Argument(
            help="A file or folder of Camtrap DP, Darwin Core, MegaDetector or COCO, a table, or "
            "with --pattern a folder of photographs."
        ),
    ],
    root: Annotated[
        Path | None, typer.Option(help="Where relative names of photographs begin.")
    ] = None,
    column: Annotated[
        list[str] | None,
        typer.Option(help="What a table's column is, such as image=File; may be repeated."),
    ] = None,
    dates: Annotated[
        str | None,
        typer.Option(help="Order in a table's dates: day-first, month-first or %d-%b-%Y."),
    ] = None,
    sheet: Annotated[
        str | None, typer.Option(help="Sheet of a workbook; the first by default.")
    ] = None,
    decimal: Annotated[
        Literal["point", "comma"] | None,
        typer.Option(help="What stands before a table's decimals; a comma where ; separates."),
    ] = None,
    box_unit: Annotated[
        Literal["pixels", "share"], typer.Option(help="Unit of a table's boxes.")
    ] = "pixels",
    pattern: Annotated[
        str | None,
        typer.Option(help="How a folder's files are called: {site}/{identity}/{view}_*.jpg."),
    ] = None,
    table: Annotated[
        Path | None,
        typer.Option(help="Write a CSV for `flukeprint enroll` and `annotate`, with boxes."),
    ] = None,
    form: Annotated[
        str | None,
        typer.Option("--to", help="Write it as camtrap-dp, coco, darwin-core or table, to --out."),
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Where --to writes.")] = None,
) -> None:
    """Say what a source of the field holds and what is left out and why; make another of it."""
    from flukeprint.data.exchange.forms import read_observed, write_observed, writer_of
    from flukeprint.data.exchange.options import ReadOptions
    from flukeprint.data.exchange.photo_table import write_photo_table

    if (form is None) != (out is None):
        raise FlukeprintError("--to FORM and --out PATH are given together")
    if form is not None:
        writer_of(form)
    options = ReadOptions(_columns(column or []), dates, sheet, decimal, box_unit, pattern)
    observed = read_observed(source, root, options)
    print(observed.text())
    if table is not None:
        rows = write_photo_table(observed, table)
        print(f"{counted(rows, 'row')}: {table}")
    if form is not None and out is not None:
        for line in write_observed(observed, out, form):
            say(line)
        print(f"{counted(len(observed.photos), 'record')}: {out}")


def _columns(given: list[str]) -> dict[str, str]:
    """Our names and the table's headers, from `image=File`."""
    found: dict[str, str] = {}
    for one in given:
        name, equals, header = one.partition("=")
        if not equals or not name.strip() or not header.strip():
            raise FlukeprintError(f"--column {one!r} is not of the form image=File")
        if name.strip() in found:
            raise FlukeprintError(f"--column {name.strip()} is given twice; keep one")
        found[name.strip()] = header.strip()
    return found
