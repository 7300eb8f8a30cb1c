"""Pair and triplet losses: each against its formula as a plain loop."""

import pytest
import torch

from tests.models.loss_formulas import (
    LABELS,
    MIRRORED,
    PAIR_LOSSES,
    batch,
    build,
    naive_pairs,
    naive_triplet,
    value,
)


@pytest.mark.parametrize("individuals", [None, 5])
@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize("distance", ["euclidean", "squared", "cosine"])
@pytest.mark.parametrize("mining", ["batch_hard", "semi_hard", "batch_all", "batch_easy"])
def test_triplets_against_a_triple_loop(mining, distance, soft, individuals):
    margin = 2.5 if mining == "batch_easy" else 0.4  # within a small one it costs nothing
    params = {"mining": mining, "distance": distance, "soft": soft, "margin": margin}
    loss = build("triplet", params, mirrored=individuals is not None)
    labels = LABELS if individuals is None else MIRRORED
    for seed in range(4):
        embeddings, wanted = batch(labels, seed)
        expected = naive_triplet(embeddings, labels, individuals, mining, margin, soft, distance)
        assert expected > 0
        assert value(loss, embeddings, wanted) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("individuals", [None, 5])
@pytest.mark.parametrize("name", [name for name in PAIR_LOSSES if name != "triplet"])
def test_pair_losses_against_loops(name, individuals):
    loss = build(name, mirrored=individuals is not None)
    labels = LABELS if individuals is None else MIRRORED
    for seed in range(4):
        embeddings, wanted = batch(labels, seed)
        expected = naive_pairs(name, embeddings, labels, individuals)
        assert expected > 0
        assert value(loss, embeddings, wanted) == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("name", PAIR_LOSSES)
def test_new_individuals_are_negatives_of_all(name):
    """As if each had an identity of its own, met only once."""
    # All negatives within the margin, so that none is without effect.
    loss = build(name, {"neg_margin": 2.0} if name == "contrastive" else {}, classes=50)
    embeddings, _ = batch(LABELS)
    own = [40 + i if label < 0 else label for i, label in enumerate(LABELS)]
    with_new = value(loss, embeddings, torch.tensor(LABELS))
    assert with_new == pytest.approx(value(loss, embeddings, torch.tensor(own)))
    known = [i for i, label in enumerate(LABELS) if label >= 0]
    assert with_new != pytest.approx(value(loss, embeddings[known], torch.tensor(LABELS)[known]))


def test_a_learned_boundary_is_a_parameter():
    loss = build("margin", {"learn_beta": True, "nu": 0.01})
    (beta,) = loss.parameters()
    embeddings, wanted = batch(LABELS)
    loss(embeddings, wanted).total.backward()
    assert beta.grad.abs() > 0
    assert not list(build("margin").parameters())


def test_pair_losses_have_no_state():
    for name in PAIR_LOSSES:
        assert not build(name).state_dict()
