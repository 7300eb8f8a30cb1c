"""The comparison of pair heads: its own measures in closed form, and the page that it wrote."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.stats import ttest_1samp

from benchmarks.accuracy.pair_heads import (
    HEADS,
    PAGE,
    RESULT,
    SEEDS,
    UNTRAINED,
    asymmetry,
    at_thresholds,
    first_answers,
    head_config,
    judged,
    over_seeds,
    render,
    share_over_seeds,
    swapped,
)
from flukeprint.data.embeddings import unit_rows
from flukeprint.evaluation.studies.pair_accuracy import labelled_pairs
from flukeprint.models.pair_costs import ConcatenationHead, DifferenceHead

NAMES = tuple("abcab" * 3)


def drawn(seed=0):
    vectors = unit_rows(np.random.default_rng(seed).normal(size=(len(NAMES), 4)))
    return vectors, labelled_pairs(vectors, NAMES)


def test_intervals_over_seeds_are_those_of_students_t():
    values = [0.91, 0.94, 0.92, 0.97, 0.90]
    found = over_seeds(values)
    expected = ttest_1samp(values, 0).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))
    assert found.mean == pytest.approx(np.mean(values))
    assert over_seeds([1.0] * 5).text() == "1.000 [1.000, 1.000]"
    below = over_seeds([1.0, 1.0, 0.9])
    assert below.high > 1
    assert share_over_seeds([1.0, 1.0, 0.9]) == replace(below, high=1.0)


def test_judgements_are_those_of_the_head():
    torch.manual_seed(0)
    vectors, pairs = drawn()
    head = ConcatenationHead(4, 8)
    found = judged(head, vectors, pairs)
    weights = {name: w.detach().double().numpy() for name, w in head.named_parameters()}
    for place in range(0, len(pairs.same), 7):
        both = np.concatenate([vectors[pairs.first[place]], vectors[pairs.second[place]]])
        hidden = np.maximum(weights["layers.0.weight"] @ both + weights["layers.0.bias"], 0)
        logit = float(weights["layers.2.weight"][0] @ hidden + weights["layers.2.bias"][0])
        assert found.distances[place] == pytest.approx(1 - 1 / (1 + math.exp(-logit)))
    turned = judged(head, vectors, swapped(pairs))
    measured = asymmetry(found, turned)
    apart = np.abs(found.distances - turned.distances)
    assert measured["mean"] == pytest.approx(apart.mean())
    assert measured["largest"] == pytest.approx(apart.max())
    assert measured["differing"] == 1.0
    crossing = (found.distances < 0.5) != (turned.distances < 0.5)
    assert measured["judged_otherwise"] == pytest.approx(crossing.mean())


def test_the_difference_has_no_order():
    torch.manual_seed(0)
    vectors, pairs = drawn()
    head = DifferenceHead(4)
    measured = asymmetry(judged(head, vectors, pairs), judged(head, vectors, swapped(pairs)))
    for name in ("differing", "mean", "more_than_0.1", "largest", "judged_otherwise"):
        assert measured[name] == 0, name
    assert measured["accuracy_of_other"] == measured["accuracy_of_mean"]


def test_a_head_that_knows_nearness_finds_the_nearest():
    vectors, _ = drawn()
    head = DifferenceHead(4)
    with torch.no_grad():
        head.linear.weight.fill_(-1)
    queries = drawn(1)[0]
    nearest = np.abs(queries[:, None] - vectors[None]).sum(axis=2).argmin(axis=1)
    assert first_answers(head, vectors, queries).tolist() == nearest.tolist()


def test_accuracies_at_either_threshold():
    angles = np.radians([0, 20, 90, 110])
    pairs = labelled_pairs(np.stack([np.cos(angles), np.sin(angles)], axis=1), ("a", "a", "b", "b"))
    found = at_thresholds(pairs, pairs, 0.1)
    assert found["own"]["held_out"] == {"accuracy": 0.5, "same": 0, "different": 1}
    assert found["fitted"]["held_out"]["accuracy"] == 1
    near, far = 2 * math.sin(math.radians(10)), 2 * math.sin(math.radians(35))
    assert found["fitted"]["at"] == pytest.approx((near + far) / 2)
    assert at_thresholds(pairs, pairs, None)["own"] is None


def test_the_arms_differ_in_their_loss_alone(tmp_path):
    trees = []
    for arm in HEADS:
        tree = head_config(arm, 3, tmp_path).model_dump(mode="json")
        (loss,) = tree.pop("losses")
        assert loss["params"]["pairs"] == "drawn"
        tree.pop("name")
        trees.append(tree)
    assert all(tree == trees[0] for tree in trees)


def test_the_page_is_as_the_script_writes_it():
    rows = json.loads(RESULT.read_text())
    assert render(rows) == PAGE.read_text()
    kinds = {(row["part"], row["arm"], row["seed"]) for row in rows}
    assert len(kinds) == len(rows)
    for arm in HEADS:
        assert {("heads", arm, seed) for seed in SEEDS} <= kinds
    for seed in SEEDS:
        of_seed = [row for row in rows if row["part"] == "heads" and row["seed"] == seed]
        assert len({row["pairs"] for row in of_seed}) == 1
        assert {row["steps"] for row in of_seed if row["arm"] != UNTRAINED} == {360}


def test_rows_of_other_pairs_are_not_compared():
    rows = json.loads(RESULT.read_text())
    rows[0]["pairs"] = "other"
    with pytest.raises(AssertionError, match="other pairs"):
        render(rows)
