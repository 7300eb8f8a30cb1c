"""Which engine is chosen, and when one is refused."""

import gc
import weakref
from pathlib import Path

import numpy as np
import pytest
import torch

from flukeprint.cpu import has_bf16
from flukeprint.data.embeddings import Floats
from flukeprint.embedding import engine_choice
from flukeprint.embedding.engine import Photos
from flukeprint.embedding.engine_table import ENGINES
from flukeprint.embedding.engine_timings import EngineOption, EngineTimings, EngineTrials
from flukeprint.embedding.onnx_engine import OnnxEngine
from flukeprint.errors import FlukeprintError
from flukeprint.models.network import FlukeNet
from tests.embedding.tiny import drawn, network, picked, seen


class Pretended(OnnxEngine):
    """ONNX Runtime under another name, as fast and as wrong as a test wants it."""

    wrong = False

    def embed(self, photos: Photos) -> Floats:
        found = super().embed(photos)
        return np.roll(found, 1, axis=1) if self.wrong else found


def rates(monkeypatch: pytest.MonkeyPatch, **of: float) -> None:
    """Pretend that engines have these speeds: torch_bf16=30."""
    monkeypatch.setattr(
        EngineTrials,
        "rate",
        lambda trials, option: of.get(f"{option.engine}_{option.precision}", 1.0),
    )


@pytest.mark.parametrize(
    ("engine", "precision", "said"),
    [
        ("openvino", "int8", "openvino on this machine have .*fp32"),
        ("onnxruntime", "bf16", "onnxruntime on this machine have fp32"),
        ("auto", "fp16", "on this machine have .*fp32"),
        ("tensorrt", "auto", "no engine 'tensorrt'"),
    ],
)
def test_what_there_is_not_is_refused(
    engine: str, precision: str, said: str, net: FlukeNet, own_notes: Path
) -> None:
    with pytest.raises(FlukeprintError, match=said):
        picked(net, engine=engine, precision=precision)


def test_few_passes_are_not_worth_measuring(net: FlukeNet, own_notes: Path) -> None:
    chosen = picked(net, passes=299)
    assert (chosen.name, chosen.precision) == ("torch", "fp32")
    assert not own_notes.exists()


def test_the_fastest_is_taken(
    net: FlukeNet, own_notes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rates(monkeypatch, openvino_fp32=20.0, torch_fp32=10.0)
    assert picked(net, "a").name == "openvino"
    rates(monkeypatch, openvino_fp32=10.0, torch_fp32=20.0)
    assert picked(net, "b").name == "torch"


def test_what_other_work_slowed_down_is_measured_again(
    net: FlukeNet, own_notes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine_of = EngineTrials.rate

    def slow(self: EngineTrials, option: EngineOption) -> float:
        engine_of(self, option)
        return 100.0 if option.engine == "torch" else 2.0

    monkeypatch.setattr(EngineTrials, "rate", slow)
    monkeypatch.setattr(engine_choice, "EXACT_LAYERS", ())
    assert picked(net, "a").name == "torch"
    remembered = " ".join(EngineTimings.read().rates)
    assert "torch fp32" in remembered
    assert "openvino fp32" not in remembered
    monkeypatch.setattr(EngineTrials, "rate", engine_of)
    picked(network(), "b")
    assert "openvino fp32" in " ".join(EngineTimings.read().rates)


@pytest.mark.skipif(not has_bf16(), reason="the processor has no bfloat16")
def test_rounding_must_pay(net: FlukeNet, own_notes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_choice, "EXACT_LAYERS", (0,))
    monkeypatch.setattr("flukeprint.embedding.parity.LEAST_COSINE", {"fp32": 0.9999, "bf16": 0.9})
    monkeypatch.setattr("flukeprint.embedding.parity.SWAP", {"fp32": 1e-4, "bf16": 1.0})
    monkeypatch.setattr("flukeprint.embedding.parity.LEAST_FIRST", {"fp32": 1.0, "bf16": 0.0})
    rates(monkeypatch, openvino_fp32=10.0, openvino_bf16=11.9)
    assert picked(net, "a").precision == "fp32"
    rates(monkeypatch, openvino_fp32=10.0, openvino_bf16=12.1)
    assert picked(net, "b").precision == "bf16"


def test_what_sees_otherwise_is_refused(
    net: FlukeNet, own_notes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Pretended, "wrong", True)
    monkeypatch.setitem(ENGINES, "onnxruntime", Pretended)
    with pytest.raises(FlukeprintError, match=r"onnxruntime fp32: the cosine .* refused"):
        picked(net, engine="onnxruntime")
    monkeypatch.setattr(Pretended, "wrong", False)
    assert picked(net, "other weights", engine="onnxruntime").name == "onnxruntime"


def test_it_is_said_once_and_kept_and_remembered(net: FlukeNet, own_notes: Path) -> None:
    said: list[str] = []
    first = picked(net, said=said)
    assert picked(net, said=said) is first
    assert len(said) == 1
    assert "photographs a second" in said[0]
    assert "\n" not in said[0]
    assert ("torch fp32, " in said[0]) != ("have the same nearest one as" in said[0])
    notes = EngineTimings.read()
    assert {key.split(") ")[1].split()[0] for key in notes.rates} == {"torch", "openvino"}
    before = own_notes.read_bytes()
    twin = network()
    assert picked(twin, said=said).name == first.name
    assert len(said) == 1
    assert own_notes.read_bytes() == before


def test_other_weights_have_another_engine(net: FlukeNet, own_notes: Path) -> None:
    photos = drawn(3)
    before = picked(net, engine="openvino", precision="fp32")
    with torch.no_grad():
        for tensor in net.backbone.parameters():
            tensor.mul_(1.5).add_(0.01)
    after = picked(net, engine="openvino", precision="fp32")  # even under the same stamp
    assert after is not before
    np.testing.assert_allclose(after.embed(photos), seen(net, photos), atol=1e-4)


@pytest.mark.parametrize("engine", ["torch", "openvino", "onnxruntime"])
def test_an_engine_does_not_keep_its_network_alive(engine: str, own_notes: Path) -> None:
    net = network()
    picked(net, engine=engine, precision="auto" if engine == "torch" else "fp32")
    gone = weakref.ref(net)
    del net
    gc.collect()
    assert gone() is None
