"""Changes of a catalogue by a person: further names of an animal, and photographs of nobody."""

from collections.abc import Sequence

import sqlalchemy as sa

from flukeprint.data.names import identity_name, spelling
from flukeprint.errors import FlukeprintError, counted, listed
from flukeprint.records.batches import batches
from flukeprint.records.database import Database
from flukeprint.records.journal import Note, editing
from flukeprint.records.kinds import Event
from flukeprint.records.lookup import find_photographs
from flukeprint.records.names import find_individual, new_name
from flukeprint.records.schema import aliases, individuals, photographs


def add_alias(
    database: Database, name: str, alias: str, note: Note, *, new_label: str, force: bool = False
) -> Event:
    """Give an animal a further name, under which it is found.

    new_label: the label of unknown individuals, which is no name.
    force: take a name that is nearly that of another animal.

    Raises:
        FlukeprintError: no such animal, or an unfit, taken or nearly taken name.
    """
    with editing(database, "alias", note) as edit:
        who = find_individual(edit.connection, name)
        fit = new_name(edit.connection, alias, new_label, force=force, own=who)
        own = edit.connection.scalar(sa.select(individuals.c.name).where(individuals.c.id == who))
        known = sa.select(aliases.c.id).where(
            aliases.c.individual_id == who, ~aliases.c.removed, aliases.c.name == fit
        )
        if fit == own or edit.connection.scalar(known) is not None:
            raise FlukeprintError(f"{own} is called {fit} already")
        edit.insert(
            aliases,
            [{"individual_id": who, "name": fit, "spelling": spelling(fit), "removed": False}],
        )
        event = edit.finish(f"{own} is also called {fit}")
        assert event is not None
    return event


def remove_alias(database: Database, name: str, alias: str, note: Note) -> Event:
    """Take a further name from an animal.

    Raises:
        FlukeprintError: no such animal, or it has no such alias.
    """
    with editing(database, "alias", note) as edit:
        who = find_individual(edit.connection, name)
        wanted = identity_name(alias)
        found = edit.connection.execute(
            sa.select(aliases.c.id).where(
                aliases.c.individual_id == who, ~aliases.c.removed, aliases.c.name == wanted
            )
        ).scalars()
        gone = edit.update(aliases, list(found), {"removed": True})
        if not gone:
            raise FlukeprintError(f"{name} has no alias {wanted}")
        event = edit.finish(f"{name} is no longer called {wanted}")
        assert event is not None
    return event


def name_nobody(database: Database, images: Sequence[str], note: Note) -> Event:
    """Say that nobody knows whom photographs show; they stay in the records, and in no answer.

    Raises:
        FlukeprintError: no such photographs, or they are nobody's already.
    """
    with editing(database, "move", note) as edit:
        photos = find_photographs(edit.connection, images)
        named: list[int] = []
        for batch in batches(list(photos.values())):
            asked = sa.select(photographs.c.id).where(
                photographs.c.id.in_(batch), photographs.c.individual_id.is_not(None)
            )
            named += edit.connection.execute(asked).scalars()
        edit.update(
            photographs, named,
            {"individual_id": None, "decided_by": "person", "decider": note.author,
             "probability": None},
        )  # fmt: skip
        if not named:
            raise FlukeprintError("these are photographs of nobody already")
        told = f"{counted(len(named), 'photograph')} ({listed(list(images), 3)})"
        event = edit.finish(f"{told} shown to be nobody known")
        assert event is not None
    return event
