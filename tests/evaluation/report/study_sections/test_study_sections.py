"""The report's sections on verification, distractors, metrics and few shots."""

from dataclasses import replace

import numpy as np
import pytest

from flukeprint.data.embeddings import Embeddings
from flukeprint.data.readers.read import read_labelled
from flukeprint.data.splits import Split, split_for
from flukeprint.evaluation.report.charts import Bars, Chart, Heatmap, Line, Part, Table
from flukeprint.evaluation.report.material import RunMaterial
from flukeprint.evaluation.report.study_sections.distractors import distractors_section
from flukeprint.evaluation.report.study_sections.few_shots import few_shot_section
from flukeprint.evaluation.report.study_sections.metrics import metrics_section
from flukeprint.evaluation.report.study_sections.verification import verification_section
from flukeprint.evaluation.studies.distances import METRICS
from flukeprint.evaluation.validation import validate_rankings
from flukeprint.evaluation.validation_queries import QUERIES_FILE, ValidationQueries
from flukeprint.identifier.runs import Run


@pytest.fixture(scope="module")
def material(tiny_run: Run) -> RunMaterial:
    config = tiny_run.config()
    catalog = read_labelled(config.data)
    return RunMaterial(
        tiny_run.path, config, catalog, split_for(config, catalog),
        Embeddings.load(tiny_run.path / "embeddings.npz"),
        validate_rankings(ValidationQueries.load(tiny_run.path / QUERIES_FILE), config),
    )  # fmt: skip


def part_of(found: Part | None) -> Part:
    assert found is not None
    names = [block.name for block in found.blocks if isinstance(block, Chart)]
    assert len(set(names)) == len(names)
    assert all(line.strip() for line in found.lines)
    return found


def charts(part: Part) -> list[Chart]:
    return [block for block in part.blocks if isinstance(block, Chart)]


def test_verification_has_a_curve_a_table_and_a_confusion_matrix(material: RunMaterial) -> None:
    part = part_of(verification_section(material))
    curve, confusion = charts(part)
    assert curve.log_x
    line = curve.layers[0]
    assert isinstance(line, Line)
    assert line.low is not None
    assert line.high is not None
    assert (line.low <= line.y).all()
    assert (line.y <= line.high).all()
    assert (line.x > 0).all()  # on a logarithmic axis
    matrix = confusion.layers[0]
    assert isinstance(matrix, Heatmap)
    assert matrix.values.sum(axis=1) == pytest.approx(1)
    table = part.blocks[1]
    assert isinstance(table, Table)
    assert table.rows[0][-1].startswith("cannot be told from")
    assert "equal error rate" in curve.caption


def test_distractors_are_drawn_from_ten_on(material: RunMaterial) -> None:
    part = part_of(distractors_section(material))
    (chart,) = charts(part)
    assert chart.log_x
    assert len(chart.layers) == 4
    for line in chart.layers:
        assert isinstance(line, Line)
        assert line.x.tolist() == [10, 100, 1000, 10_000, 100_000]
        assert (np.diff(line.y) <= 0).all()
    table = part.blocks[1]
    assert isinstance(table, Table)
    assert [row[0] for row in table.rows] == ["0", "10", "100", "1,000", "10,000", "100,000"]


def test_metrics_have_bars_values_and_differences(material: RunMaterial) -> None:
    part = part_of(metrics_section(material))
    (chart,) = charts(part)
    for bars in chart.layers:
        assert isinstance(bars, Bars)
        assert set(bars.labels) <= set(METRICS)
        assert "cosine" in bars.labels
    _, values, gains = part.blocks
    assert isinstance(values, Table)
    assert isinstance(gains, Table)
    assert len(gains.rows) == len(values.rows) - 1
    told = " ".join(part.lines)
    assert "No difference of MAP@5 to cosine can be told: euclidean" in told


def test_few_shots_say_what_was_seen_and_what_is_missing(material: RunMaterial) -> None:
    part = part_of(few_shot_section(material))
    (chart,) = charts(part)
    assert [bars.name for bars in chart.layers] == ["prototype", "nearest photograph", "guessing"]
    assert any("training saw these animals" in line for line in part.lines)
    assert any("20-way 1-shot needs 20 animals" in line for line in part.lines)


def test_sections_that_do_not_apply_are_none(material: RunMaterial) -> None:
    split = material.split
    new = np.array([answer is None for answer in split.answers])
    only_new = Split(split.train, split.gallery, split.queries[new], (None,) * int(new.sum()))
    bare = replace(material, split=only_new)
    for section in (verification_section, distractors_section, metrics_section, few_shot_section):
        assert section(bare) is None
