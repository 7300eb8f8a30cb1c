"""The commands that ask an identifier about photographs: identify and verify."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flukeprint.commands.imports import (
    BoxesIn,
    Columns,
    Dates,
    DecimalSign,
    FolderPattern,
    KeywordPatterns,
    SheetName,
    read_options,
)
from flukeprint.errors import FlukeprintError
from flukeprint.output import say

if TYPE_CHECKING:
    from flukeprint.data.catalog import Box
    from flukeprint.data.exchange.options import ReadOptions

Folder = Annotated[Path, typer.Argument(help="The folder of a trained identifier.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def identify(
    identifier: Folder,
    photos: Annotated[
        list[Path] | None, typer.Argument(help="Photographs of animals, or folders.")
    ] = None,
    as_json: AsJson = False,
    encounter: Annotated[
        bool, typer.Option("--encounter", help="All photographs show one animal; answer once.")
    ] = False,
    date: Annotated[
        str | None, typer.Option(help="When they were taken; animals seen about then are likelier.")
    ] = None,
    at: Annotated[
        str | None,
        typer.Option(help="LATITUDE,LONGITUDE; animals seen near there before are likelier."),
    ] = None,
    box: Annotated[
        list[str] | None,
        typer.Option(
            help="X,Y,WIDTH,HEIGHT in shares of the upright photograph: an animal in it. Once for "
            "each animal of one photograph."
        ),
    ] = None,
    like: Annotated[
        Path | None,
        typer.Option(
            help="Answer a whole Camtrap DP, MegaDetector JSON, COCO file or folder in its form."
        ),
    ] = None,
    root: Annotated[
        Path | None, typer.Option(help="With --like: where names of photographs begin.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="With --like: where it is written.")
    ] = None,
    again: Annotated[
        bool, typer.Option("--again", help="With --like: also those that a machine named.")
    ] = False,
    column: Columns = None,
    dates: Dates = None,
    sheet: SheetName = None,
    decimal: DecimalSign = None,
    box_unit: BoxesIn = "pixels",
    pattern: FolderPattern = None,
    keywords: KeywordPatterns = None,
) -> None:
    """Name the five likeliest animals for each photograph.

    A photograph that cannot be read is named with its error, the others are answered.  With a time
    or a place each answer tells by how much they made it likelier.  With --like a source is written
    again with the answers, beside it; a run that was stopped goes on with the same command.  What
    such a source does not say itself is said as to `flukeprint import`.
    """
    options = read_options(column, dates, sheet, decimal, box_unit, pattern, keywords)
    if like is not None:
        if photos or as_json or encounter or box or date is not None or at is not None:
            raise FlukeprintError(
                "--like SOURCE goes with --root, --out, --again and what says how it is read; "
                "leave the others out"
            )
        _answer_like(identifier, like, root, out, again, options)
        return
    if root is not None or out is not None or again:
        raise FlukeprintError("--root, --out and --again go with --like SOURCE")
    if options.given:
        raise FlukeprintError("--column, --dates and kin say how --like SOURCE is read")
    if not photos:
        raise FlukeprintError("no photograph was given; name some, folders, or --like SOURCE")
    from flukeprint.identifier.answering import (
        answer_boxes,
        answer_each,
        answer_encounter,
        check_all_read,
        photographs_at,
    )
    from flukeprint.identifier.identifier import Identifier
    from flukeprint.identifier.verdict import row_text

    paths = photographs_at(photos)
    boxes = _boxes(box or [], paths, encounter)
    known = Identifier.load(identifier)
    weights = None
    if date is not None or at is not None:
        from flukeprint.keeper.sightings import prior_text, prior_weights
        from flukeprint.records.kinds import read_moment, read_position

        moment = None if date is None else read_moment(date)
        position = None if at is None else read_position(at)
        weights, numbers = prior_weights(identifier, known.identities, moment, position)
        say(prior_text(numbers))
    if boxes:
        rows = answer_boxes(known, paths[0], boxes, log_weights=weights)
    else:
        answer = answer_encounter if encounter else answer_each
        rows = answer(known, paths, log_weights=weights)
    print(json.dumps(rows, indent=2) if as_json else "\n".join(map(row_text, rows)), flush=True)
    check_all_read(rows, len(paths))
    known.keep_engine(say)


def _boxes(texts: list[str], paths: list[Path], encounter: bool) -> "dict[str, Box]":
    """The boxes by how they were given; refuses what does not go together."""
    from flukeprint.data.readers.boxes import asked_box

    if texts and (len(paths) != 1 or encounter):
        raise FlukeprintError("--box goes with one photograph, without --encounter")
    boxes = {}
    for text in texts:
        try:
            boxes[text] = asked_box(text)
        except FlukeprintError as error:
            raise FlukeprintError(f"--box {text}: {error}") from None
    return boxes


def _answer_like(
    identifier: Path,
    source: Path,
    root: Path | None,
    out: Path | None,
    again: bool,
    options: "ReadOptions",
) -> None:
    from flukeprint.identifier.sources.answer_source import answer_source

    try:
        found = answer_source(
            identifier, source, root=root, target=out, again=again, options=options
        )
    except KeyboardInterrupt:
        say("stopped; the same command goes on where it was")
        raise typer.Exit(130) from None
    print(found.text())
    found.check_all_read()


def verify(
    identifier: Folder,
    first: Annotated[Path, typer.Argument(help="A photograph.")],
    second: Annotated[Path, typer.Argument(help="Another one.")],
    false_accept: Annotated[
        float,
        typer.Option(help="Most pairs of different animals taken for one.", min=0, max=1),
    ] = 0.01,
    as_json: AsJson = False,
) -> None:
    """Tell whether two photographs show the same animal, in the collection or not."""
    from flukeprint.identifier.answering import pair_text, verify_pair
    from flukeprint.identifier.identifier import Identifier

    known = Identifier.load(identifier)
    found = verify_pair(known, first, second, false_accept)
    print(json.dumps(found, indent=2) if as_json else pair_text(found, false_accept), flush=True)
    known.keep_engine(say)
