"""What all trials stand on: drawn photographs, a tiny network, and results of unbroken commands.

It is made once in the folder of work and used again, so that a further run starts at once.
"""

import hashlib
import json
import random
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from benchmarks.endurance.processes import finished
from flukeprint.config.load import load_config
from flukeprint.config.schema import Config
from flukeprint.data.synthetic.dataset import write_synthetic
from flukeprint.data.synthetic.shapes import draw_shape
from flukeprint.errors import FlukeprintError
from flukeprint.identifier.runs import Run

TINY = """
name: tiny
data:
  reader: synthetic
  root: {root}/shapes
  synthetic: {{kind: shapes, identities: 10, long_side: 48, test_photos: 30}}
image: {{height: 32, width: 48, cache: {root}/cache, augment: 0.2}}
split: {{folds: 2}}
model: {{backbone: test_resnet, weights: none, embedding_dim: 16}}
sampler: {{batch_size: 8}}
train: {{epochs: 3, lr: 0.002, workers: 0, accelerator: cpu}}
runs: {root}/runs
submissions: {root}/submissions
"""

_RANDOM = r"(?<=\.)[a-z0-9_]{8}(?=\.|$|/)|[0-9a-f]{32}|\d{8}-\d{6}(-\d+)?"

# Recipes whose training has a state of its own or depends on the epoch.
RECIPES: dict[str, tuple[str, ...]] = {
    "plain": (),
    "ema": ("train.ema=0.8", "model.dropout=0.2", "train.epochs=5"),
    "stateful": (
        "train.swa=0.3", "train.memory=40", "losses=[{name: arcface}, {name: triplet}]",
        "train.sizes=[0.5, 1]", "sampler.first_epochs=2", "sampler.first_photos=3",
        "train.layer_decay=0.7", "train.epochs=6",
    ),
    "early": ("train.patience=2", "train.epochs=6", "train.workers=1"),
    "keypoints": ("rank.local.candidates=3",),
    "cached": ("rank.local.candidates=3", "train.epochs=1"),
}  # fmt: skip


@dataclass(frozen=True)
class Ground:
    """The folder of work, with its drawn photographs and unbroken results."""

    root: Path

    @property
    def config_file(self) -> Path:
        return self.root / "tiny.yaml"

    def config(self, *overrides: str) -> Config:
        return load_config(self.config_file, list(overrides))

    def unbroken(self, recipe: str) -> Run:
        """The run of `recipe` that nobody killed."""
        config = self.config(f"name={recipe}", *RECIPES[recipe])
        runs = sorted((config.runs / recipe).glob("*/identifier"))
        if not runs:
            expect(finished("python", "train.py", *self.arguments(recipe), "--no-untrained"))
            runs = sorted((config.runs / recipe).glob("*/identifier"))
        return Run(runs[0].parent)

    def arguments(self, recipe: str) -> list[str]:
        """The command line's arguments for `recipe`."""
        return ["--config", str(self.config_file), f"name={recipe}", *RECIPES[recipe]]

    def photographs(self, seed: int) -> Iterator[Path]:
        """Endless photographs that differ, written when they are asked for."""
        folder = self.root / "photographs"
        folder.mkdir(exist_ok=True)
        number = 0
        while True:
            path = folder / f"{seed}-{number}.png"
            if not path.exists():
                path.write_bytes(drawn(seed, number))
            yield path
            number += 1


def drawn(seed: int, number: int) -> bytes:
    """The PNG of a shape in noise, another one for each seed and number."""
    rng = np.random.default_rng([seed, number])
    shape = draw_shape(int(rng.integers(100)), number, 48).astype(np.int16)
    noise = rng.integers(-60, 60, shape.shape) + rng.integers(-60, 60, 3)
    done, data = cv2.imencode(".png", np.clip(shape + noise, 0, 255).astype(np.uint8))
    assert done
    return data.tobytes()


def lay_ground(root: Path) -> Ground:
    """Draw and train what is not there yet."""
    root.mkdir(parents=True, exist_ok=True)
    ground = Ground(root.resolve())
    ground.config_file.write_text(TINY.format(root=ground.root))
    data = ground.config().data
    write_synthetic(data.synthetic, data.root, progress=False)
    for recipe in ("plain", "keypoints"):
        ground.unbroken(recipe)
    return ground


def expect(result: tuple[int, str]) -> str:
    """The output of a command that has to succeed."""
    code, said = result
    if code != 0:
        raise FlukeprintError(f"a command that nothing disturbed failed ({code}): {said[-500:]}")
    return said


def run_digest(run: Run) -> str:
    """Digest of a run's network and figures, without its name and times."""
    figures: dict[str, Any] = run.figures()
    total = hashlib.sha256((run.identifier / "network.safetensors").read_bytes())
    total.update(json.dumps(figures, sort_keys=True).encode())
    for name in ("embeddings.npz", "centers.npz"):
        if (run.path / name).exists():
            with np.load(run.path / name) as arrays:
                for key in sorted(arrays):
                    total.update(arrays[key].tobytes())
    return total.hexdigest()[:16]


def left_overs(*folders: Path) -> list[str]:
    """Faults: drafts that lie in the folders."""
    return [
        f"a draft was left over: {re.sub(_RANDOM, '*', path.relative_to(folder).as_posix())}"
        for folder in folders
        for path in sorted(folder.rglob(".*"))
    ]


def generator(seed: int, *names: object) -> random.Random:
    """The random numbers of one trial."""
    return random.Random(f"{seed}/{'/'.join(map(str, names))}")


def emptied(folder: Path) -> Path:
    """An empty folder."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder
