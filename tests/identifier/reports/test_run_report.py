"""The report of a run: written whole by a training or a command, and what it refuses."""

import json
import os
import re
import shutil
from pathlib import Path

import pytest
from PIL import Image

from flukeprint.data.catalog import Catalog
from flukeprint.evaluation.report import written
from flukeprint.evaluation.report.charts import Part
from flukeprint.identifier.reports import run_report
from flukeprint.identifier.reports.run_report import SECTIONS, gather, report_on, write_report
from flukeprint.identifier.runs import Run
from flukeprint.training.train import train
from tests.processes import call
from tests.refusals import refused
from tests.tiny import TinyConfig


@pytest.fixture(scope="module")
def run(tiny_config: TinyConfig, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A finished run with the report that its training wrote."""
    tiny = tiny_config.apart(tmp_path_factory.mktemp("reported"))
    return train(tiny("train.report=true", "train.epochs=1"))


@pytest.fixture
def copy(run: Run, tmp_path: Path) -> Run:
    """The same, to be changed."""
    return Run(Path(shutil.copytree(run.path, tmp_path / "run")))


def text_of(run: Run) -> str:
    return run.report.read_text(encoding="utf-8")


def test_a_training_ends_with_its_report(run: Run):
    page = text_of(run)
    assert "tiny, fold 0 of 2" in page
    assert "could not be made" not in page
    for anchor in ("overview", "recognition", "answers", "pairs", "open-set", "sizes", "making"):
        assert f'<section id="{anchor}"' in page
    charts = {file.stem for file in (run.path / "report").glob("*.svg")}
    assert charts == {file.stem for file in (run.path / "report").glob("*.png")}
    assert {"pairs", "curves-loss", "curves-rate", "open-set-roc", "sizes"} <= charts
    for file in (run.path / "report").glob("*.png"):
        with Image.open(file) as picture:
            picture.load()
    assert json.loads((run.path / "run.json").read_text())["environment"]["flukeprint"] in page


def test_a_training_can_do_without(tiny_run: Run):
    assert not tiny_run.report.exists()
    assert not (tiny_run.path / "report").exists()


def test_the_command_writes_it_again(copy: Run):
    before = text_of(copy)
    charts = sorted(file.name for file in (copy.path / "report").iterdir())
    copy.report.write_text("old")
    (copy.path / "report" / "old.png").write_bytes(b"old")
    done = call("flukeprint", "report", copy.path)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"report: {copy.report}\n", "")
    expected = before.replace(f"run {before_name(before)}", f"run {copy.name}")
    assert without_pictures(text_of(copy)) == without_pictures(expected)
    assert sorted(file.name for file in (copy.path / "report").iterdir()) == charts
    assert not list(copy.path.glob(".*"))


def without_pictures(page: str) -> str:
    """A picture's bytes differed once, after other tests in the process; which, is not known."""
    shorter, pictures = re.subn(r"[A-Za-z0-9+/]{400,}=*", "picture", page)
    assert pictures > 5
    return shorter


def before_name(page: str) -> str:
    return page.partition("Report of the run ")[2].partition(":")[0]


def test_a_run_of_an_older_version_gets_one(copy: Run):
    shutil.rmtree(copy.path / "report")
    for name in ("report.html", "run.json", "queries.csv", "validation.json", "minutes.json"):
        (copy.path / name).unlink()
    shutil.rmtree(copy.path / "log")
    write_report(copy)
    page = text_of(copy)
    assert "the run is of a version that did not note it" in page
    assert 'id="curves"' not in page


def test_no_run(tmp_path: Path):
    refused(lambda: write_report(Run(tmp_path)), "is no run", "config.yaml")
    done = call("flukeprint", "report", tmp_path / "none")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1


def test_an_unfinished_run(copy: Run):
    shutil.rmtree(copy.identifier)
    old = text_of(copy)
    refused(lambda: write_report(copy), "is not finished", f"--resume {copy.name}")
    assert text_of(copy) == old


def test_damaged_files(copy: Run):
    (copy.path / "asked.json").write_text("{")
    refused(lambda: write_report(copy), "asked.json", "train again")


def other_photographs(monkeypatch: pytest.MonkeyPatch, changed) -> None:
    read = run_report.read_labelled
    monkeypatch.setattr(run_report, "read_labelled", lambda config: changed(read(config)))


def test_other_photographs_than_it_was_trained_on(copy: Run, monkeypatch: pytest.MonkeyPatch):
    other_photographs(monkeypatch, lambda catalog: catalog.take(range(1, len(catalog))))
    refused(lambda: write_report(copy), "are not those that", "train a new run")


def test_photographs_that_became_copies(copy: Run, monkeypatch: pytest.MonkeyPatch):
    def all_of_one_burst(catalog: Catalog) -> Catalog:
        from dataclasses import replace

        first = next(name for name in catalog.identities if name is not None)
        bursts = tuple("b" if name == first else None for name in catalog.identities)
        return replace(catalog, bursts=bursts)

    other_photographs(monkeypatch, all_of_one_burst)
    refused(lambda: write_report(copy), "other queries", "train a new run")


def test_photographs_left_out_as_unreadable_are_left_out_again(
    copy: Run, monkeypatch: pytest.MonkeyPatch
):
    text = (copy.path / "config.yaml").read_text()
    (copy.path / "config.yaml").write_text(
        text.replace("skip_unreadable: false", "skip_unreadable: true")
    )
    from dataclasses import replace

    def one_more(catalog: Catalog) -> Catalog:
        assert catalog.paths is not None
        bad = replace(catalog.take([0]), images=("unreadable.jpg",))
        return Catalog.concatenate([catalog, bad])

    other_photographs(monkeypatch, one_more)
    assert len(gather(copy).catalog) == len(gather(copy).embeddings)


def broken(material) -> Part:
    raise ZeroDivisionError("by\nnothing")


def same_names(material) -> Part | None:
    part = SECTIONS["pairs"](material)
    assert part is not None
    return Part("again", "Again", (), part.blocks)


def test_a_section_that_fails_is_said_and_left_out(
    copy: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    few = {"overview": SECTIONS["overview"], "broken": broken, "pairs": SECTIONS["pairs"],
           "again": same_names, "nothing": lambda _: None}  # fmt: skip
    monkeypatch.setattr(run_report, "SECTIONS", few)
    write_report(copy)
    page = text_of(copy)
    assert "The section broken could not be made: by nothing" in page
    assert "The section again could not be made: a chart of another section" in page
    assert '<section id="overview"' in page
    assert '<section id="again"' not in page
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 2
    assert str(copy.report) in said[0]


def test_a_page_that_cannot_be_written_fails_no_training(
    copy: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    def full(*_: object) -> bytes:
        raise OSError(28, "No space left on device")

    old = text_of(copy)
    monkeypatch.setattr(run_report, "SECTIONS", {"pairs": SECTIONS["pairs"]})
    monkeypatch.setattr(written, "draw", full)
    report_on(copy, gather(copy))
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "could not be written" in said
    assert text_of(copy) == old
    assert (copy.path / "report" / "pairs.png").is_file()
    assert not list(copy.path.glob(".*"))


def test_a_report_that_is_killed_leaves_the_older_one(copy: Run, monkeypatch: pytest.MonkeyPatch):
    few = {name: SECTIONS[name] for name in ("overview", "pairs")}
    monkeypatch.setattr(run_report, "SECTIONS", few)
    charts = sorted(file.name for file in (copy.path / "report").iterdir())
    old = text_of(copy)
    child = os.fork()
    if child == 0:
        written.draw = lambda chart: os._exit(9)  # type: ignore[assignment]
        try:
            write_report(copy)
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    assert text_of(copy) == old
    assert sorted(file.name for file in (copy.path / "report").iterdir()) == charts
    write_report(copy)  # which removes what was left
    assert not list(copy.path.glob(".*"))
