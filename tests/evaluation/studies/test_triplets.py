"""Hardest triplets: against loops over all triplets, and never of a query."""

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from flukeprint.config.training import LossConfig
from flukeprint.data.embeddings import unit_rows
from flukeprint.evaluation.studies.triplets import (
    COLUMNS,
    MARGIN,
    HardTriplets,
    mine_hardest,
    training_triplets,
    triplet_margin,
)
from tests.evaluation.report.drawn_run import drawn_run


def by_hand(vectors, animals, classes, groups, alike, margin):
    """(anchor, positive, negative, violation) of each anchor, the worst first; and the anchors."""
    found, anchors = [], 0
    n = len(vectors)
    far = [[float(np.linalg.norm(vectors[i] - vectors[j])) for j in range(n)] for i in range(n)]
    for a in range(n):
        if animals[a] < 0:
            continue
        positives = [p for p in range(n) if classes[p] == classes[a] and groups[p] != groups[a]]
        negatives = [q for q in range(n) if animals[q] != animals[a] and alike[q] != alike[a]]
        if positives and negatives:
            anchors += 1
            p = max(positives, key=lambda row: far[a][row])
            q = min(negatives, key=lambda row: far[a][row])
            if far[a][p] - far[a][q] + margin > 0:
                found.append((a, p, q, far[a][p] - far[a][q] + margin))
    return sorted(found, key=lambda one: -one[3]), anchors


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("margin", [0.0, 0.3, 2.0])
def test_each_anchor_has_its_furthest_positive_and_nearest_negative(seed: int, margin: float):
    rng = np.random.default_rng(seed)
    n = 40
    vectors = unit_rows(rng.normal(size=(n, 4))).astype(np.float64)
    animals = rng.integers(-1, 8, n)
    classes = np.where(animals < 0, -1, 2 * animals + rng.integers(0, 2, n))
    groups = rng.integers(0, 30, n)
    alike = np.where(rng.random(n) < 0.2, groups, n + np.arange(n))
    found = mine_hardest(
        vectors, animals=animals, classes=classes, groups=groups, alike=alike, margin=margin
    )
    expected, anchors = by_hand(vectors, animals, classes, groups, alike, margin)
    assert found.anchors == anchors
    assert [tuple(row) for row in found.rows.tolist()] == [one[:3] for one in expected]
    np.testing.assert_allclose(found.violation, [one[3] for one in expected], atol=2e-6)
    np.testing.assert_allclose(
        found.violation, found.positive_distance - found.negative_distance + margin
    )


def test_they_are_of_training_photographs_and_of_one_view_where_views_are_classes(tmp_path: Path):
    run = drawn_run(tmp_path)
    plain = training_triplets(run.embeddings, run.catalog, run.split, run.config, margin=2.0)
    train = set(run.split.train.tolist())
    assert len(plain) == plain.anchors > 0
    names, views = run.catalog.identities, run.catalog.views
    assert views is not None
    for a, p, n in plain.rows.tolist():
        assert {a, p, n} <= train
        assert names[a] == names[p] is not None
        assert names[n] != names[a]
    assert not set(run.split.queries.tolist()) & set(plain.rows.ravel().tolist())
    assert any(views[a] != views[p] for a, p, _ in plain.rows.tolist())
    data = run.config.data.model_copy(update={"classes": "identity_and_view"})
    config = run.config.model_copy(update={"data": data})
    of_view = training_triplets(run.embeddings, run.catalog, run.split, config, margin=2.0)
    assert len(of_view)
    assert all(views[a] == views[p] for a, p, _ in of_view.rows.tolist())
    assert any(views[a] != views[n] for a, _, n in of_view.rows.tolist())


def test_photographs_of_one_burst_are_no_positives(tmp_path: Path):
    run = drawn_run(tmp_path)
    bursts = tuple(run.catalog.identities)
    catalog = replace(run.catalog, bursts=bursts)  # each animal one burst
    found = training_triplets(run.embeddings, catalog, run.split, run.config, margin=2.0)
    assert (len(found), found.anchors) == (0, 0)


@pytest.mark.parametrize(
    ("losses", "margin"),
    [
        ([LossConfig(name="arcface")], MARGIN),
        ([LossConfig(name="triplet", params={"margin": 0.7})], 0.7),
        ([LossConfig(name="arcface"), LossConfig(name="triplet")], MARGIN),
        # A margin of another distance says nothing of this one.
        ([LossConfig(name="triplet", params={"margin": 0.7, "distance": "cosine"})], MARGIN),
    ],
)
def test_the_margin_is_that_of_the_triplet_loss(tmp_path: Path, losses, margin: float):
    config = drawn_run(tmp_path).config.model_copy(update={"losses": tuple(losses)})
    assert triplet_margin(config) == margin


def test_the_file_has_the_worst_first(tmp_path: Path):
    found = HardTriplets(
        np.array([[0, 1, 2], [1, 0, 3]]), np.array([1.5, 0.5]), np.array([0.25, 0.75]),
        np.array([1.55, 0.05]), 0.3, 4,
    )  # fmt: skip
    images = ("a,b.jpg", "b.jpg", "c.jpg", "d.jpg")
    found.save(tmp_path / "t.csv", images)
    with (tmp_path / "t.csv").open(newline="") as file:
        rows = list(csv.reader(file))
    assert rows == [
        list(COLUMNS),
        ["a,b.jpg", "b.jpg", "c.jpg", "1.500000", "0.250000", "1.550000"],
        ["b.jpg", "a,b.jpg", "d.jpg", "0.500000", "0.750000", "0.050000"],
    ]
    found.save(tmp_path / "t.csv", images, most=1)
    assert len((tmp_path / "t.csv").read_text().splitlines()) == 2
