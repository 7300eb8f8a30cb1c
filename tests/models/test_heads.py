"""Classification heads: each against the formula of its paper, in float64."""

import math

import numpy as np
import pytest
import torch

from tests.models.loss_formulas import (
    CLASS_LOSSES,
    COSINE_HEADS,
    DIM,
    LABELS,
    MIRRORED,
    batch,
    build,
    twin_of,
    unit,
    value,
)


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


@pytest.mark.parametrize("name", CLASS_LOSSES)
def test_new_individuals_are_no_class(name):
    loss = build(name)
    embeddings, wanted = batch(LABELS)
    known = wanted >= 0
    expected = value(loss, embeddings[known], wanted[known])
    assert value(loss, embeddings, wanted) == pytest.approx(expected, rel=1e-6)


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


def test_weights_follow_the_seed():
    for name in CLASS_LOSSES:
        first, again = build(name, seed=3), build(name, seed=3)
        for one, other in zip(first.parameters(), again.parameters(), strict=True):
            assert torch.equal(one, other)
