"""What becomes of the decisions of a review."""

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from flukeprint.errors import ProblemsError
from flukeprint.identifier.identifier import Identifier
from flukeprint.identifier.integrity import bytes_digest
from flukeprint.keeper.keeper import Keeper
from flukeprint.keeper.new_photographs import NewPhotograph
from flukeprint.keeper.review.apply import ReviewOutcome, apply_review
from flukeprint.keeper.review.table import COLUMNS, read_decisions
from flukeprint.records import edits
from flukeprint.records.journal import Note, undo
from tests.says import Says
from tests.serving.served import make_identifier, photo

NOTE = Note("ana")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_identifier(tmp_path_factory.mktemp("reviewed"))


@pytest.fixture
def keeper(made: Path, tmp_path: Path) -> Keeper:
    return Keeper.open(shutil.copytree(made, tmp_path / "identifier"))


@pytest.fixture
def photos(tmp_path: Path) -> list[Path]:
    paths = [tmp_path / f"{number}.jpg" for number in range(6)]
    for number, path in enumerate(paths):
        path.write_bytes(photo(70 + number, 40))
    return paths


def table(path: Path, *rows: dict[str, Any]) -> Path:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)
    return path


def row(path: Path, decision: str, identity: str = "", event: int = 1) -> dict[str, Any]:
    decided = decision in ("known", "new", "unsure", "wrong_view")
    return {
        "photo": path.name, "decision": decision, "identity": identity, "reviewer": "Bo",
        "decided_at": "2026-05-03T14:02:00Z" if decided else "", "first_answer": "w_1",
        "probability": "0.5", "stamp": "0" * 12, "queue": "q", "catalogue_event": event,
        "digest": bytes_digest(path.read_bytes()), "path": str(path),
    }  # fmt: skip


def turned(keeper: Keeper, folder: Path, *rows: dict[str, Any], **more: bool) -> ReviewOutcome:
    return apply_review(keeper, read_decisions(table(folder / "d.csv", *rows)), NOTE, **more)


def owners(keeper: Keeper) -> dict[str, str | None]:
    gallery = Identifier.load(keeper.folder).gallery
    return dict(zip(gallery.images, gallery.identities, strict=True))


def test_decisions_become_one_event(keeper: Keeper, photos: list[Path], tmp_path: Path) -> None:
    first = keeper.identifier.identities[0]
    before = owners(keeper)
    done = turned(
        keeper, tmp_path, row(photos[0], "known", first), row(photos[1], "new", "Ada"),
        row(photos[2], "new"), row(photos[3], "new"), row(photos[4], "unsure"),
        row(photos[5], "wrong_view"),
    )  # fmt: skip
    assert done.event is not None
    assert (done.event.kind, done.event.id) == ("review", 2)
    after = owners(keeper)
    fresh = {image: who for image, who in after.items() if image not in before}
    names = dict(zip((0, 1, 2, 3), fresh.values(), strict=True))
    assert (names[0], names[1]) == (first, "Ada")
    assert names[2] != names[3]  # two photographs of nobody named are two animals
    assert dict(done.others) == {"unsure": 1, "wrong_view": 1}
    undo(keeper.database, NOTE)
    assert owners(keeper) == before


def test_what_is_there_already_is_left_alone(
    keeper: Keeper, photos: list[Path], tmp_path: Path
) -> None:
    rows = [row(photos[0], "new", "Ada"), row(photos[1], "new", "Bo")]
    turned(keeper, tmp_path, *rows)
    again = turned(keeper, tmp_path, *rows)
    assert again.event is None
    assert len(again.left) == 2
    assert "already" in again.left[0][1]


def test_a_decision_against_an_older_state_is_shown_and_not_applied(
    keeper: Keeper, photos: list[Path], tmp_path: Path
) -> None:
    first, second, third = keeper.identifier.identities[:3]
    edits.merge(keeper.database, first, second, NOTE)
    rows = [
        row(photos[0], "known", second), row(photos[1], "known", third),
        row(photos[2], "known", "nobody"),
    ]  # fmt: skip
    done = turned(keeper, tmp_path, *rows)
    assert [one.photo for one in done.applied] == ["1.jpg"]
    told = {one.photo: why for one, why in done.left}
    assert "event 2 changed" in told["0.jpg"]
    assert "nobody" in told["2.jpg"]
    # A decision made after the merge means what it says.
    later = turned(keeper, tmp_path, row(photos[0], "known", second, event=2))
    assert later.event is not None
    assert list(owners(keeper).values())[-1] == first


def test_an_animal_that_came_since_may_be_the_new_one(
    keeper: Keeper, photos: list[Path], tmp_path: Path
) -> None:
    keeper.enroll([NewPhotograph.of_file(photos[5], "Ada")], NOTE)
    done = turned(keeper, tmp_path, row(photos[0], "new"))
    assert done.event is None
    assert "1 animal came since" in done.left[0][1]
    assert turned(keeper, tmp_path, row(photos[0], "new"), stale=True).event is not None


def test_a_photograph_that_changed_or_is_gone_stops_all(
    keeper: Keeper, photos: list[Path], tmp_path: Path
) -> None:
    rows = [row(path, "new") for path in photos[:3]]
    photos[0].write_bytes(photo(90, 1))
    photos[1].unlink()
    with pytest.raises(ProblemsError) as caught:
        turned(keeper, tmp_path, *rows)
    assert "line 2" in caught.value.problems[0]
    assert "line 3" in caught.value.problems[1]


def test_the_command_shows_before_it_acts(
    keeper: Keeper, photos: list[Path], tmp_path: Path, says: Says
) -> None:
    path = table(tmp_path / "d.csv", row(photos[0], "new", "Ada"))
    before = owners(keeper)
    out, error = says("apply-review", keeper.folder, path)
    assert error is None
    assert "0.jpg: Ada, decided by Bo" in out
    assert "nothing was changed" in out
    assert owners(keeper) == before
    out, error = says("apply-review", keeper.folder, path, "--apply")
    assert error is None
    assert "(event 2;" in out
    assert "Ada" in owners(keeper).values()


def test_the_command_gives_the_outcome_as_json(
    made: Path, photos: list[Path], tmp_path: Path, says: Says
) -> None:
    folder = shutil.copytree(made, tmp_path / "identifier")
    known = Identifier.load(folder).identities[0]
    path = table(
        tmp_path / "d.csv", row(photos[0], "known", known), row(photos[1], "known", "nobody"),
        row(photos[2], "unsure"),
    )  # fmt: skip
    before = sorted(one.name for one in folder.iterdir())
    tried = json.loads(says("apply-review", folder, path, "--json")[0])
    assert sorted(one.name for one in folder.iterdir()) == before  # no catalogue was begun
    done = json.loads(says("apply-review", folder, path, "--json", "--apply")[0])
    assert (tried["event"], tried["dry_run"], done["event"]["id"]) == (None, True, 2)
    assert tried["applied"] == done["applied"] == [
        {"photo": photos[0].name, "identity": known, "reviewer": "Bo"}
    ]  # fmt: skip
    assert [one["photo"] for one in done["left"]] == [photos[1].name]
    assert done["others"] == {"unsure": 1}
    again = json.loads(says("apply-review", folder, path, "--json", "--apply")[0])
    assert (again["event"], again["applied"]) == (None, [])


def test_a_slip_of_the_pen_makes_no_animal_and_gives_none_a_photograph(
    keeper: Keeper, photos: list[Path], tmp_path: Path
) -> None:
    first = keeper.identifier.identities[0]
    slips = row(photos[0], "known", first + "0"), row(photos[1], "new", first)
    before = owners(keeper)
    done = turned(keeper, tmp_path, *slips)
    assert (done.event, owners(keeper)) == (None, before)
    why = [why for _, why in done.left]
    assert f"no animal is called {first}0" in why[0]
    assert f"an animal is called {first} already" in why[1]
    done = turned(keeper, tmp_path, slips[0], stale=True)
    assert (done.event, owners(keeper)) == (None, before)
