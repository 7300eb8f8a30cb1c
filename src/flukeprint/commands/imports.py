"""The command import: what other programs of the field have written about photographs."""

from pathlib import Path
from typing import Annotated

import typer

from flukeprint.errors import counted


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
) -> None:
    """Say what a source of the field holds and what is left out and why; make a table of it."""
    from flukeprint.data.exchange.forms import read_observed, write_photo_table

    observed = read_observed(source, root)
    print(observed.text())
    if table is not None:
        rows = write_photo_table(observed, table)
        print(f"{counted(rows, 'row')}: {table}")
