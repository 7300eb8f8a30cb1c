"""The measuring of endurance: it repeats itself, goes on where it was cut off, and finds faults."""

import random
from pathlib import Path

import pytest
import yaml

from benchmarks.endurance import ground as grounds
from benchmarks.endurance.ground import Ground, generator, lay_ground
from benchmarks.endurance.inputs import run_inputs
from benchmarks.endurance.journal import Journal, Result, fault_lines, summary
from benchmarks.endurance.kills import ENDED, run_kills
from benchmarks.endurance.mutate import mutated, mutated_table, mutated_yaml
from benchmarks.endurance.page import write_page
from benchmarks.endurance.targets import Fault, Target, judged
from flukeprint.errors import FlukeprintError
from tests.thorough import examples


def result(number: int, *faults: str, outcome: str = "killed") -> Result:
    return Result("kills", "training", number, 0, outcome, list(faults), 1.5)


def test_a_journal_that_was_cut_off_goes_on(tmp_path: Path) -> None:
    file = tmp_path / "results.jsonl"
    journal = Journal(file)
    journal.add(result(0))
    journal.add(result(1, "lost"))
    file.write_bytes(file.read_bytes()[:-20])  # killed while it wrote the second
    journal = Journal(file)
    assert ("kills", "training", 0, 0) in journal
    assert ("kills", "training", 1, 0) not in journal
    journal.add(result(1))
    assert Journal(file).of("kills", "training", 0) == [result(0), result(1)]


def test_faults_are_counted_and_can_be_repeated(tmp_path: Path) -> None:
    results = [result(0), result(3, "lost: a"), result(4, "lost: b"), result(5, outcome=ENDED)]
    assert "| kills | training | 4 | 2 | 0.1 | killed 3, ended before 1 |" in summary(results)
    assert fault_lines(results) == [
        "kills training: 2 times, first --only kills/training/3: lost: a"
    ]
    write_page(results, 10.0, tmp_path / "page.md")
    page = (tmp_path / "page.md").read_text()
    assert "2 trials showed a fault" in page
    assert "kills: 3." in page


def test_a_seed_gives_the_same_input_again() -> None:
    table, tree = "Image,Id\na.jpg,w_1\nb.jpg,w_2\n", {"train": {"epochs": 3}, "losses": [1, 2]}
    for way in (
        lambda rng: mutated(b"photograph" * 20, rng),
        lambda rng: mutated_table(table, rng),
        lambda rng: mutated_yaml(tree, rng),
    ):
        inputs = [way(generator(7, number)) for number in range(200)]
        assert inputs == [way(generator(7, number)) for number in range(200)]
        assert len(set(inputs)) > 100
    assert tree == yaml.safe_load(yaml.safe_dump(tree))


class Stub(Target):
    def __init__(self, error: BaseException | None) -> None:
        self.error = error

    def read(self, rng: random.Random) -> str:
        if self.error is not None:
            raise self.error
        return "read"


@pytest.mark.parametrize(
    ("error", "outcome", "fault"),
    [
        (None, "read", ""),
        (FlukeprintError("one line"), "refused", ""),
        (FlukeprintError("x" * 3000), "refused", ""),  # shortened by the error itself
        (KeyError("x"), "failed", "KeyError at outside"),
        (SystemExit(3), "failed", "SystemExit"),
        (Fault("another answer"), "wrong", "another answer"),
    ],
)
def test_what_an_input_came_to(error: BaseException | None, outcome: str, fault: str) -> None:
    found, faults = judged(Stub(error), random.Random(0))
    assert found == outcome
    assert [fault in text for text in faults] == [True] * bool(fault)


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Ground:
    plain = grounds.TINY.replace("accelerator: cpu", "accelerator: cpu, report: false")
    assert plain != grounds.TINY
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(grounds, "TINY", plain)
        return lay_ground(tmp_path_factory.mktemp("endurance"))


@pytest.mark.parametrize("area", ["submitting", "enrolling"])
def test_killed_commands_are_followed_by_the_next(ground: Ground, area: str) -> None:
    for trial in run_kills(ground, area, 0, range(examples(4)), true_every=0):
        assert trial.faults == []


def test_inputs_are_read_in_a_process_of_their_own(ground: Ground) -> None:
    trials = list(run_inputs(ground, "configs", 0, range(30)))
    assert {trial.outcome for trial in trials} == {"read", "refused"}
    assert not any(trial.faults for trial in trials)
