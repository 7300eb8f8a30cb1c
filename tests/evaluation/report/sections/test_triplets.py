"""The section of hardest triplets: its numbers, its histogram and its photographs."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from flukeprint.evaluation.report.charts import Chart, Histogram, PhotoRows
from flukeprint.evaluation.report.sections.triplets import EACH, SHOWN, hardest_triplets
from tests.evaluation.report.drawn_run import drawn_run


def test_histogram_and_words_agree_with_the_triplets(run):
    part = hardest_triplets(run)
    found = run.triplets
    chart, rows = part.blocks
    assert isinstance(chart, Chart)
    (histogram,) = chart.layers
    assert isinstance(histogram, Histogram)
    assert histogram.shares.sum() == pytest.approx(len(found) / found.anchors)
    low, high = histogram.edges[3], histogram.edges[4]
    inside = sum(low <= value < high for value in found.violation.tolist())
    assert histogram.shares[3] == pytest.approx(inside / found.anchors)
    (mark,) = chart.marks
    assert mark.at == found.margin
    right = sum(n < p for p, n in zip(found.positive_distance, found.negative_distance,
                                      strict=True))  # fmt: skip
    said = " ".join(part.lines)
    assert f"{len(found):,} ({len(found) / found.anchors:.0%}) violate the margin 0.3" in said
    assert f"For {right:,} anchors of these" in said
    assert isinstance(rows, PhotoRows)


def test_the_worst_are_shown_and_no_photograph_too_often(run):
    rows = hardest_triplets(run).blocks[1].rows
    assert 1 <= len(rows) <= SHOWN
    used = Counter(shown.lines[2] for row in rows for shown in row.photos)
    assert max(used.values()) <= EACH
    worst = [run.catalog.images[photo] for photo in run.triplets.rows[0]]
    assert [shown.lines[2] for shown in rows[0].photos] == worst
    assert rows[0].title == f"violated by {run.triplets.violation[0]:.2f}"
    for row in rows:
        assert [shown.mark for shown in row.photos] == ["query", "right", "wrong"]
        assert all(shown.photo is not None for shown in row.photos)
        anchor, positive, negative = (shown.lines[0].split(",")[0] for shown in row.photos)
        assert anchor == positive != negative


def test_nothing_to_export_is_said(tmp_path: Path):
    run = drawn_run(tmp_path, "losses=[{name: triplet, params: {margin: 0.01}}]", spread=0.01)
    part = hardest_triplets(run)
    assert not len(run.triplets)
    assert run.triplets.anchors
    assert part.blocks == ()
    assert "nothing to export" in part.lines[-1]
    assert "0 (0%) violate the margin 0.01" in " ".join(part.lines)


def test_no_anchor_no_section(run, monkeypatch: pytest.MonkeyPatch):
    from dataclasses import replace

    lone = replace(run, embeddings=run.embeddings)
    empty = replace(
        run.triplets, rows=np.empty((0, 3), int), positive_distance=np.empty(0),
        negative_distance=np.empty(0), violation=np.empty(0), anchors=0,
    )  # fmt: skip
    lone.__dict__["triplets"] = empty  # as a cached property has it
    assert hardest_triplets(lone) is None
