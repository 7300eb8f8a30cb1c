"""Two runs side by side: each figure against the rows of both, counted by hand."""

from pathlib import Path

import numpy as np
import pytest

from flukeprint.evaluation.comparison import Judged, compare_answers
from flukeprint.evaluation.report.charts import Bars, Chart, Histogram, Line, PhotoRows, Table
from flukeprint.evaluation.report.comparison_parts import (
    figures,
    only_one_right,
    predictions,
    recognised,
    settings,
    similarities,
    trained,
)
from tests.evaluation.report.drawn_run import drawn_run, write_log


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory):
    """The same fold, with embeddings that are worse in B."""
    folders = [tmp_path_factory.mktemp(letter) for letter in "ab"]
    a, b = (
        drawn_run(folder, animals=60, spread=spread)
        for folder, spread in zip(folders, (0.5, 4.0), strict=True)
    )
    assert a.catalog.images == b.catalog.images
    assert a.split.queries.tolist() == b.split.queries.tolist()
    return a, b


@pytest.fixture(scope="module")
def result(two):
    return compare_answers(*(Judged(n, "d", (0,), (predictions(run),)) for n, run in
                             zip("AB", two, strict=True)))  # fmt: skip


def right_first(run) -> dict[str, bool]:
    ranking = run.validation.ranking
    return {
        image: found[0] == truth
        for image, found, truth in zip(ranking.images, ranking.identities, run.truths, strict=True)
    }


def test_figures_are_differences_of_the_same_queries(two, result):
    part = figures(two, result)
    chart, table = part.blocks
    assert isinstance(chart, Chart)
    assert isinstance(table, Table)
    rights = [right_first(run) for run in two]
    gain = np.mean([rights[1][image] - float(rights[0][image]) for image in rights[0]])
    (bars,) = chart.layers
    assert isinstance(bars, Bars)
    top1 = bars.labels.index("top-1")
    assert bars.values[top1] == pytest.approx(gain)
    assert bars.low[top1] < bars.values[top1] < bars.high[top1]
    row = table.rows[top1]
    assert row[1:3] == tuple(f"{np.mean(list(one.values())):.3f}" for one in rights)
    worse = [line for line in part.lines if line.startswith("top-1")]
    assert worse == [f"top-1: B is worse, by {row[3]}."]
    new = [np.mean([row[0] is None for row in run.validation.ranking.identities]) for run in two]
    assert f"first answer of A to {new[0]:.0%} and B to {new[1]:.0%} of" in part.lines[-1]
    low, high = chart.y_limits
    assert low < bars.low.min()
    assert high > bars.high.max()


def test_queries_that_only_one_answers_rightly(two):
    part = only_one_right(two)
    rights = [right_first(run) for run in two]
    a_only = {image for image, right in rights[0].items() if right and not rights[1][image]}
    b_only = {image for image, right in rights[1].items() if right and not rights[0][image]}
    assert part.lines[0].startswith(f"{len(a_only)} queries that A")
    assert len(a_only) > len(b_only)
    assert str(len(b_only)) in part.lines[1]
    rows = part.blocks[0]
    assert isinstance(rows, PhotoRows)
    shown = [row.title.split(", which is")[0] for row in rows.rows]
    assert set(shown) <= a_only
    assert len(set(shown)) == min(8, len(a_only))
    for row in rows.rows:
        assert [one.mark for one in row.photos] == ["query", "right", "wrong"]


def test_the_cmc_of_both(two):
    part = recognised(two)
    chart = next(block for block in part.blocks if block.name == "both-cmc")
    for line, run in zip(chart.layers, two, strict=True):
        assert isinstance(line, Line)
        first, known = 0, 0
        for row, truth in zip(run.queries, run.truths, strict=True):
            if truth is None:
                continue
            known += 1
            cosines = run.embeddings.vectors[run.split.gallery] @ run.embeddings.vectors[row]
            best = run.split.gallery[int(cosines.argmax())]
            first += run.catalog.identities[best] == truth
        assert line.y[0] == pytest.approx(first / known)
    assert chart.layers[0].y[0] > chart.layers[1].y[0]


def test_the_bars_of_all_sizes_make_the_whole(two):
    chart = next(block for block in recognised(two).blocks if block.name == "both-sizes")
    for bars, run in zip(chart.layers, two, strict=True):
        numbers = [int(note.split()[0]) for note in bars.notes]
        assert sum(numbers) == len(run.queries)
        mean = float(np.dot(bars.values, numbers)) / sum(numbers)
        assert mean == pytest.approx(run.validation.scores.map5.mean, abs=1e-6)


def test_histograms_of_both_have_one_scale(two):
    part = similarities(two)
    edges = []
    for chart in part.blocks:
        for layer in chart.layers:
            assert isinstance(layer, Histogram)
            assert layer.shares.sum() == pytest.approx(1)
            edges.append(layer.edges)
    assert all(np.array_equal(edges[0], one) for one in edges)
    assert len(edges) == 4


def test_curves_of_those_that_have_logs(tmp_path: Path):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    a, b = drawn_run(tmp_path / "a"), drawn_run(tmp_path / "b")
    assert trained((a, b)) is None
    write_log(a.folder, "csv-0", "epoch,train/loss,val/map5\n0,2.5,\n0,,0.25\n1,1.5,\n")
    part = trained((a, b))
    if part is None:
        pytest.fail("one log is enough")
    for chart in part.blocks:
        assert [line.name for line in chart.layers] == ["A"]


def test_settings_that_differ():
    part = settings({"a": 1, "b": "x", "c": None}, {"a": 1, "b": "y", "d": 2})
    (table,) = part.blocks
    assert isinstance(table, Table)
    assert table.rows == (
        ("b", "x", "y"), ("c", "None", "not there"), ("d", "not there", "2"),
    )  # fmt: skip
    assert settings({"a": 1}, {"a": 1}).lines == ("Nothing differs.",)
