"""Tiny networks, and drawn photographs to embed."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from flukeprint.config.data import ImageConfig
from flukeprint.config.training import FrozenConfig, ModelConfig
from flukeprint.data.catalog import Catalog
from flukeprint.data.embeddings import Floats
from flukeprint.data.synthetic.shapes import draw_shape
from flukeprint.embedding.engine import Engine, Photos
from flukeprint.embedding.engine_choice import pick_engine
from flukeprint.models.network import FlukeNet, build_model

SIZE = (32, 48)

MODELS = {
    "gem and neck": ModelConfig(backbone="test_resnet", weights="none", embedding_dim=8),
    "cells, no neck": ModelConfig(
        backbone="test_resnet", weights="none", pooling="avg", grid=(1, 2), neck=False
    ),
    "another beside": ModelConfig(
        backbone="test_resnet", weights="none", pooling="max", embedding_dim=8,
        beside=(FrozenConfig(backbone="test_efficientnet", weights="none"),),
    ),
    "transformer": ModelConfig(backbone="test_vit", weights="none", embedding_dim=8),
}  # fmt: skip

LEAST = {"fp32": 0.99999, "bf16": 0.995}

BOTH = pytest.mark.parametrize("engine", ["openvino", "onnxruntime"])


def network(model: ModelConfig = MODELS["gem and neck"], seed: int = 0) -> FlukeNet:
    torch.manual_seed(seed)
    return build_model(model, SIZE).eval()


def drawn(count: int, height: int = SIZE[0], width: int = SIZE[1]) -> Photos:
    """(count, 3, height, width)"""
    pixels = []
    for seed in range(count):
        shape = Image.fromarray(draw_shape(seed % 40, seed, 64)).resize((width, height))
        pixels.append(np.asarray(shape).transpose(2, 0, 1))
    return np.ascontiguousarray(np.stack(pixels), dtype=np.uint8)


def seen(net: FlukeNet, photos: Photos) -> Floats:
    """By torch, one photograph at a time, the length taken off by hand."""
    with torch.no_grad():
        out = torch.cat([net(torch.from_numpy(photo)[None]) for photo in photos]).double()
    return np.asarray((out / out.norm(dim=1, keepdim=True)).numpy(), dtype=np.float32)


def on_disk(folder: Path, count: int) -> Catalog:
    folder.mkdir()
    for number, photo in enumerate(drawn(count, 50, 70)):
        Image.fromarray(photo.transpose(1, 2, 0)).save(folder / f"{number:03}.png")
    paths = sorted(folder.iterdir())
    return Catalog(images=tuple(path.name for path in paths), paths=tuple(paths))


def image(**changes: object) -> ImageConfig:
    return ImageConfig.model_validate(
        {"height": SIZE[0], "width": SIZE[1], "cache": None, **changes}
    )


def picked(
    net: FlukeNet, stamp: str = "s", engine: str = "auto", precision: str = "auto",
    passes: int = 10**6, said: list[str] | None = None,
) -> Engine:  # fmt: skip
    return pick_engine(
        net, SIZE, engine, precision, stamp=stamp, sample=lambda: drawn(64), passes=passes,  # type: ignore[arg-type]
        report=None if said is None else said.append,
    )  # fmt: skip
