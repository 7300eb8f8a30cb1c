"""The routes that show a catalogue: its animals, encounters and history."""

from typing import Annotated, Literal

from fastapi import FastAPI, Path, Query

from flukeprint.records.kinds import LIFE_STAGES, SEXES, Sex, read_moment
from flukeprint.records.lookup import (
    history,
    last_event,
    list_individuals,
    page_of,
)
from flukeprint.records.names import suggested_name
from flukeprint.records.search import (
    Order,
    Seen,
    find_animals,
    find_encounters,
    list_places,
    list_views,
)
from flukeprint.serving.alike_now import AlikeNow
from flukeprint.serving.api.catalogue.asking import READ_REFUSALS, known_animal, reading
from flukeprint.serving.api.catalogue.bodies import (
    Alike,
    AlikeBody,
    AnimalPage,
    Animals,
    Encounters,
    Events,
    Facets,
)
from flukeprint.serving.api.catalogue.telling import (
    animal_page,
    animal_row,
    event_body,
    seen_encounter,
)
from flukeprint.serving.api.problems import responses
from flukeprint.serving.service import Service

LARGEST = 2**31 - 1  # of the numbers that a database gives
AnimalId = Annotated[int, Path(ge=0, le=LARGEST, description="Id of an animal", examples=[5])]
EventId = Annotated[int, Path(ge=0, le=LARGEST, description="Number of an event", examples=[7])]
Place = Annotated[
    str | None, Query(max_length=200, description="Part of a place's name", examples=["bend"])
]
Date = Annotated[
    str | None,
    Query(alias="from", max_length=40, description="The first date, 2024-05-03", examples=["2024"]),
]
Until = Annotated[
    str | None,
    Query(alias="to", max_length=40, description="The last date, 2024-05-03", examples=["2026-05"]),
]
View = Annotated[
    str | None, Query(max_length=200, description="Side that is shown", examples=["left"])
]
Limit = Annotated[int, Query(ge=1, le=200, description="Most of a page", examples=[50])]
Cursor = Annotated[
    str | None,
    Query(max_length=2000, description="`next` of the page before; not given: the first page",
          examples=["WyJuXzA4NCIsIDVd"]),
]  # fmt: skip


def add_animal_routes(app: FastAPI, service: Service) -> None:
    """Add the routes under `/v1/animals`, `/v1/encounters` and `/v1/events` that only show."""
    alike_animals = AlikeNow(service)

    # None is async: they run in threads, since a database is asked.
    @app.get("/v1/animals", tags=["catalogue"], responses=responses(*READ_REFUSALS))
    def list_animals(
        q: Annotated[
            str | None,
            Query(max_length=200, description="Part of a name or alias, in any case and accents",
                  examples=["nandi"]),
        ] = None,
        place: Place = None,
        since: Date = None,
        until: Until = None,
        sex: Annotated[Sex | None, Query(description="Sex", examples=["female"])] = None,
        view: View = None,
        sort: Annotated[
            Order, Query(description="`-` turns it round", examples=["-last_seen"])
        ] = "name",
        limit: Limit = 50,
        cursor: Cursor = None,
    ) -> Animals:  # fmt: skip
        """Animals by name, or those that meet conditions.

        Place, dates and view must be met by one photograph.  Dates that are known by their month or
        year alone are met by every day of it.
        """
        with reading(service) as connection:
            found = find_animals(
                connection, name=q or None, sex=sex, seen=_seen(place, since, until, view),
                order=sort, most=limit, cursor=cursor,
            )  # fmt: skip
            event = last_event(connection)
        return Animals(
            total=found.total,
            animals=[animal_row(one.individual, one.photo) for one in found.animals],
            next=found.next,
            event=event,
        )

    @app.get(
        "/v1/animals/{animal}", tags=["catalogue"], responses=responses("not_found", *READ_REFUSALS)
    )
    def get_animal(animal: AnimalId) -> AnimalPage:
        """All that is known of an animal: facts, photographs, encounters and history."""
        with reading(service) as connection:
            known_animal(connection, animal)
            return animal_page(
                page_of(connection, animal), last_event(connection), service.settings.photos_folder
            )

    @app.get(
        "/v1/animals/{animal}/alike", tags=["catalogue"],
        responses=responses("not_found", *READ_REFUSALS),
    )  # fmt: skip
    def list_alike_animals(
        animal: AnimalId,
        most: Annotated[int, Query(ge=1, le=10, description="Most animals", examples=[5])] = 5,
    ) -> Alike:
        """The animals that one could be the same as, by how alike all their photographs look."""
        with reading(service) as connection:
            name = known_animal(connection, animal)
            ids = {one.name: one.id for one in list_individuals(connection)}
        identifier = service.identifier
        rows = dict(zip(identifier.gallery.images, identifier.numbers.tolist(), strict=True))
        alike = alike_animals.of(identifier)
        found = alike.of(name, most)
        return Alike(
            animal=animal,
            learning=alike_animals.learning,
            alike=[
                AlikeBody(
                    id=ids[one.name], name=one.name, similarity=one.similarity,
                    probability=one.probability, photo=rows[one.pair[0]], other=rows[one.pair[1]],
                )
                for one in found
                if one.name in ids  # it may have been renamed just now
            ],
        )  # fmt: skip

    @app.get("/v1/encounters", tags=["catalogue"], responses=responses(*READ_REFUSALS))
    def list_encounters(
        place: Place = None,
        since: Date = None,
        until: Until = None,
        view: View = None,
        limit: Limit = 50,
        cursor: Cursor = None,
    ) -> Encounters:
        """Encounters, the latest first, with who was seen."""
        with reading(service) as connection:
            found, following = find_encounters(
                connection, _seen(place, since, until, view), most=limit, cursor=cursor
            )
        return Encounters(encounters=[seen_encounter(one) for one in found], next=following)

    @app.get("/v1/facets", tags=["catalogue"], responses=responses(*READ_REFUSALS))
    def get_facets() -> Facets:
        """What lists can be narrowed down to, and the next free name."""
        with reading(service) as connection:
            return Facets(
                places=list(list_places(connection)), views=list(list_views(connection)),
                sexes=list(SEXES), life_stages=list(LIFE_STAGES),
                suggested_name=suggested_name(connection),
            )  # fmt: skip

    @app.get("/v1/events", tags=["catalogue"], responses=responses(*READ_REFUSALS))
    def list_events(
        author: Annotated[
            str | None, Query(max_length=200, description="Whose alone", examples=["Ana"])
        ] = None,
        kind: Annotated[
            Literal[
                "begin", "enroll", "review", "annotate", "describe", "rename", "alias", "merge",
                "split", "move", "remove", "refit", "undo",
            ]
            | None,
            Query(description="Of one kind alone", examples=["merge"]),
        ] = None,
        before: Annotated[
            int | None,
            Query(ge=0, le=LARGEST, description="`next` of the page before", examples=[120]),
        ] = None,
        limit: Limit = 50,
    ) -> Events:  # fmt: skip
        """The history: who changed what, and how it is taken back."""
        with reading(service) as connection:
            found = history(connection, limit + 1, before=before, author=author, kind=kind)
        page = found[:limit]
        return Events(
            events=[event_body(one) for one in page],
            next=page[-1].id if len(found) > limit else None,
        )


def _seen(place: str | None, since: str | None, until: str | None, view: str | None) -> Seen:
    first, last = (None if not date else read_moment(date).text for date in (since, until))
    return Seen(place or None, first, last, view or None)
