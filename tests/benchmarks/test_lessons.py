"""The scripts of `docs/learn.md`: zones, thresholds and pairs by hand, on a few numbers."""

import numpy as np
import pytest
import torch

from benchmarks.learn import classifier, heads, thresholds, triplets
from benchmarks.learn.lesson import Digits, losses_of, one_photograph


def test_every_negative_is_in_one_zone() -> None:
    far = np.array([0.2, 0.5, 0.51, 0.8, 0.81, 1.7], dtype=np.float32)
    found = {name: rows.tolist() for name, rows in triplets.zones(far, 0.5).items()}
    assert found == {"hard": [0, 1], "semi": [2, 3], "easy": [4, 5]}


def test_free_triplets_are_counted_as_the_loss_counts_them() -> None:
    rng = np.random.default_rng(0)
    labels = np.array([0, 0, 1, 1, 1, 2])
    vectors = rng.normal(size=(6, 3))
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    costs = [
        np.linalg.norm(unit[a] - unit[p]) - np.linalg.norm(unit[a] - unit[n]) + triplets.MARGIN
        for a in range(6)
        for p in range(6)
        for n in range(6)
        if a != p and labels[a] == labels[p] and labels[a] != labels[n]
    ]
    found = triplets.free_share(torch.tensor(vectors), torch.from_numpy(labels))
    assert 0 < found < 1
    assert found == pytest.approx(np.mean(np.array(costs) <= 0))


def test_the_threshold_of_pairs_is_the_best_of_all() -> None:
    rng = np.random.default_rng(1)
    same, other = rng.normal(1, 1, 40), rng.normal(0, 1, 60)
    rate = {
        limit: (same >= limit).mean() + (other < limit).mean()
        for limit in [*same.tolist(), *other.tolist()]
    }
    found = heads.best_threshold(same, other)
    assert rate[found] == pytest.approx(max(rate.values()))


def test_heads_give_a_probability_or_a_cosine() -> None:
    rng = np.random.default_rng(2)
    first, second = rng.normal(size=(2, 5, 4)).astype(np.float32)
    labels = np.array([0, 0, 1, 1])
    cosine = heads.scores(losses_of([heads.HEADS["hinge"]], labels, 4), first, second)
    by_hand = (first * second).sum(1) / np.linalg.norm(first, axis=1)
    np.testing.assert_allclose(cosine, by_hand / np.linalg.norm(second, axis=1), rtol=1e-5)
    torch.manual_seed(0)
    for name, symmetric in (("difference", True), ("concatenation", False)):
        loss = losses_of([heads.HEADS[name]], labels, 4)
        one, turned = heads.scores(loss, first, second), heads.scores(loss, second, first)
        assert ((one > 0) & (one < 1)).all()
        assert np.allclose(one, turned) == symmetric


def test_pairs_join_a_photograph_that_asks_with_one_of_the_gallery() -> None:
    labels = np.array([7, 8, 9, 7, 8, 7, 8, 9, 9, 7])
    side = thresholds.Side(np.zeros((10, 2), np.float32), labels)
    same, other = side.rows()
    for rows, alike in ((same, True), (other, False)):
        assert len(rows)
        assert (rows[:, 0] < 5).all()
        assert ((rows[:, 1] >= 5) & (rows[:, 1] < 10)).all()
        assert ((labels[rows[:, 0]] == labels[rows[:, 1]]) == alike).all()


def test_one_photograph_of_each_is_enough_where_they_are_apart() -> None:
    gallery = np.repeat(np.eye(3, dtype=np.float32), 4, axis=0)
    labels = np.repeat(np.arange(3), 4)
    assert one_photograph(gallery, labels, gallery, labels) == 1
    assert one_photograph(gallery, labels, gallery, (labels + 1) % 3) == 0


def test_a_classifier_names_only_what_it_was_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(classifier, "STEPS", 300)  # enough for classes that are as far apart
    rng = np.random.default_rng(3)
    labels = np.tile(np.arange(10), 12)
    pixels = np.eye(64, dtype=np.float32)[labels] + rng.normal(0, 0.05, (120, 64))
    digits = Digits(pixels.astype(np.float32), labels, pixels.astype(np.float32), labels)
    found = classifier.from_photographs(digits, 1, seed=0)
    assert found == {"own": 1.0, "classifier": 1.0, "pixels": 1.0}
    asked = classifier.of_strangers(digits, seed=0)
    assert asked["right"] == 1
    assert len(asked["strange"]) == 36
    assert 1 / classifier.KNOWN < asked["strange"].min() <= asked["strange"].max() <= 1
