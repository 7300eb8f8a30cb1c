"""Embedded photographs are answered once each, as `identify` answers them, whatever interrupts."""

import json
from pathlib import Path

import numpy as np
import pytest

from flukeprint.bulk import embedded_files
from flukeprint.bulk import search_all as module
from flukeprint.bulk.search_all import search_all
from flukeprint.data.embeddings import Embeddings
from flukeprint.identifier.identifier import Identifier
from flukeprint.identifier.runs import Run
from flukeprint.identifier.verdict import verdict_row
from flukeprint.ranking.features import Features
from tests.bulk.test_fill_gallery import drawn, written
from tests.refusals import refused


def test_answers_are_those_of_one_by_one_and_go_on(
    tiny_run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded_files, "_AT_ONCE", 5)
    monkeypatch.setattr(module, "_AT_ONCE", 2)
    known, job = Identifier.load(tiny_run.identifier), tmp_path / "job"
    near = known.gallery.vectors[:6]
    vectors = np.concatenate([near, drawn(7, known)])
    written(job / "a.parquet", known, vectors[:8])
    written(job / "b.parquet", known, vectors[8:], first=8)
    to = tmp_path / "to" / "answers.jsonl"
    first, calls = Identifier.judge_each, []

    def killed(self: Identifier, queries: Features):
        calls.append(len(queries))
        if len(calls) == 4:
            raise KeyboardInterrupt
        return first(self, queries)

    with monkeypatch.context() as patch:
        patch.setattr(Identifier, "judge_each", killed)
        with pytest.raises(KeyboardInterrupt):
            search_all(job, tiny_run.identifier, to)
    partial = to.with_name("answers.jsonl.partial")
    partial.write_bytes(partial.read_bytes()[:-9])  # the last line was not written whole
    assert not to.exists()
    said: list[str] = []
    result = search_all(job, tiny_run.identifier, to, report=said.append)
    assert (result.answers, result.before) == (13, 4)
    assert said == ["4 of 13 are answered already"]
    rows = [json.loads(line) for line in to.read_text().splitlines()]
    assert [row["photo"] for row in rows] == [f"new{number}.jpg" for number in range(13)]
    for row, vector in zip(rows, vectors, strict=True):
        one = Embeddings(vector[None], (row["photo"],), (None,), None, known.card.stamp)
        verdict = known.judge_encounter(Features(one, None))
        assert row == json.loads(
            json.dumps(verdict_row(row["photo"], verdict, known.card.new_label))
        )
    assert result.new == sum(row["verdict"] == "new" for row in rows)
    assert [path.name for path in to.parent.iterdir()] == ["answers.jsonl"]


def test_what_does_not_fit_is_refused_before_any_work(tiny_run: Run, tmp_path: Path) -> None:
    known, job, to = Identifier.load(tiny_run.identifier), tmp_path / "job", tmp_path / "a.jsonl"
    written(job / "a.parquet", known, drawn(3, known), stamp="another")
    refused(lambda: search_all(job, tiny_run.identifier, to), "two networks", "another")
    written(job / "a.parquet", known, drawn(3, known))
    partial = tmp_path / "a.jsonl.partial"
    partial.write_text('{"search": "of another"}\n')
    refused(lambda: search_all(job, tiny_run.identifier, to), "of another search", "remove it")
    to.write_text("mine")
    refused(lambda: search_all(job, tiny_run.identifier, to), "is there already")
    assert to.read_text() == "mine"
