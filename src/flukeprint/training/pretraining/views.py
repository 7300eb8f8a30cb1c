"""Two augmented views of each unlabelled photograph, and the batches and loaders of them.

A view varies what differs between two photographs of one animal: a random crop, light and colour,
now and then grey or blurred (Chen et al. 2020, appendix A).  It is mirrored only as `image.flip`
allows: `same` mirrors each view by itself; `new_identity`, where a mirrored animal is another one,
both views or none; `none` mirrors nothing.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import lightning as L
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from flukeprint.config.data import ImageConfig
from flukeprint.config.pretraining import PretrainConfig
from flukeprint.config.schema import Config
from flukeprint.data.decoding import Pixels
from flukeprint.embedding.photos import PhotoCache
from flukeprint.errors import FlukeprintError
from flukeprint.training.augmentation import augmented
from flukeprint.training.datamodule import Loader
from flukeprint.training.pretraining.photos import Unlabelled

if TYPE_CHECKING:
    import albumentations as A


class ViewPair(NamedTuple):
    """Two views of one photograph, or a batch of them with a batch axis in front of each field.

    first, second: uint8 (3, height, width) RGB.  photo: int64, the same for copies of one file.
    """

    first: Tensor
    second: Tensor
    photo: Tensor


class ViewDraw(NamedTuple):
    """One photograph of a batch and the seed of its two views, unique in an epoch."""

    row: int
    seed: int


def build_view(image: ImageConfig, config: PretrainConfig) -> A.Compose:
    """Build the random transform that makes a view of a cached photograph, at the input's size.

    Use it through `augmented`.  As SimCLR's, but for Gaussian blur in proportion to the size, and
    crops of at least `config.crop` of the area: stripes and scars are small.
    """
    os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"  # else its import connects to PyPI
    import albumentations as A  # takes 1.5 s

    aspect, s = image.width / image.height, config.colour
    steps: list[A.BasicTransform] = [
        A.RandomResizedCrop(
            (image.height, image.width),
            scale=(config.crop, 1),
            ratio=(aspect * 3 / 4, aspect * 4 / 3),
            area_for_downscale="image",
        )
    ]
    if s > 0:
        light = (1 - 0.8 * s, 1 + 0.8 * s)
        steps.append(
            A.ColorJitter(
                brightness=light, contrast=light, saturation=light, hue=(-0.2 * s, 0.2 * s), p=0.8
            )
        )
    if config.grey > 0:
        steps.append(A.ToGray(p=config.grey))
    if config.blur > 0:
        side = min(image.height, image.width)
        steps.append(A.GaussianBlur(sigma_limit=(0.1, max(0.2, side / 112)), p=config.blur))
    return A.Compose(steps)


class ViewDataset(Dataset[ViewPair]):
    """Loads two views of a photograph; `dataset[draw]` depends on the draw alone."""

    def __init__(self, photos: Unlabelled, image: ImageConfig, config: PretrainConfig) -> None:
        self._photos = photos
        self._image = image
        self._cache = PhotoCache(photos.catalog, image)
        self._turned = photos.catalog.in_views(image.mirror_views)
        self._view = build_view(image, config)  # here, so that workers inherit it

    def __len__(self) -> int:
        return len(self._cache)

    def __getitem__(self, draw: ViewDraw) -> ViewPair:
        pixels = self._cache[draw.row]
        mirrored = self.mirrored(draw)
        first, second = (
            self._seen(pixels, 2 * draw.seed + k, mirrored[k] != self._turned[draw.row])
            for k in (0, 1)
        )
        return ViewPair(first, second, torch.tensor(int(self._photos.copies[draw.row])))

    def mirrored(self, draw: ViewDraw) -> tuple[bool, bool]:
        """Whether each of the two views is mirrored."""
        if self._image.flip == "none":
            return False, False
        rng = np.random.default_rng(np.random.SeedSequence(draw.seed, spawn_key=(1,)))
        first, second = (bool(coin) for coin in rng.random(2) < 0.5)
        return (first, second) if self._image.mirrored_is_same else (first, first)

    def _seen(self, pixels: Pixels, seed: int, flip: bool) -> Tensor:
        if flip:
            pixels = np.ascontiguousarray(pixels[:, ::-1])
        view = augmented(self._view, pixels, seed)
        return torch.from_numpy(np.ascontiguousarray(view.transpose(2, 0, 1)))


class ViewBatches:
    """Batches of an epoch: all photographs in random order, an epoch a function of its seed.

    Blocks differ by one photograph at most, and have two or more; with several processes each gets
    the same number of photographs, for which a few may be drawn twice.
    """

    def __init__(self, photos: int, batch_size: int, *, seed: int, rank: int, world: int) -> None:
        self.epoch = 0
        self._photos, self._seed, self._rank, self._world = photos, seed, rank, world
        self._each = max(2, -(-photos // world))  # photographs of a process
        self._batches = max(1, min(-(-self._each * world // batch_size), self._each // 2))

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch (from 0) of the next iteration."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self._batches

    def __iter__(self) -> Iterator[list[ViewDraw]]:
        rng = np.random.default_rng(np.random.SeedSequence([self._seed, self.epoch]))
        rows = np.resize(rng.permutation(self._photos), self._each * self._world)
        seeds = rng.choice(2**30, size=len(rows), replace=False)
        for part in np.array_split(np.arange(self._each), self._batches):
            block = part * self._world + self._rank
            yield [ViewDraw(int(rows[i]), int(seeds[i])) for i in block]


class UnlabelledData(L.LightningDataModule):
    """The data loader of a pretraining."""

    # Lightning finds the state in a checkpoint by the name of this class: do not rename it.

    def __init__(self, config: Config, photos: Unlabelled) -> None:
        super().__init__()
        assert config.pretrain is not None
        self.config, self.pretrain, self.photos = config, config.pretrain, photos
        self._loader: Loader | None = None
        self._order: ViewBatches | None = None

    def state_dict(self) -> dict[str, Any]:
        """Digest of the photographs' names, which a resumed run must have again."""
        names = json.dumps(self.photos.catalog.images)
        return {"photos": hashlib.sha256(names.encode()).hexdigest()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Refuse to resume with other photographs."""
        if state_dict != self.state_dict():
            raise FlukeprintError(
                "the photographs, labelled or to identify, are not those that the pretraining was "
                "started with; restore them or start a new run"
            )

    def order(self, rank: int, world: int) -> ViewBatches:
        """The batches of one of `world` processes."""
        return ViewBatches(
            len(self.photos.catalog), self.pretrain.batch_size, seed=self.config.train.seed,
            rank=rank, world=world,
        )  # fmt: skip

    def steps(self, world: int) -> int:
        """Number of optimiser steps of the whole pretraining."""
        steps, most = len(self.order(0, world)) * self.pretrain.epochs, self.config.train.max_steps
        return steps if most is None else min(steps, most)

    def train_dataloader(self) -> Loader:
        trainer = self.trainer
        assert trainer is not None
        if self._loader is None or self._order is None:
            self._order = self.order(trainer.global_rank, trainer.world_size)
            self._loader = Loader(
                ViewDataset(self.photos, self.config.image, self.pretrain), self._order,
                workers=self.config.train.workers,
                pinned=trainer.strategy.root_device.type == "cuda",
            )  # fmt: skip
        self._order.set_epoch(trainer.current_epoch)
        return self._loader

    def teardown(self, stage: str) -> None:
        """Stop the workers."""
        if self._loader is not None:
            self._loader.close()
