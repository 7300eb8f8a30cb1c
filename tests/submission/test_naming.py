"""Submissions of other settings have other names."""

from pathlib import Path

import pytest

from flukeprint.config.load import load_config
from flukeprint.submission.naming import (
    LONGEST,
    LONGEST_RUNS,
    embeddings_name,
    ensemble_name,
    submission_name,
)

TRAINED = load_config(None, ["name=whales", "infer.threshold=0.4"])
RUN = "20260131-120000"


@pytest.mark.parametrize(
    ("overrides", "suffix"),
    [
        ([], ""),
        (["infer.batch_size=7", "data.competition=x", "train.workers=0"], ""),
        ([f"data.root={Path.cwd()}/input/whales"], ""),  # the same folder
        (["infer.threshold=none"], "-threshold-none"),
        (["infer.threshold=0.5"], "-threshold-0.5"),
        (["infer.threshold=-1"], "-threshold--1.0"),
        (["infer.threshold={share: 0.165}"], "-share-0.165"),
        (["infer.threshold={false_new: 0.1}"], "-false_new-0.1"),
        (["data.closed_set=true"], "-closed_set-true"),
        (["infer.answers=1", "infer.threshold=0.5"], "-answers-1-threshold-0.5"),
        (["infer.engine=openvino", "infer.precision=bf16"], "-engine-openvino-precision-bf16"),
    ],
)
def test_the_name_tells_what_was_set(overrides: list[str], suffix: str) -> None:
    config = load_config(None, ["name=whales", "infer.threshold=0.4", *overrides])
    assert submission_name(config, TRAINED, RUN) == f"whales-{RUN}{suffix}.csv"


def test_whatever_is_set_the_name_is_a_short_file_name() -> None:
    names = set()
    settings = [
        *(f"data.root=/data/{place}" for place in ("a", "b")),
        "data.test=../other test/photographs",
        "data.sample_submission=../../sample.csv",
        "data.new_label=ein/neuer:wal",
    ]
    for setting in [*settings, "data.new_label=x"]:
        config = load_config(None, ["name=whales", "infer.threshold=0.4", setting])
        names.add(submission_name(config, TRAINED, RUN))
    many = ["infer.answers=1", "infer.engine=torch", "infer.precision=bf16", *settings[1:]]
    names.add(submission_name(load_config(None, ["name=whales", *many]), TRAINED, RUN))
    assert len(names) == 7
    for name in names:
        assert Path(name).name == name
        assert " " not in name
        assert len(name) <= len(f"whales-{RUN}.csv") + LONGEST


@pytest.mark.parametrize(
    ("setting", "same"),
    [
        ("infer.threshold=0.5", True),  # embeddings have no threshold
        ("infer.engine=torch", True),
        ("data.new_label=new", True),
        ("data.test=elsewhere", False),
        ("data.root=/elsewhere", False),
    ],
)
def test_only_other_photographs_have_other_embeddings(setting: str, same: bool) -> None:
    config = load_config(None, ["name=whales", "infer.threshold=0.4", setting])
    assert (embeddings_name(config, TRAINED) == "test.npz") is same


def test_a_submission_of_several_runs_names_them_all() -> None:
    other = load_config(None, ["name=small/lite", "rank.hubness=3"])
    members = [(TRAINED, "first"), (other, "second")]
    assert ensemble_name(TRAINED, members) == "whales-first+small-lite-second.csv"
    assert ensemble_name(TRAINED, members, [2, 0.5]) == (
        "whales-first+small-lite-second-weights-2-0.5.csv"
    )
    changed = load_config(None, ["name=whales", "infer.threshold=none", "rank.hubness=3"])
    assert ensemble_name(changed, members) == (
        "whales-first+small-lite-second-hubness-3-threshold-none.csv"
    )
    zoomed = load_config(None, ["name=whales", "infer.threshold=0.4", "infer.zooms=[1, 0.8]"])
    assert ensemble_name(zoomed, members) == ensemble_name(TRAINED, members)
    many = [ensemble_name(TRAINED, [(TRAINED, f"{RUN}-{i}") for i in range(n)]) for n in (20, 21)]
    assert many[0] != many[1]
    assert all(len(name) <= len("whales-.csv") + LONGEST_RUNS + LONGEST for name in many)
