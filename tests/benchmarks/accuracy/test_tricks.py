"""The benchmark of training tricks: its arms are valid, and its page says what its rows hold."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks.accuracy import tricks, tricks_page
from benchmarks.accuracy.tricks_page import (
    ARMS,
    BASE,
    BOTH_SIDES,
    DATA,
    HARMS,
    OTHERS,
    PAYS,
    SECOND,
    SEEDS,
    THIRD,
    TRICKS,
    UNSURE,
    Row,
    Trick,
    compared,
    read_rows,
    render,
    save_rows,
    together,
    verdict,
)
from flukeprint.errors import FlukeprintError
from flukeprint.models.losses import build_losses, check_losses


def row(arm: str, seed: int, ranks: str, data: str = "nyala", **changed: object) -> Row:
    """A made-up training; the queries are those of the fold."""
    made = Row(
        data=data, arm=arm, seed=seed, photos=64, added=0, queries=len(ranks),
        of_queries=f"q{seed}", steps=4, cpu_seconds=2.0, ranks=ranks,
    )  # fmt: skip
    return replace(made, **changed)  # type: ignore[arg-type]


def every_row(rows: list[tuple[str, str, int]]) -> list[Row]:
    """A made-up row for each data set, arm and fold."""
    return [row(arm, seed, "1010", data) for data, arm, seed in rows]


@pytest.mark.parametrize("name", ARMS)
def test_every_arm_is_a_valid_configuration(name: str, tmp_path: Path) -> None:
    for data in DATA:
        more = (*ARMS[name].settings, *dict(ARMS[name].of_data).get(data, ()))
        config = tricks.settings(data, tmp_path, tmp_path, *more)
        check_losses(
            config.losses, mirrored=config.image.mirrored_is_new, memory=config.train.memory
        )
        built = build_losses(
            config.losses, classes=3, dim=4, class_counts=np.array([2, 2, 2]),
            mirrored_classes=config.image.mirrored_is_new, memory=config.train.memory,
        )  # fmt: skip
        assert built.names[0] == "softmax"


@pytest.mark.parametrize("name", {**TRICKS, **OTHERS})
def test_arms_of_a_comparison_are_measured_and_differ(name: str, tmp_path: Path) -> None:
    trick = {**TRICKS, **OTHERS}[name]
    for side in (trick.arm, trick.against):
        arm = ARMS[side.removesuffix(BOTH_SIDES)]
        assert arm.both_sides or not side.endswith(BOTH_SIDES)
        assert set(arm.needs) <= set(ARMS)
        # What it learns from is trained with those that learn from none.
        assert all(not ARMS[need].needs for need in arm.needs)
    assert trick.arm != trick.against


def test_every_arm_is_compared_and_every_trick_only_adds_one_thing() -> None:
    both = {**TRICKS, **OTHERS}
    compared_arms = {side for trick in both.values() for side in (trick.arm, trick.against)}
    assert {arm.removesuffix(BOTH_SIDES) for arm in compared_arms} == set(ARMS)
    for trick in TRICKS.values():
        with_it, without = (
            ARMS[side.removesuffix(BOTH_SIDES)] for side in (trick.arm, trick.against)
        )
        losses = [one for one in with_it.settings if one.startswith("losses=")]
        if "label_smoothing" not in trick.key:
            assert losses == list(without.settings)
        assert with_it.seed == without.seed


def test_a_run_that_is_learnt_from_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(FlukeprintError, match="nyala, fold 0: distillation needs the run of base"):
        tricks.configured("nyala", "distillation", 0, tmp_path, tmp_path, tmp_path)


def test_a_kept_run_is_found_once_it_is_whole(tmp_path: Path) -> None:
    assert tricks.kept_run("nyala", BASE, 1, tmp_path) is None
    run = tmp_path / "kept" / "nyala-base-1" / "base" / "a-run"
    run.mkdir(parents=True)
    (run / tricks.KEPT).touch()
    assert tricks.kept_run("nyala", BASE, 1, tmp_path) is None  # its pseudo-labels are missing
    (run / tricks.LABELS).touch()
    found = tricks.kept_run("nyala", BASE, 1, tmp_path)
    assert found is not None
    assert found.path == run


def test_a_gain_is_that_of_the_same_queries() -> None:
    rows = [row(BASE, 0, "1205"), row(BASE, 1, "00"), row("SWA", 0, "1111"), row("SWA", 1, "01")]
    one = compared(rows, "nyala", TRICKS["SWA"])
    assert one is not None
    assert one.difference.a == pytest.approx((1 + 0.5 + 0.2) / 6)
    assert one.difference.b == pytest.approx(5 / 6)
    assert one.of_folds == pytest.approx([1 - 1.7 / 4, 0.5])
    assert together([one, one]).gain.mean == pytest.approx((5 - 1.7) / 6)
    # A fold that only one of them was trained on is left out.
    one = compared(rows[:3], "nyala", TRICKS["SWA"])
    assert one is not None
    assert one.difference.b == 1
    assert compared(rows, "whales", TRICKS["SWA"]) is None


def test_arms_that_were_asked_other_queries_do_not_compare() -> None:
    rows = [row(BASE, 0, "10"), row("EMA", 0, "10", of_queries="others")]
    with pytest.raises(ValueError, match="other queries"):
        compared(rows, "nyala", Trick("EMA", ""))


def test_cost_holds_that_of_what_it_learns_from() -> None:
    rows = [
        row(BASE, 0, "10"), row(SECOND, 0, "10", cpu_seconds=3.0),
        row(THIRD, 0, "10", cpu_seconds=4.0), row("distillation", 0, "10", cpu_seconds=5.0),
        row("EMA", 0, "10", cpu_seconds=5.0),
    ]  # fmt: skip
    found = [compared(rows, "nyala", Trick(arm, "")) for arm in ("distillation", "EMA")]
    assert [one and one.cost for one in found] == [6.0, 2.5]


@pytest.mark.parametrize(
    ("without", "with_it", "said"),
    [
        ("0" * 30, "1" * 30, PAYS),
        ("1" * 30, "0" * 30, HARMS),
        ("10" * 15, "10" * 15, UNSURE),
        ("10" * 15, "01" * 15, UNSURE),
        ("1" * 29 + "0", "1" * 30, UNSURE),
    ],
)
def test_a_verdict_is_that_of_the_interval(without: str, with_it: str, said: str) -> None:
    one = compared([row(BASE, 0, without), row("EMA", 0, with_it)], "nyala", Trick("EMA", ""))
    assert one is not None
    assert verdict(one.difference) == said


def test_the_page_says_what_pays_and_what_is_missing() -> None:
    rows = [row(BASE, seed, "00" * 20) for seed in SEEDS]
    rows += [row("EMA", seed, "11" * 20) for seed in SEEDS]
    rows += [row("SWA", seed, "00" * 20) for seed in SEEDS]
    text = render(rows)
    assert "- Pays: EMA of the weights (nyala)." in text
    assert "- Cannot be told on any data set: SWA." in text
    assert "- Harms: none." in text
    assert "Not complete" in text
    whole = every_row([(data, arm, seed) for data in DATA for arm in ARMS for seed in SEEDS])
    assert "Not complete" not in render(whole)


def test_rows_are_kept_as_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tricks_page, "RESULT", tmp_path / "tricks.csv")
    assert read_rows() == []
    rows = [row("SupCon, PK", 0, "0120"), row(BASE, 1, "1111", data="whales")]
    save_rows(rows)
    assert read_rows() == rows


def test_only_what_is_missing_is_measured() -> None:
    first, then = (tricks.missing([], list(DATA), first=which) for which in (True, False))
    every = [*first, *then]
    assert len(every) == len(set(every)) == len(SEEDS) * len(DATA) * len(ARMS)
    assert {name for _, name, _ in then} == {"distillation", "pseudo-labels"}
    left = tricks.missing([row("EMA", 1, "1")], list(DATA), first=True)
    assert set(first) - set(left) == {("nyala", "EMA", 1)}


@pytest.mark.skipif(not tricks_page.RESULT.is_file(), reason="not measured yet")
def test_the_page_is_made_of_the_rows_that_are_there() -> None:
    rows = read_rows()
    page = tricks_page.PAGE.read_text()
    assert page == render(rows)
    assert ("Not complete" in page) != tricks_page.complete(rows)
