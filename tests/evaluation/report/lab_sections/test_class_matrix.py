"""The confusion matrix: first answers counted by hand, and when there is none."""

import numpy as np
import pytest

from flukeprint.evaluation.report.charts import Chart, Heatmap
from flukeprint.evaluation.report.lab_sections.class_matrix import MOST_CLASSES, class_matrix
from tests.evaluation.report.drawn_run import drawn_run

NAMES = ("red", "green", "blue", "grey")


def closed(folder, *, names=NAMES, spread=1.4, animals=None):
    """A closed set: photographs of unknown animals are of no query."""
    return drawn_run(
        folder, "data.closed_set=true", "split.unseen_share=0", "infer.fallback=none",
        animals=animals or len(names), names=names, spread=spread,
    )  # fmt: skip


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return closed(tmp_path_factory.mktemp("closed"))


def test_first_answers_by_hand(run):
    part = class_matrix(run)
    assert part is not None
    (chart,) = part.blocks
    assert isinstance(chart, Chart)
    (heatmap,) = chart.layers
    assert isinstance(heatmap, Heatmap)
    names = sorted(NAMES)
    counts = np.zeros((4, 4), dtype=int)
    gallery = run.split.gallery
    for row, truth in zip(run.queries, run.truths, strict=True):
        cosines = [float(run.embeddings.vectors[row] @ run.embeddings.vectors[g]) for g in gallery]
        answer = run.catalog.identities[gallery[int(np.argmax(cosines))]]
        counts[names.index(truth), names.index(answer)] += 1
    assert heatmap.rows == heatmap.columns == tuple(names)
    assert heatmap.texts == tuple(tuple(str(c) if c else "" for c in row) for row in counts)
    np.testing.assert_allclose(heatmap.values, counts / counts.sum(axis=1, keepdims=True))
    wrong = counts - np.diag(np.diag(counts))
    assert wrong.any()
    assert f"{np.trace(counts)} of {counts.sum()} queries" in chart.caption
    row, column = np.unravel_index(wrong.argmax(), wrong.shape)
    assert f"{names[row]} is taken for {names[column]}: {wrong.max()} of" in part.lines[1]
    assert f"{len(run.truths)} queries" in part.lines[0]
    assert "25 %" in part.lines[0]


def test_all_right(tmp_path):
    part = class_matrix(closed(tmp_path, spread=0.05))
    assert part is not None
    assert part.lines[1] == "No query is taken for another class."


def test_an_open_set_and_many_classes_have_none(run, tmp_path):
    assert class_matrix(drawn_run(tmp_path)) is None
    many = closed(tmp_path, names=(), animals=MOST_CLASSES + 5)
    assert class_matrix(many) is None
