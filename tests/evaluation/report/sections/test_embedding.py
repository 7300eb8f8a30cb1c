"""The section of the embedding: each photograph once on each map, and the signs of a collapse."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from flukeprint.data.embeddings import unit_rows
from flukeprint.evaluation.report.charts import Chart, Points, Table
from flukeprint.evaluation.report.sections import embedding as section
from flukeprint.evaluation.report.sections.embedding import (
    different_cosine,
    embedding,
    shown_rows,
)


@pytest.fixture(scope="module")
def part(run):
    return embedding(run)


def charts(part) -> list[Chart]:
    return [block for block in part.blocks if isinstance(block, Chart)]


def test_every_photograph_is_once_on_every_map(run, part):
    rows, kinds = shown_rows(run)
    assert sorted(rows.tolist()) == sorted([*run.split.gallery, *run.split.queries])
    for chart in charts(part):
        assert all(isinstance(layer, Points) for layer in chart.layers)
        hovered = [hover for layer in chart.layers for hover in layer.hover]
        assert sorted(one.split(": ")[1].split(" (")[0] for one in hovered) == sorted(
            run.catalog.images[row] for row in rows
        )
        dimensions = {layer.at.shape[1] for layer in chart.layers}
        assert dimensions == {3 if chart.name.endswith("3d") else 2}
    names = {chart.name for chart in charts(part)}
    assert {"embedding-pca-2d", "embedding-pca-3d", "embedding-t-sne-2d"} <= names
    new = {row for row, answer in zip(run.split.queries, run.split.answers, strict=True)
           if answer is None}  # fmt: skip
    assert [kind == "new" for kind in kinds] == [row in new for row in rows]


def test_a_point_shows_its_own_photograph(run, part):
    place = {image: row for row, image in enumerate(run.catalog.images)}
    checked = 0
    for layer in charts(part)[0].layers:
        for hover, photo in zip(layer.hover, layer.photos, strict=True):
            if photo >= 0:
                row = place[hover.split(": ")[1].split(" (")[0]]
                assert charts(part)[0].photos[photo] == run.photographs.thumbnail(row)
                checked += 1
    assert checked == len(charts(part)[0].photos) > 50


def test_the_first_axis_is_the_widest(run, part):
    flat = next(chart for chart in charts(part) if chart.name == "embedding-pca-2d")
    at = np.concatenate([layer.at for layer in flat.layers])
    rows, _ = shown_rows(run)
    vectors = run.embeddings.vectors[rows].astype(float)
    values = np.sort(np.linalg.eigvalsh(np.cov(vectors.T)))[::-1]
    np.testing.assert_allclose(at.var(axis=0, ddof=1), values[:2], rtol=1e-5)
    assert f"{values[:2].sum() / values.sum():.0%} of the variance is seen" in flat.caption


def test_mean_cosine_of_different_animals_by_hand():
    rng = np.random.default_rng(0)
    vectors, animals = unit_rows(rng.normal(size=(25, 4))), rng.integers(-1, 5, 25)
    cosines = [
        float(vectors[i].astype(float) @ vectors[j])
        for i in range(25) for j in range(25)
        if i != j and (animals[i] != animals[j] or animals[i] < 0)
    ]  # fmt: skip
    assert different_cosine(vectors, animals) == pytest.approx(np.mean(cosines), abs=1e-6)
    assert different_cosine(vectors, np.zeros(25, dtype=np.int64)) is None


def test_a_collapse_is_said(run, tmp_path: Path):
    assert "collapsed" not in " ".join(embedding(run).lines)
    rng = np.random.default_rng(0)
    n = len(run.catalog)
    alike = unit_rows(np.ones((n, 8)) + 0.01 * rng.normal(size=(n, 8)))
    one = replace(run, embeddings=replace(run.embeddings, vectors=alike))
    assert "the embedding has collapsed" in " ".join(embedding(one).lines)


def test_of_many_photographs_a_part_is_drawn_and_always_the_same(run, monkeypatch):
    monkeypatch.setattr(section, "MOST_POINTS", 60)
    rows, _ = shown_rows(run)
    assert len(set(rows.tolist())) == len(rows) == 60
    assert sorted(rows) == list(rows)
    np.testing.assert_array_equal(rows, shown_rows(run)[0])
    asked = len(set(rows.tolist()) & set(run.split.queries.tolist()))
    assert asked == min(30, len(run.split.queries))
    said = " ".join(embedding(run).lines)
    every = len(run.split.gallery) + len(run.split.queries)
    assert f"The maps show 60 of {every:,} photographs" in said


def test_the_table_tells_the_whole_embedding_first(part):
    table = part.blocks[-1]
    assert isinstance(table, Table)
    assert table.rows[0][0] == "embedding"
    assert table.rows[0][2] == "1.00"
    assert len(table.rows) == 1 + len(charts(part))
