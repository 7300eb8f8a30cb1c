"""Decisions become events of the catalogue in the name of who decided, and are taken back."""

import shutil
from pathlib import Path

import pytest

from flukeprint.errors import FlukeprintError
from flukeprint.keeper.keeper import Keeper
from flukeprint.keeper.new_photographs import NewPhotograph
from flukeprint.keeper.queue import deciding
from flukeprint.keeper.queue.deciding import DecidedUpload, decide
from flukeprint.keeper.queue.kinds import ItemDecision, NotThereError, NotYoursError
from flukeprint.keeper.queue.shared_queue import SharedQueue
from flukeprint.records.journal import Note, undo
from flukeprint.records.lookup import history, individual_page, list_encounters, list_photographs
from tests.keeper.kept import identifier, owners
from tests.keeper.queue.uploads import sha256, shot


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return identifier(tmp_path_factory.mktemp("plain"))


@pytest.fixture
def keeper(plain: Path, tmp_path: Path, catalogue_url: str | None) -> Keeper:
    folder = Path(shutil.copytree(plain, tmp_path / "kept"))
    return Keeper.open(folder, author="ana", url=catalogue_url)


class Uploaded:
    """A batch whose photographs wait, with ids by animal."""

    def __init__(self, keeper: Keeper, *animals: int, **how: object) -> None:
        self.keeper = keeper
        self.queue = SharedQueue(keeper.folder, keeper.database)
        self.batch = self.queue.make_batch("May", "ana", **how).id  # type: ignore[arg-type]
        self.ids = {}
        for number, animal in enumerate(animals):
            data = shot(animal, 7, f"2026:05:12 13:55:{number:02}")
            item = self.queue.add_photo(self.batch, sha256(data), f"IMG_{animal:04}.jpg", data)
            self.queue.keep_answer(item.id, "{}", 0.5, 1)
            self.ids[animal] = item.id

    def decide(self, animal: int, person: str, *what: object, **more: object) -> DecidedUpload:
        decision = ItemDecision(*what, **more)  # type: ignore[arg-type]
        return decide(self.queue, self.keeper, self.ids[animal], person, decision)


def test_a_known_animal_gets_the_photograph_and_undo_brings_it_back(keeper: Keeper) -> None:
    up = Uploaded(keeper, 0, keep_dates=True, place="river")
    done = up.decide(0, "bea", "known", "n_1", note="torn ear", force=True)
    assert done.event is not None
    assert (done.event.author, done.event.kind, done.event.reason) == ("bea", "review", "torn ear")
    assert (done.item.state, done.item.decision, done.item.identity) == ("decided", "known", "n_1")
    assert done.item.event == done.event.id
    assert owners(keeper.identifier)["IMG_0000.jpg"] == "n_1"
    with keeper.database.reading() as connection:
        photo = list_photographs(connection)[-1]
        (encounter,) = list_encounters(connection)
    assert (photo.decided_by, photo.decider) == ("person", "bea")
    assert photo.file is not None
    assert Path(photo.file).read_bytes() == up.queue.photo(up.ids[0])
    assert encounter.moment is not None
    assert (encounter.moment.text, encounter.place) == ("2026-05-12T13:55:00", "river")
    assert up.queue.next("cy") is None
    back = undo(keeper.database, Note("ana"), done.event.id)
    again = up.queue.next("cy")
    assert again is not None
    assert (again.id, again.decision, again.identity) == (up.ids[0], None, None)
    assert "IMG_0000.jpg" not in owners(keeper.identifier)
    undo(keeper.database, Note("ana"), back.id)  # done again: it is decided again
    assert up.queue.item(up.ids[0]).state == "decided"
    undo(keeper.database, Note("ana"), done.event.id)
    done = up.decide(0, "cy", "known", "n_2", force=True)
    assert done.item.identity == "n_2"


def test_a_new_animal_gets_a_name(keeper: Keeper) -> None:
    up = Uploaded(keeper, 20, 21, 22)
    named = up.decide(20, "bea", "new", "Nova")
    unnamed = up.decide(21, "bea", "new")
    assert named.item.identity == "Nova"
    assert unnamed.item.identity == "n_6"
    with pytest.raises(FlukeprintError, match="called Nova already"):
        up.decide(22, "bea", "new", "Nova")
    with pytest.raises(FlukeprintError, match="no animal is called Nemo"):
        up.decide(22, "bea", "known", "Nemo")
    waits = up.queue.next("bea")  # still with who tried
    assert waits is not None
    assert waits.id == up.ids[22]
    assert up.queue.next("cy") is None
    with keeper.database.reading() as connection:
        assert individual_page(connection, "Nova").individual.photographs == 1


def test_photographs_of_a_burst_get_one_encounter(keeper: Keeper) -> None:
    up = Uploaded(keeper, 20, 21, keep_dates=True)
    up.decide(21, "bea", "new", "A")
    up.decide(20, "bea", "new", "B")
    with keeper.database.reading() as connection:
        (encounter,) = list_encounters(connection)
        photos = list_photographs(connection)[-2:]
    assert {one.encounter for one in photos} == {encounter.id}
    assert encounter.moment is not None
    assert encounter.moment.text == "2026-05-12T13:55:00"


def test_dates_and_files_are_kept_only_where_that_was_said(keeper: Keeper) -> None:
    up = Uploaded(keeper, 20, keep_photos=False)
    up.decide(20, "bea", "new", "A")
    with keeper.database.reading() as connection:
        assert list_encounters(connection) == ()
        assert list_photographs(connection)[-1].file is None


@pytest.mark.parametrize("verdict", ["unsure", "nobody"])
def test_what_names_nobody_is_no_event_and_is_reopened(keeper: Keeper, verdict: str) -> None:
    up = Uploaded(keeper, 20)
    done = up.decide(20, "bea", verdict)
    assert done.event is None
    assert (done.item.decision, done.item.decided_by) == (verdict, "bea")
    with keeper.database.reading() as connection:
        assert len(history(connection)) == 1
    with pytest.raises(NotYoursError, match="decided by bea"):
        up.queue.reopen(up.ids[20], "cy", of_others=False)
    with pytest.raises(NotYoursError, match="is decided, by bea"):
        up.decide(20, "cy", "unsure")
    assert up.queue.reopen(up.ids[20], "cy", of_others=True).state == "waiting"
    assert up.queue.next("cy") is not None


def test_who_has_not_taken_it_cannot_decide_it(keeper: Keeper) -> None:
    up = Uploaded(keeper, 20)
    up.queue.next("ana")
    with pytest.raises(NotYoursError, match="ana has photograph"):
        up.decide(20, "bea", "new", "Nova")
    with keeper.database.reading() as connection:
        assert len(history(connection)) == 1
    with pytest.raises(NotThereError):
        decide(up.queue, keeper, 999, "ana", ItemDecision("unsure"))
    assert up.decide(20, "ana", "new", "Nova").event is not None
    with pytest.raises(NotYoursError, match="take event 2 back"):
        up.queue.reopen(up.ids[20], "ana", of_others=True)


def test_a_decision_that_was_cut_off_is_finished_by_the_same(
    keeper: Keeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process ends after the enrolment and before the queue notes it."""
    up = Uploaded(keeper, 20)
    plain = deciding._enrolled

    def dies(*given: object) -> object:
        plain(*given)  # type: ignore[arg-type]
        raise KeyboardInterrupt

    monkeypatch.setattr(deciding, "_enrolled", dies)
    with pytest.raises(KeyboardInterrupt):
        up.decide(20, "bea", "new", "Nova")
    monkeypatch.undo()
    assert up.queue.item(up.ids[20]).state == "waiting"
    with pytest.raises(FlukeprintError, match=r"in the catalogue already, as IMG_0020\.jpg of"):
        up.decide(20, "bea", "known", "n_1")
    done = up.decide(20, "bea", "known", "Nova")
    assert done.event is not None
    assert (done.event.id, done.item.identity) == (2, "Nova")
    with keeper.database.reading() as connection:
        assert len(history(connection)) == 2


def test_a_photograph_of_the_catalogue_is_told(keeper: Keeper) -> None:
    data = shot(20, 7, "2026:05:12 13:55:00")
    keeper.enroll([NewPhotograph(data, "a", "a.jpg", "n_9")], Note("ana"), force=True)
    up = Uploaded(keeper, 20)
    with pytest.raises(FlukeprintError, match=r"in the catalogue already, as a\.jpg of n_9"):
        up.decide(20, "bea", "new", "Nova")
    assert up.decide(20, "bea", "nobody").event is None


@pytest.mark.parametrize("what", [("known",), ("known", ""), ("unsure", "n_1"), ("nobody", "n_1")])
def test_a_decision_that_cannot_be_is_refused(what: tuple[str, ...]) -> None:
    with pytest.raises(FlukeprintError):
        ItemDecision(*what)  # type: ignore[arg-type]
