"""The bodies of answers about a catalogue; names and docstrings are part of the OpenAPI schema.

Dates are as precise as they are known: 2024, 2024-05, 2024-05-03 or 2024-05-03T14:02:31, in the
local time of the place.
"""

from typing import Annotated, Literal

from pydantic import Field

from flukeprint.records.kinds import LifeStage, Precision, Sex
from flukeprint.serving.api.schemas import Body, Probability, told


class EventBody(Body):
    """One change of the catalogue."""

    id: Annotated[int, told("Its number", 7)]
    time: Annotated[str, told("UTC", "2026-11-29T02:50:36Z")]
    author: Annotated[str, told("Who did it", "Ana")]
    kind: Annotated[str, told("enroll, rename, merge, move, review, undo ...", "rename")]
    summary: Annotated[str, told("What it did, in words", "n_131 is now called Nandi")]
    reason: Annotated[str | None, told("Why, as its author said", "its name in the park")]
    undoes: Annotated[int | None, told("Number of the event that it takes back", None)]
    undone_by: Annotated[int | None, told("Number of the event that took it back", None)]
    undo: Annotated[
        str | None,
        told("Address to POST to, to take it back; null where it cannot be", "/v1/events/7/undo"),
    ]


class Events(Body):
    """A page of the history, the last event first."""

    events: Annotated[list[EventBody], told("The last one first", [])]
    next: Annotated[int | None, told("`before` of the next page; null where this is the last", 120)]


class PositionBody(Body):
    """A place on the Earth, WGS 84."""

    latitude: Annotated[float, told("Degrees north", -27.05)]
    longitude: Annotated[float, told("Degrees east", 32.41)]
    uncertainty: Annotated[float | None, told("Radius in metres in which it lies", 50.0)]


class EncounterBody(Body):
    """A time and place at which animals were photographed."""

    id: Annotated[int, told("Its number", 12)]
    date: Annotated[str | None, told("As precise as it is known", "2026-05-12T13:55")]
    precision: Annotated[Precision | None, told("How much of the date is known", "minute")]
    utc_offset: Annotated[str | None, told("Of local time from UTC", "+02:00")]
    position: Annotated[
        PositionBody | None,
        told("Where", {"latitude": -27.05, "longitude": 32.41, "uncertainty": None}),
    ]
    place: Annotated[str | None, told("Name of the place", "river bend")]
    observer: Annotated[str | None, told("Who was there", "Bea")]
    occasion: Annotated[str | None, told("Such as a survey", "spring survey")]
    notes: Annotated[str | None, told("Anything else", None)]


class AnimalName(Body):
    """An animal, by id and name."""

    id: Annotated[int, told("See `/v1/animals/{animal}`", 5)]
    name: Annotated[str, told("Its name now", "n_084")]


class SeenEncounter(EncounterBody):
    """An encounter with the animals in it."""

    animals: Annotated[list[AnimalName], told("Who was seen", [{"id": 5, "name": "n_084"}])]
    photographs: Annotated[int, told("How many there are of it", 3)]


class Encounters(Body):
    """A page of encounters, the latest first."""

    encounters: Annotated[list[SeenEncounter], told("Those without a date last", [])]
    next: Annotated[
        str | None, told("`cursor` of the next page; null where this is the last", None)
    ]


class AnimalRow(Body):
    """An animal in a list."""

    id: Annotated[int, told("It never changes, whatever the animal is called", 5)]
    name: Annotated[str, told("Its name now", "n_084")]
    aliases: Annotated[list[str], told("Other names under which it is found", ["stray_1"])]
    sex: Annotated[Sex | None, told("null: not known", "female")]
    life_stage: Annotated[LifeStage | None, told("null: not known", "adult")]
    died: Annotated[str | None, told("When it was known to be dead", None)]
    notes: Annotated[str | None, told("Anything else", "torn left ear")]
    photographs: Annotated[int, told("How many there are of it", 6)]
    encounters: Annotated[int, told("In how many it was seen", 6)]
    first_seen: Annotated[str | None, told("Of its dated encounters", "2026-05-12T13:55")]
    last_seen: Annotated[str | None, told("Of its dated encounters", "2026-06-27T16:38")]
    photo: Annotated[int | None, told("Id of a photograph of it: `/v1/photos/{photo}`", 31)]


class Animals(Body):
    """A page of animals."""

    total: Annotated[int, told("How many meet the conditions", 231)]
    animals: Annotated[list[AnimalRow], told("In the order asked for", [])]
    next: Annotated[
        str | None, told("`cursor` of the next page; null where this is the last", None)
    ]
    event: Annotated[int, told("Number of the catalogue's last event", 8)]


class AnimalPhoto(Body):
    """A photograph of an animal."""

    photo: Annotated[int, told("Its id: `/v1/photos/{photo}`", 31)]
    image: Annotated[str, told("Its name in the catalogue", "1bd6a4e1e8c4562f.jpg")]
    view: Annotated[str | None, told("From which side", "left")]
    encounter: Annotated[int | None, told("Number of its encounter", 12)]
    date: Annotated[str | None, told("Of its encounter", "2026-05-12T13:55")]
    full: Annotated[bool, told("Whether it can be had at full size: `?size=full`", True)]
    decided_by: Annotated[Literal["person", "model"], told("Who said whom it shows", "person")]
    decider: Annotated[str | None, told("Name of the person, or of the model", "Ana")]
    probability: Annotated[Probability | None, told("Of a model's decision", None)]


class AnimalPage(AnimalRow):
    """All that is known of one animal."""

    views: Annotated[list[str], told("Of its photographs, sorted", ["left", "right"])]
    photos: Annotated[list[AnimalPhoto], told("By view, then date; those without last", [])]
    seen: Annotated[list[EncounterBody], told("Its encounters, by date", [])]
    history: Annotated[
        list[EventBody], told("What changed it or a photograph of it, the last one first", [])
    ]
    event: Annotated[int, told("Number of the catalogue's last event", 8)]


class AlikeBody(Body):
    """An animal that another could be the same as."""

    id: Annotated[int, told("See `/v1/animals/{animal}`", 9)]
    name: Annotated[str, told("Its name now", "n_165")]
    similarity: Annotated[
        float,
        told("Cosine of the mean directions of both, in the view in which it is largest", 0.61),
    ]
    probability: Annotated[
        Annotated[float, Field(ge=0, le=1)] | None,
        told("That they are one animal; null where the catalogue is too small to say", 0.12),
    ]
    photo: Annotated[int, told("The most similar photograph of the animal asked for", 31)]
    other: Annotated[int, told("And that of this one", 77)]


class Alike(Body):
    """The animals that one could be the same as, likeliest first."""

    animal: Annotated[int, told("The one asked for", 5)]
    learning: Annotated[
        bool,
        told("Probabilities are being learned, and null so far: ask again in a while", False),
    ]
    alike: Annotated[list[AlikeBody], told("Likeliest first", [])]


class Facets(Body):
    """What lists can be narrowed down to."""

    places: Annotated[list[str], told("Of all encounters", ["river bend", "water hole"])]
    views: Annotated[list[str], told("Of all photographs", ["left", "right"])]
    sexes: Annotated[list[str], told("That an animal may have", ["female", "male"])]
    life_stages: Annotated[list[str], told("That an animal may be in", ["calf", "adult"])]
    suggested_name: Annotated[str, told("The next free name for a new animal", "n_273")]


class Changed(Body):
    """What a change did, and how it is taken back."""

    event: Annotated[
        EventBody,
        told(
            "The event that it became",
            {"id": 7, "time": "2026-11-29T02:50:36Z", "author": "Ana", "kind": "rename",
             "summary": "n_131 is now called Nandi", "reason": None, "undoes": None,
             "undone_by": None, "undo": "/v1/events/7/undo"},
        ),
    ]  # fmt: skip
