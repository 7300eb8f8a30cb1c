"""Losses of more classes: the known ones as they were learned, new ones where they are seen."""

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from flukeprint.models.grown_losses import grow_losses
from flukeprint.models.losses import SummedLoss
from tests.models.loss_formulas import COSINE_HEADS, DIM, batch, build

PLACES = [0, -1, 1, 2, -1]  # of five classes, three of which were learned
NEW = [1, 4]


def places(mirrored: bool) -> Tensor:
    twins = [place if place < 0 else place + 3 for place in PLACES]
    return torch.tensor([*PLACES, *(twins if mirrored else [])])


def starts(mirrored: bool) -> Tensor:
    generator = torch.Generator().manual_seed(5)
    return F.normalize(torch.randn(10 if mirrored else 5, DIM, generator=generator))


def grown(name: str, mirrored: bool = False, **params: object) -> tuple[SummedLoss, SummedLoss]:
    learned = build(name, params, classes=3, mirrored=mirrored, seed=1)
    losses = build(name, params, classes=5, mirrored=mirrored, seed=2)
    grow_losses(losses, learned, places(mirrored), starts(mirrored))
    return losses, learned


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("name", COSINE_HEADS)
def test_known_classes_stay_and_new_ones_start_at_their_photographs(
    name: str, mirrored: bool
) -> None:
    losses, learned = grown(name, mirrored)
    embeddings, _ = batch([0] * 7)
    now, before = losses.similarities(embeddings), learned.similarities(embeddings)
    centers = losses.centers()
    assert now is not None
    assert before is not None
    assert centers is not None
    for label, place in enumerate(places(mirrored).tolist()):
        if place < 0:
            start = starts(mirrored)[label]
            torch.testing.assert_close(centers[label, 0], start)
            assert (centers[label] @ start).min() > 0.9
        else:
            torch.testing.assert_close(now[:, label], before[:, place])


def test_sub_centers_of_a_new_class_are_not_alike() -> None:
    centers = grown("subcenter_arcface", sub_centers=3)[0].centers()
    assert centers is not None
    for label in NEW:
        cosines = (centers[label] @ centers[label].T)[np.triu_indices(3, 1)]
        assert cosines.min() > 0.9
        assert cosines.max() < 0.9999


def test_a_class_vector_is_as_long_as_the_others_and_a_bias_is_their_mean() -> None:
    """Vectors and biases of a linear layer, which is no cosine."""
    losses, learned = grown("softmax")
    new, old = losses.terms[0].linear, learned.terms[0].linear
    length = np.mean([np.linalg.norm(row) for row in old.weight.detach().numpy()])
    for label, place in enumerate(PLACES):
        if place < 0:
            torch.testing.assert_close(new.weight[label], starts(False)[label] * float(length))
            assert new.bias[label].item() == pytest.approx(old.bias.mean().item())
        else:
            assert torch.equal(new.weight[label], old.weight[place])
            assert new.bias[label] == old.bias[place]
    centres, before = (one.terms[0].centers for one in grown("center"))
    assert torch.equal(centres[[0, 2, 3]], before)
    assert F.cosine_similarity(centres[NEW], starts(False)[NEW]).min() > 0.9999


def test_margins_follow_the_new_numbers_of_photographs() -> None:
    learned = build("dynamic_arcface", classes=3, counts=[2, 2, 2])
    losses = build("dynamic_arcface", classes=5, counts=[9, 1, 2, 4, 3])
    grow_losses(losses, learned, places(False), starts(False))
    margins = losses.terms[0].margins
    expected = [0.27126 * n**-0.364399 + 0.05 for n in (9, 1, 2, 4, 3)]
    np.testing.assert_allclose(margins.numpy(), expected, rtol=1e-5)


def test_what_is_no_matter_of_classes_is_kept() -> None:
    learned = build("margin", {"learn_beta": True}, classes=3, memory=4)
    with torch.no_grad():
        for parameter in learned.parameters():
            parameter.fill_(0.7)
    learned.train()(*batch([0, 1, 1, 2]))
    losses = build("margin", {"learn_beta": True}, classes=5, memory=4)
    grow_losses(losses, learned, places(False), starts(False))
    assert [parameter.item() for parameter in losses.parameters()] == [pytest.approx(0.7)]
    assert learned.memory is not None
    assert losses.memory is not None
    assert (learned.memory.labels >= 0).all()
    assert (losses.memory.labels < 0).all(), "labels of the old classes"


def test_as_many_classes_are_the_same_losses() -> None:
    learned = build("arcface", classes=5, seed=1)
    losses = build("arcface", classes=5, seed=2)
    grow_losses(losses, learned, torch.arange(5), torch.zeros(5, DIM))
    one, two = losses.centers(), learned.centers()
    assert one is not None
    assert two is not None
    assert torch.equal(one, two)
    with pytest.raises(ValueError, match="5 classes"):
        grow_losses(losses, learned, torch.arange(4), torch.zeros(5, DIM))
