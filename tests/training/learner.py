"""The modules that training makes of a configuration, and the weights that it keeps."""

from pathlib import Path

import torch
from safetensors.torch import load_file

from flukeprint.config.schema import Config
from flukeprint.data.readers.read import read_labelled
from flukeprint.models.network import build_model
from flukeprint.training.check import split_of
from flukeprint.training.datamodule import FoldData
from flukeprint.training.module import MetricLearningModule


def tensors(run_path: Path) -> dict[str, torch.Tensor]:
    return load_file(run_path / "identifier" / "network.safetensors")


def fold_data(config: Config) -> FoldData:
    catalog = read_labelled(config.data)
    return FoldData(config, catalog, split_of(config, catalog))


def learner_of(config: Config) -> MetricLearningModule:
    size = (config.image.height, config.image.width)
    return MetricLearningModule(config, build_model(config.model, size), fold_data(config))
