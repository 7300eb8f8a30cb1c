"""The table of measured runs keeps its rows, and refuses what it cannot read."""

import multiprocessing
from dataclasses import fields, replace
from pathlib import Path

import pytest

from flukeprint.errors import FlukeprintError
from flukeprint.evaluation.breakdown import QueryGroup
from flukeprint.evaluation.results_table import (
    RESULT_COLUMNS,
    Row,
    add_row,
    named_rows,
    read_rows,
    write_rows,
)

ROW = Row(
    config="whales", note="first rung", recipe="abc123", data="d1", fold=0, seed=0, epochs=12,
    minutes=3.5, peak_mb=None, million_parameters=1.25, queries=40, new_queries=8,
    map5=0.5, map5_low=0.25, map5_high=0.75, top1=0.5, top1_low=0.25, top1_high=0.75,
    top5=0.625, top5_low=0.5, top5_high=0.75, auroc=None, auroc_low=None, auroc_high=None,
    views={"links, ü": QueryGroup(3, 0.5, 0.75)},
    sizes={"0": QueryGroup(8, 0.5, 0.5), "1": QueryGroup(32, 0.25, 0.5)},
    answers="predictions/whales.csv",
)  # fmt: skip
OTHER = replace(ROW, recipe="abd999", note="second rung", auroc=0.75, auroc_low=0.5, auroc_high=1.0)


def test_rows_are_read_back_as_they_were_written(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    assert read_rows(path) == []
    add_row(ROW, path)
    add_row(OTHER, path)
    assert read_rows(path) == [ROW, OTHER]
    assert path.read_text().splitlines()[0].split(",") == [field.name for field in fields(Row)]
    add_row(replace(ROW, map5=0.75), path)  # the same run
    assert read_rows(path) == [ROW, OTHER]
    add_row(replace(ROW, seed=1), path)
    assert [row.key[-1] for row in read_rows(path)] == [0, 0, 1]


def test_a_row_is_one_line_for_people() -> None:
    assert ROW.text() == (
        "fold 0, seed 0: MAP@5 0.500 [0.250, 0.750], top-1 0.500 [0.250, 0.750], "
        "top-5 0.625 (40 queries, 8 new)"
    )
    assert "new-individual AUROC 0.750" in OTHER.text()


def test_a_table_without_the_constant_answers_is_read_and_added_to(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    write_rows([ROW], path)
    older = [line.removesuffix(",,") for line in path.read_text().splitlines()]
    older[0] = older[0].removesuffix(",never_new,always_new")
    path.write_text("\n".join(older) + "\n")
    assert read_rows(path) == [ROW]
    further = replace(OTHER, never_new=0.25, always_new=0.5)
    add_row(further, path)
    assert read_rows(path) == [ROW, further]
    assert "never answering new 0.250, of always answering it first 0.500" in further.text()


def test_rows_are_found_by_note_or_by_the_beginning_of_their_recipe(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    write_rows([ROW, OTHER, replace(ROW, fold=1)], path)
    assert named_rows("first rung", path) == named_rows("abc", path) == [ROW, replace(ROW, fold=1)]
    assert named_rows("abd999", path) == [OTHER]
    with pytest.raises(FlukeprintError, match=r"ab names several recipes.*abc123.*abd999"):
        named_rows("ab", path)
    with pytest.raises(FlukeprintError, match=r"known there: abc123 \(first rung\); abd999"):
        named_rows("third rung", path)


def test_other_columns_and_cells_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    write_rows([ROW, OTHER], path)
    whole = path.read_text()
    path.write_text(whole.replace("abd999,d1,0", "abd999,d1,none"))
    with pytest.raises(FlukeprintError, match="line 3 cannot be read"):
        read_rows(path)
    path.write_text(whole.replace("peak_mb", "memory"))
    with pytest.raises(FlukeprintError, match=r"columns differ in memory, peak_mb"):
        read_rows(path)
    path.write_text(",".join(reversed(RESULT_COLUMNS)) + "\n")
    with pytest.raises(FlukeprintError, match="their order"):
        read_rows(path)


def _add_some(path: Path, first: int) -> None:
    for seed in range(first, first + 8):
        add_row(replace(ROW, seed=seed), path)


def test_rows_of_trainings_that_end_at_once_are_all_kept(tmp_path: Path) -> None:
    path = tmp_path / "new" / "table.csv"
    forked = multiprocessing.get_context("fork")
    running = [forked.Process(target=_add_some, args=(path, 100 * k)) for k in range(3)]
    for process in running:
        process.start()
    for process in running:
        process.join()
    assert {row.seed for row in read_rows(path)} == {
        100 * k + n for k in range(3) for n in range(8)
    }
    assert [file.name for file in path.parent.iterdir()] == ["table.csv"]
