"""Losses that judge a pair by itself: loops over the pairs in numpy, and closed forms."""

import copy
import math

import numpy as np
import pytest
import torch

from tests.models.loss_formulas import (
    DIM,
    LABELS,
    MIRRORED,
    batch,
    build,
    naive_relations,
    unit,
    value,
)

# (name, parameters, cost of a same pair, of a different one, by distance d and cosine s; means
# over the pairs that cost anything?)
BY_DISTANCE = [
    ("contrastive", {"pos_margin": 0.2, "neg_margin": 1.4},
     lambda d, _: max(0, d - 0.2), lambda d, _: max(0, 1.4 - d), True),
    ("contrastive", {"squared": True, "neg_margin": 1.5},
     lambda d, _: d**2 / 2, lambda d, _: max(0, 1.5 - d) ** 2 / 2, False),
    ("pair_regression", {}, lambda _, s: (1 - s) ** 2, lambda _, s: s**2, False),
    ("hinge", {"threshold": 0.1, "margin": 0.4},
     lambda _, s: max(0, 0.4 - (s - 0.1)), lambda _, s: max(0, 0.4 + (s - 0.1)), False),
    ("margin", {"margin": 0.3, "beta": 1.3},
     lambda d, _: max(0, d - 1.0), lambda d, _: max(0, 1.6 - d), True),
]  # fmt: skip
CASES = [
    (*case, chosen)
    for case in BY_DISTANCE
    for chosen in ("all", "drawn")
    if (case[0], chosen) != ("margin", "all")  # test_pair_losses has it, by triplets
]


def chosen_pairs(labels, individuals, chosen):
    """Positive and negative pairs; of drawn ones the photographs 2i and 2i + 1, in that order."""
    kinds = naive_relations(labels, individuals)
    if chosen == "all":
        return kinds
    return [[(i, j) for i, j in pairs if i % 2 == 0 and j == i + 1] for pairs in kinds]


@pytest.mark.parametrize("individuals", [None, 5])
@pytest.mark.parametrize(("name", "params", "same", "other", "active", "chosen"), CASES)
def test_costs_by_distance(name, params, same, other, active, chosen, individuals):
    labels = [0, 0, *LABELS] if individuals is None else [0, 0, *MIRRORED]
    loss = build(name, {**params, "pairs": chosen}, mirrored=individuals is not None)
    for seed in range(4):
        embeddings, wanted = batch(labels, seed)
        x = unit(embeddings)
        expected = 0.0
        for pairs, cost in zip(chosen_pairs(labels, individuals, chosen), (same, other),
                               strict=True):  # fmt: skip
            assert pairs
            costs = [cost(float(np.linalg.norm(x[i] - x[j])), float(x[i] @ x[j]))
                     for i, j in pairs]  # fmt: skip
            costs = [one for one in costs if one > 0] if active else costs
            expected += float(np.mean(costs)) if costs else 0.0
        assert expected > 0
        assert value(loss, embeddings, wanted) == pytest.approx(expected, rel=1e-4)


def logit_of(name, loss, a, b):
    """What the head says of a pair of unit vectors, from its weights alone."""
    weights = {key.split("loss.", 1)[1]: tensor.numpy().astype(np.float64)
               for key, tensor in loss.state_dict().items()}  # fmt: skip
    if name == "difference_head":
        return float(weights["linear.weight"][0] @ np.abs(a - b) + weights["linear.bias"][0])
    hidden = weights["layers.0.weight"] @ np.concatenate([a, b]) + weights["layers.0.bias"]
    return float(weights["layers.2.weight"][0] @ np.maximum(hidden, 0)
                 + weights["layers.2.bias"][0])  # fmt: skip


@pytest.mark.parametrize("chosen", ["all", "drawn"])
@pytest.mark.parametrize("name", ["difference_head", "concatenation_head"])
def test_heads_are_trained_by_cross_entropy(name, chosen):
    labels = [0, 0, *LABELS]
    loss = build(name, {"pairs": chosen}, seed=3)
    for seed in range(3):
        embeddings, wanted = batch(labels, seed)
        x = unit(embeddings)
        positive, negative = chosen_pairs(labels, None, chosen)
        chance = {
            (i, j): 1 / (1 + math.exp(-logit_of(name, loss, x[i], x[j])))
            for i, j in [*positive, *negative]
        }
        expected = -np.mean([math.log(chance[pair]) for pair in positive])
        expected -= np.mean([math.log(1 - chance[pair]) for pair in negative])
        assert value(loss, embeddings, wanted) == pytest.approx(float(expected), rel=1e-4)


def test_only_the_concatenation_depends_on_the_order():
    first, second = batch(LABELS, 1)[0], batch(LABELS, 2)[0]
    for name, symmetric in (("difference_head", True), ("concatenation_head", False)):
        head = build(name).terms[0].loss
        with torch.no_grad():
            one, other = head.logits(first, second), head.logits(second, first)
            # Of lengths it is told nothing.
            torch.testing.assert_close(head.logits(3 * first, second / 7), one)
        assert torch.allclose(one, other) == symmetric
        expected = [
            logit_of(name, build(name), a, b)
            for a, b in zip(unit(first), unit(second), strict=True)
        ]
        np.testing.assert_allclose(one.numpy(), expected, rtol=1e-4, atol=1e-6)


def pair_at(degrees):
    """Two embeddings of other lengths at an angle."""
    angle = math.radians(degrees)
    ends = torch.zeros(2, DIM)
    ends[0, 0] = 2.0
    ends[1, :2] = 0.5 * torch.tensor([math.cos(angle), math.sin(angle)])
    return ends


@pytest.mark.parametrize("chosen", ["all", "drawn"])
@pytest.mark.parametrize(
    ("name", "params", "degrees", "same", "other"),
    [
        # Distance 1 at 60 degrees, sqrt 2 at 90; cosine 0.5 and 0.
        ("contrastive", {"squared": True}, 60, 0.5, 0.0),
        ("contrastive", {"squared": True}, 90, 1.0, 0.0),
        ("contrastive", {"neg_margin": 1.5}, 60, 1.0, 0.5),
        ("pair_regression", {}, 60, 0.25, 0.25),
        ("pair_regression", {}, 90, 1.0, 0.0),
        ("pair_regression", {}, 180, 4.0, 1.0),
        ("hinge", {}, 60, 0.3, 0.3),
        ("hinge", {}, 90, 0.8, 0.0),
    ],
)
def test_closed_forms(name, params, degrees, same, other, chosen):
    loss = build(name, {**params, "pairs": chosen})
    for labels, expected in (([0, 0], same), ([0, 1], other), ([-1, -1], other)):
        found = value(loss, pair_at(degrees), torch.tensor(labels))
        assert found == pytest.approx(expected, abs=1e-5)


def test_the_boundary_of_drawn_pairs():
    loss = build("margin", {"pairs": "drawn"})
    assert value(loss, pair_at(60), torch.tensor([0, 0])) == pytest.approx(0, abs=1e-6)  # 1 + 0.2
    assert value(loss, pair_at(60), torch.tensor([0, 1])) == pytest.approx(0.4, abs=1e-5)
    assert value(loss, pair_at(180), torch.tensor([0, 0])) == pytest.approx(1.0, abs=1e-5)
    assert not loss.state_dict()


def test_a_boundary_of_drawn_pairs_is_learned():
    loss = build("margin", {"pairs": "drawn", "learn_beta": True, "nu": 0.25})
    (beta,) = loss.parameters()
    found = loss(pair_at(60), torch.tensor([0, 1])).total
    assert found.item() == pytest.approx(0.4 + 0.25 * 1.2, abs=1e-5)
    found.backward()
    assert beta.grad.item() == pytest.approx(1 + 0.25)  # a different pair pushes it down
    again = copy.deepcopy(loss)  # as weight averaging does
    with torch.no_grad():
        next(iter(again.parameters())).fill_(1.0)
    assert value(again, pair_at(60), torch.tensor([0, 1])) == pytest.approx(0.45, abs=1e-5)
    assert value(loss, pair_at(60), torch.tensor([0, 1])) == pytest.approx(0.7, abs=1e-5)


@pytest.mark.parametrize(
    "name",
    ["contrastive", "pair_regression", "hinge", "margin", "difference_head", "concatenation_head"],
)
def test_drawn_pairs_alone_get_a_gradient(name):
    """Whatever stands beside a pair in the batch, and whatever came before it."""
    loss = build(name, {"pairs": "drawn"})
    (term,) = loss.terms
    assert term.drawn_only
    embeddings, _ = batch([0] * 6)
    few = value(loss, embeddings[:4], torch.tensor([0, 0, 1, 2]))
    past = (embeddings[4:], torch.tensor([0, 1]))
    with torch.no_grad():
        assert term(embeddings[:4], torch.tensor([0, 0, 1, 2]), past).item() == pytest.approx(few)
        # Another order of the pairs changes nothing.
        turned = value(loss, embeddings[[2, 3, 0, 1]], torch.tensor([1, 2, 0, 0]))
    assert turned == pytest.approx(few, rel=1e-5)
    leaf = embeddings[:5].clone().requires_grad_()
    loss(leaf, torch.tensor([0, 0, 1, 2, 0])).total.backward()
    assert not leaf.grad[4].any()  # it is of no pair
    assert leaf.grad[:2].any()
