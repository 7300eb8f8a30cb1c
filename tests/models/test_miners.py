"""Pairs, triplets and the cross-batch memory, against plain loops."""

from itertools import product

import numpy as np
import pytest
import torch
from pytorch_metric_learning import losses as pml
from pytorch_metric_learning.miners import MultiSimilarityMiner

from flukeprint.config.training import LossConfig
from flukeprint.models.losses import build_losses
from flukeprint.models.miners import (
    CrossBatchMemory,
    all_pairs,
    batch_all,
    batch_easy,
    batch_hard,
    multi_similarity_pairs,
    pair_masks,
    semi_hard,
)
from tests.models.loss_formulas import (
    DIM,
    LABELS,
    MIRRORED,
    PAIR_LOSSES,
    batch,
    build,
    naive_pairs,
    naive_relations,
    naive_triplet,
    unit,
    value,
)


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize(
    ("name", "mining"),
    [
        *(("triplet", mining) for mining in ("batch_hard", "semi_hard", "batch_all", "batch_easy")),
        *((name, None) for name in PAIR_LOSSES if name != "triplet"),
    ],
)
def test_anchors_of_the_batch_meet_the_memory(name, mining, mirrored):
    """The last 14 of 20 embeddings are remembered; only the new batch has anchors."""
    labels, individuals = (MIRRORED[:10], 5) if mirrored else (LABELS, None)
    params = {} if mining is None else {"mining": mining, "margin": 0.4}
    loss = build(name, params, mirrored=mirrored, memory=14)
    forgetful = build(name, params, mirrored=mirrored)
    first, second, now = (batch(labels, seed) for seed in (1, 2, 3))
    assert value(loss, *first) == value(forgetful, *first)
    assert value(loss, *second) == value(forgetful, *second)  # its places are not all taken yet
    loss.eval()  # measures, remembers nothing
    embeddings, wanted = now
    embeddings.requires_grad_()
    total = loss(embeddings, wanted).total
    every = torch.cat([embeddings, first[0][-4:], second[0]])
    names = [*labels, *labels[-4:], *labels]
    if name == "triplet":
        expected = naive_triplet(
            every, names, individuals, mining, 0.4, False, "euclidean", len(labels)
        )
    else:
        expected = naive_pairs(name, every, names, individuals, len(labels))
    assert total.item() == pytest.approx(expected, rel=1e-3)
    assert total.item() == value(loss, embeddings, wanted) != value(forgetful, embeddings, wanted)
    total.backward()
    assert torch.isfinite(embeddings.grad).all()
    assert embeddings.grad.abs().sum() > 0


def test_a_memory_that_is_opened_counts_before_it_is_full():
    loss = build("contrastive", {"neg_margin": 2.0}, memory=100)
    forgetful = build("contrastive", {"neg_margin": 2.0})
    first, now = batch(LABELS, 1), batch(LABELS, 2)
    assert value(loss, *first) == value(forgetful, *first)
    loss.eval()
    assert value(loss, *now) == value(forgetful, *now)
    loss.memory.open = True
    every = torch.cat([now[0], first[0]])
    expected = naive_contrast(every, LABELS * 2, len(LABELS))
    assert value(loss, *now) == pytest.approx(expected, rel=1e-4)


def naive_contrast(embeddings, labels, anchors) -> float:
    x = unit(embeddings)
    positive, negative = naive_relations(labels, None, anchors)
    near = [np.linalg.norm(x[i] - x[j]) for i, j in positive]
    away = [2 - np.linalg.norm(x[i] - x[j]) for i, j in negative]
    return float(np.mean(near) + np.mean(away))


def test_a_memory_is_state_and_heads_ignore_it():
    configs = [LossConfig(name="arcface"), LossConfig(name="triplet")]
    shape = {"classes": 5, "dim": DIM, "class_counts": np.full(5, 3), "mirrored_classes": False}
    torch.manual_seed(0)
    loss = build_losses(configs, **shape, memory=12)
    other = build_losses(configs, **shape, memory=12)
    for seed in (1, 2):
        loss(*batch(LABELS, seed))
    other.load_state_dict(loss.state_dict())
    one, two = (each(*batch(LABELS, 3)) for each in (loss, other))
    assert torch.equal(one.total, two.total)
    torch.manual_seed(0)
    alone = build_losses(configs, **shape)(*batch(LABELS, 3))
    assert torch.equal(one.parts["arcface"], alone.parts["arcface"])
    assert not torch.equal(one.parts["triplet"], alone.parts["triplet"])


def test_multi_similarity_mines_as_its_library_does():
    loss = build("multi_similarity")
    plain = pml.MultiSimilarityLoss()
    for seed in range(5):
        embeddings, wanted = batch([0, 1, 0, 2, 1, 3, 0, 3], seed)
        expected = plain(embeddings, wanted, MultiSimilarityMiner(epsilon=0.1)(embeddings, wanted))
        assert value(loss, embeddings, wanted) == pytest.approx(expected.item(), rel=1e-5)


@pytest.mark.parametrize("individuals", [None, 5])
@pytest.mark.parametrize("remembered", [0, 4])
def test_masks_follow_the_rules(individuals, remembered):
    labels = LABELS if individuals is None else MIRRORED
    now = len(labels) - remembered
    every = torch.tensor(labels)
    past = every[now:] if remembered else None
    masks = pair_masks(every[:now], individuals, past)
    for mask, expected in zip(masks, naive_relations(labels, individuals, now), strict=True):
        assert mask.shape == (now, len(labels))
        assert [tuple(pair) for pair in mask.nonzero().tolist()] == expected


def mined(labels, seed):
    """Random distances of photographs, their relations as masks, and as pairs."""
    generator = torch.Generator().manual_seed(seed)
    far = torch.rand(len(labels), len(labels), generator=generator)
    return far, pair_masks(torch.tensor(labels), None), naive_relations(labels)


def triplets(indices):
    return set(zip(*(index.tolist() for index in indices), strict=True))


@pytest.mark.parametrize("seed", range(3))
def test_triplet_miners_against_loops(seed):
    far, masks, (positive, negative) = mined(LABELS, seed)
    every = {(a, p, n) for (a, p), (b, n) in product(positive, negative) if a == b}
    assert triplets(batch_all(far, *masks)) == every
    hardest = {
        (a, max((p for b, p in positive if b == a), key=lambda p: far[a, p]),
         min((n for b, n in negative if b == a), key=lambda n: far[a, n]))
        for a, _, _ in every
    }  # fmt: skip
    assert triplets(batch_hard(far, *masks)) == hardest
    easiest = {
        (a, min((p for b, p in positive if b == a), key=lambda p: far[a, p]),
         max((n for b, n in negative if b == a), key=lambda n: far[a, n]))
        for a, _, _ in every
    }  # fmt: skip
    assert triplets(batch_easy(far, *masks)) == easiest
    within = {(a, p, n) for a, p, n in every if far[a, p] < far[a, n] <= far[a, p] + 0.2}
    assert 0 < len(within) < len(every)
    assert triplets(semi_hard(far, *masks, margin=0.2)) == within


@pytest.mark.parametrize("seed", range(3))
def test_pair_miners_against_loops(seed):
    far, masks, (positive, negative) = mined(LABELS, seed)
    anchors, near, others, away = all_pairs(far, *masks)
    assert triplets((anchors, near)) == set(positive)
    assert triplets((others, away)) == set(negative)
    nearest = {a: min(far[a, n] for b, n in negative if b == a) for a, _ in negative}
    furthest = {a: max(far[a, p] for b, p in positive if b == a) for a, _ in positive}
    anchors, near, others, away = multi_similarity_pairs(far, *masks, epsilon=0.1)
    assert triplets((anchors, near)) == {
        (a, p) for a, p in positive if far[a, p] + 0.1 > nearest[a]
    }
    assert triplets((others, away)) == {
        (a, n) for a, n in negative if a in furthest and far[a, n] - 0.1 < furthest[a]
    }


def test_a_memory_keeps_the_last_embeddings_oldest_first():
    memory = CrossBatchMemory(5, DIM)
    first, second = batch([0, 1, 2], 1), batch([3, -1, 0, 4], 2)
    memory.add(*first)
    assert [len(rows) for rows in memory.past()] == [0, 0]
    memory.add(*second)
    vectors, labels = memory.past()
    assert labels.tolist() == [2, 3, -1, 0, 4]
    assert torch.equal(vectors, torch.cat([first[0][2:], second[0]]))
