"""The benchmark of the service: its ratios, its checks, and one small run of the script."""

import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchmarks.harness.load_client import Load, Target
from benchmarks.serving import render, serving
from flukeprint.errors import FlukeprintError
from tests.serving.served import make_identifier, photo


def test_ratios_are_of_pairs() -> None:
    def load(rate: float) -> Any:
        return Load(1, rate, 1, 1, 1, 0, 0, 0, 0, 1, 0, 0)

    pairs = [(load(8), load(2)), (load(3), load(3)), (load(10), load(5))]
    assert render.ratios(pairs, "rate") == (2, 1, 4)  # of medians it were 8 / 3


def test_photographs_must_be_answered(stub: Target, tmp_path: Path) -> None:
    plan = serving.Plan(tmp_path, (b"one", b"bad", b"bad"))
    with pytest.raises(FlukeprintError, match=r"2 of 3 photographs .* first with status 422"):
        serving._alone(plan, stub, lambda text: None)


@pytest.fixture
def run_script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Runs the script on three photographs; the page that it is to write."""
    folder, page = tmp_path / "photographs", tmp_path / "serving.md"
    folder.mkdir()
    for number in range(3):
        (folder / f"{number}.jpg").write_bytes(photo(number, 1))
    monkeypatch.setattr("signal.signal", lambda *_: None)

    def run(identifier: Path, *more: str) -> Path:
        given = ["--identifier", str(identifier), "--photos", str(folder), "--out", str(page)]
        monkeypatch.setattr(sys, "argv", ["serving.py", *given, *more])
        serving.main()
        return page

    return run


def test_the_script_writes_its_page(
    run_script: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    identifier = make_identifier(tmp_path)
    small = ("--clients", "2", "--requests", "6", "--rounds", "2", "--starts", "1")
    page = run_script(identifier, *small, "--seconds", "2", "--crowd", "40")
    assert "round 2 of 2, 2 clients: flukeprint serve " in capsys.readouterr().err
    text = page.read_text()
    number = r"[\d.]+"
    for name in ("flukeprint serve", "plain handler"):
        assert re.search(rf"\| 2 \| {name} \| \*\*{number}\*\* \[.*\| 12 \|\n", text), text
    assert re.search(rf"\| 2 \| ({number} \[{number} to {number}\] \| ){{4}}", text), text
    for never in ("requests without an answer", "answers of another status"):
        assert re.search(rf"\| {never}.* \| 0 \| 0 \|", text), text
    assert re.search(r"same first identity from both: \d+ % of", text), text
    answered, refused = re.findall(r"\n\| (\d+) \| (\d+) \| [\d.]+ \| \d+ \| \d+ \|\n", text)[0]
    assert int(answered) >= 40
    assert int(refused) > 0  # more clients than serve.queue

    def killed(*_: object) -> None:
        sys.exit("stopped")

    monkeypatch.setattr(serving, "measure", killed)
    with pytest.raises(SystemExit, match="stopped"):
        run_script(identifier)
    assert page.read_text() == text
    assert [path.name for path in tmp_path.iterdir() if "serving" in path.name] == [page.name]


def test_what_is_missing_is_said(run_script: Callable[..., Path], tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"error: .* is no identifier"):
        run_script(tmp_path)
    with pytest.raises(SystemExit):
        run_script(tmp_path, "--rounds", "0")
