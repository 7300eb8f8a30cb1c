"""What the teaching scripts share: digits, a small network, its training, and how it is judged.

The digits are those of `digits.yaml`: scikit-learn's, of its fold 0.  The network is small enough
that one core trains it in seconds, and has no batch norm, so that nothing but the loss keeps its
embeddings apart.  Losses and batches are the project's own.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from flukeprint.config.load import load_config
from flukeprint.config.training import LossConfig, SamplerConfig
from flukeprint.data.embeddings import Floats, Ints, unit_rows
from flukeprint.data.readers.read import read_labelled
from flukeprint.data.splits import split_for
from flukeprint.evaluation.collapse import Spread, measure_spread
from flukeprint.models.losses import SummedLoss, build_losses
from flukeprint.training.sampling.samplers import build_sampler

SEED = 0
SEEDS = (0, 1, 2)
DRAWS = 50  # draws of a gallery with one photograph of each digit


@dataclass(frozen=True)
class Digits:
    """Digits to train on and held-out ones: pixels (n, 64) from 0 to 1 and labels (n,)."""

    train: Floats
    train_labels: Ints
    held: Floats
    held_labels: Ints


def read_digits() -> Digits:
    """Read the digits of `digits.yaml`, divided as its fold 0 divides them."""
    config = load_config("digits.yaml")
    catalog = read_labelled(config.data)
    split = split_for(config, catalog)
    assert catalog.pixels is not None
    pixels = np.asarray(catalog.pixels, dtype=np.float32).reshape(len(catalog), -1) / 255
    labels = np.array([int(name or "-1") for name in catalog.identities], dtype=np.int64)
    train, held = split.train, split.queries
    return Digits(pixels[train], labels[train], pixels[held], labels[held])


@dataclass(frozen=True)
class Batches:
    """Photographs of a batch, and photographs of each digit in it."""

    size: int = 40
    each: int = 4


def dense(inputs: int, dim: int, *, hidden: int = 128, seed: int = SEED) -> nn.Sequential:
    """Two hidden layers of `hidden` numbers with ReLU, and a linear one to `dim`."""
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Linear(inputs, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU(),
        nn.Linear(hidden, dim),
    )  # fmt: skip


def losses_of(terms: Sequence[dict[str, Any]], labels: Ints, dim: int) -> SummedLoss:
    """Build the loss that a configuration's `losses` describe, for these training labels."""
    counts = np.bincount(labels)
    return build_losses(
        [LossConfig.model_validate(term) for term in terms],
        classes=len(counts), dim=dim, class_counts=counts, mirrored_classes=False,
    )  # fmt: skip


Order = Iterator[tuple[int, Ints]]  # (epoch, rows) of each batch


def grouped(
    labels: Ints, epochs: int, batches: Batches | None = None, *, seed: int = SEED
) -> Order:
    """Batches of the sampler `pk`: several photographs of each digit."""
    batches = batches or Batches()
    config = SamplerConfig(name="pk", batch_size=batches.size, photos_per_identity=batches.each)
    sampler = build_sampler(config, labels, flip="none", pair_with="augmentation", seed=seed)
    steps = len(labels) // batches.size
    for epoch in range(epochs):
        # An epoch of pk goes once through the identities; ours goes through the photographs.
        for step in range(steps):
            sampler.set_epoch(epoch * steps + step)
            yield epoch, np.array([draw.row for draw in next(iter(sampler))])


def shuffled(labels: Ints, epochs: int, *, seed: int = SEED) -> Order:
    """Batches of the sampler `shuffled`, in which rare digits are rare."""
    config = SamplerConfig(name="shuffled", batch_size=Batches().size)
    sampler = build_sampler(config, labels, flip="none", pair_with="augmentation", seed=seed)
    for epoch in range(epochs):
        sampler.set_epoch(epoch)
        for batch in sampler:
            yield epoch, np.array([draw.row for draw in batch])


@dataclass(frozen=True)
class Step:
    """One step of training as `fit` shows it: before the weights move."""

    epoch: int
    embeddings: Tensor
    labels: Tensor
    cost: float


def fit(
    net: nn.Module,
    loss: SummedLoss,
    pixels: Floats,
    labels: Ints,
    order: Order,
    *,
    lr: float = 1e-3,
    head_lr_factor: float = 1.0,
    watch: Callable[[Step], None] | None = None,
) -> None:
    """Train with Adam at a constant rate.

    head_lr_factor: rate of the loss's own parameters (centres, class weights), times lr.
    watch: is shown every step.
    """
    own = list(loss.parameters())
    groups: list[dict[str, Any]] = [{"params": list(net.parameters())}]
    if own:
        groups.append({"params": own, "lr": head_lr_factor * lr})
    optimizer = torch.optim.Adam(groups, lr=lr)
    inputs, targets = torch.from_numpy(pixels), torch.from_numpy(labels)
    for epoch, rows in order:
        found = net(inputs[rows])
        total = loss(found, targets[rows]).total
        if watch is not None:
            watch(Step(epoch, found.detach(), targets[rows], float(total.detach())))
        optimizer.zero_grad()
        total.backward()
        optimizer.step()


@torch.no_grad()
def raw_of(net: nn.Module, pixels: Floats) -> Floats:
    """Embeddings (n, dim) as the network gives them, not normalised."""
    net.eval()
    found: Floats = net(torch.from_numpy(pixels)).numpy()
    net.train()
    return found


def vectors_of(net: nn.Module, pixels: Floats) -> Floats:
    """Unit embeddings (n, dim)."""
    return unit_rows(raw_of(net, pixels))


def one_photograph(gallery: Floats, labels: Ints, queries: Floats, answers: Ints) -> float:
    """Share of queries whose nearest photograph shows the same, each known from one photograph.

    The mean of DRAWS draws of that photograph, with fixed seeds.
    """
    rng = np.random.default_rng(SEED)
    classes = np.unique(labels)
    rows = [np.flatnonzero(labels == c) for c in classes]
    right = []
    for _ in range(DRAWS):
        chosen = np.array([rng.choice(each) for each in rows])
        nearest = (queries @ gallery[chosen].T).argmax(1)
        right.append(float((classes[nearest] == answers).mean()))
    return float(np.mean(right))


def judge(net: nn.Module, digits: Digits) -> tuple[float, Spread]:
    """`one_photograph` of the held-out digits, and how far their embeddings spread."""
    held = vectors_of(net, digits.held)
    share = one_photograph(
        vectors_of(net, digits.train), digits.train_labels, held, digits.held_labels
    )
    return share, measure_spread(held)
