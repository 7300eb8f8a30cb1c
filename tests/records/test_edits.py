"""Every edit of a catalogue, what it refuses, and that it can be taken back and done again."""

from collections.abc import Callable
from pathlib import Path

import pytest
import sqlalchemy as sa

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
from flukeprint.records.lookup import history, history_of, individual_page, list_individuals
from flukeprint.records.names import find_individual
from flukeprint.records.naming_edits import add_alias, name_nobody, remove_alias
from flukeprint.records.schema import changes, events
from tests.catalogues import NEW, as_files_say, begun, state, whose

ANIMALS = [("n_1", 3), ("n_2", 2), ("Zo\u00eb", 1)]
ANA = Note("ana", "seen again")
Did = Callable[[Database, Note], Event]

EDITS: dict[str, Did] = {
    "rename": lambda db, note: rename(db, "n_1", "Bella", note, new_label=NEW),
    "merge": lambda db, note: merge(db, "n_1", "n_2", note),
    "split": lambda db, note: split(db, "n_1", ["n_1/0.jpg"], None, note, new_label=NEW),
    "split named": lambda db, note: split(db, "n_1", ["n_1/2.jpg"], "Kai", note, new_label=NEW),
    "move": lambda db, note: move(db, ["n_1/0.jpg", "n_2/1.jpg"], "Zoe", note, new_label=NEW),
    "move to a new one": lambda db, note: move(
        db, ["n_1/1.jpg"], "Kai", note, new_label=NEW, new=True
    ),
    "remove": lambda db, note: remove_individual(db, "n_2", note),
    "remove photographs": lambda db, note: remove_photographs(db, ["n_1/0.jpg"], note),
    "alias": lambda db, note: add_alias(db, "n_2", "Kai", note, new_label=NEW),
    "nobody": lambda db, note: name_nobody(db, ["n_1/0.jpg", "n_2/1.jpg"], note),
    "describe": lambda db, note: describe(db, "n_1", {"sex": "female", "died": "2024-05"}, note),
}  # fmt: skip


@pytest.fixture
def database(tmp_path: Path, catalogue_url: str | None) -> Database:
    return begun(tmp_path / "kept", catalogue_url, ANIMALS)


@pytest.mark.parametrize("what", EDITS)
def test_an_edit_is_taken_back_done_again_and_taken_back(database: Database, what: str) -> None:
    before = state(database)
    event = EDITS[what](database, ANA)
    after = state(database)
    assert after != before
    assert as_files_say(database, ANIMALS) == whose(database)
    back = undo(database, ANA)
    assert back.undoes == event.id
    assert state(database) == before
    assert as_files_say(database, ANIMALS) == whose(database)
    again = undo(database, ANA, back.id)
    assert state(database) == after
    last = undo(database, ANA, again.id)
    assert state(database) == before
    with pytest.raises(FlukeprintError, match="no event to take back"):
        undo(database, ANA)
    with database.reading() as connection:
        told = {one.id: (one.undoes, one.undone_by) for one in history(connection)}
    assert told == {
        1: (None, None), event.id: (None, back.id), back.id: (event.id, None),
        again.id: (back.id, last.id), last.id: (again.id, None),
    }  # fmt: skip


CONCERNED = {
    "rename": {"n_1"}, "merge": {"n_1", "n_2"}, "split": {"n_1"}, "split named": {"n_1"},
    "move": {"n_1", "n_2", "Zo\u00eb"}, "move to a new one": {"n_1"}, "remove": {"n_2"},
    "remove photographs": {"n_1"}, "alias": {"n_2"}, "nobody": {"n_1", "n_2"},
    "describe": {"n_1"},
}  # fmt: skip


@pytest.mark.parametrize("what", EDITS)
def test_an_animal_keeps_what_was_taken_back_in_its_history(database: Database, what: str) -> None:
    event = EDITS[what](database, ANA)
    back = undo(database, ANA)
    with database.reading() as connection:
        for name, _ in ANIMALS:
            found = history_of(connection, find_individual(connection, name))
            numbers = [one.id for one in found]
            assert numbers == sorted(set(numbers), reverse=True)
            wanted = {event.id, back.id} if name in CONCERNED[what] else set()
            assert set(numbers) - {1} == wanted, name


@pytest.mark.parametrize("what", EDITS)
def test_of_a_dry_run_no_row_is_kept(database: Database, what: str) -> None:
    def rows() -> dict[str, list[sa.Row]]:
        with database.reading() as connection:
            return {
                table.name: list(connection.execute(sa.select(table)).all())
                for table in events.metadata.sorted_tables
            }

    before = rows()
    event = EDITS[what](database, Note("ana", None, dry_run=True))
    assert rows() == before
    assert EDITS[what](database, ANA).summary == event.summary


def test_an_event_says_who_when_why_and_what(database: Database) -> None:
    event = EDITS["rename"](database, Note(" ana ", "a better photograph"))
    assert (event.author, event.reason, event.kind) == ("ana", "a better photograph", "rename")
    assert event.summary == "n_1 is now called Bella"
    with database.reading() as connection:
        assert history(connection, 1) == (event,)
        assert individual_page(connection, "Bella").history == (event,)
    with pytest.raises(FlukeprintError, match="needs an author"):
        Note("  ")


def test_a_renamed_animal_is_found_under_its_old_name(database: Database) -> None:
    EDITS["rename"](database, ANA)
    with database.reading() as connection:
        assert find_individual(connection, "N-1") == find_individual(connection, "bella") == 1
        (one,) = list_individuals(connection, search="n_1")
        assert (one.name, one.aliases) == ("Bella", ("n_1",))


def test_an_animal_goes_back_to_its_old_name_and_swaps_names(database: Database) -> None:
    EDITS["rename"](database, ANA)
    rename(database, "Bella", "n_1", ANA, new_label=NEW)
    with database.reading() as connection:
        (one,) = list_individuals(connection, ids=[1])
    assert (one.name, one.aliases) == ("n_1", ("Bella",))
    with pytest.raises(FlukeprintError, match="called so already"):
        rename(database, "n_1", " n_1 ", ANA, new_label=NEW)


def test_a_name_is_spelt_otherwise(database: Database) -> None:
    rename(database, "Zo\u00eb", "ZOE", ANA, new_label=NEW)
    assert "ZOE" in whose(database).values()


def test_what_was_known_of_the_other_alone_is_taken_over(database: Database) -> None:
    describe(database, "n_2", {"sex": "female", "notes": "scar"}, ANA)
    describe(database, "n_1", {"sex": "male"}, ANA)
    merge(database, "n_1", "n_2", ANA)
    with database.reading() as connection:
        (one,) = list_individuals(connection, search="n_2")
    assert (one.name, one.sex, one.notes, one.photographs) == ("n_1", "male", "scar", 5)


def test_aliases_of_the_merged_go_on(database: Database) -> None:
    rename(database, "n_2", "Bella", ANA, new_label=NEW)
    merge(database, "n_1", "Bella", ANA)
    with database.reading() as connection:
        assert {find_individual(connection, name) for name in ("n_1", "n_2", "Bella")} == {1}


REFUSED: dict[str, tuple[Callable[[Database], object], str]] = {
    "nobody": (lambda db: rename(db, "n_9", "x", ANA, new_label=NEW), "no animal is called n_9"),
    "taken": (lambda db: rename(db, "n_1", "n_2", ANA, new_label=NEW), "name n_2 is taken"),
    "nearly taken": (
        lambda db: rename(db, "n_1", "zoe", ANA, new_label=NEW), "knows this name as Zo\u00eb",
    ),
    "a line break": (lambda db: rename(db, "n_1", "n\n1", ANA, new_label=NEW), "is no name"),
    "empty": (lambda db: rename(db, "n_1", "  ", ANA, new_label=NEW), "is no name"),
    "the new label": (lambda db: rename(db, "n_1", "New Whale", ANA, new_label=NEW), "is no name"),
    "with itself": (lambda db: merge(db, "n_1", "N 1", ANA), "one animal already"),
    "nothing named": (lambda db: split(db, "n_1", [], None, ANA, new_label=NEW), "no photograph"),
    "of others": (
        lambda db: split(db, "n_1", ["n_2/0.jpg"], None, ANA, new_label=NEW),
        "no photographs of n_1: n_2/0.jpg",
    ),
    "all of them": (
        lambda db: split(db, "n_2", ["n_2/0.jpg", "n_2/1.jpg"], None, ANA, new_label=NEW),
        "all photographs of n_2; rename",
    ),
    "unknown photographs": (
        lambda db: move(db, ["a.jpg", "n_1/0.jpg", "b.jpg"], "n_2", ANA, new_label=NEW),
        "no photographs a.jpg, b.jpg",
    ),
    "there already": (
        lambda db: move(db, ["n_2/0.jpg"], "n_2", ANA, new_label=NEW), "photographs of n_2 already",
    ),
    "made though known": (
        lambda db: move(db, ["n_1/0.jpg"], "n_2", ANA, new_label=NEW, new=True), "n_2 is taken",
    ),
    "no such sex": (lambda db: describe(db, "n_1", {"sex": "f"}, ANA), "none of female, male"),
    "no such day": (lambda db: describe(db, "n_1", {"died": "2024-02-30"}, ANA), "no calendar"),
    "known already": (lambda db: describe(db, "n_1", {"sex": None}, ANA), "known of n_1 already"),
    "no such event": (lambda db: undo(db, ANA, 77), "no event 77"),
    "the beginning": (lambda db: undo(db, ANA, 1), "event 1 cannot be taken back"),
}  # fmt: skip


@pytest.mark.parametrize("what", REFUSED)
def test_a_refusal_says_why_and_changes_nothing(database: Database, what: str) -> None:
    before = state(database)
    change, said = REFUSED[what]
    with pytest.raises(FlukeprintError) as refusal:
        change(database)
    assert said in str(refusal.value)
    assert "\n" not in str(refusal.value)
    assert state(database) == before


def test_a_nearly_taken_name_is_given_with_force(database: Database) -> None:
    rename(database, "n_1", "zoe", ANA, new_label=NEW, force=True)
    assert {"zoe", "Zo\u00eb"} <= set(whose(database).values())
    with database.reading() as connection:
        assert find_individual(connection, "zoe") == 1
        assert find_individual(connection, "Zo\u00eb") == 3
        with pytest.raises(FlukeprintError, match="might mean 2 animals"):
            find_individual(connection, "ZOE")
    with pytest.raises(FlukeprintError, match="the name zoe is taken"):
        rename(database, "Zo\u00eb", "zoe", ANA, new_label=NEW, force=True)


def test_what_later_events_build_on_is_not_taken_back(database: Database) -> None:
    first = EDITS["move"](database, ANA)
    second = move(database, ["n_1/0.jpg"], "n_2", ANA, new_label=NEW)
    with pytest.raises(FlukeprintError) as refusal:
        undo(database, ANA, first.id)
    assert f"event {second.id} (move: " in str(refusal.value)
    other = describe(database, "Zo\u00eb", {"sex": "male"}, ANA)
    undo(database, ANA, second.id)  # nothing builds on this one
    undo(database, ANA, first.id)
    undo(database, ANA)
    with pytest.raises(FlukeprintError, match=f"event {other.id} is taken back already"):
        undo(database, ANA, other.id)


def test_an_animal_is_not_taken_from_photographs_that_came_later(database: Database) -> None:
    made = EDITS["move to a new one"](database, ANA)
    later = move(database, ["n_2/0.jpg"], "Kai", ANA, new_label=NEW)
    with pytest.raises(FlukeprintError, match=rf"builds on it: event {later.id} \(move"):
        undo(database, ANA, made.id)


def test_a_photograph_does_not_come_back_to_an_animal_that_is_gone(database: Database) -> None:
    removed = remove_photographs(database, ["n_2/0.jpg"], ANA)
    merged = merge(database, "n_1", "n_2", ANA)
    with pytest.raises(FlukeprintError, match=rf"builds on it: event {merged.id} \(merge"):
        undo(database, ANA, removed.id)


def test_nothing_is_done_again_for_an_animal_that_is_gone(database: Database) -> None:
    made = EDITS["move to a new one"](database, ANA)
    later = move(database, ["n_2/0.jpg"], "Kai", ANA, new_label=NEW)
    back = undo(database, ANA)
    gone = undo(database, ANA, made.id)
    with pytest.raises(FlukeprintError, match=f"builds on it: event {gone.id} "):
        undo(database, ANA, back.id)
    undo(database, ANA, gone.id)
    undo(database, ANA, back.id)
    assert whose(database)["n_2/0.jpg"] == "Kai"
    assert undo(database, ANA).undoes == later.id


def test_what_follows_is_done_again_in_its_order(database: Database) -> None:
    first = move(database, ["n_1/0.jpg"], "n_2", ANA, new_label=NEW)
    second = move(database, ["n_1/0.jpg"], "Zoe", ANA, new_label=NEW)
    back = undo(database, ANA)
    assert undo(database, ANA).undoes == first.id
    with pytest.raises(FlukeprintError, match="builds on it"):
        undo(database, ANA, back.id)  # the photograph is of n_1, and the second moved it from n_2
    assert whose(database)["n_1/0.jpg"] == "n_1"
    assert second.id


def test_a_name_that_is_taken_by_now_does_not_come_back(database: Database) -> None:
    removed = remove_individual(database, "n_2", ANA)
    rename(database, "n_1", "n_2", ANA, new_label=NEW)
    with pytest.raises(FlukeprintError, match="two animals would have the name n_2"):
        undo(database, ANA, removed.id)


def test_a_name_that_is_an_alias_by_now_does_not_come_back(database: Database) -> None:
    removed = remove_individual(database, "n_2", ANA)
    rename(database, "n_1", "n_2", ANA, new_label=NEW)
    rename(database, "n_2", "Bella", ANA, new_label=NEW)
    with pytest.raises(FlukeprintError, match="two animals would have the name n_2"):
        undo(database, ANA, removed.id)


def test_every_change_is_noted(database: Database) -> None:
    event = EDITS["merge"](database, ANA)
    with database.reading() as connection:
        noted = connection.execute(
            sa.select(changes.c.of_table, changes.c.of_row).where(changes.c.event_id == event.id)
        ).all()
    assert sorted(map(tuple, noted)) == [
        ("aliases", 1), ("individuals", 2), ("photographs", 4), ("photographs", 5),
    ]  # fmt: skip


def test_an_alias_is_found_and_taken_away(database: Database) -> None:
    add_alias(database, "n_1", "Nand\u00ed", ANA, new_label=NEW)
    with database.reading() as connection:
        who = find_individual(connection, "n_1")
        assert find_individual(connection, "NANDI") == who
    for name, alias, said in (
        ("n_1", "Nand\u00ed", "is called Nand\u00ed already"),
        ("n_1", "n_1", "is called n_1 already"),
        ("n_2", "nandi", "Nand\u00ed, spelt otherwise"),
        ("n_2", NEW, NEW),
        ("nobody", "Kai", "no animal is called nobody"),
    ):
        with pytest.raises(FlukeprintError, match=said):
            add_alias(database, name, alias, ANA, new_label=NEW)
    with pytest.raises(FlukeprintError, match="has no alias Kai"):
        remove_alias(database, "n_1", "Kai", ANA)
    remove_alias(database, "n_1", "Nand\u00ed", ANA)
    with database.reading() as connection, pytest.raises(FlukeprintError, match="no animal"):
        find_individual(connection, "Nandi")
    undo(database, ANA)
    with database.reading() as connection:
        assert find_individual(connection, "Nandi") == who


def test_photographs_of_nobody_are_nobodys_once(database: Database) -> None:
    name_nobody(database, ["n_1/0.jpg"], ANA)
    assert "n_1/0.jpg" not in whose(database)
    with pytest.raises(FlukeprintError, match="nobody already"):
        name_nobody(database, ["n_1/0.jpg"], ANA)
    with pytest.raises(FlukeprintError, match="has no photographs none"):
        name_nobody(database, ["none.jpg"], ANA)
    move(database, ["n_1/0.jpg"], "n_2", ANA, new_label=NEW)
    assert whose(database)["n_1/0.jpg"] == "n_2"
