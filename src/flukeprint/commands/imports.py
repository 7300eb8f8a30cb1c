"""The command import: what other programs of the field have written about photographs."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from flukeprint.errors import FlukeprintError, counted
from flukeprint.output import say

if TYPE_CHECKING:
    from flukeprint.data.exchange.options import ReadOptions

# What a person says of a source that it does not say itself; see `ReadOptions`.
Columns = Annotated[
    list[str] | None,
    typer.Option("--column", help="What a table's column is, as image=File; may be repeated."),
]
Dates = Annotated[
    str | None, typer.Option(help="Order in a table's dates: day-first, month-first or %d-%b-%Y.")
]
SheetName = Annotated[str | None, typer.Option(help="Sheet of a workbook; the first by default.")]
DecimalSign = Annotated[
    Literal["point", "comma"] | None,
    typer.Option(help="What stands before a table's decimals; a comma where ; separates."),
]
BoxesIn = Annotated[Literal["pixels", "share"], typer.Option(help="Unit of a table's boxes.")]
FolderPattern = Annotated[
    str | None,
    typer.Option(help="How a folder's files are called: {site}/{identity}/{view}_*.jpg."),
]
KeywordPatterns = Annotated[
    list[str] | None,
    typer.Option(help="How XMP keywords name an animal: Animals|Leopard|{identity}."),
]


def import_source(
    source: Annotated[
        Path,
        typer.Argument(
            help="A file or folder of any format of docs/formats.md, or with --pattern a folder of "
            "photographs."
        ),
    ],
    root: Annotated[
        Path | None, typer.Option(help="Where relative names of photographs begin.")
    ] = None,
    column: Columns = None,
    dates: Dates = None,
    sheet: SheetName = None,
    decimal: DecimalSign = None,
    box_unit: BoxesIn = "pixels",
    pattern: FolderPattern = None,
    keywords: KeywordPatterns = None,
    table: Annotated[
        Path | None,
        typer.Option(help="Write a CSV for `flukeprint enroll` and `annotate`, with boxes."),
    ] = None,
    form: Annotated[
        str | None,
        typer.Option("--to", help="Write it to --out as camtrap-dp, coco, darwin-core, xmp ..."),
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Where --to writes.")] = None,
) -> None:
    """Say what a source of the field holds and what is left out and why; make another of it."""
    from flukeprint.data.exchange.forms import (
        check_options,
        read_observed,
        write_observed,
        writer_of,
    )
    from flukeprint.data.exchange.photo_table import write_photo_table

    if (form is None) != (out is None):
        raise FlukeprintError("--to FORM and --out PATH are given together")
    if form is not None:
        writer_of(form)
    options = read_options(column, dates, sheet, decimal, box_unit, pattern, keywords)
    check_options(source, options)
    observed = read_observed(source, root, options)
    print(observed.text())
    if table is not None:
        rows = write_photo_table(observed, table)
        print(f"{counted(rows, 'row')}: {table}")
    if form is not None and out is not None:
        for line in write_observed(observed, out, form):
            say(line)
        print(f"{counted(len(observed.photos), 'record')}: {out}")


def read_options(
    column: list[str] | None,
    dates: str | None,
    sheet: str | None,
    decimal: Literal["point", "comma"] | None,
    box_unit: Literal["pixels", "share"],
    pattern: str | None,
    keywords: list[str] | None,
) -> "ReadOptions":
    """What the options of a command say of a source."""
    from flukeprint.data.exchange.options import ReadOptions

    return ReadOptions(
        _columns(column or []), dates, sheet, decimal, box_unit, pattern, tuple(keywords or ())
    )


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
