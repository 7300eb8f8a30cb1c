"""The NT-Xent loss against a naive loop, closed forms and another library; the queue; the head."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pytorch_metric_learning.losses import NTXentLoss, SelfSupervisedLoss
from torch import Tensor, nn
from torch.nn import functional as F

from flukeprint.config.schema import Config
from flukeprint.data.readers.read import read_labelled
from flukeprint.models.miners import CrossBatchMemory
from flukeprint.models.network import untrained_embedder
from flukeprint.training.pretraining.photos import unlabelled_photos
from flukeprint.training.pretraining.simclr import SimCLRModule, nt_xent
from flukeprint.training.pretraining.views import UnlabelledData
from tests.tiny import TinyConfig


def naive(
    first: Tensor,
    second: Tensor,
    photos: list[int],
    temperature: float,
    past: list[tuple[Tensor, int]],
) -> float:
    """Equation 1, a view at a time."""

    def similarity(a: Tensor, b: Tensor) -> float:
        return float(a @ b / (a.norm() * b.norm())) / temperature

    views = [*zip(first, photos, strict=True), *zip(second, photos, strict=True)]
    half, total = len(photos), 0.0
    for i, (view, photo) in enumerate(views):
        other = views[i + half if i < half else i - half][0]
        own = math.exp(similarity(view, other))
        bottom = own
        for vector, owner in [*views, *past]:
            if owner != photo:
                bottom += math.exp(similarity(view, vector))
        total -= math.log(own / bottom)
    return total / len(views)


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.integers(0, 4), min_size=1, max_size=6),
    st.lists(st.integers(0, 6), max_size=5),
    st.sampled_from([0.1, 0.5, 2.0]),
    st.integers(0, 1000),
)
def test_the_loss_is_that_of_a_naive_loop(
    photos: list[int], queued: list[int], temperature: float, seed: int
) -> None:
    """With copies of a photograph in the batch and in the queue, which repel nobody."""
    draw = torch.Generator().manual_seed(seed)
    first, second = (torch.randn(len(photos), 5, generator=draw) for _ in range(2))
    past = F.normalize(torch.randn(len(queued), 5, generator=draw), dim=1)
    found = nt_xent(
        first, second, torch.tensor(photos), temperature=temperature,
        past=(past, torch.tensor(queued, dtype=torch.int64)),
    )  # fmt: skip
    wanted = naive(first, second, photos, temperature, list(zip(past, queued, strict=True)))
    assert float(found) == pytest.approx(wanted, abs=1e-4)


def test_without_a_queue_it_is_that_of_another_library() -> None:
    first, second = torch.randn(2, 7, 12, generator=torch.Generator().manual_seed(3))
    theirs = SelfSupervisedLoss(NTXentLoss(temperature=0.3))(first, second)
    ours = nt_xent(first, second, torch.arange(7), temperature=0.3)
    torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("queue", [0, 9])
def test_of_equal_projections_it_is_the_logarithm_of_their_number(queue: int) -> None:
    alike = torch.ones(5, 8)
    past = (F.normalize(torch.ones(queue, 8), dim=1), torch.arange(100, 100 + queue))
    loss = nt_xent(alike, alike, torch.arange(5), temperature=0.07, past=past)
    assert float(loss) == pytest.approx(math.log(2 * 5 - 1 + queue), abs=1e-5)


def test_of_orthogonal_perfect_pairs_it_is_known() -> None:
    views, t = torch.eye(4) * 3, 0.5  # of any length
    loss = nt_xent(views, views, torch.arange(4), temperature=t)
    wanted = math.log(math.exp(1 / t) + 6) - 1 / t  # six views of others, at a cosine of 0
    assert float(loss) == pytest.approx(wanted, abs=1e-6)


def test_the_queue_gets_no_gradient_and_the_views_do() -> None:
    first, second = (torch.randn(3, 4, requires_grad=True) for _ in range(2))
    past = torch.randn(5, 4, requires_grad=True)
    memory = CrossBatchMemory(5, 4)
    memory.add(past, torch.arange(10, 15))
    nt_xent(first, second, torch.arange(3), temperature=0.2, past=memory.past()).backward()
    assert past.grad is None
    assert all(view.grad is not None and view.grad.abs().sum() > 0 for view in (first, second))


def test_the_queue_holds_the_last_projections_oldest_first_once_it_is_full(
    tiny_config: TinyConfig,
) -> None:
    learner = learner_of(tiny_config("pretrain=simclr", "pretrain.queue=40"))
    memory = learner.queue
    assert memory is not None
    draw = torch.Generator().manual_seed(0)
    owners: list[int] = []
    vectors = torch.empty(0, 128)
    for step in range(6):
        first, second = torch.randn(2, 6, 128, generator=draw) * 5
        photos = torch.arange(6) + 10 * step
        past = memory.past()
        full = len(owners) >= 40
        assert past[1].tolist() == (owners[-40:] if full else [])
        loss = learner.contrast(first, second, photos)
        wanted = naive(
            first, second, photos.tolist(), 0.2, list(zip(*past, strict=True)) if full else []
        )
        assert float(loss) == pytest.approx(wanted, abs=1e-3)
        owners += [*photos.tolist(), *photos.tolist()]
        vectors = torch.cat([vectors, F.normalize(torch.cat([first, second]), dim=1)])
    assert memory.past()[1].tolist() == owners[-40:]
    torch.testing.assert_close(memory.past()[0], vectors[-40:])
    state = learner.state_dict()
    assert {name for name in state if name.startswith("queue.")} == {
        "queue.vectors",
        "queue.labels",
    }


def test_all_of_the_backbone_learns_and_nothing_else_but_the_head(tiny_config: TinyConfig) -> None:
    """Also its stages that the training with labels will freeze."""
    learner = learner_of(tiny_config("pretrain=simclr", "model.freeze_stages=2"))
    assert all(parameter.requires_grad for parameter in learner.net.backbone.parameters())
    assert list(learner.net.neck.parameters()) == []
    linear = [layer for layer in learner.head if isinstance(layer, nn.Linear)]
    assert [(layer.in_features, layer.out_features) for layer in linear] == [
        (learner.net.dim, 512), (512, 128),
    ]  # fmt: skip


def learner_of(config: Config) -> SimCLRModule:
    photos = unlabelled_photos(config, read_labelled(config.data), None)
    net = untrained_embedder(config.model, (config.image.height, config.image.width))
    return SimCLRModule(config, net, UnlabelledData(config, photos))
