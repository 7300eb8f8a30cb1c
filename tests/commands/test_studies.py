"""The commands verification and few-shot: what they print, and what they refuse."""

import json
from pathlib import Path

import pytest

from flukeprint.identifier.runs import Run
from tests.says import Says
from tests.tiny import TinyConfig


def test_verification_prints_text_or_json(tiny_run: Run, says: Says) -> None:
    text, error = says("verification", tiny_run.path, "--distractors", "20")
    assert error is None
    assert "equal error rate" in text
    assert "rank-1" in text
    assert "mahalanobis" in text
    printed, error = says("verification", tiny_run.path, "--distractors", "20", "--json")
    assert error is None
    found = json.loads(printed)
    assert found["runs"][0]["run"] == str(tiny_run.path)
    assert found["runs"][0]["distractors"][0]["sizes"] == [0, 10, 20]


def test_verification_refuses_what_is_no_run(tmp_path: Path, says: Says) -> None:
    printed, error = says("verification", tmp_path)
    assert printed == ""
    assert error is not None
    assert "is no run" in error


def test_few_shots_of_a_run(tiny_run: Run, says: Says) -> None:
    asked = ("few-shot", tiny_run.path, "--ways", "2", "--shots", "1", "--episodes", "20")
    text, error = says(*asked)
    assert error is None
    assert "2-way 1-shot, 20 episodes" in text
    assert "nearest photograph" in text
    assert "(seen)" in text
    assert "training saw these animals" in text
    printed, _ = says(*asked, "--json")
    cell = json.loads(printed)["cells"][0]
    assert (cell["ways"], cell["shots"], cell["source"]) == (2, 1, "seen")
    low, mean, high = (cell["over_animals"]["prototype"][end] for end in ("low", "mean", "high"))
    assert low <= mean <= high


def test_few_shots_of_the_untrained_network(tiny_config: TinyConfig, says: Says) -> None:
    text, error = says(
        "few-shot", "-c", tiny_config.path, "--untrained", "train.seed=1", "--ways", "3",
        "--shots", "1", "--shots", "2", "--episodes", "10",
    )  # fmt: skip
    assert error is None
    assert "tiny, untrained network" in text
    assert "3-way 1-shot" in text
    assert "3-way 2-shot" in text
    assert "(untrained)" in text


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["RUN", "--ways", "9"], ("9-way 1-shot needs 9 animals", "found")),
        (["RUN", "--ways", "2", "--shots", "30"], ("2-way 30-shot", "31 photographs")),
        (["RUN", "train.seed=1"], ("train.seed=1", "its own configuration")),
        (["RUN", "--untrained"], ("--untrained goes with --config",)),
        (["-c", "CONFIG"], ("--untrained goes with --config",)),
        (["-c", "CONFIG", "--untrained", "--ways", "99"], ("99-way", "found 6 animals")),
        (["-c", "CONFIG", "--untrained", "no.key=1"], ("unknown key no",)),
        ([], ("name a run's folder",)),
    ],
)
def test_few_shot_refuses_in_one_line(
    words: list[str], told: tuple[str, ...], tiny_run: Run, tiny_config: TinyConfig, says: Says
) -> None:
    places = {"RUN": str(tiny_run.path), "CONFIG": str(tiny_config.path)}
    printed, error = says("few-shot", *(places.get(word, word) for word in words))
    assert printed == ""
    assert error is not None
    assert "\n" not in error
    for part in told:
        assert part in error, error
