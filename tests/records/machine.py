"""Random edits and undos of a catalogue beside a model of it in memory.

The model's state is the first one with the assignments of all events that hold, in the order of
their numbers: an event that is taken back is as if it had never been.
"""

import tempfile
from pathlib import Path
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from flukeprint.errors import FlukeprintError
from flukeprint.records.database import Database
from flukeprint.records.edits import (
    describe,
    merge,
    move,
    remove_individual,
    remove_photographs,
    rename,
    split,
)
from flukeprint.records.journal import Note, undo
from flukeprint.records.kinds import Event
from flukeprint.records.lookup import history, list_individuals
from flukeprint.records.names import find_individual
from tests.catalogues import NEW, as_files_say, begun, state, whose

NOTE = Note("ana")
ANIMALS = [("a", 2), ("b", 2), ("c", 1)]
NAMES = st.sampled_from(["a", "b", "c", "d", "e"])
IMAGES = st.lists(
    st.sampled_from([f"{name}/{k}.jpg" for name, n in ANIMALS for k in range(n)]),
    min_size=1, max_size=3, unique=True,
)  # fmt: skip
Key = tuple[str, Any]


class CatalogueMachine(RuleBasedStateMachine):
    """The records alone; `url` of a server for those of a subclass."""

    url: str | None = None

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory(prefix="flukeprint-machine-")
        self.database = self.begin(Path(self.folder.name))
        self.first_state = state(self.database)
        # ("owner", image) -> id, ("gone", image or id) -> whether, ("name", id), ("alias", (id, n))
        self.first: dict[Key, Any] = self.begun_with()
        self.events: dict[int, dict[Key, Any]] = {}  # assignments of those that are no undos
        self.holds: set[int] = set()
        self.undos: dict[int, int] = {}  # number of an undo -> what it took back

    def begin(self, folder: Path) -> Database:
        return begun(folder / "kept", self.url, ANIMALS)

    def begun_with(self) -> dict[Key, Any]:
        owners = {
            ("owner", f"{name}/{k}.jpg"): number
            for number, (name, count) in enumerate(ANIMALS, 1)
            for k in range(count)
        }
        return owners | {("name", number): name for number, (name, _) in enumerate(ANIMALS, 1)}

    def teardown(self) -> None:
        while self.holds:
            left = len(self.holds)
            for number in sorted(self.holds, reverse=True):
                self.take_back(number)
            assert len(self.holds) < left, "nothing can be taken back any more"
        assert state(self.database) == self.first_state
        self.database.close()
        self.folder.cleanup()

    # The model.

    @property
    def now(self) -> dict[Key, Any]:
        values = dict(self.first)
        for number in sorted(self.holds):
            values |= self.events[number]
        return values

    def photos(self) -> dict[str, int]:
        now = self.now
        return {
            key: who
            for (what, key), who in now.items()
            if what == "owner" and not now.get(("gone", key))
        }

    def there(self) -> dict[int, str]:
        now = self.now
        return {
            key: name
            for (what, key), name in now.items()
            if what == "name" and not now.get(("gone", key))
        }

    def called(self, name: str) -> int | None:
        names = {one: who for who, one in self.there().items()}
        return names.get(name, self.aliases().get(name))

    def aliases(self) -> dict[str, int]:
        there = self.there()
        return {
            key[1]: key[0]
            for (what, key), holds in self.now.items()
            if what == "alias" and holds and key[0] in there
        }

    def did(self, event: Event, assigned: dict[Key, Any]) -> None:
        self.events[event.id] = assigned
        self.holds.add(event.id)

    def refused(self, change: Any) -> Event | None:
        before = state(self.database)
        said = None
        try:
            event: Event = change()
        except FlukeprintError as error:
            said = str(error)
        if said is None:
            return event
        assert "\n" not in said
        assert "cannot be used" not in said  # the database's own words
        assert state(self.database) == before
        return None

    def take_back(self, number: int | None) -> None:
        event = self.refused(lambda: undo(self.database, NOTE, number))
        if event is None:
            return
        assert event.undoes is not None
        if event.undoes in self.undos:
            root, holds = event.undoes, True
            while root in self.undos:
                root, holds = self.undos[root], not holds
        else:
            root, holds = event.undoes, True
        assert (root in self.holds) == holds
        (self.holds.remove if holds else self.holds.add)(root)
        self.undos[event.id] = event.undoes

    # The rules.

    @rule(old=NAMES, new=NAMES)
    def rename(self, old: str, new: str) -> None:
        who, other = self.called(old), self.called(new)
        event = self.refused(lambda: rename(self.database, old, new, NOTE, new_label=NEW))
        fit = who is not None and other in (None, who) and self.there()[who] != new
        assert (event is not None) == fit
        if event is not None and who is not None:
            was = self.there()[who]
            self.did(
                event,
                {("name", who): new, ("alias", (who, was)): True, ("alias", (who, new)): False},
            )

    @rule(kept=NAMES, other=NAMES)
    def merge(self, kept: str, other: str) -> None:
        into, gone = self.called(kept), self.called(other)
        event = self.refused(lambda: merge(self.database, kept, other, NOTE))
        assert (event is not None) == (None not in (into, gone) and into != gone)
        if event is None or gone is None:
            return
        assigned: dict[Key, Any] = {("gone", gone): True}
        assigned |= {("owner", one): into for one, who in self.photos().items() if who == gone}
        for name, who in self.aliases().items():
            if who == gone:
                assigned |= {("alias", (gone, name)): False, ("alias", (into, name)): True}
        assigned[("alias", (into, self.there()[gone]))] = True
        self.did(event, assigned)

    @rule(images=IMAGES, to=NAMES)
    def move(self, images: list[str], to: str) -> None:
        photos, who = self.photos(), self.called(to)
        event = self.refused(lambda: move(self.database, images, to, NOTE, new_label=NEW))
        fit = all(one in photos for one in images) and who is not None
        others = [one for one in images if photos.get(one) != who]
        assert (event is not None) == bool(fit and others)
        if event is not None:
            self.did(event, {("owner", one): who for one in others})

    @rule(images=IMAGES, name=NAMES, to=NAMES)
    def split(self, images: list[str], name: str, to: str) -> None:
        photos, who = self.photos(), self.called(name)
        own = [one for one, owner in photos.items() if owner == who]
        fit = who is not None and set(images) < set(own) and self.called(to) is None
        event = self.refused(lambda: split(self.database, name, images, to, NOTE, new_label=NEW))
        assert (event is not None) == fit
        if event is not None:
            with self.database.reading() as connection:
                fresh = find_individual(connection, to)
            assert fresh not in {key for (what, key) in self.first if what == "name"}
            assigned: dict[Key, Any] = {("name", fresh): to, ("gone", fresh): False}
            self.first[("gone", fresh)], self.first[("name", fresh)] = True, to
            self.did(event, assigned | {("owner", one): fresh for one in images})

    @rule(name=NAMES)
    def remove(self, name: str) -> None:
        who = self.called(name)
        event = self.refused(lambda: remove_individual(self.database, name, NOTE))
        assert (event is not None) == (who is not None)
        if event is not None:
            own = [one for one, owner in self.photos().items() if owner == who]
            self.did(event, {("gone", key): True for key in [who, *own]})

    @rule(images=IMAGES)
    def remove_photographs(self, images: list[str]) -> None:
        event = self.refused(lambda: remove_photographs(self.database, images, NOTE))
        assert (event is not None) == (set(images) <= set(self.photos()))
        if event is not None:
            self.did(event, {("gone", image): True for image in images})

    @rule(name=NAMES, notes=st.sampled_from([None, "x", "y"]))
    def describe(self, name: str, notes: str | None) -> None:
        event = self.refused(lambda: describe(self.database, name, {"notes": notes}, NOTE))
        if event is not None:
            self.did(event, {("notes", self.called(name)): notes})

    @rule()
    def undo(self) -> None:
        self.take_back(None)

    @rule(data=st.data())
    def undo_one(self, data: st.DataObject) -> None:
        last = max([1, *self.events, *self.undos])
        self.take_back(data.draw(st.integers(1, last)))

    @precondition(lambda self: self.undos)
    @rule(data=st.data())
    def undo_an_undo(self, data: st.DataObject) -> None:
        self.take_back(data.draw(st.sampled_from(sorted(self.undos))))

    @invariant()
    def the_records_are_those_of_the_model(self) -> None:
        there, photos = self.there(), self.photos()
        named = {image: there[who] for image, who in photos.items()}
        assert whose(self.database) == named
        self.readers_agree(named)
        with self.database.reading() as connection:
            found = {
                one.name: (set(one.aliases), one.photographs)
                for one in list_individuals(connection)
            }
            held = {one.id for one in history(connection) if one.undone_by is None}
        aliases = self.aliases()
        assert found == {
            name: (
                {alias for alias, owner in aliases.items() if owner == who},
                list(photos.values()).count(who),
            )
            for who, name in there.items()
        }
        assert {number for number in held if number in self.events} == self.holds

    def readers_agree(self, named: dict[str, str]) -> None:
        assert as_files_say(self.database, ANIMALS) == named
