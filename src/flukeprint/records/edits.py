"""Changes of a catalogue by a person: rename, merge, split, move, remove, describe."""

from collections.abc import Mapping, Sequence

import sqlalchemy as sa

from flukeprint.data.names import spelling
from flukeprint.errors import FlukeprintError, counted, listed
from flukeprint.records.batches import batches
from flukeprint.records.database import Database
from flukeprint.records.journal import Edit, Note, editing
from flukeprint.records.kinds import LIFE_STAGES, SEXES, Event, read_moment
from flukeprint.records.lookup import find_photographs
from flukeprint.records.names import find_individual, new_name, suggested_name
from flukeprint.records.schema import aliases, individuals, photographs

DESCRIBED = ("sex", "life_stage", "died", "notes")


def rename(
    database: Database, old: str, new: str, note: Note, *, new_label: str, force: bool = False
) -> Event:
    """Give an animal another name; the old one stays as an alias.

    new_label: the label of unknown individuals, which is no name.
    force: take a name that is nearly that of another animal.

    Raises:
        FlukeprintError: no such animal, or an unfit, taken or nearly taken name.
    """
    with editing(database, "rename", note) as edit:
        who = find_individual(edit.connection, old)
        was = _name_of(edit, who)
        name = new_name(edit.connection, new, new_label, force=force, own=who)
        if name == was:
            raise FlukeprintError(f"{was} is called so already")
        edit.update(aliases, _alias_of(edit, who, name), {"removed": True})
        edit.update(individuals, [who], {"name": name, "spelling": spelling(name)})
        _add_alias(edit, who, was)
        return _done(edit.finish(f"{was} is now called {name}"))


def merge(database: Database, kept: str, other: str, note: Note) -> Event:
    """Make two animals one: all photographs of `other` become those of `kept`.

    The other's name and aliases stay as aliases.  What was known of the other alone is taken over.

    Raises:
        FlukeprintError: no such animals, or twice the same.
    """
    with editing(database, "merge", note) as edit:
        into, gone = (find_individual(edit.connection, name) for name in (kept, other))
        if into == gone:
            raise FlukeprintError(f"{kept} and {other} are one animal already")
        names = _name_of(edit, into), _name_of(edit, gone)
        photos = _photos_of(edit, gone)
        edit.update(photographs, photos, {"individual_id": into})
        edit.update(individuals, [gone], {"removed": True})
        for row in edit.connection.execute(
            sa.select(aliases).where(aliases.c.individual_id == gone, ~aliases.c.removed)
        ).all():
            edit.update(aliases, [row.id], {"individual_id": into})
        _add_alias(edit, into, names[1])
        known = {
            row.id: row._mapping
            for row in edit.connection.execute(
                sa.select(individuals).where(individuals.c.id.in_((into, gone)))
            )
        }
        missing = {
            what: known[gone][what]
            for what in DESCRIBED
            if known[into][what] is None and known[gone][what] is not None
        }
        if missing:
            edit.update(individuals, [into], missing)
        what = counted(len(photos), "photograph")
        return _done(edit.finish(f"{names[1]} ({what}) is the same animal as {names[0]}"))


def split(
    database: Database,
    name: str,
    images: Sequence[str],
    to: str | None,
    note: Note,
    *,
    new_label: str,
    force: bool = False,
) -> Event:
    """Make a new animal of some of an animal's photographs.

    to: the new animal's name; None: the next free one of the catalogue's pattern.
    force: take a name that is nearly that of another animal.

    Raises:
        FlukeprintError: no such animal, photographs of others, all of its photographs, or an unfit
            or taken name.
    """
    with editing(database, "split", note) as edit:
        who = find_individual(edit.connection, name)
        own = set(_photos_of(edit, who))
        photos = find_photographs(edit.connection, images)
        strange = [image for image, number in photos.items() if number not in own]
        was = _name_of(edit, who)
        if strange:
            raise FlukeprintError(f"these are no photographs of {was}: {listed(strange)}")
        if len(set(photos.values())) == len(own):
            raise FlukeprintError(f"these are all photographs of {was}; rename it instead")
        fresh = add_individual(edit, to or suggested_name(edit.connection), new_label, force=force)
        edit.update(
            photographs, list(photos.values()),
            {"individual_id": fresh, "decided_by": "person", "decider": note.author,
             "probability": None},
        )  # fmt: skip
        number = counted(len(photos), "photograph")
        return _done(edit.finish(f"{number} of {was} are {_name_of(edit, fresh)}"))


def move(
    database: Database,
    images: Sequence[str],
    to: str,
    note: Note,
    *,
    new_label: str,
    new: bool = False,
    force: bool = False,
) -> Event:
    """Say that photographs show another animal than was thought.

    new: make the animal, which the catalogue does not know.

    Raises:
        FlukeprintError: no such photographs, no such animal, or all are of it already.
    """
    with editing(database, "move", note) as edit:
        photos = find_photographs(edit.connection, images)
        who = (
            add_individual(edit, to, new_label, force=force)
            if new
            else find_individual(edit.connection, to)
        )
        moved = move_photographs(edit, list(photos.values()), who)
        name = _name_of(edit, who)
        if not moved:
            raise FlukeprintError(f"these are photographs of {name} already")
        return _done(edit.finish(f"{_told(edit, moved)} shown to be {name}"))


def move_photographs(edit: Edit, photos: Sequence[int], who: int) -> list[int]:
    """Give photographs to an animal, as a person's decision; returns those that were another's."""
    others: list[int] = []
    for batch in batches(photos):
        asked = sa.select(photographs.c.id).where(
            photographs.c.id.in_(batch),
            photographs.c.individual_id.is_distinct_from(who),
        )
        others += edit.connection.execute(asked.order_by(photographs.c.id)).scalars()
    return edit.update(
        photographs, others,
        {"individual_id": who, "decided_by": "person", "decider": edit.note.author,
         "probability": None},
    )  # fmt: skip


def remove_individual(database: Database, name: str, note: Note) -> Event:
    """Take an animal and its photographs out of the catalogue; `undo` brings them back.

    Raises:
        FlukeprintError: no such animal.
    """
    with editing(database, "remove", note) as edit:
        who = find_individual(edit.connection, name)
        photos = _photos_of(edit, who)
        edit.update(photographs, photos, {"removed": True})
        edit.update(individuals, [who], {"removed": True})
        what = counted(len(photos), "photograph")
        return _done(edit.finish(f"{_name_of(edit, who)} and {what} of it removed"))


def remove_photographs(database: Database, images: Sequence[str], note: Note) -> Event:
    """Take photographs out of the catalogue; `undo` brings them back.

    Raises:
        FlukeprintError: no such photographs.
    """
    with editing(database, "remove", note) as edit:
        photos = find_photographs(edit.connection, images)
        edit.update(photographs, list(photos.values()), {"removed": True})
        return _done(edit.finish(f"{_told(edit, list(photos.values()))} removed"))


def describe(database: Database, name: str, known: Mapping[str, str | None], note: Note) -> Event:
    """Record what is known of an animal.

    known: some of `sex`, `life_stage`, `died` (a date) and `notes`; None forgets one.

    Raises:
        FlukeprintError: no such animal, or a value of no such kind.
    """
    values = described(known)
    with editing(database, "describe", note) as edit:
        who = find_individual(edit.connection, name)
        edit.update(individuals, [who], values)
        told = ", ".join(
            f"{what} forgotten" if value is None else f"{what} {' '.join(value.splitlines())}"
            for what, value in values.items()
        )
        done = edit.finish(f"{_name_of(edit, who)}: {told}")
        if done is None:
            raise FlukeprintError(f"that is known of {name} already")
        return done


def described(known: Mapping[str, str | None]) -> dict[str, str | None]:
    """What is told of an animal, checked; FlukeprintError for a value of no such kind."""
    values: dict[str, str | None] = {}
    for what, value in known.items():
        if what not in DESCRIBED:
            raise ValueError(f"nothing of an animal is called {what}")
        choices = {"sex": SEXES, "life_stage": LIFE_STAGES}.get(what)
        if value is not None and choices is not None and value not in choices:
            raise FlukeprintError(f"{what} {value!r} is none of {', '.join(choices)}")
        if value is not None and what == "died":
            value = read_moment(value).text
        values[what] = value
    return values


def add_individual(edit: Edit, name: str, new_label: str, *, force: bool = False) -> int:
    """Make an animal with a name that is fit and free; returns its id.

    Raises:
        FlukeprintError: the name is not.
    """
    fit = new_name(edit.connection, name, new_label, force=force)
    return edit.insert(
        individuals,
        [{"name": fit, "spelling": spelling(fit), "renamed": False, "removed": False}],
    )[0]


def _done(event: Event | None) -> Event:
    if event is None:
        raise FlukeprintError("that is so already; nothing was changed")
    return event


def _name_of(edit: Edit, who: int) -> str:
    found = edit.connection.scalar(sa.select(individuals.c.name).where(individuals.c.id == who))
    return str(found)


def _photos_of(edit: Edit, who: int) -> list[int]:
    return list(
        edit.connection.execute(
            sa.select(photographs.c.id)
            .where(photographs.c.individual_id == who, ~photographs.c.removed)
            .order_by(photographs.c.id)
        ).scalars()
    )


def _told(edit: Edit, photos: Sequence[int]) -> str:
    images = edit.connection.execute(
        sa.select(photographs.c.image).where(photographs.c.id.in_(list(photos[:4])))
    ).scalars()
    return f"{counted(len(photos), 'photograph')} ({listed(images, 3)})"


def _alias_of(edit: Edit, who: int, name: str) -> list[int]:
    """The alias of this animal that a name is, if it is one."""
    return list(
        edit.connection.execute(
            sa.select(aliases.c.id).where(
                aliases.c.individual_id == who, ~aliases.c.removed, aliases.c.name == name
            )
        ).scalars()
    )


def _add_alias(edit: Edit, who: int, name: str) -> None:
    if not _alias_of(edit, who, name):
        edit.insert(
            aliases,
            [{"individual_id": who, "name": name, "spelling": spelling(name), "removed": False}],
        )
