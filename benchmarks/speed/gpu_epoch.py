"""One epoch of each GPU recipe, beside the bare pass of its network on photographs on the device.

    python -m benchmarks.speed.gpu_epoch --photos input [--recipe lions_gpu ...] [--eager]

Trains `lions_gpu`, `nyala_gpu` and `spiders_gpu` as `train.py` does, on real photographs, in bf16
and through `torch.compile`, each from random weights, as the speed does not depend on them:

  epoch      batches of the data loader, decoded before, augmented, with optimiser and logs
  bare pass  forward, loss and backward on one batch that is on the device already, over and over

Compiling and the first batches are counted in neither.  The target is 90 % of the bare pass.  A
recipe is not begun after the tenth minute.  Writes results/gpu_epoch.json, or FILE, with the
device's name; what was measured is written after each recipe.
"""

import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback

from benchmarks.harness.arguments import options
from benchmarks.harness.timing import save
from flukeprint.config.load import load_config
from flukeprint.config.schema import Config
from flukeprint.cpu import keep_memory
from flukeprint.embedding.photos import PhotoCache
from flukeprint.identifier.runs import new_run
from flukeprint.training.check import TrainingSetup, check
from flukeprint.training.passes.depthwise import QuickDepthwise
from flukeprint.training.trainer import make_trainer, quieten_lightning

RECIPES = ("lions_gpu", "nyala_gpu", "spiders_gpu")
TARGET = 0.9
MINUTES = 10.0
WARM = 4  # batches that are not counted
PASSES = 20


class Clock(Callback):
    """When each batch of the training was finished on the device."""

    def __init__(self) -> None:
        self.ends: list[float] = []

    def on_train_batch_end(self, trainer: L.Trainer, *_: Any) -> None:
        synchronised(trainer.strategy.root_device)
        self.ends.append(time.perf_counter())


def synchronised(device: torch.device) -> None:
    """Wait for what the device is still doing."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def device_name() -> str:
    """The card's name, or that there is none."""
    return torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU"


def recipe(name: str, photos: Path, folder: Path) -> Config:
    """The recipe `name` for one whole epoch at its full size, with files in `folder`."""
    return load_config(
        f"{name}.yaml",
        [
            f"data.root={photos / name.removesuffix('_gpu')}", f"image.cache={folder / 'cache'}",
            f"runs={folder / 'runs'}", "model.weights=none", "train.epochs=1",
            "train.validate_every=2", "train.all_epochs=0", "train.freeze_epochs=0",
            "train.sizes=[]", "train.precision=bf16", "train.report=false",
        ],
    )  # fmt: skip


def measure(config: Config, *, compiled: bool, warm: int = WARM) -> dict[str, Any]:
    """Train an epoch, then pass one batch again and again: images a second of both."""
    quieten_lightning()
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    setup = check(config)
    cache = PhotoCache(setup.catalog, config.image)
    for row in range(len(cache)):
        cache[row]
    if compiled:
        setup.module.net.compile()  # in place: names of weights stay
    trainer = make_trainer(config, new_run(config, setup.catalog))
    clock = Clock()
    trainer.callbacks.insert(0, clock)  # type: ignore[attr-defined]
    trainer.fit(setup.module, setup.data)
    counted = clock.ends[min(warm, len(clock.ends) - 2) :]
    if len(counted) < 2:
        raise SystemExit(f"{config.name}: an epoch of {len(clock.ends)} batches is too short")
    size = config.sampler.batch_size
    epoch = size * (len(counted) - 1) / (counted[-1] - counted[0])
    bare = bare_rates(setup, trainer, warm)
    return {
        "what": config.name, "backbone": config.model.backbone, "batch": size,
        "image": [config.image.height, config.image.width], "batches": len(clock.ends),
        "precision": str(trainer.precision), "compiled": compiled,
        "epoch": epoch, "median": statistics.median(bare), "all": bare,
        "share": epoch / statistics.median(bare),
    }  # fmt: skip


def bare_rates(setup: TrainingSetup, trainer: L.Trainer, warm: int) -> list[float]:
    """Images a second of each forward and backward pass of one batch on the device."""
    device = trainer.strategy.root_device
    module = setup.module.to(device).train()
    photos, labels, _ = (part.to(device) for part in next(iter(setup.data.train_dataloader())))
    rates = []
    for turn in range(warm + PASSES):
        synchronised(device)
        begin = time.perf_counter()
        with trainer.precision_plugin.forward_context(), QuickDepthwise():
            total = module.losses(module.net(photos), labels).total
        module.zero_grad()
        total.backward()
        synchronised(device)
        if turn >= warm:
            rates.append(len(photos) / (time.perf_counter() - begin))
    return rates


def main() -> None:
    """Measure the recipes and write the result file."""
    parser = options("speed.gpu_epoch", __doc__)
    parser.add_argument("--photos", type=Path, required=True, help="folder of lions, nyala, ...")
    parser.add_argument("--recipe", nargs="+", choices=RECIPES, default=list(RECIPES))
    parser.add_argument("--eager", action="store_true", help="without torch.compile")
    given = parser.parse_args()
    keep_memory()
    begin = time.perf_counter()
    rows: list[dict[str, Any]] = []
    for name in given.recipe:
        minutes = (time.perf_counter() - begin) / 60
        if minutes > MINUTES:
            print(f"{name}: left out after {minutes:.1f} minutes")
            continue
        with tempfile.TemporaryDirectory() as folder:
            config = recipe(name, given.photos.absolute(), Path(folder))
            rows.append(measure(config, compiled=not given.eager))
        torch.compiler.reset()
        row = rows[-1]
        print(
            f"{name}: {row['epoch']:.0f} images a second, bare pass {row['median']:.0f}: "
            f"{row['share']:.0%} (target {TARGET:.0%})",
            flush=True,
        )
        save("gpu_epoch", {"device": device_name(), "target": TARGET, "rows": rows}, quick=False)


if __name__ == "__main__":
    main()
