"""The benchmark of losses: its recipes can be trained, and its page says what its rows hold."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks.accuracy import losses_page
from benchmarks.accuracy.losses import missing, settings
from benchmarks.accuracy.losses_page import (
    DATA,
    LOSSES,
    SEEDS,
    UNTRAINED,
    Outcome,
    Row,
    outcomes,
    read_rows,
    render,
    save_rows,
    table,
    told_apart,
)
from flukeprint.models.losses import build_losses


def row(loss: str, seed: int, ranks: str, data: str = "nyala", **changed: object) -> Row:
    """A made-up training; the queries are those of the seed."""
    made = Row(
        data=data, loss=loss, seed=seed, photos=64, queries=len(ranks), of_queries=f"q{seed}",
        steps=4, cpu_seconds=2.0, effective_rank=20.0, mean_cosine=0.1, ranks=ranks,
    )  # fmt: skip
    return replace(made, **changed)  # type: ignore[arg-type]


@pytest.mark.parametrize("loss", LOSSES)
def test_every_loss_can_be_built_on_both_data_sets(loss: str, tmp_path: Path) -> None:
    for data in DATA:
        config = settings(
            data, tmp_path, tmp_path, f"losses={LOSSES[loss].terms}",
            f"sampler.name={LOSSES[loss].sampler}",
        )  # fmt: skip
        built = build_losses(
            config.losses, classes=3, dim=4, class_counts=np.array([2, 2, 2]),
            mirrored_classes=False,
        )  # fmt: skip
        assert built.names


def test_all_settings_but_loss_and_sampler_are_the_same(tmp_path: Path) -> None:
    for data in DATA:
        made = {
            settings(
                data, tmp_path, tmp_path, f"losses={one.terms}", f"sampler.name={one.sampler}"
            ).model_copy(update={"losses": (), "sampler": None}).model_dump_json()
            for one in LOSSES.values()
        }  # fmt: skip
        assert len(made) == 1


def test_figures_are_those_of_the_ranks() -> None:
    one = Outcome("softmax", (row("softmax", 0, "1205"), row("softmax", 1, "1100")))
    assert one.of_seeds == pytest.approx([(1 + 0.5 + 0 + 0.2) / 4, 0.5])
    assert one.map5.mean == pytest.approx((1.7 + 2) / 8)
    assert one.top1.mean == pytest.approx(3 / 8)
    # 2 s for 4 steps of 32 photographs: 1 s for the 64 of an epoch.
    assert one.seconds_an_epoch == pytest.approx(1.0)


def test_a_difference_counts_only_with_every_seed_and_beyond_chance() -> None:
    good = [row("softmax", seed, "1" * 40) for seed in SEEDS]
    bad = [row("circle", seed, "0" * 40) for seed in SEEDS]
    better, worse = Outcome("softmax", tuple(good)), Outcome("circle", tuple(bad))
    assert told_apart(better, worse)
    assert not told_apart(worse, better)
    assert not told_apart(better, better)
    # One seed the other way round: most queries are still better.
    mixed = Outcome("circle", (*bad[:2], row("circle", 2, "1" * 40)))
    level = Outcome("softmax", (*good[:2], row("softmax", 2, "1" * 39 + "0")))
    assert level.map5.mean > mixed.map5.mean
    assert not told_apart(level, mixed)
    # Better with every seed, by one query each.
    once = Outcome("circle", tuple(row("circle", seed, "1" * 39 + "2") for seed in SEEDS))
    assert not told_apart(better, once)


def test_losses_that_were_asked_other_queries_do_not_compare() -> None:
    rows = [row("softmax", 0, "10"), row("circle", 0, "10", of_queries="others")]
    with pytest.raises(ValueError, match="same queries"):
        outcomes(rows, "nyala")


def test_a_table_names_places_that_cannot_be_told_apart() -> None:
    rows = [row("softmax", seed, "1" * 60) for seed in SEEDS]
    rows += [row("circle", seed, "1" * 59 + "2") for seed in SEEDS]
    rows += [row("margin", seed, "0" * 60) for seed in SEEDS]
    lines = table(outcomes(rows, "nyala"))[2:]
    assert [line.split("|")[2].strip() for line in lines] == ["softmax", "circle", "margin"]
    assert [line.split("|")[-2].strip() for line in lines] == ["2", "1", "-"]


def test_a_collapse_is_said_with_its_measure() -> None:
    rows = [row(UNTRAINED, seed, "1000") for seed in SEEDS]
    rows += [row("center alone", seed, "1000", mean_cosine=0.99) for seed in SEEDS]
    text = render(rows)
    assert "Collapsed: center alone (3 of 3 seeds; effective rank 20.0, mean cosine 0.990)" in text
    assert "Not complete" in text


def test_rows_are_kept_as_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(losses_page, "RESULT", tmp_path / "losses.csv")
    assert read_rows() == []
    rows = [row("triplet, easy", 0, "0120"), row("softmax", 1, "1111", data="whales")]
    save_rows(rows)
    assert read_rows() == rows


def test_only_what_is_missing_is_measured_and_seeds_come_one_after_the_other() -> None:
    roots = {data: Path(data) for data in DATA}
    every = missing([], roots)
    assert len(every) == len(set(every)) == len(SEEDS) * len(DATA) * (len(LOSSES) + 1)
    assert [seed for _, _, seed in every] == sorted(seed for _, _, seed in every)
    assert ("nyala", "softmax", 1) not in missing([row("softmax", 1, "1")], roots)
    assert len(missing([row("softmax", 1, "1")], roots)) == len(every) - 1


def test_the_page_is_made_of_the_rows_that_are_there() -> None:
    rows = read_rows()
    assert {(one.data, one.loss, one.seed) for one in rows} == {
        (data, loss, seed) for data in DATA for loss in (UNTRAINED, *LOSSES) for seed in SEEDS
    }
    assert losses_page.PAGE.read_text() == render(rows)
    assert losses_page.PLOT.is_file()
