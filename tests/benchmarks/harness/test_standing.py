"""A benchmark's process that stays."""

import sys

import pytest

from benchmarks.harness import standing as harness
from benchmarks.harness.standing import standing

CHATTY = """
import os
from benchmarks.harness.standing import answer
seen = []
def reply(line):
    print("said to nobody")
    if line == "end":
        raise SystemExit("no more of that")
    seen.append(line)
    return [os.environ.get("OF_THIS", ""), *seen]
answer(reply)
"""
BROKEN = "raise SystemExit('it cannot be imported')"


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    monkeypatch.setattr(harness, "module_command", lambda *_: [sys.executable, "-c", request.param])


@pytest.mark.parametrize("runs", [CHATTY], indirect=True)
@pytest.mark.usefixtures("runs")
def test_it_stays_and_only_its_answers_are_read() -> None:
    with standing("module", environment={"OF_THIS": "here"}) as ask:
        assert ask("one") == "['here', 'one']"
        assert ask("two") == "['here', 'one', 'two']"


@pytest.mark.parametrize(
    ("runs", "told"),
    [(CHATTY, "(?s)ended with 1: .*no more of that"), (BROKEN, "ended with 1: it cannot be")],
    indirect=["runs"],
)
@pytest.mark.usefixtures("runs")
def test_what_it_said_is_told_when_it_ends(told: str) -> None:
    for _ in range(2):
        with pytest.raises(SystemExit, match=told), standing("module") as ask:
            ask("end")
    with standing("module") as ask:
        for _ in range(2):
            with pytest.raises(SystemExit, match=told):
                ask("end")
