"""Which run a command takes, and what it says of it."""

import json
import os
import shutil
import time
from pathlib import Path

import pytest

from flukeprint.config.schema import Config
from flukeprint.identifier.runs import Run, find_run, run_to_resume
from flukeprint.identifier.studies.run_comparison import compare_recipes
from tests.refusals import refused
from tests.tiny import TinyConfig


@pytest.fixture
def config(tiny_config: TinyConfig, tmp_path: Path) -> Config:
    return tiny_config.apart(tmp_path)()


@pytest.fixture
def run(tiny_run: Run, config: Config) -> Run:
    """The finished run of `train`, in a folder of its own."""
    return copied(tiny_run, config, "20260131-120000", "train")


def copied(run: Run, config: Config, name: str, made_by: str | None) -> Run:
    """A copy of a finished run that `made_by` made; None: one of an older version."""
    other = Run(config.runs / config.name / name)
    shutil.copytree(run.path, other.path)
    (other.path / "run.json").unlink()
    if made_by is None:
        (other.path / "queries.csv").unlink(missing_ok=True)
    else:
        (other.path / "run.json").write_text(json.dumps({"made_by": made_by}))
    return other


def unfinished(run: Run) -> Run:
    shutil.rmtree(run.identifier)
    return run


def test_a_fold_of_a_cross_validation_is_not_the_newest_run(config: Config, run: Run) -> None:
    fold = copied(run, config, "20260202-120000", "crossvalidate")
    assert find_run(config) == run
    assert find_run(config, fold.name) == fold
    assert find_run(config, str(fold.path)) == fold
    shutil.rmtree(run.path)
    refused(lambda: find_run(config), "no finished run of train.py", "crossvalidate", fold.name)


def test_an_older_run_tells_by_what_it_holds(config: Config, run: Run) -> None:
    older = copied(run, config, "20260201-120000", None)
    fold = copied(run, config, "20260202-120000", None)
    (fold.path / "queries-0123abcd0123.csv").touch()
    assert [one.made_by for one in (run, older, fold)] == ["train", "train", "crossvalidate"]
    assert find_run(config) == older


def test_last_resumes_a_training_and_no_fold(config: Config, run: Run) -> None:
    fold = unfinished(copied(run, config, "20260203-120000", "crossvalidate"))
    refused(lambda: run_to_resume(config, "last"), "no unfinished run", fold.name)
    assert run_to_resume(config, fold.name) == fold
    cut = unfinished(copied(run, config, "20260202-120000", "train"))
    assert run_to_resume(config, "last") == cut


def test_an_unfinished_run_is_resumed_only_where_there_is_something(
    config: Config, run: Run
) -> None:
    cut = unfinished(run)
    refused(lambda: find_run(config, cut.name), f"--resume {cut.name}")
    cut.last.unlink()
    said = refused(lambda: find_run(config, cut.name), "no checkpoint to resume from")
    assert "--resume" not in str(said)


@pytest.mark.parametrize(
    ("minutes", "words"),
    [(0.5, "0 minutes ago"), (1.5, "1 minute ago"), (200, "3 hours ago"), (7200, "5 days ago")],
)
def test_a_run_is_described_by_age_and_score(run: Run, minutes: float, words: str) -> None:
    then = time.time() - 60 * minutes
    os.utime(run.validation, (then, then))
    score = run.figures()["map5"]["mean"]
    assert run.description() == f"{run.path} (trained {words}, 3 epochs, MAP@5 {score:.3f})"


def test_runs_of_train_are_compared(config: Config, run: Run, tmp_path: Path) -> None:
    """One of an older version has no table of its predictions: it is made again."""
    older = copied(run, config, "20260201-120000", None)
    one, two, found = compare_recipes(str(run.path), str(older.path), tmp_path / "table.csv")
    assert one.runs[0].images == two.runs[0].images
    assert one.runs[0].found == two.runs[0].found
    assert one.runs[0].photos == two.runs[0].photos
    assert found.queries == run.figures()["queries"]
    assert found.map5.a == found.map5.b == pytest.approx(run.figures()["map5"]["mean"])
    assert not (older.path / "queries.csv").exists()
    cut = unfinished(older)
    refused(
        lambda: compare_recipes(str(run.path), str(cut.path), tmp_path / "table.csv"),
        "is not finished",
    )


def test_an_older_run_of_other_photographs_is_not_compared(
    config: Config, run: Run, tmp_path: Path
) -> None:
    older = copied(run, config, "20260201-120000", None)
    (older.path / "catalog.json").write_text(json.dumps({"digest": "of others"}))
    refused(
        lambda: compare_recipes(str(run.path), str(older.path), tmp_path / "table.csv"),
        "the labelled photographs are not those",
    )


@pytest.mark.parametrize("content", ["{", "[]", '"text"', "", "\xff\xfe", "{}", '{"text": 3}'])
@pytest.mark.parametrize("name", ["validation.json", "catalog.json", "run.json", "config.yaml"])
def test_a_damaged_file_of_a_run_is_named(
    run: Run, config: Config, name: str, content: str
) -> None:
    (run.path / name).write_bytes(content.encode("latin-1"))

    def use() -> None:
        run.text()
        run.description()
        find_run(config)
        run.data_digest()

    if (name, content) in (("catalog.json", "{}"), ("run.json", "{}")) or (
        name in ("catalog.json", "run.json") and content.startswith('{"')
    ):
        use()  # nothing that is needed is missing
    else:
        refused(use, name)
