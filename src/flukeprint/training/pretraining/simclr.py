"""SimCLR: two views of a photograph attract each other, views of different photographs repel.

Chen et al., A simple framework for contrastive learning of visual representations (ICML 2020).  A
queue of past projections serves as further negatives where a batch is small (He et al. 2020, MoCo,
section 3.1; from the same network and without gradient as in Wang et al. 2020, cross-batch memory).
No label is read.
"""

from typing import Any

import lightning as L
import numpy as np
import torch
import torch.distributed.nn.functional as distributed
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import AdamW

from flukeprint.config.pretraining import PretrainConfig
from flukeprint.config.schema import Config
from flukeprint.errors import FlukeprintError
from flukeprint.evaluation.collapse import Spread, measure_spread
from flukeprint.models.miners import CrossBatchMemory
from flukeprint.models.network import FlukeNet
from flukeprint.output import say
from flukeprint.training.optimizer import cosine_schedule
from flukeprint.training.passes.activations import LeanActivations
from flukeprint.training.pretraining.views import UnlabelledData, ViewPair

MEASURED = 512  # most photographs whose spread is measured after an epoch
COLLAPSED = 0.95  # mean cosine of the projections of different photographs


def nt_xent(
    first: Tensor,
    second: Tensor,
    photos: Tensor,
    *,
    temperature: float,
    past: tuple[Tensor, Tensor] | None = None,
) -> Tensor:
    """The normalised temperature-scaled cross entropy (Chen et al. 2020, eq. 1), a scalar.

    Mean over the 2b views of -log of exp(s_ij / t) / sum over k of exp(s_ik / t): s is the cosine,
    j the other view of i's photograph, k runs over j, over all views of other photographs and over
    the queue.  It is log(2b - 1 + q) where all projections are alike.

    first, second: (b, d) projections of the two views, of any length.
    photos: (b,) number of each photograph; two views with one number are never negatives.
    past: unit projections (q, d) of past batches and their photographs' numbers (q,).
    """
    views = F.normalize(torch.cat([first, second]).float(), dim=1)
    every, owner = views, photos.repeat(2)
    owners = owner
    if past is not None:
        every, owners = torch.cat([every, past[0]]), torch.cat([owner, past[1]])
    positive = torch.arange(len(views), device=views.device).roll(len(first))
    left_out = owner[:, None] == owners[None, :]  # itself, and what shows the same photograph
    left_out.scatter_(1, positive[:, None], False)
    logits = (views @ every.t() / temperature).masked_fill(left_out, -torch.inf)
    return F.cross_entropy(logits, positive)


def projection_head(dim: int, config: PretrainConfig) -> nn.Sequential:
    """The head between features and loss, thrown away afterwards (section 2.1, g)."""
    return nn.Sequential(
        nn.Linear(dim, config.hidden_dim, bias=False),
        nn.BatchNorm1d(config.hidden_dim),
        nn.ReLU(),
        nn.Linear(config.hidden_dim, config.projection_dim),
    )


class SimCLRModule(L.LightningModule):
    """Trains a backbone by SimCLR, and watches whether its embeddings collapse."""

    # Lightning finds parameters, queue and optimiser in a checkpoint by the names of attributes.

    def __init__(self, config: Config, net: FlukeNet, data: UnlabelledData) -> None:
        """`net`: the backbone, pooled, without a neck; all of it is trained."""
        super().__init__()
        assert config.pretrain is not None
        self.config, self.pretrain, self.data = config, config.pretrain, data
        self.net = net
        self.head = projection_head(net.dim, config.pretrain)
        size = config.pretrain.queue
        self.queue = CrossBatchMemory(size, config.pretrain.projection_dim) if size else None
        self._lean = LeanActivations(
            net.backbone, config.model.backbone, recompute=config.train.recompute
        )
        self._features: list[Tensor] = []
        self._projections: list[Tensor] = []
        self._said = False  # that it has collapsed

    def on_train_epoch_start(self) -> None:
        if self.queue is not None:
            self.queue.open = self.current_epoch > 0  # also if an epoch does not fill it
        self._features.clear()
        self._projections.clear()
        self.train()

    def training_step(self, batch: ViewPair, batch_idx: int) -> Tensor:
        """The loss of a batch of (b, 3, h, w) uint8 views; a scalar.

        Raises:
            FlukeprintError: a loss that is not finite.
        """
        # Backbones may draw from the global generator: a resumed epoch must draw the same.
        step = (self.config.train.seed, self.current_epoch, batch_idx, self.global_rank)
        torch.manual_seed(hash(step) % 2**63)
        photos = batch.photo
        with self._lean():
            features = self.net(torch.cat([batch.first, batch.second]))
            projections = self.head(features).float()
        first, second = projections.chunk(2)
        if self.trainer.world_size > 1:
            # The loss gets the whole batch, as with one process: all are each other's negatives.
            first = torch.cat(list(distributed.all_gather(first)))  # type: ignore[no-untyped-call]
            second = torch.cat(list(distributed.all_gather(second)))  # type: ignore[no-untyped-call]
            every: Any = self.all_gather(photos)
            photos = every.flatten()
        with torch.autocast(first.device.type, enabled=False):
            loss = self.contrast(first, second, photos)
        if not torch.isfinite(loss):
            raise FlukeprintError(
                f"the loss of the pretraining is {loss.item()} in epoch {self.current_epoch}, step "
                f"{self.global_step}; lower pretrain.lr, set train.clip or take train.precision=32"
            )
        self._keep(features, first)
        self.log(
            "pretrain/loss", loss, prog_bar=True, on_step=False, on_epoch=True,
            batch_size=len(photos),
        )  # fmt: skip
        return loss

    def contrast(self, first: Tensor, second: Tensor, photos: Tensor) -> Tensor:
        """The loss of the projections of two views (b, d) each, which then join the queue."""
        past = None if self.queue is None else self.queue.past()
        loss = nt_xent(first, second, photos, temperature=self.pretrain.temperature, past=past)
        if self.queue is not None:
            seen = F.normalize(torch.cat([first, second]).detach(), dim=1)
            self.queue.add(seen, photos.repeat(2))
        return loss

    def _keep(self, features: Tensor, first: Tensor) -> None:
        """Keep the first views of the last photographs of the epoch, to measure their spread."""
        self._features.append(features.detach().float()[: len(features) // 2])
        self._projections.append(first.detach())
        for kept in (self._features, self._projections):
            while sum(map(len, kept[1:])) >= MEASURED:
                kept.pop(0)

    def on_train_epoch_end(self) -> None:
        """Log how much of their space features and projections use; say it if they collapse."""
        if sum(map(len, self._features)) < 2:
            return
        projections = _spread(self._projections)
        for name, spread in (("features", _spread(self._features)), ("projections", projections)):
            self.log(f"pretrain/{name}_cosine", spread.mean_cosine, rank_zero_only=True)
            self.log(f"pretrain/{name}_rank", spread.effective_rank, rank_zero_only=True)
        if projections.mean_cosine > COLLAPSED and not self._said and self.global_rank == 0:
            self._said = True
            say(
                f"note: after epoch {self.current_epoch + 1} of the pretraining different "
                f"photographs look alike to it, it has collapsed ({projections.text()}); lower "
                "pretrain.lr, or raise pretrain.batch_size or pretrain.queue"
            )

    def configure_optimizers(self) -> Any:
        train = self.config.train.model_copy(update={"lr": self.pretrain.lr})
        parameters = [p for p in self.parameters() if p.requires_grad]
        groups = [
            {"params": [p for p in parameters if p.ndim > 1], "weight_decay": train.weight_decay},
            # Biases and norms.
            {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
        ]
        optimizer = AdamW(groups, lr=train.lr)
        schedule = cosine_schedule(optimizer, train, self.data.steps(self.trainer.world_size))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def _spread(kept: list[Tensor]) -> Spread:
    vectors = F.normalize(torch.cat(kept)[-MEASURED:], dim=1)
    return measure_spread(vectors.cpu().numpy().astype(np.float32))
