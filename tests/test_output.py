"""Progress and warnings: on standard error, and few lines where that is no terminal."""

import os
import subprocess
import sys
import warnings

import pytest

from flukeprint import output
from flukeprint.output import Notice, Stage, followed, hushed, only_notices


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time in seconds, in a list of one."""
    now = [0.0]
    monkeypatch.setattr(output.time, "monotonic", lambda: now[0])
    return now


def test_a_long_stage_has_a_few_lines(
    clock: list[float], capfd: pytest.CaptureFixture[str]
) -> None:
    """Ten thousand photographs in as many seconds."""
    for _ in followed(range(10_000), "embedding", 10_000):
        clock[0] += 1.0
    out, err = capfd.readouterr()
    lines = err.splitlines()
    assert out == ""
    assert "\r" not in err
    assert lines[0] == "embedding: 61 of 10,000 photos, 61 s, 1 a second, 3 h left"
    assert lines[-1] == "embedding: 10,000 photos, 10000.0 s"
    assert 4 <= len(lines) <= 10


@pytest.mark.parametrize(("title", "seconds"), [(None, 1000.0), ("quick", 0.1)])
def test_short_and_silent_stages_say_nothing(
    title: str | None, seconds: float, clock: list[float], capfd: pytest.CaptureFixture[str]
) -> None:
    with Stage(title, 2) as stage:
        clock[0] += seconds
        stage.update(2)
    assert capfd.readouterr() == ("", "")


def test_a_stage_that_fails_is_not_said_to_be_done(
    clock: list[float], capfd: pytest.CaptureFixture[str]
) -> None:
    def fail() -> None:
        with Stage("embedding", 2) as stage:
            clock[0] += 5
            stage.update()
            raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        fail()
    assert capfd.readouterr().err == ""


def test_a_terminal_has_a_bar(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(output, "on_terminal", lambda: True)
    with Stage("embedding", 3) as stage:
        stage.update(3)
    out, err = capfd.readouterr()
    assert out == ""
    assert "embedding: 100%" in err


def test_only_our_warnings_are_shown_each_as_a_line(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "warnoptions", [])
    with warnings.catch_warnings():
        monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)
        only_notices()
        warnings.warn("two photos are skipped", Notice, stacklevel=1)
        warnings.warn("this library is to be called otherwise", FutureWarning, stacklevel=1)
    assert capfd.readouterr().err == "warning: two photos are skipped\n"


def test_what_a_library_prints_is_discarded(capfd: pytest.CaptureFixture[str]) -> None:
    print("before")
    with hushed():
        print("from Python")
        os.write(1, b"from C\n")
        subprocess.run([sys.executable, "-c", "print('from a child')"], check=True)
    print("after")
    assert capfd.readouterr().out == "before\nafter\n"
