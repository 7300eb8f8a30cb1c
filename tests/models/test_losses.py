"""Losses: each against its formula in float64, minings against loops, new individuals, twins."""

import inspect
import math
from itertools import product

import numpy as np
import pytest
import torch
from pytorch_metric_learning import losses as pml
from pytorch_metric_learning.miners import MultiSimilarityMiner
from torch import nn

from flukeprint.config.schema import LossConfig
from flukeprint.errors import FlukeprintError
from flukeprint.models.losses import LOSSES, SummedLoss, build_losses

PAIR_LOSSES = ["triplet", "contrastive", "margin", "multi_similarity", "circle", "supcon"]
COSINE_HEADS = [
    "arcface", "cosface", "sphereface", "subcenter_arcface", "dynamic_arcface", "proxy_anchor",
]  # fmt: skip
CLASS_LOSSES = [*COSINE_HEADS, "softmax", "center"]
DIM = 6


def build(
    name, params=None, *, classes=5, counts=None, mirrored=False, seed=0, memory=0
) -> SummedLoss:
    torch.manual_seed(seed)
    return build_losses(
        [LossConfig(name=name, params=params or {})],
        classes=classes,
        dim=DIM,
        class_counts=np.full(classes, 4) if counts is None else np.array(counts),
        mirrored_classes=mirrored,
        memory=memory,
    )


def batch(labels, seed=0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(100 + seed)  # not that of the weights
    return torch.randn(len(labels), DIM, generator=generator), torch.tensor(labels)


def value(loss, embeddings, labels) -> float:
    return loss(embeddings, labels).total.item()


def unit(rows) -> np.ndarray:
    rows = rows.detach().numpy().astype(np.float64)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("name", COSINE_HEADS)
def test_the_cosine_with_a_class_is_that_with_its_nearest_center(name: str, mirrored: bool) -> None:
    loss = build(name, mirrored=mirrored)
    centers = loss.centers()
    assert centers is not None
    each = {"subcenter_arcface": 3, "dynamic_arcface": 2}.get(name, 1)
    classes = 10 if mirrored else 5
    assert centers.shape == (classes, each, DIM)
    assert not centers.requires_grad
    embeddings, _ = batch([0] * 7)
    got = loss.similarities(embeddings)
    assert got is not None
    for row, x in enumerate(unit(embeddings)):
        for label in range(classes):
            cosines = [float(x @ c) for c in unit(centers[label])]
            assert got[row, label].item() == pytest.approx(max(cosines), abs=1e-5)
    np.testing.assert_allclose(np.linalg.norm(centers.numpy(), axis=2), 1, atol=1e-5)


def test_centers_are_of_the_first_loss_that_has_cosines() -> None:
    assert build("triplet").centers() is None
    assert build("softmax").centers() is None
    assert build("center").centers() is None
    torch.manual_seed(0)
    both = build_losses(
        [LossConfig(name=name) for name in ("softmax", "proxy_anchor", "arcface")],
        classes=5, dim=DIM, class_counts=np.full(5, 4), mirrored_classes=False,
    )  # fmt: skip
    centers = both.centers()
    assert centers is not None
    np.testing.assert_allclose(centers[:, 0].numpy(), unit(both.terms[1].head.proxies), atol=1e-6)


def twin_of(label: int, individuals: int) -> int:
    return label + individuals if label < individuals else label - individuals


def naive_relations(labels, individuals=None, anchors=None):
    """[(i, j)] positive pairs and negative pairs by the words of the rules.

    anchors: the first so many photos are the batch, the others are remembered.
    """
    positive, negative = [], []
    anchors = len(labels) if anchors is None else anchors
    for i, j in product(range(anchors), range(len(labels))):
        if i == j or (j >= anchors and labels[i] == labels[j] == -1):
            continue
        if labels[i] < 0 or labels[j] < 0:
            negative.append((i, j))
        elif labels[i] == labels[j]:
            positive.append((i, j))
        elif individuals is None or labels[j] != twin_of(labels[i], individuals):
            negative.append((i, j))
    return positive, negative


LABELS = [0, 1, 0, 2, -1, 1, 3, -1, 0, 4]
MIRRORED = [0, 5, 0, 2, -1, 5, 7, -1, 3, 8, 3, 1]  # of 5: 5 is the twin of 0, 8 of 3, 7 of 2


def naive_cross_entropy(logits, labels, individuals, smoothing=0.0) -> float:
    costs = []
    for row, label in zip(logits, labels, strict=True):
        allowed = [
            c for c in range(len(row)) if individuals is None or c != twin_of(label, individuals)
        ]
        log_sum = math.log(sum(math.exp(row[c] - row.max()) for c in allowed)) + row.max()
        everywhere = np.mean([log_sum - row[c] for c in allowed])
        costs.append((1 - smoothing) * (log_sum - row[label]) + smoothing * everywhere)
    return float(np.mean(costs))


def arc(cosine: float, margin: float) -> float:
    theta = math.acos(cosine)
    if theta > math.pi - margin:
        return cosine - margin * math.sin(margin)
    return math.cos(theta + margin)


def sphere(cosine: float, m: int) -> float:
    theta = math.acos(cosine)
    k = math.floor(theta * m / math.pi)
    return (-1) ** k * math.cos(m * theta) - 2 * k


def naive_head(name, loss, embeddings, labels, individuals, counts, smoothing=0.0) -> float:
    """Each margin by its paper's formula, from the raw weights."""
    known = [i for i, label in enumerate(labels) if label >= 0]
    x = embeddings.detach().numpy().astype(np.float64)[known]
    labels = [labels[i] for i in known]
    (weights,) = (p for p in loss.parameters())
    rows = unit(weights if name == "dynamic_arcface" else weights.t())
    cosine = (x / np.linalg.norm(x, axis=1, keepdims=True)) @ rows.T
    centers = {"subcenter_arcface": 3, "dynamic_arcface": 2}.get(name, 1)
    cosine = cosine.reshape(len(x), -1, centers).max(axis=2)
    scale = {"dynamic_arcface": 20.96, "sphereface": 1.0}.get(name, 30.0)
    logits = cosine.copy()
    for i, label in enumerate(labels):
        target = cosine[i, label]
        if name == "cosface":
            logits[i, label] = target - 0.35
        elif name == "sphereface":
            logits[i, label] = sphere(target, 4)
        elif name == "dynamic_arcface":
            n = counts[label % len(counts)]
            logits[i, label] = arc(target, 0.27126 * n**-0.364399 + 0.05)
        else:
            logits[i, label] = arc(target, 0.5)
        if name == "sphereface":
            logits[i] *= np.linalg.norm(x[i])
    return naive_cross_entropy(logits * scale, labels, individuals, smoothing)


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("name", COSINE_HEADS[:-1])
def test_margins_follow_their_formula(name, mirrored):
    counts = [1, 2, 10, 100, 7]
    loss = build(name, counts=counts, mirrored=mirrored)
    labels = MIRRORED if mirrored else LABELS
    individuals = 5 if mirrored else None
    for seed in range(5):
        embeddings, wanted = batch(labels, seed)
        expected = naive_head(name, loss, embeddings, labels, individuals, counts)
        assert value(loss, embeddings, wanted) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("name", ["arcface", "cosface", "subcenter_arcface", "dynamic_arcface"])
def test_labels_of_margins_are_smoothed(name, mirrored):
    counts = [1, 2, 10, 100, 7]
    loss = build(name, {"label_smoothing": 0.1}, counts=counts, mirrored=mirrored)
    labels, individuals = (MIRRORED, 5) if mirrored else (LABELS, None)
    embeddings, wanted = batch(labels)
    expected = naive_head(name, loss, embeddings, labels, individuals, counts, 0.1)
    assert value(loss, embeddings, wanted) == pytest.approx(expected, rel=1e-4)
    assert expected != pytest.approx(
        naive_head(name, loss, embeddings, labels, individuals, counts), rel=1e-2
    )


@pytest.mark.parametrize("name", COSINE_HEADS[:-1])
def test_formulas_hold_over_the_whole_half_turn(name):
    """Embeddings turned from the class's direction to the opposite one, past pi - margin."""
    counts = [1, 2, 10, 100, 7]
    loss = build(name, counts=counts)
    (weights,) = loss.parameters()
    rows = weights if name == "dynamic_arcface" else weights.t()
    centers = rows.shape[0] // 5
    with torch.no_grad():  # all centers of class 2 alike, or the nearest is never opposite
        rows[2 * centers : 3 * centers] = rows[2 * centers].clone()
    target = rows[2 * centers].detach().clone()
    away = torch.randn(DIM, generator=torch.Generator().manual_seed(3))
    angles = torch.linspace(0.05, math.pi - 0.05, 40)
    first = target / target.norm()
    second = away - (away @ first) * first
    second = second / second.norm()
    embeddings = 3 * (angles.cos()[:, None] * first + angles.sin()[:, None] * second)
    for row in embeddings:
        expected = naive_head(name, loss, row[None], [2], None, counts)
        assert value(loss, row[None], torch.tensor([2])) == pytest.approx(
            expected, rel=1e-3, abs=1e-4
        )


def test_the_dynamic_margin_of_class_sizes():
    loss = build("dynamic_arcface", counts=[1, 10, 100, 0, 1])
    margins = loss.terms[0].margins
    torch.testing.assert_close(
        margins[:4], torch.tensor([0.321, 0.167, 0.101, 0.321]), atol=5e-4, rtol=0
    )


@pytest.mark.parametrize(
    ("name", "margin"),
    [
        ("arcface", {"margin": 0.0}),
        ("cosface", {"margin": 0.0}),
        ("subcenter_arcface", {"margin": 0.0}),
        ("sphereface", {"margin": 1}),
        ("dynamic_arcface", {"a": 0.0, "c": 0.0}),
    ],
)
def test_margins_are_on_in_training_and_in_evaluation(name, margin):
    embeddings, labels = batch([0, 1, 2, 3, 4])
    with_margin, without = build(name), build(name, margin)
    for mode in (True, False):
        assert value(with_margin.train(mode), embeddings, labels) > 1.02 * value(
            without.train(mode), embeddings, labels
        )


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_softmax_against_numpy(mirrored, smoothing):
    labels = MIRRORED if mirrored else LABELS
    loss = build("softmax", {"label_smoothing": smoothing}, mirrored=mirrored)
    embeddings, wanted = batch(labels)
    weight, bias = (p.detach().numpy().astype(np.float64) for p in loss.parameters())
    known = [i for i, label in enumerate(labels) if label >= 0]
    logits = embeddings.numpy()[known] @ weight.T + bias
    expected = naive_cross_entropy(
        logits, [labels[i] for i in known], 5 if mirrored else None, smoothing
    )
    assert value(loss, embeddings, wanted) == pytest.approx(expected, rel=1e-5)


def test_center_against_numpy():
    loss = build("center")
    embeddings, wanted = batch(LABELS)
    (centers,) = loss.parameters()
    gaps = [
        0.5 * ((embeddings[i] - centers[label]) ** 2).sum().item()
        for i, label in enumerate(LABELS)
        if label >= 0
    ]
    assert value(loss, embeddings, wanted) == pytest.approx(np.mean(gaps), rel=1e-5)


@pytest.mark.parametrize("mirrored", [False, True])
def test_proxy_anchor_against_numpy(mirrored):
    labels = MIRRORED if mirrored else LABELS
    loss = build("proxy_anchor", mirrored=mirrored)
    embeddings, wanted = batch(labels)
    (proxies,) = loss.parameters()
    cosine = unit(embeddings) @ unit(proxies).T
    known = [i for i, label in enumerate(labels) if label >= 0]
    near, far = [], []
    for c in range(len(proxies)):
        mine = [i for i in known if labels[i] == c]
        others = [
            i for i in known if labels[i] != c and not (mirrored and twin_of(labels[i], 5) == c)
        ]
        if mine:
            near.append(math.log1p(sum(math.exp(-32 * (cosine[i, c] - 0.1)) for i in mine)))
        far.append(math.log1p(sum(math.exp(32 * (cosine[i, c] + 0.1)) for i in others)))
    expected = np.mean(near) + np.mean(far)
    assert value(loss, embeddings, wanted) == pytest.approx(expected, rel=1e-4)


def naive_triplet(
    embeddings, labels, individuals, mining, margin, soft, distance, anchors=None
) -> float:
    x = unit(embeddings)
    n = len(x)
    far = np.array([[np.linalg.norm(x[i] - x[j]) for j in range(n)] for i in range(n)])
    if distance == "squared":
        far = far**2
    if distance == "cosine":
        far = -(x @ x.T)
    positive, negative = naive_relations(labels, individuals, anchors)
    costs = []
    for anchor in range(n):
        near = [far[anchor, p] for a, p in positive if a == anchor]
        away = [far[anchor, m] for a, m in negative if a == anchor]
        if not near or not away:
            continue
        if mining == "batch_hard":
            chosen = [(max(near), min(away))]
        elif mining == "batch_all":
            chosen = list(product(near, away))
        else:
            chosen = [(p, m) for p, m in product(near, away) if p < m <= p + margin]
        costs += [
            math.log1p(math.exp(p - m + margin)) if soft else max(0.0, p - m + margin)
            for p, m in chosen
        ]
    if mining != "batch_hard":
        costs = [cost for cost in costs if cost > 0]
    return float(np.mean(costs)) if costs else 0.0


@pytest.mark.parametrize("individuals", [None, 5])
@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize("distance", ["euclidean", "squared", "cosine"])
@pytest.mark.parametrize("mining", ["batch_hard", "semi_hard", "batch_all"])
def test_triplets_against_a_triple_loop(mining, distance, soft, individuals):
    params = {"mining": mining, "distance": distance, "soft": soft, "margin": 0.4}
    loss = build("triplet", params, mirrored=individuals is not None)
    labels = LABELS if individuals is None else MIRRORED
    for seed in range(4):
        embeddings, wanted = batch(labels, seed)
        expected = naive_triplet(embeddings, labels, individuals, mining, 0.4, soft, distance)
        assert expected > 0
        assert value(loss, embeddings, wanted) == pytest.approx(expected, rel=1e-4)


def naive_pairs(name, embeddings, labels, individuals, anchors=None) -> float:
    x = unit(embeddings)
    cosine = x @ x.T
    far = np.sqrt(np.maximum(0, 2 - 2 * cosine))
    positive, negative = naive_relations(labels, individuals, anchors)
    if name == "contrastive":
        near = [far[pair] for pair in positive if far[pair] > 0]
        away = [1 - far[pair] for pair in negative if far[pair] < 1]
        return float(np.mean(near) + np.mean(away))
    if name == "margin":
        costs = [
            (max(0.0, far[a, p] - 1.2 + 0.2), max(0.0, 1.2 - far[b, n] + 0.2))
            for (a, p), (b, n) in product(positive, negative)
            if a == b
        ]
        active = sum(int(p > 0) + int(n > 0) for p, n in costs)
        return sum(p + n for p, n in costs) / active
    per_anchor = []
    for anchor in range(len(x) if anchors is None else anchors):
        near = [cosine[pair] for pair in positive if pair[0] == anchor]
        away = [cosine[pair] for pair in negative if pair[0] == anchor]
        if name == "supcon" and near:
            total = sum(math.exp(s / 0.1) for s in near + away)
            per_anchor.append(-np.mean([math.log(math.exp(s / 0.1) / total) for s in near]))
        elif name == "circle" and near and away:
            p = sum(math.exp(-80 * max(0, 1.4 - s) * (s - 0.6)) for s in near)
            n = sum(math.exp(80 * max(0, s + 0.4) * (s - 0.4)) for s in away)
            per_anchor.append(math.log1p(p * n))
        elif name == "multi_similarity":
            hard_near = [s for s in near if away and s - 0.1 < max(away)]
            hard_away = [s for s in away if near and s + 0.1 > min(near)]
            per_anchor.append(
                math.log1p(sum(math.exp(-2 * (s - 0.5)) for s in hard_near)) / 2
                + math.log1p(sum(math.exp(50 * (s - 0.5)) for s in hard_away)) / 50
            )
    if name == "circle":
        per_anchor = [cost for cost in per_anchor if cost > 0]
    return float(np.mean(per_anchor))


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


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize(
    ("name", "mining"),
    [
        *(("triplet", mining) for mining in ("batch_hard", "semi_hard", "batch_all")),
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


def test_a_memory_without_a_pair_loss_is_refused():
    with pytest.raises(FlukeprintError, match=r"train\.memory is 8, .*\(arcface\)"):
        build("arcface", memory=8)


def test_multi_similarity_mines_as_its_library_does():
    loss = build("multi_similarity")
    plain = pml.MultiSimilarityLoss()
    for seed in range(5):
        embeddings, wanted = batch([0, 1, 0, 2, 1, 3, 0, 3], seed)
        expected = plain(embeddings, wanted, MultiSimilarityMiner(epsilon=0.1)(embeddings, wanted))
        assert value(loss, embeddings, wanted) == pytest.approx(expected.item(), rel=1e-5)


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


@pytest.mark.parametrize("name", CLASS_LOSSES)
def test_new_individuals_are_no_class(name):
    loss = build(name)
    embeddings, wanted = batch(LABELS)
    known = wanted >= 0
    expected = value(loss, embeddings[known], wanted[known])
    assert value(loss, embeddings, wanted) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("labels", [[-1] * 6, [0, 1, 2, 3, 4, -1], [2] * 6, [-1]])
@pytest.mark.parametrize("name", sorted(LOSSES))
def test_poor_batches_keep_the_graph(name, labels, mirrored):
    loss = build(name, mirrored=mirrored)
    embeddings, wanted = batch(labels)
    embeddings.requires_grad_()
    total = loss(embeddings, wanted).total
    total.backward()
    assert math.isfinite(total.item())
    assert torch.isfinite(embeddings.grad).all()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in loss.parameters())
    if max(labels) < 0 and name in CLASS_LOSSES:
        assert total.item() == 0


@pytest.mark.parametrize("name", sorted(LOSSES))
def test_an_own_mirror_image_is_no_negative(name):
    """Where the only other photos are of the twin, nothing pushes them apart."""
    loss = build(name, mirrored=True)
    labels = torch.tensor([1, 1, 6, 6])
    embeddings, _ = batch([0] * 4)
    embeddings.requires_grad_()
    loss(embeddings, labels).total.backward()
    if name in PAIR_LOSSES:
        # Moving the twin's photos alone changes what the twin's pairs cost, nothing else.
        moved = embeddings.detach().clone()
        moved[2:] = -moved[2:]
        before = value(loss, embeddings, labels)
        assert value(loss, moved, labels) == pytest.approx(before, abs=1e-5)
    elif name in (*COSINE_HEADS, "softmax"):
        # The weights of a class get no gradient from photos of its twin alone.
        weights = next(loss.parameters())
        gradient = torch.autograd.grad(loss(embeddings[:2], labels[:2]).total, weights)[0]
        if name in COSINE_HEADS[:4]:
            gradient = gradient.t()
        per_class = gradient.reshape(10, -1).abs().sum(1)
        assert per_class[6] == 0
        assert (per_class[[1, 0, 5]] > 0).all()


SPECIAL = [
    ("triplet", {"mining": mining, "distance": distance, "soft": soft})
    for mining, distance, soft in product(
        ["batch_hard", "semi_hard", "batch_all"], ["euclidean", "squared"], [False, True]
    )
]


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize(
    ("name", "params"),
    [
        *((name, {}) for name in sorted(LOSSES)),
        *SPECIAL,
        ("margin", {"learn_beta": True, "nu": 0.1}),
    ],
)
def test_gradients_are_finite_at_identical_embeddings(name, params, mirrored):
    loss = build(name, params, mirrored=mirrored)
    labels = torch.tensor(([0, 0, 1, 1, 2, -1] * 6)[:34])  # cdist takes another way from 26 rows
    for rows in (labels, labels[:6]):
        embeddings = torch.ones(len(rows), DIM, requires_grad=True)
        loss(embeddings, rows).total.backward()
        assert torch.isfinite(embeddings.grad).all()


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("name", COSINE_HEADS)
def test_gradients_are_finite_at_the_class_direction_and_opposite(name, sign):
    loss = build(name)
    weights = next(loss.parameters())
    rows = weights.t() if name in COSINE_HEADS[:4] else weights
    with torch.no_grad():  # along the axes, so that cosines are 1 and -1 to the last bit
        rows.copy_(torch.eye(DIM)[:5].repeat_interleave(len(rows) // 5, 0))
    embeddings = (sign * 2 * torch.eye(DIM)[:5]).requires_grad_()
    assert set(loss.similarities(embeddings).diagonal().tolist()) == {float(sign)}
    total = loss(embeddings, torch.arange(5)).total
    total.backward()
    assert torch.isfinite(total)
    assert torch.isfinite(embeddings.grad).all()
    assert torch.isfinite(weights.grad).all()


@pytest.mark.parametrize("name", CLASS_LOSSES)
def test_weights_are_parameters_and_learn(name):
    loss = build(name)
    embeddings, wanted = batch([0, 1, 2, 3, 4])
    loss(embeddings, wanted).total.backward()
    parameters = dict(loss.named_parameters())
    assert parameters
    assert set(parameters) <= set(loss.state_dict())
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in parameters.values())
    other = build(name, seed=1)
    assert value(other, embeddings, wanted) != value(loss, embeddings, wanted)
    other.load_state_dict(loss.state_dict())
    assert value(other, embeddings, wanted) == value(loss, embeddings, wanted)


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


def test_weights_follow_the_seed():
    for name in CLASS_LOSSES:
        first, again = build(name, seed=3), build(name, seed=3)
        for one, other in zip(first.parameters(), again.parameters(), strict=True):
            assert torch.equal(one, other)


@pytest.mark.parametrize("name", sorted(LOSSES))
def test_every_loss_separates_two_individuals(name):
    """Free embeddings of two individuals, each loss alone (center and softmax as one)."""
    torch.manual_seed(0)
    names = ["softmax", "center"] if name == "center" else [name]
    loss = build_losses(
        [LossConfig(name=each, weight=0.1 if each == "center" else 1.0) for each in names],
        classes=2,
        dim=DIM,
        class_counts=np.array([8, 8]),
        mirrored_classes=False,
    )
    embeddings = nn.Parameter(torch.randn(16, DIM))
    labels = torch.arange(16) % 2
    optimizer = torch.optim.Adam([embeddings, *loss.parameters()], lr=0.15)
    values = []
    for _ in range(50):
        total = loss(embeddings, labels).total
        values.append(total.item())
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
    assert np.mean(values[-5:]) < 0.7 * values[0]
    rows = torch.nn.functional.normalize(embeddings.detach())
    cosine = rows @ rows.t() - 9 * torch.eye(16)
    assert (labels[cosine.argmax(1)] == labels).all()
    same = labels[:, None] == labels[None, :]
    assert cosine[same & ~torch.eye(16, dtype=torch.bool)].mean() > cosine[~same].mean() + 0.3


def test_terms_are_summed_with_their_weights():
    torch.manual_seed(0)
    configs = [
        LossConfig(name="triplet", weight=2.0),
        LossConfig(name="arcface", weight=0.5),
        LossConfig(name="triplet", weight=3.0, params={"mining": "batch_all"}),
    ]
    loss = build_losses(
        configs, classes=5, dim=DIM, class_counts=np.full(5, 3), mirrored_classes=False
    )
    embeddings, wanted = batch(LABELS)
    out = loss(embeddings, wanted)
    assert list(out.parts) == ["triplet", "arcface", "triplet_2"]
    assert not any(part.requires_grad for part in out.parts.values())
    expected = 2 * out.parts["triplet"] + 0.5 * out.parts["arcface"] + 3 * out.parts["triplet_2"]
    assert out.total.item() == pytest.approx(expected.item(), rel=1e-6)


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("name", sorted(LOSSES))
def test_similarities_are_cosines_with_the_classes(name, mirrored):
    loss = build(name, mirrored=mirrored)
    embeddings, _ = batch(LABELS)
    cosine = loss.similarities(embeddings)
    if name not in COSINE_HEADS:
        assert cosine is None
        return
    assert cosine.shape == (len(LABELS), 10 if mirrored else 5)
    assert cosine.abs().max() <= 1 + 1e-6
    weights = next(loss.parameters())
    rows = weights.t() if name in COSINE_HEADS[:4] else weights
    of_class = (unit(embeddings) @ unit(rows).T).reshape(cosine.shape[0], cosine.shape[1], -1)
    np.testing.assert_allclose(cosine.detach().numpy(), of_class.max(2), atol=1e-5)


@pytest.mark.parametrize("name", sorted(LOSSES))
def test_float32_under_autocast(name):
    loss = build(name)
    embeddings, wanted = batch(LABELS)
    embeddings = embeddings.bfloat16()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed = loss(embeddings, wanted).total
        cosine = loss.similarities(embeddings)
    assert mixed.dtype == torch.float32
    assert cosine is None or cosine.dtype == torch.float32
    assert mixed.item() == pytest.approx(value(loss, embeddings.float(), wanted), rel=1e-6)


@pytest.mark.parametrize("name", sorted(LOSSES))
@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_number_that_is_not_finite_is_not_hidden(name, bad):
    embeddings, wanted = batch(LABELS)
    embeddings[3, 2] = bad
    assert math.isnan(value(build(name), embeddings, wanted))


@pytest.mark.parametrize(
    ("name", "params", "words"),
    [
        ("arcfase", {}, "did you mean arcface"),
        ("arcface", {"margine": 0.5}, "did you mean margin"),
        ("arcface", {"margin": "wide"}, "margin is 'wide'"),
        ("arcface", {"margin": True}, "margin is True"),
        ("arcface", {"margin": 28.6}, "less than"),
        ("arcface", {"scale": 0}, "greater than 0"),
        ("cosface", {"scale": math.nan}, "scale is nan"),
        ("sphereface", {"margin": 2.5}, "margin is 2.5"),
        ("subcenter_arcface", {"sub_centers": 0}, "sub_centers is 0"),
        ("triplet", {"mining": "hard"}, "'batch_hard', 'semi_hard' or 'batch_all'"),
        ("triplet", {"soft": 1}, "soft is 1"),
        ("triplet", {"margin": -0.1}, "margin is -0.1"),
        ("triplet", {"task": 3}, "unknown parameter 'task'"),
        ("softmax", {"label_smoothing": 1.0}, "label_smoothing is 1.0"),
        ("center", {"alpha": 0.5}, "no parameters"),
        ("dynamic_arcface", {"a": 1.5, "c": 0.2}, "a \\+ c"),
    ],
)
def test_wrong_parameters_are_one_clear_line(name, params, words):
    with pytest.raises(FlukeprintError, match=words) as error:
        build(name, params)
    assert "\n" not in str(error.value)
    assert "losses" in str(error.value)


def test_defaults_are_accepted_when_written_out():
    for name, builder in LOSSES.items():
        shown = inspect.signature(builder).parameters.values()
        params = {p.name: p.default for p in shown if p.name != "task"}
        embeddings, wanted = batch(LABELS)
        assert value(build(name, params), embeddings, wanted) == value(
            build(name), embeddings, wanted
        )


def test_wrong_shapes_and_labels_are_refused():
    loss = build("arcface")
    with pytest.raises(ValueError, match="embeddings"):
        loss(torch.zeros(3, DIM + 1), torch.zeros(3, dtype=torch.int64))
    with pytest.raises(ValueError, match="labels"):
        loss(torch.zeros(2, DIM), torch.tensor([0, 5]))
    with pytest.raises(ValueError, match="class_counts"):
        build("arcface", counts=[1, 2])
    with pytest.raises(FlukeprintError, match="empty"):
        build_losses([], classes=2, dim=2, class_counts=np.ones(2), mirrored_classes=False)
