"""The Lightning module: training step, validation by MAP@5, and the optimiser."""

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
from flukeprint.models.network import FlukeNet, embed_in_shares
from flukeprint.output import say
from flukeprint.training.datamodule import FoldData
from flukeprint.training.dataset import Photo
from flukeprint.training.optimizer import build_optimizer, cosine_schedule
from flukeprint.training.passes.activations import LeanActivations
from flukeprint.training.progressive_resizing import resize_batch, size_in


class MetricLearningModule(L.LightningModule):
    """Trains the network with its losses; validates by MAP@5 on the fold's queries."""

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
        self._lean = LeanActivations(
            net.backbone, config.model.backbone, recompute=config.train.recompute
        )
        self._validated: list[tuple[Tensor, Tensor]] = []

    def on_train_epoch_start(self) -> None:
        self.net.hold_backbone = self.current_epoch < self.config.train.freeze_epochs
        if self.losses.memory is not None:
            self.losses.memory.open = self.current_epoch > 0  # it is full after the first epoch
        self.train()  # Lightning does not set the mode; the network keeps frozen norms frozen

    def training_step(self, batch: Photo, batch_idx: int) -> Tensor:
        """The loss of a batch of (b, 3, h, w) uint8 photographs; a scalar.

        Raises:
            FlukeprintError: a loss that is not finite, with the photographs of the batch.
        """
        # Dropout draws from the global generator: a resumed epoch must draw the same.
        step = (self.config.train.seed, self.current_epoch, batch_idx, self.global_rank)
        torch.manual_seed(hash(step) % 2**63)
        photos, labels, rows = batch
        size = size_in(self.current_epoch, self.config.train, self.net.size)
        with self._lean():
            embeddings = self.net(resize_batch(photos, size))
        if self.trainer.world_size > 1:
            # The loss gets the whole batch, as with one process: pairs are across processes.
            embeddings = torch.cat(list(distributed.all_gather(embeddings)))  # type: ignore[no-untyped-call]
            gathered: Any = self.all_gather((labels, rows))
            labels, rows = gathered[0].flatten(), gathered[1].flatten()
        out = self.losses(embeddings, labels)
        total: Tensor = out.total
        parts = dict(out.parts)
        if self.data.teachers is not None:
            distillation = self.data.teachers.loss(embeddings, labels, rows)
            total = total + self.config.train.teacher_weight * distillation
            parts["teachers"] = distillation.detach()
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
        self.log("learning_rate", self._learning_rate(), on_step=False, on_epoch=True)
        return total

    def _learning_rate(self) -> float:
        """The backbone's learning rate in this step; those of other parts are multiples of it."""
        group = self.trainer.optimizers[0].param_groups[0]
        return float(self.config.train.lr * group["lr"] / group["initial_lr"])

    def on_train_epoch_end(self) -> None:
        """Say it where the loss of the whole first epoch was exactly 0: nothing was learned."""
        loss = self.trainer.callback_metrics.get("train/loss")
        if self.current_epoch == 0 and loss is not None and float(loss) == 0:
            say(
                "note: the loss was exactly 0 in every step of the first epoch, so nothing was "
                "learned; see losses, sampler and their margins"
            )

    def validation_step(self, batch: Photo, _: int) -> None:
        """Embed photographs of the gallery and of the queries."""
        photos, _labels, rows = batch
        self._validated.append((rows, embed_in_shares(self.net, photos)))

    def on_validation_epoch_end(self) -> None:
        """Log MAP@5 of the fold's queries against its gallery, by cosine similarity alone."""
        rows = torch.cat([rows for rows, _ in self._validated])
        vectors = torch.cat([vectors for _, vectors in self._validated])
        self._validated.clear()
        if self.trainer.world_size > 1:
            rows, vectors = self._gather(rows, vectors)
        ordered = torch.empty(len(self.data.catalog), self.net.dim)
        ordered[torch.from_numpy(self.data.validation_rows)[rows.cpu()]] = vectors.float().cpu()
        check_finite(vectors)
        catalog = self.data.catalog
        # Photographs in neither gallery nor queries get any unit vector; it is never used.
        unseen = np.setdiff1d(np.arange(len(catalog)), self.data.validation_rows)
        ordered[torch.from_numpy(unseen)] = F.normalize(torch.ones(1, self.net.dim))
        embeddings = Embeddings(
            ordered.numpy(), catalog.images, catalog.identities, catalog.views, "validation"
        )
        map5 = selection_map5(embeddings, self.data.split, self.config)
        self.log("val/map5", map5, prog_bar=True, rank_zero_only=False, sync_dist=False)

    def _gather(self, rows: Tensor, vectors: Tensor) -> tuple[Tensor, Tensor]:
        """Gather rows and embeddings of all processes, whose numbers may differ by one."""
        most = math.ceil(len(self.data.validation_rows) / self.trainer.world_size)
        pad = most - len(rows)
        rows = F.pad(rows, (0, pad), value=-1)
        vectors = F.pad(vectors, (0, 0, 0, pad))
        every: Any = self.all_gather((rows, vectors))
        rows, vectors = every[0].flatten(), every[1].flatten(0, 1)
        return rows[rows >= 0], vectors[rows >= 0]

    def configure_gradient_clipping(
        self, optimizer: Any, gradient_clip_val: Any = None, gradient_clip_algorithm: Any = None
    ) -> None:
        # Lightning refuses to clip with a fused optimiser in mixed precision, as that may unscale
        # gradients itself; ours is not fused where they are scaled, see `configure_optimizers`.
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
    """Class centres (the head's weights) as embeddings that compare with those of `embed`.

    stamp: digest of the network that the embeddings are of.

    Returns:
        (classes * centres of a class) unit embeddings.  None where no loss has a head with
        cosines, and where embeddings are a photograph and its mirror image side by side but
        mirror images were no classes in training, so that half of a centre is unknown.
    """
    centers = module.losses.centers()
    rule = EmbeddingRecipe.of(module.config).mirror_rule
    if centers is None or (rule == "both" and not module.config.image.mirrored_is_new):
        return None
    classes = module.data.classes
    vectors = centers[: len(classes)]
    if rule == "both":  # every pair of a centre and one of the mirror image
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
