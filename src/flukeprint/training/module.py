"""What Lightning drives: the fold's batches, the step from photographs to a loss, the optimiser."""

import math
from typing import Any

import lightning as L
import numpy as np
import torch
import torch.distributed.nn.functional as distributed
from torch import Tensor
from torch.nn import functional as F

from flukeprint.config.schema import Config
from flukeprint.data.embeddings import Embeddings
from flukeprint.embedding.embed import check_finite
from flukeprint.embedding.recipe import EmbeddingRecipe
from flukeprint.errors import FlukeprintError, listed
from flukeprint.evaluation.validation import selection_map5
from flukeprint.models.losses import build_losses
from flukeprint.models.network import FlukeNet
from flukeprint.training.datamodule import FoldData
from flukeprint.training.dataset import Photo
from flukeprint.training.depthwise import QuickDepthwise
from flukeprint.training.optimizer import build_optimizer, cosine_schedule
from flukeprint.training.progressive_resizing import resize_batch, size_in


class MetricLearningModule(L.LightningModule):
    """Network and losses; learns from batches, is measured by MAP@5 on the fold."""

    def __init__(self, config: Config, net: FlukeNet, data: FoldData) -> None:
        super().__init__()
        self.config, self.net, self.data = config, net, data
        self.losses = build_losses(
            config.losses,
            classes=len(data.classes),
            dim=net.dim,
            class_counts=data.class_counts,
            mirrored_classes=config.image.mirrored_is_new,
            memory=config.train.memory,
        )
        self._held: list[tuple[Tensor, Tensor]] = []

    def on_train_epoch_start(self) -> None:
        self.net.hold_backbone = self.current_epoch < self.config.train.freeze_epochs
        if self.losses.memory is not None:
            self.losses.memory.open = self.current_epoch > 0  # by then it holds all there is
        self.train()  # Lightning leaves modes alone; the network keeps frozen norms frozen

    def training_step(self, batch: Photo, batch_idx: int) -> Tensor:
        # Dropout draws from the global generator: a resumed epoch must draw the same.
        step = (self.config.train.seed, self.current_epoch, batch_idx, self.global_rank)
        torch.manual_seed(hash(step) % 2**63)
        photos, labels, rows = batch
        size = size_in(self.current_epoch, self.config.train, self.net.size)
        with QuickDepthwise():
            embeddings = self.net(resize_batch(photos, size))
        if self.trainer.world_size > 1:
            # The loss sees the whole batch, as in one process: pairs cross the processes.
            embeddings = torch.cat(list(distributed.all_gather(embeddings)))  # type: ignore[no-untyped-call]
            gathered: Any = self.all_gather((labels, rows))
            labels, rows = gathered[0].flatten(), gathered[1].flatten()
        out = self.losses(embeddings, labels)
        total: Tensor = out.total
        parts = dict(out.parts)
        if self.data.teachers is not None:
            imitation = self.data.teachers.loss(embeddings, labels, rows)
            total = total + self.config.train.teacher_weight * imitation
            parts["teachers"] = imitation.detach()
        if not torch.isfinite(total):
            images = [self.data.train_catalog.images[int(row)] for row in rows]
            raise FlukeprintError(
                f"the loss is {total.item()} in epoch {self.current_epoch}, step "
                f"{self.global_step}; photos of the batch: {listed(images, len(images))}; "
                "lower train.lr, set train.clip or take train.precision=32"
            )
        self.log(
            "train/loss",
            total,
            prog_bar=True,
            on_step=False,
            on_epoch=True,
            batch_size=len(rows),
        )
        for name, part in parts.items():
            self.log(f"train/{name}", part, on_step=False, on_epoch=True, batch_size=len(rows))
        return total

    def validation_step(self, batch: Photo, _: int) -> None:
        photos, _labels, rows = batch
        self._held.append((rows, self.net.embed(photos)))

    def on_validation_epoch_end(self) -> None:
        rows = torch.cat([rows for rows, _ in self._held])
        vectors = torch.cat([vectors for _, vectors in self._held])
        self._held.clear()
        if self.trainer.world_size > 1:
            rows, vectors = self._gather(rows, vectors)
        ordered = torch.empty(len(self.data.catalog), self.net.dim)
        ordered[torch.from_numpy(self.data.held)[rows.cpu()]] = vectors.float().cpu()
        check_finite(vectors)
        catalog = self.data.catalog
        # Photos that are on neither side stay zero; they are never looked at.
        unseen = np.setdiff1d(np.arange(len(catalog)), self.data.held)
        ordered[torch.from_numpy(unseen)] = F.normalize(torch.ones(1, self.net.dim))
        embeddings = Embeddings(
            ordered.numpy(), catalog.images, catalog.identities, catalog.views, "validation"
        )
        map5 = selection_map5(embeddings, self.data.split, self.config)
        self.log("val/map5", map5, prog_bar=True, rank_zero_only=False, sync_dist=False)

    def _gather(self, rows: Tensor, vectors: Tensor) -> tuple[Tensor, Tensor]:
        """All processes' rows and vectors; their counts may differ by one."""
        most = math.ceil(len(self.data.held) / self.trainer.world_size)
        pad = most - len(rows)
        rows = F.pad(rows, (0, pad), value=-1)
        vectors = F.pad(vectors, (0, 0, 0, pad))
        every: Any = self.all_gather((rows, vectors))
        rows, vectors = every[0].flatten(), every[1].flatten(0, 1)
        return rows[rows >= 0], vectors[rows >= 0]

    def configure_gradient_clipping(
        self, optimizer: Any, gradient_clip_val: Any = None, gradient_clip_algorithm: Any = None
    ) -> None:
        # Lightning refuses a fused optimiser under any mixed precision, for it might unscale
        # gradients itself; ours does not: see `configure_optimizers`.
        if gradient_clip_val:
            parameters = [p for group in optimizer.param_groups for p in group["params"]]
            torch.nn.utils.clip_grad_norm_(parameters, gradient_clip_val)

    def configure_optimizers(self) -> Any:
        train = self.config.train
        scaled = self.trainer.precision == "16-mixed"
        optimizer = build_optimizer(self.net, self.losses, train, fused=not scaled)
        schedule = cosine_schedule(optimizer, train, self.data.steps(self.trainer.world_size))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def class_centers(module: MetricLearningModule, stamp: str) -> Embeddings | None:
    """What the head knows each class by, as embeddings of the kind that `embed` makes.

    None where no loss has a head with cosines, or where the head knows nothing of half of the
    embedding: photo and mirror stand side by side, but mirrors were not learnt.
    """
    centers = module.losses.centers()
    rule = EmbeddingRecipe.of(module.config).mirror_rule
    if centers is None or (rule == "both" and not module.config.image.mirrored_is_new):
        return None
    classes = module.data.classes
    vectors = centers[: len(classes)]
    if rule == "both":  # each center beside each of the mirror image: the nearest pair is there
        k = vectors.shape[1]
        photo = vectors.repeat_interleave(k, dim=1)
        mirror = centers[len(classes) :].repeat(1, k, 1)
        vectors = F.normalize(torch.cat([photo, mirror], dim=2), dim=2)
    each = vectors.shape[1]
    names = [(identity, view, k) for identity, view in classes for k in range(each)]
    return Embeddings(
        vectors=vectors.flatten(0, 1).cpu().numpy(),
        images=tuple(f"center {k} of {identity}" for identity, _, k in names),
        identities=tuple(identity for identity, _, _ in names),
        views=tuple(view for _, view, _ in names),
        stamp=stamp,
    )
