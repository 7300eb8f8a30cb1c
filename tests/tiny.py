"""The configuration `tiny`: colour shapes and a network that trains in a second."""

from dataclasses import dataclass
from pathlib import Path

from flukeprint.config.load import load_config
from flukeprint.config.schema import Config
from flukeprint.data.synthetic.dataset import write_synthetic

SYNTHETIC = "{kind: shapes, identities: 10, long_side: 48, test_photos: 30}"
TEXT = """
name: tiny
data: {{reader: synthetic, root: {data}/shapes, synthetic: {synthetic}}}
image: {{height: 32, width: 48, cache: {data}/cache, augment: 0.2}}
split: {{folds: 2}}
model: {{backbone: test_resnet, weights: none, embedding_dim: 16}}
sampler: {{batch_size: 8}}
train: {{epochs: 3, lr: 0.002, workers: 0, accelerator: cpu, report: false}}
runs: {folder}/runs
submissions: {folder}/submissions
"""


@dataclass(frozen=True)
class TinyConfig:
    """Loads `tiny.yaml` with overrides: `tiny("train.epochs=1")`.

    Photographs and their cache lie in `data`, runs and submissions in `folder`.
    """

    folder: Path
    data: Path

    @property
    def path(self) -> Path:
        return self.folder / "tiny.yaml"

    def __call__(self, *overrides: str) -> Config:
        return load_config(self.path, list(overrides))

    def apart(self, folder: Path) -> "TinyConfig":
        """The same photographs with runs and submissions in another folder."""
        return written(folder, self.data)


def written(folder: Path, data: Path) -> TinyConfig:
    """Write `tiny.yaml` into `folder`."""
    tiny = TinyConfig(folder, data)
    tiny.path.write_text(TEXT.format(folder=folder, data=data, synthetic=SYNTHETIC))
    return tiny


def drawn(folder: Path) -> TinyConfig:
    """Write `tiny.yaml` into `folder` and draw its photographs there."""
    tiny = written(folder, folder)
    data = tiny().data
    write_synthetic(data.synthetic, data.root, progress=False)
    return tiny
