"""Keeps up with the catalogue of an identifier that is served, and enrolls into it.

Other processes change it too: the command line, other workers, other servers.
"""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from flukeprint.data.catalog import Box
from flukeprint.data.readers.boxes import shares_in_pixels
from flukeprint.errors import FlukeprintError
from flukeprint.identifier.card import KEPT_FORMAT, card_digest, read_card
from flukeprint.identifier.identifier import Identifier
from flukeprint.identifier.photo_input import names_of, told_names
from flukeprint.keeper.keeper import Enrolment, Keeper
from flukeprint.keeper.new_photographs import NewPhotograph
from flukeprint.keeper.queue.shared_queue import SharedQueue
from flukeprint.records.database import FILE, Database
from flukeprint.records.journal import Note
from flukeprint.records.pointer import has_catalogue

Signature = tuple[object, ...]
Result = TypeVar("Result")
_SETTLED = 2.0  # seconds after which the time of a file tells whether it was written again


class NoCatalogueError(FlukeprintError):
    """What was asked for needs a catalogue, and there is none."""


class CatalogueWatch:
    """The catalogue in a folder, for one thread at a time.

    identifier: as it was loaded from there.
    """

    def __init__(self, folder: Path, identifier: Identifier) -> None:
        self._folder = folder
        self._keeper: Keeper | None = None
        self._database: Database | None = None
        self._seen: Signature | None = None
        self.identifier = identifier

    def look(self) -> bool:
        """Take over into `identifier` what others have changed; returns whether they have.

        It costs next to nothing where nobody has, and looks at no database where there is none.

        Raises:
            FlukeprintError: the catalogue or the identifier cannot be read; `identifier` is as
                before.
        """
        if not has_catalogue(self._folder):
            return False
        there = self._signature()
        if there is not None and there == self._seen:
            return False
        if self._keeper is None:
            if read_card(self._folder).format != KEPT_FORMAT:
                return False  # somebody is just beginning it
            self._keeper = Keeper.open(self._folder, identifier=self.identifier)
        changed = self._renew(self._keeper)
        self._seen = there
        return changed

    def enroll(
        self,
        identity: str,
        photos: Sequence[bytes],
        author: str,
        *,
        boxes: Sequence[Box] = (),
        thumbnails: bool,
        force: bool,
    ) -> Enrolment:
        """Add photographs of an animal, in one event; begins the catalogue where there is none.

        boxes: the animal in each, in shares of the upright photograph; none: all of each.

        It does not change `identifier`; `look` does.

        Raises:
            ProblemsError: what is wrong with the photographs or the name.
            FlukeprintError: the folder or the database cannot be written; nothing is changed.
        """
        if self._keeper is None:
            self._keeper = Keeper.open(self._folder, author=author, identifier=self.identifier)
        keeper = self._keeper
        if keeper.identifier.card.stamp != self.identifier.card.stamp:
            raise FlukeprintError(_other_network(self._folder))
        self._seen = None
        cuts: list[Box | None] = [None] * len(photos)
        if boxes:
            cuts = [shares_in_pixels(box, photo) for box, photo in zip(boxes, photos, strict=True)]
        return keeper.enroll(
            [
                NewPhotograph(photo, told, name, identity, box=box)
                for photo, told, name, box in zip(
                    photos, told_names(photos), names_of(photos), cuts, strict=True
                )
            ],
            Note(author), force=force, thumbnails=thumbnails,
        )  # fmt: skip

    def database(self) -> Database:
        """The records, to read; raises NoCatalogueError where there are none."""
        if self._database is None:
            if not has_catalogue(self._folder):
                raise NoCatalogueError(
                    "this identifier keeps no catalogue yet: begin one with flukeprint keep, or "
                    "enroll a photograph"
                )
            self._database = Database.open(self._folder)
        return self._database

    def queue(self) -> SharedQueue:
        """The queue of uploads; raises NoCatalogueError where there is no catalogue."""
        return SharedQueue(self._folder, self.database())

    def change(self, call: Callable[[Keeper], Result]) -> Result:
        """Let `call` change the catalogue; `look` shows it.

        Raises:
            NoCatalogueError: there is none.
            FlukeprintError: what `call` raises.
        """
        self.database()
        if self._keeper is None:
            self._keeper = Keeper.open(self._folder, identifier=self.identifier)
        self._seen = None
        return call(self._keeper)

    def _renew(self, keeper: Keeper) -> bool:
        now = keeper.identifier
        if now is self.identifier:
            return False
        if now.card.stamp != self.identifier.card.stamp:
            raise FlukeprintError(_other_network(self._folder))
        self.identifier = now
        return True

    def _signature(self) -> Signature | None:
        """What changes with every event in the files; None where that cannot be told from them."""
        parts: list[object] = [card_digest(self._folder)]
        now = time.time()
        for name in (FILE, f"{FILE}-wal"):
            try:
                found = (self._folder / name).stat()
            except OSError:
                if name == FILE:
                    return None  # a server has it
                continue
            if found.st_size:
                if abs(now - found.st_mtime) < _SETTLED:
                    return None  # a second event would leave the same time
                parts += [name, found.st_ino, found.st_size, found.st_mtime_ns]
        return tuple(parts)


def _other_network(folder: Path) -> str:
    return f"{folder} holds another network than the one that is served; start the server again"
