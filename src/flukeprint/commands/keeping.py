"""The commands that keep a catalogue over the years: review."""

from pathlib import Path
from typing import Annotated

import typer

from flukeprint.errors import counted
from flukeprint.output import say

MEGABYTE = 1_000_000


def review(
    sources: Annotated[
        list[Path],
        typer.Argument(
            metavar="SUBMISSION|FOLDER...", help="A CSV from infer; or photographs, or folders."
        ),
    ],
    identifier: Annotated[Path, typer.Option(help="The folder of a trained identifier.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The page to write.")] = Path(
        "queue.html"
    ),
    config: Annotated[
        str | None,
        typer.Option("--config", "-c", help="Says where the photographs of a submission are."),
    ] = None,
    most: Annotated[
        int | None,
        typer.Option(
            help="Ask only for this many photographs, the most unsure; a page of 100 takes some "
            "15 MB, and more than some 500 are slow to open.",
            min=1,
        ),
    ] = None,
    photos: Annotated[int, typer.Option(help="Photographs of each candidate.", min=1, max=3)] = 3,
) -> None:
    """Write a page on which a person decides whom photographs show, the unsure ones first.

    It works offline, in a browser, from its file; a CSV of the decisions comes out of it.
    """
    from flukeprint.config.load import load_config
    from flukeprint.identifier.identifier import Identifier
    from flukeprint.keeper.review import write_review

    settings = None if config is None else load_config(config)
    known = Identifier.load(identifier)
    queue = write_review(known, sources, out, config=settings, most=most, photos=photos)
    unread = [entry.error for entry in queue.entries if entry.error is not None]
    for error in unread:
        say(error)
    damaged = f", {len(unread)} of them unreadable" if unread else ""
    size = out.stat().st_size / MEGABYTE
    print(f"{counted(len(queue.entries), 'photograph')}{damaged}, {size:.1f} MB: {out}")
