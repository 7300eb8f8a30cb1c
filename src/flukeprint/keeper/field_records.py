"""What a catalogue knows of its photographs, for the formats of the field."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from flukeprint.data.catalog import Box
from flukeprint.data.exchange.observed import Observed, ObservedPhoto
from flukeprint.data.readers.boxes import upright_size
from flukeprint.errors import counted, listed
from flukeprint.records.database import Database
from flukeprint.records.kinds import Encounter, Individual, PhotoRecord
from flukeprint.records.lookup import list_encounters, list_individuals, list_photographs
from flukeprint.storage import is_file

FORM = "catalogue"


def read_catalogue(database: Database, *, species: str | None = None) -> Observed:
    """Read all photographs of a catalogue, with what it knows of their animals and encounters.

    species: scientific name of all animals; catalogues keep none.

    Boxes become shares of the upright photographs; one whose file is no longer there is named in
    the notes, and its record is of the whole photograph.
    """
    with database.reading() as connection:
        photographs = list_photographs(connection)
        encounters = {one.id: one for one in list_encounters(connection)}
        animals = {one.name: one for one in list_individuals(connection)}
    paths = [None if one.file is None else Path(one.file) for one in photographs]
    with ThreadPoolExecutor(8) as pool:
        there = list(pool.map(lambda path: path is not None and is_file(path), paths))
    boxes = _shares(photographs, paths, there)
    notes = []
    for what, names in (
        (
            "in the catalogue without a file that is there",
            [one.image for one, found in zip(photographs, there, strict=True) if not found],
        ),
        (
            "with a box that is left out, since its file's size is unknown",
            [one.image for one, box in zip(photographs, boxes, strict=True) if one.box and not box],
        ),
    ):
        if names:
            notes.append(f"{counted(len(names), 'photograph')} {what}: {listed(names)}")
    return Observed(
        FORM,
        "",
        tuple(
            _observed(
                one,
                path if found else None,
                box,
                animals.get(one.individual or ""),
                encounters.get(one.encounter or -1),
                species,
            )
            for one, path, found, box in zip(photographs, paths, there, boxes, strict=True)
        ),
        notes=tuple(notes),
    )


def _shares(
    photographs: Sequence[PhotoRecord], paths: Sequence[Path | None], there: Sequence[bool]
) -> list[Box | None]:
    """Each photograph's box in shares of it, None where it has none or its size is unknown."""

    def share(row: int) -> Box | None:
        box, path = photographs[row].box, paths[row]
        if box is None or path is None or not there[row] or (size := upright_size(path)) is None:
            return None
        width, height = size
        x0, y0, x1, y1 = (
            min(max(side / length, 0.0), 1.0)
            for side, length in zip(box, (width, height, width, height), strict=True)
        )
        return (x0, y0, x1, y1) if x0 < x1 and y0 < y1 else None

    with ThreadPoolExecutor(8) as pool:
        return list(pool.map(share, range(len(photographs))))


def _observed(
    photo: PhotoRecord,
    path: Path | None,
    box: Box | None,
    animal: Individual | None,
    encounter: Encounter | None,
    species: str | None,
) -> ObservedPhoto:
    position = None if encounter is None else encounter.position
    moment = None if encounter is None else encounter.moment
    return ObservedPhoto(
        image=photo.image,
        path=path,
        identity=photo.individual,
        box=box,
        view=photo.view,
        date=None if moment is None else moment.text,
        offset=None if moment is None else moment.offset,
        latitude=None if position is None else position.latitude,
        longitude=None if position is None else position.longitude,
        uncertainty=None if position is None else position.uncertainty,
        place=None if encounter is None else encounter.place,
        observer=None if encounter is None else encounter.observer,
        occasion=None if encounter is None else encounter.occasion,
        encounter=None if encounter is None else str(encounter.id),
        species=species,
        sex=None if animal is None else animal.sex,
        life_stage=None if animal is None else animal.life_stage,
        notes=None if encounter is None else encounter.notes,
        probability=photo.probability,
        by=photo.decider,
        machine=photo.decided_by == "model",
    )
