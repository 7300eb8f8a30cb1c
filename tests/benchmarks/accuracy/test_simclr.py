"""The benchmark of SimCLR: its page is made of its result, and the guide quotes what it says."""

import json

import numpy as np
import pytest

from benchmarks.accuracy.simclr import ARMS, FOLDS, PAGE, QUEUED, RESULT, render, verdict
from benchmarks.harness.places import ROOT
from flukeprint.evaluation.comparison import paired_bootstrap


@pytest.fixture(scope="module")
def result():
    return json.loads(RESULT.read_text())


def ap(result, arm):
    return np.concatenate([row["ap"] for row in result["rows"] if row["arm"] == arm])


def test_every_arm_is_measured_on_every_fold_with_about_as_many_images(result):
    rows = result["rows"]
    assert {(row["arm"], row["fold"]) for row in rows} == {
        (arm, fold) for arm in ARMS for fold in range(FOLDS)
    }
    images = [row["images"] for row in rows]
    assert max(images) / min(images) < 1.03


def test_the_page_is_made_of_the_result(result):
    assert PAGE.read_text() == render(result)


def test_the_guide_quotes_the_result(result):
    text = (ROOT / "docs" / "pretraining.md").read_text(encoding="utf-8")
    for start, with_simclr, without in (("ImageNet's weights", "b", "a"), ("nothing", "c", "d")):
        gain = paired_bootstrap(ap(result, without), ap(result, with_simclr)).gain
        row = (
            f"| {start} | {ap(result, with_simclr).mean():.3f} | "
            f"{ap(result, without).mean():.3f} | "
            f"{gain.mean:+.3f} [{gain.low:+.3f}, {gain.high:+.3f}] |"
        )
        assert row in text
    last = {name: made["epochs"][-1] for name, made in result["pretraining"].items()}
    assert f"fell to {last['imagenet']['loss']:.2f}" in text
    assert f"still {last['nothing']['loss']:.2f}" in text
    queued, quiet = (
        f"{last[name]['projections_cosine']:.2f}".replace("-0.00", "0.00")
        for name in (QUEUED, "imagenet")
    )
    assert f"was {queued}, without {quiet}" in " ".join(text.split())
    assert f"{np.log(2 * 64 - 1):.2f} is chance" in text


def test_the_verdict_follows_the_intervals():
    low, high = np.zeros(200), np.ones(200)
    better = verdict({"a": low, "b": high, "d": low, "c": high})
    assert better.count("SimCLR pays") == 2
    worse = verdict({"a": high, "b": low, "d": high, "c": low})
    assert worse.count("does not pay") == 2
    assert verdict({"a": low, "b": low, "d": low, "c": low}).count("cannot tell") == 2
