"""Random edits, enrolments and undos: the identifier on the disk always agrees with the records."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import rule, run_state_machine_as_test

from flukeprint.errors import FlukeprintError
from flukeprint.identifier.identifier import Identifier
from flukeprint.keeper.keeper import Keeper
from flukeprint.keeper.new_photographs import NewPhotograph
from flukeprint.records.database import Database
from flukeprint.records.names import find_individual
from tests.keeper.kept import frame, identifier, owners
from tests.records.machine import NAMES, NOTE, CatalogueMachine
from tests.thorough import examples


class KeeperMachine(CatalogueMachine):
    """With a gallery on the disk; `made` is copied."""

    made: Path

    def begin(self, folder: Path) -> Database:
        self.keeper = Keeper.open(shutil.copytree(self.made, folder / "kept"), url=self.url)
        self.enrolled = 0
        return self.keeper.database

    def begun_with(self) -> dict[tuple[str, object], object]:
        gallery = self.keeper.identifier.gallery
        numbers = {name: number for number, name in enumerate(dict.fromkeys(gallery.identities), 1)}
        there = {
            ("owner", image): numbers[who]
            for image, who in zip(gallery.images, gallery.identities, strict=True)
        }
        return there | {("name", number): name for name, number in numbers.items()}

    @rule(name=NAMES)
    def enroll(self, name: str) -> None:
        self.enrolled += 1
        image, who = f"{name}/{2 + self.enrolled}.jpg", self.called(name)
        photo = NewPhotograph(frame(50 + self.enrolled, 0), image, image, name)
        event = self.refused(lambda: self.keeper.enroll([photo], NOTE, force=True).event)
        assert event is not None
        assigned: dict[tuple[str, object], object] = {("gone", image): False}
        with self.database.reading() as connection:
            found = find_individual(connection, name)
        self.first[("gone", image)] = True
        self.first[("owner", image)] = found
        if who is None:
            self.first[("gone", found)], self.first[("name", found)] = True, name
            assigned |= {("gone", found): False}
        else:
            assert found == who
        self.did(event, assigned)

    def readers_agree(self, named: dict[str, str]) -> None:
        if not named:
            with pytest.raises(FlukeprintError, match="no photograph left"):
                Identifier.load(self.keeper.folder)
            return
        assert owners(Identifier.load(self.keeper.folder)) == named
        assert owners(self.keeper.identifier) == named


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An identifier whose photographs and animals are those of the machine."""
    folder = identifier(tmp_path_factory.mktemp("machine"), animals=3, frames=2, pictures=False)
    known = Identifier.load(folder)
    names = ["a", "b", "c"]
    rows = [0, 1, 2, 3, 4]
    gallery = known.gallery.take(rows)
    gallery = replace(
        gallery,
        images=tuple(f"{names[row // 2]}/{row % 2}.jpg" for row in rows),
        identities=tuple(names[row // 2] for row in rows),
    )
    replace(known, gallery=gallery, origin=None).save(folder.parent / "machine")
    return folder.parent / "machine"


def test_random_edits_enrolments_and_undos(begun: Path, catalogue_url: str | None) -> None:
    class Machine(KeeperMachine):
        made = begun
        url = catalogue_url

    run_state_machine_as_test(
        Machine,
        settings=settings(
            deadline=None, stateful_step_count=15, suppress_health_check=list(HealthCheck),
            max_examples=examples(4 if catalogue_url is None else 2),
        ),
    )  # fmt: skip
