"""The Lightning data module of a fold: classes, data loaders, and the number of steps."""

import math
from collections.abc import Iterator, Sequence
from typing import Any, Literal, Protocol

import lightning as L
import numpy as np
import numpy.typing as npt
from torch.utils.data import DataLoader, Dataset

from flukeprint.config.schema import Config
from flukeprint.data.catalog import Catalog
from flukeprint.data.embeddings import Ints
from flukeprint.data.splits import Split
from flukeprint.errors import FlukeprintError
from flukeprint.identifier.runs import catalog_digest
from flukeprint.training.dataset import PhotoDataset, single_thread
from flukeprint.training.distillation import read_teachers
from flukeprint.training.pseudo_labels import train_photos
from flukeprint.training.sampling.batches import BatchSampler
from flukeprint.training.sampling.samplers import build_sampler
from flukeprint.training.sampling.triplet_file import read_triplets

Class = tuple[str, str | None]  # identity, and its view where each view is a class


def classes_of(
    catalog: Catalog, rule: Literal["identity", "identity_and_view"]
) -> tuple[tuple[Class, ...], npt.NDArray[np.int64]]:
    """The classes of training, sorted, and the class (n,) of each photo; -1 without identity.

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


class Batches(Protocol):
    """The batches of an epoch: what to load for each."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[list[Any]]: ...


class Loader:
    """A data loader that keeps its workers from epoch to epoch, until `close`.

    Starting them again would cost each epoch as much as several steps.  Each iteration follows
    `order` as it is then.  Workers start with the first batch, because Lightning also makes
    iterators that it never reads.
    """

    def __init__(
        self,
        photos: Dataset[Any],
        order: Batches,
        *,
        workers: int,
        pinned: bool,
    ) -> None:
        """Load `photos` by the batches of `order`, with `workers` processes (0 for none).

        pinned: batches are put into pinned memory, from which a GPU copies faster.
        """
        self.order = order
        self._photos = photos
        self._workers = workers
        self._pinned = pinned
        self._loader: DataLoader[Any] | None = None

    def __len__(self) -> int:
        return len(self.order)

    def __iter__(self) -> Iterator[Any]:
        if self._loader is None:
            self._loader = DataLoader(
                self._photos,
                batch_sampler=self.order,
                num_workers=self._workers,
                worker_init_fn=single_thread,
                persistent_workers=self._workers > 0,
                pin_memory=self._pinned,
            )
        yield from self._loader

    def close(self) -> None:
        """Stop the workers; the next iteration starts new ones."""
        self._loader = None


class FoldData(L.LightningDataModule):
    """Data loaders of a fold: augmented training batches; gallery and queries for validation."""

    # Lightning finds the state in a checkpoint by the name of this class: do not rename it.

    def __init__(self, config: Config, catalog: Catalog, split: Split) -> None:
        super().__init__()
        self.config, self.split, self.catalog = config, split, catalog
        self.train_catalog = train_photos(config, catalog, split)
        self.validation_rows = np.concatenate(
            [split.gallery, split.queries]
        )  # rows of the catalogue
        self.classes, self.labels = classes_of(self.train_catalog, config.data.classes)
        self.class_counts = np.bincount(self.labels[self.labels >= 0], minlength=len(self.classes))
        self.triplets = read_triplets(config.sampler.triplets, self.train_catalog, self.labels)
        mirrors = len(self.classes) if config.image.mirrored_is_new else None
        self.teachers = read_teachers(config, catalog, self.train_catalog, mirrors)
        self._train: Loader | None = None
        self._val: Loader | None = None

    def __deepcopy__(self, _: dict[int, Any]) -> "FoldData":
        return self  # weight averaging copies the module; the data never change

    def state_dict(self) -> dict[str, Any]:
        """Digests of training photographs, teachers and triplets, which a resumed run must have."""
        photos = catalog_digest(self.train_catalog)
        state = {"photos": photos, "teachers": list(self.teachers.stamps if self.teachers else ())}
        # Only where there are some: checkpoints of earlier versions have no such key.
        return {**state, "triplets": self.triplets.digest} if self.triplets.digest else state

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Refuse to resume with other pseudo-labels, teachers or triplets."""
        if state_dict != self.state_dict():
            raise FlukeprintError(
                "the pseudo-labels, the teachers or the triplets are not those that the run was "
                "started with; restore them or start a new run"
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
            triplets=self.triplets.rows,
        )

    def steps(self, world_size: int) -> int:
        """Number of optimiser steps in the whole training; epochs may differ in length."""
        train, sampler, steps = self.config.train, self._sampler(0, world_size), 0
        for epoch in range(train.epochs):
            sampler.set_epoch(epoch)
            steps += math.ceil(len(sampler) / train.accumulate)
        return steps if train.max_steps is None else min(steps, train.max_steps)

    def batch_labels(self, epoch: int, world_size: int) -> list[Ints]:
        """Labels (b,) of each whole batch of an epoch, mirror images as classes of their own."""
        sampler = self._sampler(0, world_size)
        sampler.set_epoch(epoch)
        mirror = len(self.classes) if self.config.image.mirrored_is_new else 0
        found = []
        for draws in sampler.whole_batches():
            labels = self.labels[[draw.row for draw in draws]]
            mirrored = np.array([draw.mirrored for draw in draws]) & (labels >= 0)
            found.append(np.where(mirrored, labels + mirror, labels))
        return found

    def triplets_drawn(self, world_size: int) -> tuple[int, int]:
        """Given triplets in an epoch that draws all identities, and the places for them."""
        sampler = self._sampler(0, world_size)
        sampler.set_epoch(self.config.sampler.first_epochs)
        return sampler.triplets_drawn()

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
        self._train.order.set_epoch(trainer.current_epoch)  # type: ignore[attr-defined]
        return self._train

    def val_dataloader(self) -> Loader:
        trainer = self.trainer
        assert trainer is not None
        if self._val is None:
            held = self.catalog.take(self.validation_rows)
            rows = range(trainer.global_rank, len(held), trainer.world_size)
            size = self.config.infer.batch_size
            parts = [list(rows[i : i + size]) for i in range(0, len(rows), size)]
            self._val = self._loader(PhotoDataset(held, self.config.image, augment=False), parts)
        return self._val

    def _loader(self, photos: PhotoDataset, sampler: Batches) -> Loader:
        assert self.trainer is not None
        pinned = self.trainer.strategy.root_device.type == "cuda"
        return Loader(photos, sampler, workers=self.config.train.workers, pinned=pinned)

    def teardown(self, stage: str) -> None:
        """Stop the workers."""
        for loader in (self._train, self._val):
            if loader is not None:
                loader.close()
