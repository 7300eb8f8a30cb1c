"""Fixtures of several files: tiny networks, two cores, and a folder for engine timings."""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from flukeprint.data.catalog import Catalog
from flukeprint.embedding import engine_timings, onnx_engine, openvino_engine
from flukeprint.models.network import FlukeNet
from tests.embedding.tiny import MODELS, network, on_disk

_graphs: dict[str, Any] = {}
_files: dict[str, bytes] = {}


def _key(net: FlukeNet, size: tuple[int, int]) -> str:
    digest = hashlib.sha256(repr((net.config, size)).encode())
    for name, tensor in net.state_dict().items():
        digest.update(name.encode() + tensor.detach().cpu().numpy().tobytes())
    return digest.hexdigest()


@pytest.fixture(scope="module", autouse=True)
def _converted_once() -> Iterator[None]:
    """Networks of equal weights are converted once: engines get copies of the same graph."""
    to_openvino, to_onnx = openvino_engine.openvino_model, onnx_engine.write_onnx

    def graph(net: FlukeNet, size: tuple[int, int]) -> Any:
        key = _key(net, size)
        if key not in _graphs:
            _graphs[key] = to_openvino(net, size)
        return _graphs[key].clone()

    def file(net: FlukeNet, size: tuple[int, int], target: Path) -> None:
        key = _key(net, size)
        if key not in _files:
            to_onnx(net, size, target)
            _files[key] = target.read_bytes()
        target.write_bytes(_files[key])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(openvino_engine, "openvino_model", graph)
        patch.setattr(onnx_engine, "write_onnx", file)
        yield


@pytest.fixture
def net() -> FlukeNet:
    return network()


@pytest.fixture(scope="session")
def shared_net() -> FlukeNet:
    """For tests that leave it as it is; engines that were picked for it are kept with it."""
    return network()


@pytest.fixture(scope="session")
def shared_nets() -> dict[str, FlukeNet]:
    """One of each of MODELS, for tests that leave them as they are."""
    return {name: network(model) for name, model in MODELS.items()}


@pytest.fixture(scope="session")
def shared_photos(tmp_path_factory: pytest.TempPathFactory) -> Catalog:
    """Photographs in files that no test changes."""
    return on_disk(tmp_path_factory.mktemp("shared") / "photos", 21)


@pytest.fixture
def two_cores() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def own_notes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file of timings, of this test alone; engines are measured for a moment only."""
    monkeypatch.setenv("FLUKEPRINT_CACHE", str(tmp_path / "notes"))
    monkeypatch.setattr(engine_timings, "_SECONDS", 0.01)
    return tmp_path / "notes" / "engines.json"
