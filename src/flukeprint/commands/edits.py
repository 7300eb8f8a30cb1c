"""The commands by which a person changes a catalogue: each is one event, and can be taken back."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flukeprint.commands.catalogue import AsJson, Author, DryRun, Folder, Force, Reason, change
from flukeprint.errors import FlukeprintError

if TYPE_CHECKING:
    from flukeprint.records.database import Database
    from flukeprint.records.journal import Note
    from flukeprint.records.kinds import Event


def rename(
    identifier: Folder,
    old: Annotated[str, typer.Argument(help="The animal's name, or an alias.")],
    new: Annotated[str, typer.Argument(help="Its new name; the old one stays as an alias.")],
    force: Force = False,
    author: Author = None,
    reason: Reason = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Give an animal another name."""
    from flukeprint.records import edits

    label = _new_label_of(identifier)
    change(
        identifier, author, reason, dry_run, as_json,
        lambda base, note: edits.rename(base, old, new, note, new_label=label, force=force),
    )  # fmt: skip


def merge(
    identifier: Folder,
    kept: Annotated[str, typer.Argument(help="The animal whose name stays.")],
    other: Annotated[str, typer.Argument(help="The one that is the same animal.")],
    author: Author = None,
    reason: Reason = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Make two animals one; the other's name stays as an alias and is found."""
    from flukeprint.records import edits

    change(
        identifier, author, reason, dry_run, as_json,
        lambda base, note: edits.merge(base, kept, other, note),
    )  # fmt: skip


def split(
    identifier: Folder,
    name: Annotated[str, typer.Argument(help="The animal that is two.")],
    photos: Annotated[
        list[str], typer.Option("--photo", "-p", help="A photograph's name in the catalogue.")
    ],
    to: Annotated[
        str | None, typer.Option(help="The new animal's name; the next free one by default.")
    ] = None,
    force: Force = False,
    author: Author = None,
    reason: Reason = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Make a new animal of some of an animal's photographs."""
    from flukeprint.records import edits

    label = _new_label_of(identifier)
    change(
        identifier, author, reason, dry_run, as_json,
        lambda base, note: edits.split(base, name, photos, to, note, new_label=label, force=force),
    )  # fmt: skip


def move(
    identifier: Folder,
    photos: Annotated[list[str], typer.Argument(help="Photographs' names in the catalogue.")],
    to: Annotated[str, typer.Option(help="The animal that they show.")],
    new: Annotated[bool, typer.Option("--new", help="It is a new animal.")] = False,
    force: Force = False,
    author: Author = None,
    reason: Reason = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Say that photographs show another animal than was thought."""
    from flukeprint.records import edits

    label = _new_label_of(identifier)
    change(
        identifier, author, reason, dry_run, as_json,
        lambda base, note: edits.move(
            base, photos, to, note, new_label=label, new=new, force=force
        ),
    )  # fmt: skip


def remove(
    identifier: Folder,
    name: Annotated[
        str | None, typer.Argument(help="An animal, with all of its photographs.")
    ] = None,
    photos: Annotated[
        list[str] | None, typer.Option("--photo", "-p", help="A photograph's name instead.")
    ] = None,
    author: Author = None,
    reason: Reason = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Take an animal or photographs out of the catalogue; `undo` brings them back."""
    from flukeprint.records import edits

    if (name is None) == (not photos):
        raise FlukeprintError("give either an animal or photographs with --photo")

    def act(base: "Database", note: "Note") -> "Event":
        if name is not None:
            return edits.remove_individual(base, name, note)
        return edits.remove_photographs(base, photos or [], note)

    change(identifier, author, reason, dry_run, as_json, act)


def describe(
    identifier: Folder,
    name: Annotated[str, typer.Argument(help="The animal.")],
    sex: Annotated[str | None, typer.Option(help="female or male.")] = None,
    life_stage: Annotated[
        str | None, typer.Option(help="calf, juvenile, subadult or adult.")
    ] = None,
    died: Annotated[str | None, typer.Option(help="When it was known to be dead.")] = None,
    notes: Annotated[str | None, typer.Option(help="Anything else.")] = None,
    author: Author = None,
    reason: Reason = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Record what is known of an animal; an empty text forgets it."""
    from flukeprint.records import edits

    told = {"sex": sex, "life_stage": life_stage, "died": died, "notes": notes}
    known = {what: value or None for what, value in told.items() if value is not None}
    if not known:
        raise FlukeprintError("give --sex, --life-stage, --died or --notes")
    change(
        identifier, author, reason, dry_run, as_json,
        lambda base, note: edits.describe(base, name, known, note),
    )  # fmt: skip


def undo(
    identifier: Folder,
    number: Annotated[
        int | None, typer.Argument(help="Of the event, as `history` shows it; the last one.")
    ] = None,
    author: Author = None,
    reason: Reason = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Take an event back; refused where later events build on it."""
    from flukeprint.records import journal

    change(
        identifier, author, reason, dry_run, as_json,
        lambda base, note: journal.undo(base, note, number),
    )  # fmt: skip


def annotate(
    identifier: Folder,
    table: Annotated[
        Path, typer.Argument(help="CSV with image and date, latitude, longitude, place, view ...")
    ],
    author: Author = None,
    reason: Reason = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Record when and where photographs of the catalogue were taken."""
    from flukeprint.keeper.annotate import annotate as write

    change(
        identifier, author, reason, dry_run, as_json, lambda base, note: write(base, table, note)
    )


def _new_label_of(identifier: Path) -> str:
    """The label of unknown animals, which no animal may be called."""
    try:
        return str(json.loads((identifier / "identifier.json").read_text())["new_label"])
    except (OSError, ValueError, KeyError, TypeError):
        raise FlukeprintError(f"{identifier} is no identifier that can be read") from None
