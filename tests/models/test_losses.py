"""What holds for every loss, their weighted sum, and the checks of their configuration."""

import inspect
import math
from itertools import product

import numpy as np
import pytest
import torch
from torch import nn

from flukeprint.config.training import LossConfig
from flukeprint.errors import FlukeprintError
from flukeprint.models.losses import LOSSES, build_losses
from tests.models.loss_formulas import (
    CLASS_LOSSES,
    COSINE_HEADS,
    DIM,
    LABELS,
    PAIR_LOSSES,
    batch,
    build,
    unit,
    value,
)


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


def test_a_memory_without_a_pair_loss_is_refused():
    with pytest.raises(FlukeprintError, match=r"train\.memory is 8, .*\(arcface\)"):
        build("arcface", memory=8)


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
        ["batch_hard", "semi_hard", "batch_all", "batch_easy"],
        ["euclidean", "squared"],
        [False, True],
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
        ("cosface", {"scale": 0.0}, "scale is 0"),
        ("sphereface", {"margin": 2.5}, "margin is 2.5"),
        ("subcenter_arcface", {"sub_centers": 0}, "sub_centers is 0"),
        ("triplet", {"mining": "hard"}, "'batch_hard', 'semi_hard', 'batch_all' or 'batch_easy'"),
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
