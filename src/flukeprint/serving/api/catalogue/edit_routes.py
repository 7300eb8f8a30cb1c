"""The routes that change a catalogue; each change is one event that can be taken back."""

from typing import Annotated

import sqlalchemy as sa
from fastapi import Depends, FastAPI, Query

from flukeprint.keeper.keeper import Keeper
from flukeprint.records import edits, naming_edits
from flukeprint.records.journal import Note, undo
from flukeprint.records.kinds import Event
from flukeprint.records.schema import events, photographs
from flukeprint.serving.api.access.doors import Doors
from flukeprint.serving.api.catalogue.animal_routes import AnimalId, EventId
from flukeprint.serving.api.catalogue.asking import CHANGE_REFUSALS, changed, name_of_animal
from flukeprint.serving.api.catalogue.bodies import Changed
from flukeprint.serving.api.catalogue.changes import (
    AliasGone,
    AnimalFacts,
    MergeWith,
    MoveTo,
    NewName,
    Reason,
)
from flukeprint.serving.api.gallery_routes import PhotoId
from flukeprint.serving.api.problems import RefusedError, responses
from flukeprint.serving.people import Person
from flukeprint.serving.service import Service


def add_edit_routes(app: FastAPI, service: Service, doors: Doors) -> None:
    """Add the routes that change animals, photographs and events."""
    Keeps = Annotated[Person, Depends(doors.needs("keep"))]
    Reviews = Annotated[Person, Depends(doors.needs("review"))]
    refusals = responses(*CHANGE_REFUSALS)

    @app.post("/v1/animals/{animal}/rename", tags=["changes"], responses=refusals)
    async def rename_animal(animal: AnimalId, asked: NewName, person: Keeps) -> Changed:
        """Give an animal another name; the old one stays as an alias."""
        return await changed(
            service,
            lambda keeper: edits.rename(
                keeper.database, name_of_animal(keeper, animal), asked.name, _note(person, asked),
                new_label=_new_label(service), force=asked.force,
            ),
        )  # fmt: skip

    @app.post("/v1/animals/{animal}/merge", tags=["changes"], responses=refusals)
    async def merge_animals(animal: AnimalId, asked: MergeWith, person: Keeps) -> Changed:
        """Make two animals one: photographs and names of the other come over."""
        return await changed(
            service,
            lambda keeper: edits.merge(
                keeper.database, name_of_animal(keeper, animal),
                name_of_animal(keeper, asked.other), _note(person, asked),
            ),
        )  # fmt: skip

    @app.post("/v1/animals/{animal}/aliases", tags=["changes"], responses=refusals)
    async def add_alias(animal: AnimalId, asked: NewName, person: Keeps) -> Changed:
        """Give an animal a further name, under which it is found."""
        return await changed(
            service,
            lambda keeper: naming_edits.add_alias(
                keeper.database, name_of_animal(keeper, animal), asked.name, _note(person, asked),
                new_label=_new_label(service), force=asked.force,
            ),
        )  # fmt: skip

    @app.post("/v1/animals/{animal}/aliases/remove", tags=["changes"], responses=refusals)
    async def remove_alias(animal: AnimalId, asked: AliasGone, person: Keeps) -> Changed:
        """Take a further name from an animal."""
        return await changed(
            service,
            lambda keeper: naming_edits.remove_alias(
                keeper.database, name_of_animal(keeper, animal), asked.name, _note(person, asked)
            ),
        )

    @app.post("/v1/animals/{animal}/describe", tags=["changes"], responses=refusals)
    async def describe_animal(animal: AnimalId, asked: AnimalFacts, person: Keeps) -> Changed:
        """Record sex, life stage, death and notes; what is left out stays, null forgets it."""
        known = {
            what: getattr(asked, what) or None
            for what in edits.DESCRIBED
            if what in asked.model_fields_set
        }
        if not known:
            raise RefusedError("invalid", f"tell at least one of {', '.join(edits.DESCRIBED)}")
        return await changed(
            service,
            lambda keeper: edits.describe(
                keeper.database, name_of_animal(keeper, animal), known, _note(person, asked)
            ),
        )

    @app.post("/v1/photos/{photo}/move", tags=["changes"], responses=refusals)
    async def move_photo(photo: PhotoId, asked: MoveTo, person: Keeps) -> Changed:
        """Say whom a photograph shows: another animal, a new one, or nobody known.

        A photograph of nobody known is in no answer any more; undo brings it back.
        """
        if asked.animal is not None and asked.new_name is not None:
            raise RefusedError("invalid", "tell either an animal or a new_name")
        label = _new_label(service)

        def move(keeper: Keeper) -> Event:
            image = _image_of(keeper, photo)
            note = _note(person, asked)
            if asked.new_name is not None:
                return edits.move(
                    keeper.database, [image], asked.new_name, note,
                    new_label=label, new=True, force=asked.force,
                )  # fmt: skip
            if asked.animal is None:
                return naming_edits.name_nobody(keeper.database, [image], note)
            name = name_of_animal(keeper, asked.animal)
            return edits.move(keeper.database, [image], name, note, new_label=label)

        return await changed(service, move)

    @app.post("/v1/events/{event}/undo", tags=["changes"], responses=refusals)
    async def undo_event(
        event: EventId,
        person: Reviews,
        reason: Annotated[
            str | None, Query(max_length=500, description="For the history", examples=["a slip"])
        ] = None,
    ) -> Changed:
        """Take an event back; the undo is an event, and can be taken back too.

        Who may only review takes back only what he or she did.
        """

        def take_back(keeper: Keeper) -> Event:
            author = _author_of(keeper, event)
            if not person.may("keep") and author != person.name:
                raise RefusedError("forbidden", "this takes the role keep: another one did it")
            return undo(keeper.database, Note(person.name, reason or None), event)

        return await changed(service, take_back)


def _note(person: Person, asked: Reason) -> Note:
    return Note(person.name, asked.reason or None)


def _new_label(service: Service) -> str:
    return service.identifier.card.new_label


def _image_of(keeper: Keeper, photo: int) -> str:
    with keeper.database.reading() as connection:
        image = connection.scalar(
            sa.select(photographs.c.image).where(
                photographs.c.row == min(photo, 2**31 - 1), ~photographs.c.removed
            )
        )
    if image is None:
        raise RefusedError("not_found", f"the catalogue has no photo {photo}")
    return str(image)


def _author_of(keeper: Keeper, event: int) -> str:
    with keeper.database.reading() as connection:
        author = connection.scalar(sa.select(events.c.author).where(events.c.id == event))
    if author is None:
        raise RefusedError("not_found", f"there is no event {event}")
    return str(author)
