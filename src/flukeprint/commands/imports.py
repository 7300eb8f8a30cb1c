"""The command import: what other programs of the field have written about photographs."""

from pathlib import Path
from typing import Annotated

import typer

from flukeprint.errors import FlukeprintError, counted
from flukeprint.output import say


def import_source(
    source: Annotated[
        Path, typer.Argument(help="A file or folder of MegaDetector, COCO or Camtrap DP.")
    ],
    root: Annotated[
        Path | None, typer.Option(help="Where relative names of photographs begin.")
    ] = None,
    table: Annotated[
        Path | None,
        typer.Option(help="Write a CSV for `flukeprint enroll` and `annotate`, with boxes."),
    ] = None,
    form: Annotated[
        str | None, typer.Option("--to", help="Write it as camtrap-dp or coco, to --out.")
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Where --to writes.")] = None,
) -> None:
    """Say what a source of the field holds and what is left out and why; make another of it."""
    from flukeprint.data.exchange.forms import read_observed, write_observed, writer_of
    from flukeprint.data.exchange.photo_table import write_photo_table

    if (form is None) != (out is None):
        raise FlukeprintError("--to FORM and --out PATH are given together")
    if form is not None:
        writer_of(form)
    observed = read_observed(source, root)
    print(observed.text())
    if table is not None:
        rows = write_photo_table(observed, table)
        print(f"{counted(rows, 'row')}: {table}")
    if form is not None and out is not None:
        for line in write_observed(observed, out, form):
            say(line)
        print(f"{counted(len(observed.photos), 'record')}: {out}")
