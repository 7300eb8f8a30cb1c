"""What Lightning drives: the fold's batches, the step from photographs to a loss, the optimiser."""

import math
import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import lightning as L
import numpy as np
import numpy.typing as npt
import torch
import torch.distributed.nn.functional as distributed
from lightning.fabric.plugins import TorchCheckpointIO
from lightning.pytorch.callbacks import TQDMProgressBar
from torch import Tensor
from torch.nn import functional as F

from flukeprint.averaging import check_averaging
from flukeprint.catalog import Catalog
from flukeprint.config import Config
from flukeprint.depthwise import QuickDepthwise
from flukeprint.distillation import read_teachers
from flukeprint.embedding import check_finite, mirror_rule
from flukeprint.errors import FlukeprintError, listed
from flukeprint.files import written_whole
from flukeprint.gallery import Embeddings
from flukeprint.images import Photo, PhotoDataset
from flukeprint.loading import Loader
from flukeprint.losses import build_losses
from flukeprint.model import FlukeNet
from flukeprint.optimizer import build_optimizer, cosine_schedule
from flukeprint.progressive import check_sizes, resized, size_in
from flukeprint.pseudo_labels import train_photos
from flukeprint.runs import catalog_digest
from flukeprint.sampling import BatchSampler, build_sampler
from flukeprint.splits import Split
from flukeprint.validation import selection_map5

Class = tuple[str, str | None]  # identity, and view where views are told apart


def classes_of(
    catalog: Catalog, rule: Literal["identity", "identity_and_view"]
) -> tuple[tuple[Class, ...], npt.NDArray[np.int64]]:
    """What the head tells apart, sorted, and the (n,) class of each photo; -1 without identity.

    Raises:
        FlukeprintError: classes by view, but the catalogue has no views.
    """
    views: Sequence[str | None] = (None,) * len(catalog)
    if rule == "identity_and_view":
        if catalog.views is None:
            raise FlukeprintError("data.classes is identity_and_view, but data.views is not set")
        views = catalog.views
    keys = [
        None if identity is None else (identity, view)
        for identity, view in zip(catalog.identities, views, strict=True)
    ]
    classes = sorted({key for key in keys if key is not None}, key=lambda k: (k[0], k[1] or ""))
    place = {key: label for label, key in enumerate(classes)}
    labels = np.array([-1 if key is None else place[key] for key in keys], dtype=np.int64)
    return tuple(classes), labels


class FoldData(L.LightningDataModule):
    """Batches of the fold's training photographs; gallery and queries, plain, for validation."""

    def __init__(self, config: Config, catalog: Catalog, split: Split) -> None:
        super().__init__()
        self.config, self.split, self.catalog = config, split, catalog
        self.train_catalog = train_photos(config, catalog, split)
        self.held = np.concatenate([split.gallery, split.queries])  # rows of the catalogue
        self.classes, self.labels = classes_of(self.train_catalog, config.data.classes)
        self.class_counts = np.bincount(self.labels[self.labels >= 0], minlength=len(self.classes))
        mirrors = len(self.classes) if config.image.flip == "new_identity" else None
        self.teachers = read_teachers(config, catalog, self.train_catalog, mirrors)
        self._train: Loader | None = None
        self._val: Loader | None = None

    def __deepcopy__(self, _: dict[int, Any]) -> "FoldData":
        return self  # averaging copies the learner; the data never change

    def state_dict(self) -> dict[str, Any]:
        """What was learnt from, kept in checkpoints."""
        photos = catalog_digest(self.train_catalog)
        return {"photos": photos, "teachers": list(self.teachers.stamps if self.teachers else ())}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Refuse to go on with other pseudo-labels or teachers."""
        if state_dict != self.state_dict():
            raise FlukeprintError(
                "the pseudo-labels or the teachers are not those that the run was started with; "
                "restore them or start a new run"
            )

    def _sampler(self, rank: int, world_size: int) -> BatchSampler:
        config = self.config
        return build_sampler(
            config.sampler,
            self.labels,
            flip=config.image.flip,
            pair_with=config.data.pair_with,
            seed=config.train.seed,
            rank=rank,
            world_size=world_size,
        )

    def steps(self, world_size: int) -> int:
        """Steps of the optimiser in the whole training; epochs may differ in length."""
        train, sampler, steps = self.config.train, self._sampler(0, world_size), 0
        for epoch in range(train.epochs):
            sampler.set_epoch(epoch)
            steps += math.ceil(len(sampler) / train.accumulate)
        return steps if train.max_steps is None else min(steps, train.max_steps)

    def train_dataloader(self) -> Loader:
        trainer, config = self.trainer, self.config
        assert trainer is not None
        if self._train is None:
            photos = PhotoDataset(
                self.train_catalog,
                config.image,
                augment=True,
                labels=self.labels,
                classes=len(self.classes),
            )
            sampler = self._sampler(trainer.global_rank, trainer.world_size)
            self._train = self._loader(photos, sampler)
        self._train.order.set_epoch(trainer.current_epoch)  # type: ignore[union-attr]
        return self._train

    def val_dataloader(self) -> Loader:
        trainer = self.trainer
        assert trainer is not None
        if self._val is None:
            held = self.catalog.take(self.held)
            rows = range(trainer.global_rank, len(held), trainer.world_size)
            size = self.config.infer.batch_size
            parts = [list(rows[i : i + size]) for i in range(0, len(rows), size)]
            self._val = self._loader(PhotoDataset(held, self.config.image, augment=False), parts)
        return self._val

    def _loader(self, photos: PhotoDataset, sampler: BatchSampler | Sequence[list[int]]) -> Loader:
        assert self.trainer is not None
        pinned = self.trainer.strategy.root_device.type == "cuda"
        return Loader(photos, sampler, workers=self.config.train.workers, pinned=pinned)

    def teardown(self, stage: str) -> None:
        """The workers are not needed any more."""
        for loader in (self._train, self._val):
            if loader is not None:
                loader.close()


class Learner(L.LightningModule):
    """Network and losses; learns from batches, is measured by MAP@5 on the fold."""

    def __init__(self, config: Config, net: FlukeNet, data: FoldData) -> None:
        super().__init__()
        self.config, self.net, self.data = config, net, data
        check_averaging(config.train)
        check_sizes(net, config.train)
        self.losses = build_losses(
            config.losses,
            classes=len(data.classes),
            dim=net.dim,
            class_counts=data.class_counts,
            mirrored_classes=config.image.flip == "new_identity",
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
            embeddings = self.net(resized(photos, size))
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


def class_centers(learner: Learner, stamp: str) -> Embeddings | None:
    """What the head knows each class by, as embeddings of the kind that `embed` makes.

    None where no loss has a head with cosines, or where the head knows nothing of half of the
    embedding: photo and mirror stand side by side, but mirrors were not learnt.
    """
    centers = learner.losses.centers()
    rule = mirror_rule(learner.config.image, learner.config.infer.mirror)
    if centers is None or (rule == "both" and learner.config.image.flip != "new_identity"):
        return None
    classes = learner.data.classes
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


class AtomicCheckpointIO(TorchCheckpointIO):
    """Checkpoints that are whole or absent, and are read without unpickling code."""

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any | None = None
    ) -> None:
        with written_whole(Path(path)) as partial:
            try:
                torch.save(checkpoint, partial)
            except RuntimeError as error:  # torch's writer reports a full disk so
                raise OSError(str(error)) from None

    def load_checkpoint(
        self, path: str | Path, map_location: Any = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        try:
            loaded: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        except (pickle.UnpicklingError, RuntimeError, EOFError, OSError) as error:
            reason = " ".join(str(error).split())[:120]
            raise FlukeprintError(
                f"{path} is no checkpoint that can be resumed ({reason})"
            ) from None
        return loaded


class Progress(TQDMProgressBar):
    """Lightning's progress bar with our figures alone."""

    def get_metrics(self, trainer: L.Trainer, pl_module: L.LightningModule) -> dict[str, Any]:
        metrics: dict[str, Any] = super().get_metrics(trainer, pl_module)
        metrics.pop("v_num", None)
        return metrics
