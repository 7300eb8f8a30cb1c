"""A `Keeper` keeps the catalogue of an identifier: what comes in is recorded and found at once.

The gallery's files are appended to before the transaction commits that counts what is in them, so
that a photograph is in both or in neither, whenever the process dies.
"""

import contextlib
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import sqlalchemy as sa

from flukeprint.data.copies import difference_hash
from flukeprint.data.thumbnails import thumbnail
from flukeprint.errors import FlukeprintError, ProblemsError, counted, listed
from flukeprint.files import locked_for_writing
from flukeprint.identifier.card import card_digest
from flukeprint.identifier.identifier import Identifier
from flukeprint.identifier.integrity import bytes_digest
from flukeprint.identifier.kept_gallery import facts_of
from flukeprint.keeper.appending import (
    Examined,
    append_photographs,
    free_images,
    keep_parts,
    rows_since,
)
from flukeprint.keeper.authors import system_user
from flukeprint.keeper.bring_over import open_catalogue
from flukeprint.keeper.copies import LOOKED_AT, copies_in_gallery
from flukeprint.keeper.new_photographs import NewPhotograph
from flukeprint.output import Stage
from flukeprint.ranking.features import Features
from flukeprint.records.batches import batches
from flukeprint.records.database import Database
from flukeprint.records.edits import add_individual
from flukeprint.records.journal import Edit, Note, editing
from flukeprint.records.kinds import Encounter, Event
from flukeprint.records.lookup import encounter_of, encounter_values, last_event
from flukeprint.records.names import ids_of_names, kept_text, suggested_name
from flukeprint.records.schema import catalogue, encounters, individuals, photographs
from flukeprint.search.gallery_files import StoreFacts

BLOCK = 64  # photographs that are in memory together
# Photographs that may have come since the gallery was read before it is read again.
FEW = 5_000


@dataclass(frozen=True)
class Enrolment:
    """What an enrolment did: its event, the photographs' names in the gallery, whose they are."""

    event: Event
    images: tuple[str, ...]
    identities: tuple[str, ...]


class Keeper:
    """An identifier and its catalogue, in one folder."""

    def __init__(self, folder: Path, database: Database, identifier: Identifier | None) -> None:
        """Use `open`."""
        self.folder, self.database = folder, database
        self._identifier = identifier

    @classmethod
    def open(
        cls,
        folder: Path | str,
        *,
        author: str | None = None,
        url: str | None = None,
        identifier: Identifier | None = None,
        report: Callable[[str], None] | None = None,
    ) -> "Keeper":
        """Open the catalogue of an identifier, and begin it where there is none.

        author: who begins it; the system's user by default.
        url: of a PostgreSQL server to begin it in; None: SQLite in the folder.
        identifier: as it was loaded from the folder before, also before there was a catalogue.
        report: receives a line where it is begun.

        Raises:
            FlukeprintError: no identifier there, or a database that cannot be opened.
        """
        place = Path(folder)
        database = open_catalogue(place, author or system_user(), url=url, report=report)
        return cls(place, database, identifier)

    @property
    def identifier(self) -> Identifier:
        """The identifier as the catalogue is now; read again after somebody changed it."""
        with self.database.reading() as connection:
            event = last_event(connection)
        known = self._identifier
        if (
            known is None
            or known.kept is None
            or known.kept.records.event != event
            or known.origin is None
            or known.origin.digest != card_digest(self.folder)  # it has another index
        ):
            known = Identifier.load(self.folder, earlier=known)
            self._identifier = known
        return known

    def examine(
        self, photos: Sequence[NewPhotograph], *, thumbnails: bool = True, progress: bool = False
    ) -> Examined:
        """Read and embed photographs that are to be enrolled.

        thumbnails: also make small pictures of them, for the web page.

        Raises:
            ProblemsError: some cannot be read; all are named.
        """
        known = self._loaded()
        wanted = thumbnails and known.showcase is not None
        found, hashes, digests, small, problems = [], [], [], [], []
        with Stage("photographs" if progress else None, len(photos)) as stage:
            for start in range(0, len(photos), BLOCK):
                ready = []
                for photo in photos[start : start + BLOCK]:
                    stage.update()
                    try:
                        data, pixels = photo.data(), photo.pixels()
                    except (FlukeprintError, OSError) as error:
                        problems.append(str(error))
                        continue
                    source = pixels if photo.box is not None or data is None else data
                    ready.append(known.prepare(source, photo.name))
                    hashes.append(difference_hash(pixels))
                    digests.append(None if data is None else bytes_digest(data))
                    small.append(thumbnail(pixels) if wanted else None)
                if ready:
                    found.append(known.examine_prepared(ready, BLOCK))
        if problems:
            raise ProblemsError(problems, "what is to be enrolled")
        return Examined(Features.concatenate(found), tuple(hashes), tuple(digests), tuple(small))

    def enroll(
        self,
        photos: Sequence[NewPhotograph],
        note: Note,
        *,
        new: bool = True,
        force: bool = False,
        thumbnails: bool = True,
        progress: bool = False,
        each_new: bool = False,
        kind: str = "enroll",
        described: Mapping[str, Mapping[str, str | None]] | None = None,
        examined: Examined | None = None,
    ) -> Enrolment:
        """Take photographs into the catalogue, without training: all of them, or none.

        A photograph of nobody named is of a new animal, with the next free name.

        new: animals that the catalogue does not know are made; otherwise they are refused.
        force: take near copies, and names that are nearly those of other animals.
        each_new: photographs of nobody named are of as many animals, not of one.
        kind: of the event.
        described: name of an animal among them -> its sex and life stage.
        examined: of `examine`, where that was done before.

        Raises:
            ProblemsError: what is wrong, all at once; nothing is changed then.
            FlukeprintError: the folder or the database cannot be written.
        """
        if not photos:
            raise FlukeprintError("no photograph was given")
        if not new:  # before anything is embedded
            with self.database.reading() as connection:
                _refuse_unknown(connection, photos)
        if examined is None:
            examined = self.examine(photos, thumbnails=thumbnails, progress=progress)
        fresh = examined.features.embeddings
        known = self._loaded()
        near = known.prepared.gallery.search(fresh, LOOKED_AT)
        with self._alone(note), editing(self.database, kind, note) as edit:
            facts = self._facts(edit)
            told = [photo.told for photo in photos]
            problems = copies_in_gallery(
                edit.connection, known, near, rows_since(self.folder, edit, known, facts), fresh,
                examined.hashes, told, force=force,
            )  # fmt: skip
            if problems:
                raise ProblemsError(problems, "what is to be enrolled")
            ids, names = _owners(
                edit, photos, known.card.new_label, new=new, force=force, each_new=each_new
            )
            owner = {photo.identity: who for photo, who in zip(photos, ids, strict=True)}
            for identity, values in (described or {}).items():
                edit.update(individuals, [owner[identity]], values)
            images = free_images(edit, photos)
            made = _add_encounters(edit, photos)
            rows = append_photographs(self.folder, edit, facts, fresh, photos, ids, images)
            numbers = edit.insert(
                photographs,
                [
                    {"image": image, "row": row, "individual_id": who, "encounter_id": encounter,
                     "view": photo.view, "digest": digest, "file": _file_of(photo),
                     "box": None if photo.box is None else json.dumps(photo.box),
                     "decided_by": photo.decided_by, "decider": photo.decider or note.author,
                     "probability": photo.probability, "changed": False, "removed": False}
                    for photo, image, row, who, encounter, digest in zip(
                        photos, images, rows, ids, made, examined.digests, strict=True
                    )
                ],
            )  # fmt: skip
            keep_parts(edit, known, near.rows, examined, numbers, rows)
            event = edit.finish(_told(names, len(photos)))
            assert event is not None
        return Enrolment(event, tuple(images), tuple(names))

    def _facts(self, edit: Edit) -> StoreFacts:
        store = edit.connection.execute(sa.select(catalogue.c.store)).scalar_one()
        return facts_of(self.folder, store)

    def _loaded(self) -> Identifier:
        """The identifier, perhaps as it was some events ago.

        What enrolling costs must not grow with the gallery, and reading it again does; the records
        say what has changed since.
        """
        known = self._identifier
        if known is None or known.kept is None:
            return self.identifier
        with self.database.reading() as connection:
            state = connection.execute(sa.select(catalogue.c.store, catalogue.c.born)).one()
        later = facts_of(self.folder, state.store).photos - known.kept.stored
        same = state.born == known.kept.records.born
        return known if same and later <= max(FEW, known.kept.stored // 20) else self.identifier

    @contextlib.contextmanager
    def _alone(self, note: Note) -> Iterator[None]:
        """Keep other writers out of the gallery's files until the transaction has ended.

        A transaction on a server may end without its process, and another one may begin.
        """
        with contextlib.nullcontext() if note.dry_run else locked_for_writing(self.folder):
            yield


def _owners(
    edit: Edit,
    photos: Sequence[NewPhotograph],
    new_label: str,
    *,
    new: bool,
    force: bool,
    each_new: bool,
) -> tuple[list[int], list[str]]:
    """The id and the name of each photograph's animal; new ones are made.

    new_label: the label of unknown animals, which is no name.
    """

    def unnamed() -> int:
        return add_individual(edit, suggested_name(edit.connection), new_label)

    given = [photo.identity for photo in photos]
    asked = dict.fromkeys(name for name in given if name is not None)
    ids: dict[str | None, int] = {}
    try:
        exact = ids_of_names(edit.connection, asked, exactly=True)
    except FlukeprintError as error:
        raise ProblemsError([str(error)], "what is to be enrolled") from None
    missing = [name for name in asked if name not in exact]
    if not new:
        _refuse_unknown(edit.connection, photos)
    ids.update(exact)
    problems = []
    for name in missing:
        try:
            ids[name] = add_individual(edit, name, new_label, force=force)
        except FlukeprintError as error:
            problems.append(str(error))
    if problems:
        raise ProblemsError(problems, "what is to be enrolled")
    if None in given and not each_new:
        ids[None] = unnamed()
    owners = [ids[name] if name is not None or not each_new else unnamed() for name in given]
    names: dict[int, str] = {}
    for batch in batches(sorted(set(owners))):
        asked_of = sa.select(individuals.c.id, individuals.c.name)
        found = edit.connection.execute(asked_of.where(individuals.c.id.in_(batch)))
        names.update(found.tuples().all())
    return owners, [names[who] for who in owners]


def _refuse_unknown(connection: sa.Connection, photos: Sequence[NewPhotograph]) -> None:
    """Refuse animals that the catalogue does not know, and photographs of nobody; all are named."""
    asked = dict.fromkeys(one.identity for one in photos if one.identity is not None)
    known = ids_of_names(connection, asked, exactly=True)
    problems = [
        f"no animal is called {name}; enroll new animals with --new"
        for name in asked
        if name not in known
    ]
    problems += [
        f"{photo.told}: no animal is named; name it, or enroll each as a new animal with --new"
        for photo in photos
        if photo.identity is None
    ]
    if problems:
        raise ProblemsError(problems, "what is to be enrolled")


def _file_of(photo: NewPhotograph) -> str | None:
    if not isinstance(photo.photo, Path | str):
        return None
    return kept_text(str(Path(photo.photo).absolute()))


def _add_encounters(edit: Edit, photos: Sequence[NewPhotograph]) -> list[int | None]:
    """The encounter of each photograph: one that is there already, or made, equal ones once."""
    told = [
        None if one is None else replace(one, id=min(one.id, 0))
        for one in (photo.encounter for photo in photos)
    ]
    distinct = dict.fromkeys(one for one in told if one is not None)
    alike = Counter(replace(one, id=0) for one in distinct)
    numbers = {
        one: number
        for one in distinct
        if alike[replace(one, id=0)] == 1 and (number := _same_encounter(edit, replace(one, id=0)))
    }
    fresh = [one for one in distinct if one not in numbers]
    ids = edit.insert(encounters, [encounter_values(one) for one in fresh])
    numbers.update(zip(fresh, ids, strict=True))
    return [None if one is None else numbers[one] for one in told]


def _same_encounter(edit: Edit, one: Encounter) -> int | None:
    """The encounter of the same time, place and people that is there already."""
    if one.moment is None:
        return None
    known = edit.connection.execute(
        sa.select(encounters).where(encounters.c.moment == one.moment.text, ~encounters.c.removed)
    )
    found = [row.id for row in known if replace(encounter_of(row), id=0) == one]
    return found[0] if found else None


def _told(names: Sequence[str], photos: int) -> str:
    distinct = list(dict.fromkeys(names))
    return f"{counted(photos, 'photograph')} of {listed(distinct, 5)} enrolled"
