"""The overview, how a run was made, its curves and its probabilities."""

import json

import numpy as np
import pytest

from flukeprint.evaluation.report.sections.curves import curves, read_logs
from flukeprint.evaluation.report.sections.overview import making, overview
from flukeprint.evaluation.report.sections.probabilities import probabilities
from flukeprint.evaluation.validation import commonest_baseline
from tests.evaluation.report.drawn_run import drawn_run, write_log


def test_the_headline_stands_beside_its_baselines(run):
    part = overview(run)
    scores = run.validation.scores
    assert f"{scores.top1:.1%} got the right first answer" in part.lines[0]
    rows = {row[0]: row for row in part.blocks[0].rows}
    assert rows["this network"][1] == scores.map5.text()
    assert rows["never new"][1] == run.validation.constants["never new"].map5.text()
    common = commonest_baseline(run.catalog, run.split, run.config)
    assert rows["five commonest labels"][1] == common.map5.text()
    assert any(f"at least {run.validation.threshold:.3f} alike" in line for line in part.lines)


def test_how_it_was_made(tmp_path):
    run = drawn_run(tmp_path, "train.epochs=7", animals=12)
    (tmp_path / "run.json").write_text(json.dumps({"environment": {"torch": "9.9"}}))
    (tmp_path / "minutes.json").write_text(json.dumps({"minutes": 3.25, "peak_mb": 1234.5}))
    settings, versions, whole = making(run).blocks
    assert ("train.epochs", "7") in settings.rows
    assert not any(row[0] == "train.lr" for row in settings.rows)
    assert dict(versions.rows) == {
        "torch": "9.9", "training": "3.2 minutes", "peak memory": "1,234 MB",
    }  # fmt: skip
    assert "lr: 0.001" in whole.text


def test_a_run_of_an_older_version_does_not_say_with_what_it_was_made(run):
    assert making(run).blocks[1].rows[0][0] == "unknown"


def test_curves_of_a_resumed_training(tmp_path):
    header = "epoch,step,train/arcface,train/triplet,train/loss,val/map5,learning_rate\n"
    write_log(tmp_path, "csv-0", f"{header}0,9,3,1,4,,0.1\n1,19,2,1,3,,0.2\n1,19,,,,0.5,\n")
    write_log(tmp_path, "csv-1", f"{header}1,19,1,1,2,,0.2\n2,29,nan,1,1.5,,0.1\n1,29,,,,0.75,\n")
    run = drawn_run(tmp_path, animals=12)
    part = curves(run)
    assert part is not None
    loss, score, rate = part.blocks
    assert {layer.name: layer.y.tolist() for layer in loss.layers} == {
        "loss": [4, 2, 1.5], "arcface": [3, 1], "triplet": [1, 1, 1],
    }  # fmt: skip
    assert "from 4 in epoch 1 to 1.5 in epoch 3, the sum of 2 terms" in loss.caption
    assert score.layers[0].x.tolist() == [2]
    assert "0.750 at epoch 2" in score.caption
    assert rate.layers[0].y.tolist() == [0.1, 0.2, 0.1]


def test_without_logs_there_are_no_curves(run, tmp_path):
    assert curves(run) is None
    assert read_logs([]) == {}


def test_a_single_term_is_not_drawn_twice(tmp_path):
    write_log(tmp_path, "csv-0", "epoch,step,train/arcface,train/loss\n0,9,3.5,3.5\n")
    part = curves(drawn_run(tmp_path, animals=12))
    assert part is not None
    assert len(part.blocks[0].layers) == 1


def test_the_reliability_diagram_has_the_counts(run):
    part = probabilities(run)
    assert part is not None
    chart, table = part.blocks
    found = run.validation.reliability
    assert found is not None
    points, diagonal = chart.layers
    np.testing.assert_array_equal(points.x, found.predicted)
    np.testing.assert_array_equal(points.y, found.observed)
    assert (points.low <= points.y).all()
    assert sum(int(row[2]) for row in table.rows) == sum(found.queries) == len(run.queries)
    assert f"{found.ece:.3f}" in part.lines[1]
    assert diagonal.y.tolist() == [0, 1]


@pytest.mark.parametrize("animals", [9])
def test_few_queries_have_no_probabilities(tmp_path, animals):
    assert probabilities(drawn_run(tmp_path, animals=animals)) is None
