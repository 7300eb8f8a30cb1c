"""Exported networks run in other programs, whole or not written at all."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from flukeprint.cli import app
from flukeprint.config.load import parse_config
from flukeprint.embedding import export as engine_export
from flukeprint.embedding.embed import embed
from flukeprint.embedding.export import export_network, read_photos_below
from flukeprint.embedding.openvino_engine import core
from flukeprint.embedding.recipe import EmbeddingRecipe
from flukeprint.errors import FlukeprintError
from flukeprint.identifier.build import build_identifier
from flukeprint.models.network import FlukeNet
from flukeprint.ranking.features import Features
from tests.embedding.tiny import MODELS, SIZE, drawn, image, network, on_disk, seen


def exported(
    net: FlukeNet, folder: Path, engine: str, precision: str = "fp32"
) -> dict[str, object]:
    export_network(net, drawn(12), folder, engine, precision, stamp="abc", resize="pad", variants=2)
    card: dict[str, object] = json.loads((folder / "network.json").read_text())
    return card


def test_another_program_runs_the_onnx_file(shared_net: FlukeNet, tmp_path: Path) -> None:
    import onnxruntime

    card = exported(shared_net, tmp_path / "out", "onnxruntime")
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
        np.testing.assert_allclose(got, seen(shared_net, drawn(count)), atol=1e-4)


def test_another_program_runs_the_openvino_file(shared_net: FlukeNet, tmp_path: Path) -> None:
    card = exported(shared_net, tmp_path / "out", "openvino")
    run = core().compile_model(
        tmp_path / "out" / str(card["file"]), "CPU", {"INFERENCE_PRECISION_HINT": "f32"}
    )
    got = run({"photos": drawn(4)})["embeddings"]
    np.testing.assert_allclose(got, seen(shared_net, drawn(4)), atol=1e-4)


def test_an_export_replaces_one_and_nothing_else(shared_net: FlukeNet, tmp_path: Path) -> None:
    exported(shared_net, tmp_path / "out", "onnxruntime")
    exported(shared_net, tmp_path / "out", "openvino")
    names = {file.name for file in (tmp_path / "out").iterdir()}
    assert names == {"network.xml", "network.bin", "network.json"}
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("dear")
    with pytest.raises(FlukeprintError, match="no export"):
        exported(shared_net, tmp_path / "mine", "onnxruntime")
    assert (tmp_path / "mine" / "letter.txt").read_text() == "dear"


@pytest.mark.parametrize(
    ("engine", "precision", "said"),
    [("onnxruntime", "bf16", "has fp32"), ("openvino", "int8", "has fp32"), ("tvm", "fp32", "tvm")],
)
def test_an_export_that_there_is_not(
    engine: str, precision: str, said: str, shared_net: FlukeNet, tmp_path: Path
) -> None:
    with pytest.raises(FlukeprintError, match=said):
        exported(shared_net, tmp_path / "out", engine, precision)
    assert not list(tmp_path.iterdir())


def test_an_export_that_sees_otherwise_is_not_written(
    shared_net: FlukeNet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def other(_: FlukeNet, size: tuple[int, int], target: Path) -> None:
        engine_export.write_onnx(network(seed=1), size, target)

    how = engine_export.EXPORT_FORMATS["onnxruntime"]
    changed = engine_export.ExportFormat(other, how.read, how.offers, how.file, how.packages)
    monkeypatch.setitem(engine_export.EXPORT_FORMATS, "onnxruntime", changed)
    with pytest.raises(FlukeprintError, match="is not written: the cosine"):
        exported(shared_net, tmp_path / "out", "onnxruntime")
    assert not list(tmp_path.iterdir())


def test_photographs_of_files_and_folders(tmp_path: Path) -> None:
    catalog = on_disk(tmp_path / "photos", 3)
    assert catalog.paths is not None
    (tmp_path / "photos" / "notes.txt").write_text("no photograph")
    assert read_photos_below([tmp_path / "photos"], image()).shape == (3, 3, *SIZE)
    assert read_photos_below([catalog.paths[0], tmp_path / "photos"], image()).shape[0] == 3
    (tmp_path / "empty").mkdir()
    with pytest.raises(FlukeprintError, match="no photographs in"):
        read_photos_below([tmp_path / "empty"], image())
    with pytest.raises(FlukeprintError, match="no such file"):
        read_photos_below([tmp_path / "nowhere.jpg"], image())


def test_the_command_writes_it_or_says_why_not(
    shared_net: FlukeNet, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    catalog = on_disk(tmp_path / "photos", 12)
    settings = parse_config(
        {"name": "tiny", "image": image().model_dump(), "model": MODELS["gem and neck"]}, "here"
    )
    named = replace(catalog, identities=("w_1",) * 6 + ("w_2",) * 6)
    recipe = EmbeddingRecipe(settings.image).stamped(shared_net)
    gallery = embed(shared_net, named, recipe)
    build_identifier(settings, shared_net, Features(gallery), None).save(tmp_path / "known")
    words = ["export", str(tmp_path / "known"), str(tmp_path / "photos"), "--out"]
    app([*words, str(tmp_path / "out"), "--engine", "openvino"], standalone_mode=False)
    assert "least cosine 1.0000" in capsys.readouterr().out
    assert json.loads((tmp_path / "out" / "network.json").read_text())["stamp"] == recipe.stamp
    with pytest.raises(FlukeprintError, match="has fp32"):
        app([*words, str(tmp_path / "no"), "--precision", "int8"], standalone_mode=False)
    assert not (tmp_path / "no").exists()
