"""Engines see what the network sees; which one is taken, and what is written for other programs."""

import gc
import json
import subprocess
import sys
import weakref
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from flukeprint.cli import app
from flukeprint.config.load import parse_config
from flukeprint.config.schema import FrozenConfig, ImageConfig, ModelConfig
from flukeprint.cpu import has_bf16
from flukeprint.data.catalog import Catalog
from flukeprint.data.embeddings import Floats, Precision
from flukeprint.data.synthetic.shapes import draw_shape
from flukeprint.embedding import engine_choice
from flukeprint.embedding import export as engine_export
from flukeprint.embedding.embed import embed
from flukeprint.embedding.engine import Engine, Photos, TorchEngine
from flukeprint.embedding.engine_choice import ENGINES, build_engine, pick_engine
from flukeprint.embedding.engine_timings import EngineTimings
from flukeprint.embedding.export import export_network, photos_below
from flukeprint.embedding.onnx_engine import OnnxEngine
from flukeprint.embedding.openvino_engine import OpenVinoEngine, core, cut, openvino_model
from flukeprint.embedding.recipe import Compute, EmbeddingRecipe
from flukeprint.errors import FlukeprintError
from flukeprint.identifier.build import build_identifier
from flukeprint.models.network import FlukeNet, build_model
from flukeprint.ranking.features import Features

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


@pytest.fixture
def net() -> FlukeNet:
    return network()


@pytest.fixture
def two_cores() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def own_notes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FLUKEPRINT_CACHE", str(tmp_path / "notes"))
    monkeypatch.setattr(engine_choice, "_SECONDS", 0.01)
    return tmp_path / "notes" / "engines.json"


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


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("name", [name for name in ENGINES if name != "torch-compile"])
def test_an_engine_sees_what_the_network_sees(name: str, model: str) -> None:
    net = network(MODELS[model])
    photos = drawn(5)
    want = seen(net, photos)
    for precision in ENGINES[name].offers(net):
        engine = build_engine(name, precision, net, SIZE)
        for count in (1, 2, 5):
            got = engine.embed(photos[:count])
            assert got.dtype == np.float32
            np.testing.assert_allclose(np.linalg.norm(got, axis=1), 1, atol=1e-5)
            assert (got * want[:count]).sum(axis=1).min() >= LEAST[precision]
        one = [engine.embed(photo[None])[0] for photo in photos]
        assert (np.stack(one) * want).sum(axis=1).min() >= LEAST[precision]


@BOTH
def test_another_size_than_the_networks_own(engine: str, net: FlukeNet) -> None:
    photos = drawn(2, 64, 40)
    got = build_engine(engine, "fp32", net, (64, 40)).embed(photos)
    np.testing.assert_allclose(got, seen(net, photos), atol=1e-4)


@BOTH
def test_lanes_give_what_one_batch_gives(engine: str, net: FlukeNet, two_cores: None) -> None:
    runner = build_engine(engine, "fp32", net, SIZE)
    assert len(runner.lanes()) == 2
    photos = drawn(12)
    parts = [photos[start : start + 3] for start in range(0, 12, 3)]
    np.testing.assert_allclose(
        np.concatenate(runner.embed_many(parts)), runner.embed(photos), atol=1e-5
    )
    again = runner.embed_many(parts)
    for one, other in zip(runner.embed_many(parts), again, strict=True):
        np.testing.assert_array_equal(one, other)


def test_one_core_has_one_lane(net: FlukeNet) -> None:
    for name in ("torch", "openvino", "onnxruntime"):
        assert len(build_engine(name, "fp32", net, SIZE).lanes()) == 1


@pytest.mark.parametrize("exact", [1, 3, 7])
@pytest.mark.parametrize("model", MODELS)
def test_halves_do_what_the_whole_does(model: str, exact: int) -> None:
    net, photos = network(MODELS[model]), drawn(4)
    given = [photos]
    for part in cut(openvino_model(net, SIZE), exact):
        run = core().compile_model(part, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
        found = run(given)
        given = [found[place] for place in range(len(found))]
    np.testing.assert_allclose(given[0], seen(net, photos), atol=1e-4)


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="needs /proc")
def test_no_engine_leaves_a_signal_stack_that_is_gone() -> None:
    """A process that OpenVINO has left such a stack dies of the next signal, without a word."""
    done = subprocess.run(
        [sys.executable, "-c", SIGNAL_STACK], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["mapped"]


SIGNAL_STACK = """
import ctypes, gc, torch
from flukeprint.config.schema import ModelConfig
from flukeprint.embedding.openvino_engine import OpenVinoEngine
from flukeprint.models.network import build_model

class Stack(ctypes.Structure):
    _fields_ = [("place", ctypes.c_void_p), ("flags", ctypes.c_int), ("size", ctypes.c_size_t)]

net = build_model(ModelConfig(backbone="test_resnet", weights="none", embedding_dim=8), (32, 48))
photos = torch.zeros((1, 3, 32, 48), dtype=torch.uint8).numpy()
first = OpenVinoEngine(net, (32, 48), "fp32")
first.embed(photos)
second = OpenVinoEngine(net, (32, 48), "fp32")
second.embed(photos)
del first
gc.collect()
del second
gc.collect()
stack = Stack()
ctypes.CDLL(None).sigaltstack(None, ctypes.byref(stack))
for line in open("/proc/self/maps"):
    low, high = (int(end, 16) for end in line.split()[0].split("-"))
    if stack.place and low <= stack.place < high:
        print("mapped")
"""


def test_there_must_be_something_behind_the_cut(net: FlukeNet) -> None:
    with pytest.raises(FlukeprintError, match="no layers behind the first 100"):
        OpenVinoEngine(net, SIZE, "bf16", 100)


@BOTH
@pytest.mark.parametrize("workers", [0, 1, 3])
def test_embed_by_any_engine(
    engine: str, workers: int, net: FlukeNet, tmp_path: Path, own_notes: Path, two_cores: None
) -> None:
    catalog, settings = on_disk(tmp_path / "photos", 21), image(flip="new_identity")
    recipe = EmbeddingRecipe(settings, mirror=True, zooms=(1.0, 0.7), stamp="s")
    want = embed(net, catalog, recipe, Compute(engine="torch", precision="fp32"))
    how = Compute(engine=engine, precision="fp32", workers=workers)  # type: ignore[arg-type]
    got = embed(net, catalog, recipe, how)
    np.testing.assert_allclose(got.vectors, want.vectors, atol=1e-4)
    assert (got.images, got.precision) == (want.images, "fp32")


@pytest.mark.parametrize("workers", [0, 3])
def test_a_damaged_photograph_is_told_of(
    workers: int, net: FlukeNet, tmp_path: Path, own_notes: Path, two_cores: None
) -> None:
    catalog = on_disk(tmp_path / "photos", 100)
    assert catalog.paths is not None
    catalog.paths[50].write_bytes(catalog.paths[50].read_bytes()[:200])
    how = Compute(workers=workers, engine="openvino", precision="fp32")
    with pytest.raises(FlukeprintError, match=r"050\.png"):
        embed(net, catalog, EmbeddingRecipe(image(), stamp="s"), how)


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


def picked(
    net: FlukeNet, stamp: str = "s", engine: str = "auto", precision: str = "auto",
    passes: int = 10**6, said: list[str] | None = None,
) -> Engine:  # fmt: skip
    return pick_engine(
        net, SIZE, engine, precision, stamp=stamp, sample=lambda: drawn(64), passes=passes,  # type: ignore[arg-type]
        report=None if said is None else said.append,
    )  # fmt: skip


class Pretended(OnnxEngine):
    """ONNX Runtime under another name, as fast and as wrong as a test wants it."""

    wrong = False

    def embed(self, photos: Photos) -> Floats:
        found = super().embed(photos)
        return np.roll(found, 1, axis=1) if self.wrong else found


def test_few_passes_are_not_worth_measuring(net: FlukeNet, own_notes: Path) -> None:
    chosen = picked(net, passes=299)
    assert (chosen.name, chosen.precision) == ("torch", "fp32")
    assert not own_notes.exists()


def rates(monkeypatch: pytest.MonkeyPatch, **of: float) -> None:
    """Have engines measured as told: torch_bf16=30."""
    monkeypatch.setattr(
        engine_choice._Chooser,
        "_rate",
        lambda chooser, candidate: of.get(f"{candidate.engine}_{candidate.precision}", 1.0),
    )


def test_the_fastest_is_taken(
    net: FlukeNet, own_notes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rates(monkeypatch, openvino_fp32=20.0, torch_fp32=10.0)
    assert picked(net, "a").name == "openvino"
    rates(monkeypatch, openvino_fp32=10.0, torch_fp32=20.0)
    assert picked(net, "b").name == "torch"


@pytest.mark.skipif(not has_bf16(), reason="the processor has no bfloat16")
def test_rounding_must_pay(net: FlukeNet, own_notes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(engine_choice.__dict__, "EXACT_LAYERS", (0,))
    monkeypatch.setattr("flukeprint.embedding.parity.LEAST_COSINE", {"fp32": 0.9999, "bf16": 0.9})
    monkeypatch.setattr("flukeprint.embedding.parity.SWAP", {"fp32": 1e-4, "bf16": 1.0})
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
    notes = EngineTimings.read()
    assert {key.split(") ")[1].split()[0] for key in notes.rates} == {"torch", "openvino"}
    before = own_notes.read_bytes()
    twin = network()
    assert picked(twin, said=said).name == first.name
    assert len(said) == 1
    assert own_notes.read_bytes() == before


@pytest.mark.parametrize("broken", ["", "{", "[]", '{"rates": 3, "parity": {}}', "\x00\xff"])
def test_a_broken_file_of_notes_is_made_anew(broken: str, net: FlukeNet, own_notes: Path) -> None:
    own_notes.parent.mkdir()
    own_notes.write_bytes(broken.encode("latin-1"))
    picked(net)
    assert json.loads(own_notes.read_text())["rates"]


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


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_torch_on_a_gpu(precision: Precision, net: FlukeNet) -> None:
    photos = drawn(5)
    want = seen(net, photos)
    net.to("cuda")
    got = TorchEngine(net, SIZE, precision).embed(photos)
    assert (got * want).sum(axis=1).min() >= (0.9999 if precision == "fp32" else 0.995)


def exported(
    net: FlukeNet, folder: Path, engine: str, precision: str = "fp32"
) -> dict[str, object]:
    export_network(net, drawn(12), folder, engine, precision, stamp="abc", resize="pad", variants=2)
    card: dict[str, object] = json.loads((folder / "network.json").read_text())
    return card


def test_another_program_runs_the_onnx_file(net: FlukeNet, tmp_path: Path) -> None:
    import onnxruntime

    card = exported(net, tmp_path / "out", "onnxruntime")
    assert {file.name for file in (tmp_path / "out").iterdir()} == {"network.onnx", "network.json"}
    assert (card["stamp"], card["height"], card["width"], card["dim"]) == ("abc", *SIZE, 8)
    session = onnxruntime.InferenceSession(
        tmp_path / "out" / str(card["file"]), providers=["CPUExecutionProvider"]
    )
    given, put = card["input"], card["output"]
    assert isinstance(given, dict)
    assert isinstance(put, dict)
    assert [i.name for i in session.get_inputs()] == [given["name"]]
    assert [o.name for o in session.get_outputs()] == [put["name"]]
    for count in (1, 4):
        got = session.run(None, {given["name"]: drawn(count)})[0]
        np.testing.assert_allclose(got, seen(net, drawn(count)), atol=1e-4)


def test_another_program_runs_the_openvino_file(net: FlukeNet, tmp_path: Path) -> None:
    card = exported(net, tmp_path / "out", "openvino")
    run = core().compile_model(
        tmp_path / "out" / str(card["file"]), "CPU", {"INFERENCE_PRECISION_HINT": "f32"}
    )
    got = run({"photos": drawn(4)})["embeddings"]
    np.testing.assert_allclose(got, seen(net, drawn(4)), atol=1e-4)


def test_an_export_replaces_one_and_nothing_else(net: FlukeNet, tmp_path: Path) -> None:
    exported(net, tmp_path / "out", "onnxruntime")
    exported(net, tmp_path / "out", "openvino")
    names = {file.name for file in (tmp_path / "out").iterdir()}
    assert names == {"network.xml", "network.bin", "network.json"}
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("dear")
    with pytest.raises(FlukeprintError, match="no export"):
        exported(net, tmp_path / "mine", "onnxruntime")
    assert (tmp_path / "mine" / "letter.txt").read_text() == "dear"


@pytest.mark.parametrize(
    ("engine", "precision", "said"),
    [("onnxruntime", "bf16", "has fp32"), ("openvino", "int8", "has fp32"), ("tvm", "fp32", "tvm")],
)
def test_an_export_that_there_is_not(
    engine: str, precision: str, said: str, net: FlukeNet, tmp_path: Path
) -> None:
    with pytest.raises(FlukeprintError, match=said):
        exported(net, tmp_path / "out", engine, precision)
    assert not list(tmp_path.iterdir())


def test_an_export_that_sees_otherwise_is_not_written(
    net: FlukeNet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def other(_: FlukeNet, size: tuple[int, int], target: Path) -> None:
        engine_export.write_onnx(network(seed=1), size, target)

    how = engine_export.EXPORT_FORMATS["onnxruntime"]
    changed = engine_export.ExportFormat(other, how.read, how.offers, how.file, how.packages)
    monkeypatch.setitem(engine_export.EXPORT_FORMATS, "onnxruntime", changed)
    with pytest.raises(FlukeprintError, match="is not written: the cosine"):
        exported(net, tmp_path / "out", "onnxruntime")
    assert not list(tmp_path.iterdir())


def test_photographs_of_files_and_folders(tmp_path: Path) -> None:
    catalog = on_disk(tmp_path / "photos", 3)
    assert catalog.paths is not None
    (tmp_path / "photos" / "notes.txt").write_text("no photograph")
    assert photos_below([tmp_path / "photos"], image()).shape == (3, 3, *SIZE)
    assert photos_below([catalog.paths[0], tmp_path / "photos"], image()).shape[0] == 3
    (tmp_path / "empty").mkdir()
    with pytest.raises(FlukeprintError, match="no photographs in"):
        photos_below([tmp_path / "empty"], image())
    with pytest.raises(FlukeprintError, match="no such file"):
        photos_below([tmp_path / "nowhere.jpg"], image())


def test_the_command_writes_it_or_says_why_not(
    net: FlukeNet, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    catalog = on_disk(tmp_path / "photos", 12)
    settings = parse_config(
        {"name": "tiny", "image": image().model_dump(), "model": MODELS["gem and neck"]}, "here"
    )
    named = replace(catalog, identities=("w_1",) * 6 + ("w_2",) * 6)
    recipe = EmbeddingRecipe(settings.image).stamped(net)
    gallery = embed(net, named, recipe)
    build_identifier(settings, net, Features(gallery), None).save(tmp_path / "known")
    words = ["export", str(tmp_path / "known"), str(tmp_path / "photos"), "--out"]
    app([*words, str(tmp_path / "out"), "--engine", "openvino"], standalone_mode=False)
    assert "least cosine to torch fp32 1.0000" in capsys.readouterr().out
    assert json.loads((tmp_path / "out" / "network.json").read_text())["stamp"] == recipe.stamp
    with pytest.raises(FlukeprintError, match="has fp32"):
        app([*words, str(tmp_path / "no"), "--precision", "int8"], standalone_mode=False)
    assert not (tmp_path / "no").exists()
