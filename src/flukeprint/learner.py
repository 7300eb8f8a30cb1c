"""What Lightning drives: the fold's batches, the step from photographs to a loss, the optimiser."""

import math
import pickle
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import torch
import torch.distributed.nn.functional as distributed
from lightning.fabric.plugins import TorchCheckpointIO
from lightning.pytorch.callbacks import TQDMProgressBar
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import DataLoader

from flukeprint.catalog import Catalog
from flukeprint.config import Config
from flukeprint.embedding import check_finite
from flukeprint.errors import FlukeprintError, listed
from flukeprint.files import written_whole
from flukeprint.gallery import Embeddings
from flukeprint.images import Photo, PhotoDataset, single_thread
from flukeprint.losses import build_losses
from flukeprint.model import FlukeNet
from flukeprint.sampling import build_sampler
from flukeprint.splits import Split
from flukeprint.validation import selection_map5


class FoldData(L.LightningDataModule):
    """Batches of the fold's training photographs; gallery and queries, plain, for validation."""

    def __init__(self, config: Config, catalog: Catalog, split: Split) -> None:
        super().__init__()
        self.config, self.split, self.catalog = config, split, catalog
        self.train_catalog = catalog.take(split.train)
        self.held = np.concatenate([split.gallery, split.queries])  # rows of the catalogue
        self.vocabulary = self.train_catalog.vocabulary()
        place = {identity: label for label, identity in enumerate(self.vocabulary)}
        self.labels = np.array(
            [
                place.get(identity, -1) if identity else -1
                for identity in self.train_catalog.identities
            ],
            dtype=np.int64,
        )
        self.class_counts = np.bincount(self.labels[self.labels >= 0], minlength=len(place))

    def __deepcopy__(self, _: dict[int, Any]) -> "FoldData":
        return self  # averaging copies the learner; the data never change

    def train_dataloader(self) -> DataLoader[Photo]:
        trainer, config = self.trainer, self.config
        assert trainer is not None
        sampler = build_sampler(
            config.sampler,
            self.labels,
            flip=config.image.flip,
            pair_with=config.data.pair_with,
            seed=config.train.seed,
            rank=trainer.global_rank,
            world_size=trainer.world_size,
        )
        sampler.set_epoch(trainer.current_epoch)
        dataset = PhotoDataset(
            self.train_catalog,
            config.image,
            augment=True,
            labels=self.labels,
            classes=len(self.vocabulary),
        )
        return DataLoader(
            dataset,
            batch_sampler=sampler,
            num_workers=config.train.workers,
            worker_init_fn=single_thread,
        )

    def val_dataloader(self) -> DataLoader[Photo]:
        trainer = self.trainer
        assert trainer is not None
        held = self.catalog.take(self.held)
        rows = range(trainer.global_rank, len(held), trainer.world_size)
        size = self.config.infer.batch_size
        return DataLoader(
            PhotoDataset(held, self.config.image, augment=False),
            batch_sampler=[list(rows[i : i + size]) for i in range(0, len(rows), size)],
            num_workers=self.config.train.workers,
            worker_init_fn=single_thread,
        )


class Learner(L.LightningModule):
    """Network and losses; learns from batches, is measured by MAP@5 on the fold."""

    def __init__(self, config: Config, net: FlukeNet, data: FoldData) -> None:
        super().__init__()
        self.config, self.net, self.data = config, net, data
        self.losses = build_losses(
            config.losses,
            classes=len(data.vocabulary),
            dim=net.dim,
            class_counts=data.class_counts,
            mirrored_classes=config.image.flip == "new_identity",
        )
        self._held: list[tuple[Tensor, Tensor]] = []

    def on_train_epoch_start(self) -> None:
        self.net.hold_backbone = self.current_epoch < self.config.train.freeze_epochs
        self.train()  # Lightning leaves modes alone; the network keeps frozen norms frozen

    def training_step(self, batch: Photo, batch_idx: int) -> Tensor:
        # Dropout draws from the global generator: a resumed epoch must draw the same.
        step = (self.config.train.seed, self.current_epoch, batch_idx, self.global_rank)
        torch.manual_seed(hash(step) % 2**63)
        photos, labels, rows = batch
        embeddings = self.net(photos)
        if self.trainer.world_size > 1:
            # The loss sees the whole batch, as in one process: pairs cross the processes.
            embeddings = torch.cat(list(distributed.all_gather(embeddings)))  # type: ignore[no-untyped-call]
            gathered: Any = self.all_gather(labels)
            labels = gathered.flatten()
        out = self.losses(embeddings, labels)
        if not torch.isfinite(out.total):
            images = [self.data.train_catalog.images[int(row)] for row in rows]
            raise FlukeprintError(
                f"the loss is {out.total.item()} in epoch {self.current_epoch}, step "
                f"{self.global_step}; photos of the batch: {listed(images, len(images))}; "
                "lower train.lr, set train.clip or take train.precision=32"
            )
        self.log(
            "train/loss",
            out.total,
            prog_bar=True,
            on_step=False,
            on_epoch=True,
            batch_size=len(rows),
        )
        for name, part in out.parts.items():
            self.log(f"train/{name}", part, on_step=False, on_epoch=True, batch_size=len(rows))
        total: Tensor = out.total
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

    def configure_optimizers(self) -> Any:
        t = self.config.train
        head = [*self.net.pooling.named_parameters(), *self.net.neck.named_parameters()]
        groups = []
        for named, lr in (
            (list(self.net.backbone.named_parameters()), t.lr),
            (head, t.lr * t.head_lr_factor),
            (list(self.losses.named_parameters()), t.lr * t.head_lr_factor),
        ):
            learning = [p for _, p in named if p.requires_grad]
            # Biases, norms and the pooling's exponent are no weights to be decayed.
            groups.append({"params": [p for p in learning if p.ndim > 1], "lr": lr})
            groups.append(
                {"params": [p for p in learning if p.ndim <= 1], "lr": lr, "weight_decay": 0.0}
            )
        optimizer = torch.optim.AdamW(
            [group for group in groups if group["params"]], weight_decay=t.weight_decay
        )
        steps = int(self.trainer.estimated_stepping_batches)
        warm = t.warmup * steps

        def factor(step: int) -> float:
            if step < warm:
                return (step + 1) / (warm + 1)
            done = min(1.0, (step - warm) / max(1.0, steps - warm))
            return t.final_lr_factor + (1 - t.final_lr_factor) * (1 + math.cos(math.pi * done)) / 2

        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


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
