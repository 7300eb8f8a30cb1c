"""Turns records of a catalogue into bodies of answers."""

from dataclasses import asdict
from pathlib import Path

from flukeprint.records.kinds import Encounter, Event, Individual, Moment, PhotoRecord
from flukeprint.records.lookup import IndividualPage
from flukeprint.records.search import FoundEncounter
from flukeprint.serving.api.catalogue.bodies import (
    AnimalName,
    AnimalPage,
    AnimalPhoto,
    AnimalRow,
    EncounterBody,
    EventBody,
    PositionBody,
    SeenEncounter,
)
from flukeprint.serving.full_photos import file_below


def event_body(event: Event) -> EventBody:
    """One change."""
    fixed = event.kind == "begin" or event.undone_by is not None
    return EventBody(**asdict(event), undo=None if fixed else f"/v1/events/{event.id}/undo")


def encounter_body(one: Encounter) -> EncounterBody:
    """A time and place."""
    moment, position = one.moment, one.position
    return EncounterBody(
        id=one.id,
        date=_date(moment),
        precision=None if moment is None else moment.precision,
        utc_offset=None if moment is None else moment.offset,
        position=None if position is None else PositionBody(**asdict(position)),
        place=one.place,
        observer=one.observer,
        occasion=one.occasion,
        notes=one.notes,
    )


def seen_encounter(found: FoundEncounter) -> SeenEncounter:
    """A time and place with those who were seen."""
    return SeenEncounter(
        **dict(encounter_body(found.encounter)),
        animals=[AnimalName(id=who, name=name) for who, name in found.animals],
        photographs=found.photographs,
    )


def animal_row(one: Individual, photo: int | None) -> AnimalRow:
    """An animal in a list."""
    return AnimalRow(
        id=one.id, name=one.name, aliases=list(one.aliases), sex=one.sex,
        life_stage=one.life_stage, died=_date(one.died), notes=one.notes,
        photographs=one.photographs, encounters=one.encounters,
        first_seen=_date(one.first_seen), last_seen=_date(one.last_seen), photo=photo,
    )  # fmt: skip


def animal_page(page: IndividualPage, event: int, folder: Path | None = None) -> AnimalPage:
    """All that is known of an animal; event: the catalogue's last one.

    folder: in which the training's photographs lie, where it is known.
    """
    dates = {one.id: _date(one.moment) for one in page.encounters}
    photos = [_photo(one, dates.get(one.encounter or 0), folder) for one in page.photographs]
    photos.sort(key=lambda one: (one.view is None, one.view or "", one.date is None, one.date or "",
                                 one.photo))  # fmt: skip
    first = min((one.row for one in page.photographs), default=None)
    return AnimalPage(
        **dict(animal_row(page.individual, first)),
        views=sorted({one.view for one in page.photographs if one.view is not None}),
        photos=photos,
        seen=[encounter_body(one) for one in page.encounters],
        history=[event_body(one) for one in page.history],
        event=event,
    )


def _photo(one: PhotoRecord, date: str | None, folder: Path | None) -> AnimalPhoto:
    if one.file is not None:
        full = Path(one.file).is_file()
    else:
        full = folder is not None and file_below(folder, one.image) is not None
    return AnimalPhoto(
        photo=one.row, image=one.image, view=one.view, encounter=one.encounter, date=date,
        full=full, decided_by=one.decided_by, decider=one.decider, probability=one.probability,
    )  # fmt: skip


def _date(moment: Moment | None) -> str | None:
    return None if moment is None else moment.text
