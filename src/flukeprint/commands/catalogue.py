"""The commands of a catalogue: how it begins, what comes in, what is known, what goes out."""

import contextlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flukeprint.errors import FlukeprintError, ProblemsError, counted, listed, nearest
from flukeprint.output import say

if TYPE_CHECKING:
    from flukeprint.keeper.photo_tables import PhotoTable
    from flukeprint.records.database import Database
    from flukeprint.records.journal import Note
    from flukeprint.records.kinds import Encounter, Event

Folder = Annotated[Path, typer.Argument(help="The folder of a trained identifier.")]
Author = Annotated[str | None, typer.Option(help="Who does it; the system's user by default.")]
Reason = Annotated[str | None, typer.Option(help="Why, for the history.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Force = Annotated[
    bool, typer.Option("--force", help="Although a name or a photograph is nearly a known one.")
]


def keep(
    identifier: Folder,
    overrides: Annotated[
        list[str] | None,
        typer.Argument(metavar="[KEY=VALUE]...", help="catalogue.url=postgresql://user@host/name."),
    ] = None,
    author: Author = None,
) -> None:
    """Begin the catalogue of an identifier, in a server for a team."""
    from flukeprint.config.load import load_config
    from flukeprint.keeper.bring_over import open_catalogue
    from flukeprint.records.lookup import history
    from flukeprint.records.pointer import has_catalogue

    if has_catalogue(identifier):
        raise FlukeprintError(f"{identifier} keeps a catalogue already; see flukeprint history")
    url = load_config(None, overrides or []).catalogue.url
    database = open_catalogue(identifier, author_of(author), url=url)
    with database.reading() as connection:
        print(f"{history(connection, 1)[0].summary}: {database.label}")


def enroll(
    identifier: Folder,
    photos: Annotated[
        list[Path],
        typer.Argument(
            help="Photographs of one animal; or a folder with a folder for each animal; or a table."
        ),
    ],
    identity: Annotated[str | None, typer.Option(help="The animal's name.")] = None,
    suggest: Annotated[
        bool, typer.Option("--suggest", help="A new animal, with the next free name.")
    ] = False,
    new: Annotated[
        bool, typer.Option("--new", help="Animals of folders or a table may be new.")
    ] = False,
    date: Annotated[
        str | None, typer.Option(help="Such as 2026-05-03 or 2026-05-03T14:02.")
    ] = None,
    at: Annotated[str | None, typer.Option(help="LATITUDE,LONGITUDE in degrees.")] = None,
    uncertainty: Annotated[float | None, typer.Option(help="Of the place, metres.")] = None,
    place: Annotated[str | None, typer.Option(help="Name of the place.")] = None,
    observer: Annotated[str | None, typer.Option(help="Who photographed.")] = None,
    occasion: Annotated[str | None, typer.Option(help="Such as the survey's name.")] = None,
    view: Annotated[str | None, typer.Option(help="Side or part of the animal.")] = None,
    exif: Annotated[
        bool, typer.Option("--exif", help="Dates as the cameras wrote them, where none is given.")
    ] = False,
    seconds: Annotated[
        float, typer.Option(help="Longest pause between photographs of one encounter.", min=0)
    ] = 60,
    force: Force = False,
    author: Author = None,
    reason: Reason = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Add animals, or more photographs of known ones, without training: all or none."""
    from flukeprint.keeper.bring_over import tried_on
    from flukeprint.keeper.keeper import Keeper

    table = _photographs(photos, identity, suggest)
    encounter = _encounter(date, at, uncertainty, place, observer, occasion)
    table = _with_encounter(table, encounter, view)
    if exif:
        from flukeprint.keeper.camera_dates import with_camera_dates

        dated, lines = with_camera_dates(table.photographs, seconds)
        table = replace(table, photographs=dated)
        for line in lines:
            say(line)
    with tried_on(identifier, dry_run) as folder:
        keeper = Keeper.open(folder, author=author_of(author), report=told_unless(dry_run))
        done = keeper.enroll(
            table.photographs,
            note_of(author, reason, dry_run),
            new=new or identity is not None or suggest,
            force=force,
            each_new=not suggest,  # rows that name nobody need not be of one animal
            described=table.described,
            progress=True,
        )
    if table.ignored:
        say(f"columns left out, as they mean nothing here: {listed(table.ignored)}")
    if as_json:
        print(json.dumps({**event_row(done.event, dry_run), "images": done.images,
                          "identities": done.identities}, indent=2))  # fmt: skip
        return
    if len(set(done.identities)) == 1 and not dry_run:
        from flukeprint.records.lookup import count_individuals, list_individuals
        from flukeprint.records.names import find_individual

        name, fresh = done.identities[0], len(done.images)
        with keeper.database.reading() as connection:
            (animal,) = list_individuals(connection, ids=[find_individual(connection, name)])
            animals = count_individuals(connection)
        total = animal.photographs
        now = counted(total, "photograph")
        kind = f"known before, {now} now, {fresh:,} of them new" if total > fresh else f"new, {now}"
        print(f"{name}: {kind}; {counted(animals, 'animal')} in {identifier}")
    else:
        print(event_text(done.event, identifier, dry_run))


def individuals(
    identifier: Folder,
    name: Annotated[
        str | None, typer.Argument(help="One animal, by any of its names: all that is known of it.")
    ] = None,
    search: Annotated[
        str | None, typer.Option(help="Animals whose names hold this, in any case and accents.")
    ] = None,
    suggest: Annotated[
        bool, typer.Option("--suggest", help="Print the next free name of the pattern.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """List the animals, search them, or show one."""
    from flukeprint.keeper.individual_text import individual_row, list_text, page_row, page_text
    from flukeprint.records.lookup import individual_page, list_individuals
    from flukeprint.records.names import suggested_name

    with _opened(identifier, None).reading() as connection:
        if suggest:
            free = suggested_name(connection)
            print(json.dumps(free) if as_json else free)
        elif name is not None:
            page = individual_page(connection, name)
            print(json.dumps(page_row(page), indent=2) if as_json else page_text(page))
        else:
            found = list_individuals(connection, search)
            rows = [individual_row(one) for one in found]
            print(json.dumps(rows, indent=2) if as_json else list_text(found))


def history(
    identifier: Folder,
    most: Annotated[int, typer.Option(help="How many events, from the last on.", min=1)] = 20,
    as_json: AsJson = False,
) -> None:
    """Show what was changed, when, by whom and why."""
    from flukeprint.keeper.individual_text import event_line
    from flukeprint.records.lookup import history as read

    with _opened(identifier, None).reading() as connection:
        found = read(connection, most)
    rows = [asdict(event) for event in found]
    print(json.dumps(rows, indent=2) if as_json else "\n".join(map(event_line, reversed(found))))


def refit(
    identifier: Folder,
    trained_too: Annotated[
        bool,
        typer.Option("--trained-too", help="Ask photographs that the network was trained on, too."),
    ] = False,
    author: Author = None,
    reason: Reason = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Fit the threshold and the probabilities anew from the catalogue; nothing is trained."""
    from flukeprint.keeper.bring_over import tried_on
    from flukeprint.keeper.keeper import Keeper
    from flukeprint.keeper.refit import refit as fit

    with tried_on(identifier, dry_run) as folder:
        keeper = Keeper.open(folder, author=author_of(author), report=told_unless(dry_run))
        note = note_of(author, reason, dry_run)
        found = fit(keeper, note, trained_too=trained_too, progress=True)
    if as_json:
        print(json.dumps({**found.row(), **event_row(found.event, dry_run)}, indent=2))
    else:
        print(found.text())
        print(event_text(found.event, identifier, dry_run))


def export_catalogue(
    identifier: Folder,
    out: Annotated[Path, typer.Option("--out", "-o", help="The folder or file to write.")],
    form: Annotated[
        str,
        typer.Option(
            "--format",
            help="Tables: csv, parquet, xlsx; or a format of the field: camtrap-dp, coco.",
        ),
    ] = "csv",
    embeddings: Annotated[
        bool, typer.Option(help="With tables the embeddings too: .npz, or Parquet beside Parquet.")
    ] = True,
    species: Annotated[
        str | None, typer.Option(help="Scientific name of the animals, for formats of the field.")
    ] = None,
) -> None:
    """Export individuals, encounters, photographs, history and embeddings for other programs."""
    from flukeprint.data.exchange.forms import FORMS, write_observed, writer_of
    from flukeprint.keeper.exports import FORMATS
    from flukeprint.keeper.exports import export_catalogue as write
    from flukeprint.keeper.field_records import read_catalogue

    if form in FORMATS:
        database = _opened(identifier, None)
        for path, rows in write(identifier, database, out, form, embeddings).items():
            print(f"{path}: {counted(rows, 'row')}")
        return
    if form not in FORMS:
        raise FlukeprintError(
            f"no catalogue is exported as {form}; {nearest(form, (*FORMATS, *FORMS))}"
        )
    writer_of(form)
    observed = read_catalogue(_opened(identifier, None), species=species)
    for line in (*observed.notes, *write_observed(observed, out, form)):
        say(line)
    print(f"{out}: {counted(len(observed.photos), 'photograph')}")


def change(
    identifier: Path,
    author: str | None,
    reason: str | None,
    dry_run: bool,
    as_json: bool,
    act: "Callable[[Database, Note], Event]",
) -> None:
    """Change the catalogue by one event and print it."""
    note = note_of(author, reason, dry_run)
    with _tried(identifier, dry_run) as folder:
        event = act(_opened(folder, note.author, told_unless(dry_run)), note)
    if as_json:
        print(json.dumps(event_row(event, dry_run), indent=2))
    else:
        print(event_text(event, identifier, dry_run))


def _opened(
    identifier: Path, author: str | None, report: "Callable[[str], None] | None" = say
) -> "Database":
    from flukeprint.records.database import Database
    from flukeprint.records.pointer import has_catalogue

    if has_catalogue(identifier):  # without what bringing over needs to import
        return Database.open(identifier)
    from flukeprint.keeper.bring_over import open_catalogue

    return open_catalogue(identifier, author_of(author), report=report)


@contextlib.contextmanager
def _tried(identifier: Path, dry_run: bool) -> Iterator[Path]:
    if not dry_run:
        yield identifier
        return
    from flukeprint.keeper.bring_over import tried_on

    with tried_on(identifier, dry_run) as folder:
        yield folder


def told_unless(dry_run: bool) -> "Callable[[str], None] | None":
    """What says that a catalogue is begun; of a dry run none is."""
    return None if dry_run else say


def author_of(author: str | None) -> str:
    """Who does it: the author that was given, or the system's user."""
    from flukeprint.keeper.authors import system_user

    return author or system_user()


def note_of(author: str | None, reason: str | None, dry_run: bool) -> "Note":
    """The note of an event, from the options that every change has."""
    from flukeprint.records.journal import Note

    return Note(author_of(author), reason, dry_run)


def event_row(event: "Event", dry_run: bool) -> dict[str, Any]:
    return {"event": None if dry_run else asdict(event), "dry_run": dry_run,
            "summary": event.summary}  # fmt: skip


def event_text(event: "Event", identifier: Path, dry_run: bool) -> str:
    """What an event did, and how it is taken back."""
    if dry_run:
        return f"would be done: {event.summary}; nothing was changed"
    return f"{event.summary} (event {event.id}; flukeprint undo {identifier} {event.id})"


def _photographs(places: Sequence[Path], identity: str | None, suggest: bool) -> "PhotoTable":
    """What `enroll` was given: photographs of one animal, folders of animals, or a table."""
    from flukeprint.keeper.new_photographs import NewPhotograph
    from flukeprint.keeper.photo_tables import (
        PhotoTable,
        photographs_in_folders,
        photographs_in_table,
    )

    if identity is not None and suggest:
        raise FlukeprintError("give either --identity or --suggest")
    missing = [f"{place} is missing; check the path" for place in places if not place.exists()]
    if missing:
        raise ProblemsError(missing, "what is to be enrolled")
    if identity is not None or suggest:
        from flukeprint.identifier.answering import photographs_at

        found = photographs_at(places)
        return PhotoTable(tuple(NewPhotograph.of_file(path, identity) for path in found))
    if len(places) == 1 and places[0].is_dir():
        return photographs_in_folders(places[0])
    if len(places) == 1 and places[0].suffix.lower() in (".csv", ".tsv", ".txt", ".zip"):
        return photographs_in_table(places[0])
    raise FlukeprintError(
        "whom do these show? Give --identity NAME, --suggest for a new animal, a folder with a "
        "folder for each animal, or a CSV with image and identity"
    )


def _encounter(
    date: str | None,
    at: str | None,
    uncertainty: float | None,
    place: str | None,
    observer: str | None,
    occasion: str | None,
) -> "Encounter | None":
    from flukeprint.records.kinds import Encounter, read_moment, read_position

    if uncertainty is not None and at is None:
        raise FlukeprintError("--uncertainty needs --at LATITUDE,LONGITUDE")
    moment = None if date is None else read_moment(date)
    position = None if at is None else read_position(at, uncertainty)
    if moment is None and position is None and not any((place, observer, occasion)):
        return None
    return Encounter(0, moment, position, place, observer, occasion)


def _with_encounter(
    table: "PhotoTable", encounter: "Encounter | None", view: str | None
) -> "PhotoTable":
    """The photographs with the encounter and the view that were given for all of them.

    What the table says of one goes before it.
    """

    def whole(own: "Encounter | None") -> "Encounter | None":
        if own is None or encounter is None:
            return own or encounter
        return replace(
            own,
            moment=own.moment or encounter.moment,
            position=own.position or encounter.position,
            place=own.place or encounter.place,
            observer=own.observer or encounter.observer,
            occasion=own.occasion or encounter.occasion,
        )

    return replace(
        table,
        photographs=tuple(
            replace(one, encounter=whole(one.encounter), view=one.view or view)
            for one in table.photographs
        ),
    )
