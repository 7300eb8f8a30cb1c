"""Timing in turns, ratios, and where results are written."""

import json
from pathlib import Path

import pytest

from benchmarks.harness import timing


def test_contestants_take_turns_and_warm_rounds_do_not_count() -> None:
    calls: list[str] = []
    seconds = timing.in_turns(
        {"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}, rounds=3, warm=2
    )
    assert "".join(calls) == "ab" * 5
    assert [len(seconds[name]) for name in "ab"] == [3, 3]
    assert all(one >= 0 for name in "ab" for one in seconds[name])


def test_a_ratio_is_the_median_of_rounds() -> None:
    assert timing.ratio([8, 3, 10], [2, 3, 5]) == 2  # of medians it were 8 / 3


def test_quick_results_replace_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timing, "RESULTS", tmp_path / "results")
    whole = timing.save("search", {"rows": [1]}, quick=False)
    quick = timing.save("search", {"rows": [2]}, quick=True)
    assert (whole.name, quick.name) == ("search.json", "search-quick.json")
    found = json.loads(whole.read_text())
    assert found["rows"] == [1]
    assert {"cpu", "cores", "python", "versions"} <= set(found["machine"])
