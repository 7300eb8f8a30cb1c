"""The commands of a review: the page on which a person decides, and what becomes of it."""

import json
from pathlib import Path
from typing import Annotated

import typer

from flukeprint.commands.catalogue import (
    AsJson,
    Author,
    Folder,
    Force,
    Reason,
    event_row,
    event_text,
    note_of,
    told_unless,
)
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
    from flukeprint.keeper.review.write import write_review

    settings = None if config is None else load_config(config)
    known = Identifier.load(identifier)
    event = 0 if known.kept is None else known.kept.records.event
    queue = write_review(
        known, sources, out, config=settings, most=most, photos=photos, event=event
    )
    unread = [entry.error for entry in queue.entries if entry.error is not None]
    for error in unread:
        say(error)
    damaged = f", {len(unread)} of them unreadable" if unread else ""
    size = out.stat().st_size / MEGABYTE
    print(f"{counted(len(queue.entries), 'photograph')}{damaged}, {size:.1f} MB: {out}")


def apply_review(
    identifier: Folder,
    table: Annotated[Path, typer.Argument(help="The CSV that the page of a review gave.")],
    apply: Annotated[
        bool, typer.Option("--apply", help="Do it; otherwise it is only shown what would be done.")
    ] = False,
    stale: Annotated[
        bool,
        typer.Option("--stale", help="Also decisions after which that animal was changed."),
    ] = False,
    force: Force = False,
    author: Author = None,
    reason: Reason = None,
    as_json: AsJson = False,
) -> None:
    """Enroll what a review decided; without --apply it is only shown."""
    from flukeprint.keeper.bring_over import tried_on
    from flukeprint.keeper.keeper import Keeper
    from flukeprint.keeper.review.apply import apply_review as turn
    from flukeprint.keeper.review.table import read_decisions

    decisions = read_decisions(table)
    note = note_of(author, reason, not apply)
    with tried_on(identifier, note.dry_run) as place:
        keeper = Keeper.open(place, author=note.author, report=told_unless(note.dry_run))
        done = turn(keeper, decisions, note, stale=stale, force=force, progress=True)
    if as_json:
        told = {"event": None, "dry_run": note.dry_run, "summary": None}
        if done.event is not None:
            told = event_row(done.event, note.dry_run)
        print(json.dumps({**told, **done.row()}, indent=2))
        return
    print(done.text())
    if done.event is None:
        print("nothing is left to be done")
    else:
        print(event_text(done.event, identifier, not apply))
