"""Engines that are kept for the next process: the same answers, and nothing damaged or foreign."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from flukeprint.config.ranking import EngineName, PrecisionName
from flukeprint.embedding import engine_choice, kept_engine
from flukeprint.embedding.engine import Engine
from flukeprint.embedding.engine_choice import pick_engine
from flukeprint.embedding.engine_timings import EngineTrials
from flukeprint.embedding.kept_engine import FACTS, NETWORK, WEIGHTS, KeptEngines, can_keep
from flukeprint.embedding.openvino_engine import OpenVinoEngine
from flukeprint.errors import FlukeprintError
from flukeprint.models.lazy_network import LazyNetwork
from flukeprint.models.network import FlukeNet
from tests.embedding.tiny import SIZE, drawn, network

STAMP = "0123456789abcdef"


@pytest.fixture(autouse=True)
def _fast_openvino(own_notes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """OpenVINO is chosen, and the folder is this test's own."""
    monkeypatch.setattr(
        EngineTrials, "rate", lambda trials, option: 9.0 if option.engine == "openvino" else 1.0
    )


def never() -> FlukeNet:
    raise AssertionError("the network is built")


def picked(
    build: Callable[[], FlukeNet] = never,
    *,
    stamp: str = STAMP,
    engine: EngineName = "auto",
    precision: PrecisionName = "fp32",
    passes: int = 1,
) -> Engine:
    """As a process picks it that has just read the identifier."""
    return pick_engine(
        LazyNetwork(build), SIZE, engine, precision,
        stamp=stamp, sample=lambda: drawn(32), passes=passes,
    )  # fmt: skip


def kept() -> Engine:
    return picked(network, passes=1000)


def folder() -> Path:
    return KeptEngines(STAMP, SIZE).folder


def test_the_next_process_embeds_alike_and_builds_no_network() -> None:
    chosen = kept()
    assert isinstance(chosen, OpenVinoEngine)
    again = picked()
    assert isinstance(again, OpenVinoEngine)
    photos = drawn(5)
    np.testing.assert_array_equal(again.embed(photos), chosen.embed(photos))
    facts = KeptEngines(STAMP, SIZE).read()
    assert facts is not None
    assert facts.parameters == sum(weights.numel() for weights in network().parameters())


def test_a_choice_holds_for_what_was_asked_only() -> None:
    kept()
    lazy = LazyNetwork(network)
    assert picked(lazy.get, engine="torch").name == "torch"
    assert lazy.built is not None
    with pytest.raises(AssertionError):  # another one is chosen for many photographs
        picked(precision="auto", passes=1000)
    with pytest.raises(AssertionError):
        picked(stamp="another network's")
    assert picked(precision="auto").name == "openvino"  # few are embedded as single ones are


def test_torch_is_kept_as_a_choice_without_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        EngineTrials, "rate", lambda trials, option: 1.0 if option.engine == "torch" else 0.5
    )
    assert kept().name == "torch"
    facts = KeptEngines(STAMP, SIZE).read()
    assert facts is not None
    option = facts.option(("auto", "fp32"))
    assert option is not None
    assert option.engine == "torch"
    assert [path.name for path in folder().iterdir()] == [FACTS]
    assert picked(network).name == "torch"


def flipped(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("name", [FACTS, NETWORK, WEIGHTS])
@pytest.mark.parametrize("damage", [flipped, Path.unlink, lambda path: path.write_bytes(b"")])
def test_what_is_damaged_is_made_again(
    name: str, damage: Callable[[Path], None], capsys: pytest.CaptureFixture[str]
) -> None:
    photos = drawn(3)
    before = kept().embed(photos)
    damage(folder() / name)
    lazy = LazyNetwork(network)
    assert picked(lazy.get).name == "torch"
    assert lazy.built is not None
    said = capsys.readouterr().err
    if not (name == FACTS and damage is Path.unlink):  # then nothing is there
        assert f"{folder()} was changed or damaged" in said
    assert KeptEngines(STAMP, SIZE).read() is None
    np.testing.assert_array_equal(kept().embed(photos), before)
    capsys.readouterr()
    np.testing.assert_array_equal(picked().embed(photos), before)
    assert capsys.readouterr().err == ""


def test_what_belongs_to_something_else_is_refused() -> None:
    kept()
    other = KeptEngines("another network's", SIZE).folder
    shutil.copytree(folder(), other)
    with pytest.raises(AssertionError):
        picked(stamp="another network's")
    tree = json.loads((folder() / FACTS).read_text())
    tree["threads"] = 7  # without the digest that goes with it
    (folder() / FACTS).write_text(json.dumps(tree))
    with pytest.raises(AssertionError):
        picked()


@pytest.mark.parametrize("changed", ["versions", "threads", "processor"])
def test_another_machine_or_version_keeps_its_own(
    changed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept()
    before = folder()
    if changed == "versions":
        monkeypatch.setattr(kept_engine, "_version", lambda package: f"{package} 0")
    elif changed == "threads":
        monkeypatch.setenv("OMP_NUM_THREADS", "77")
    else:
        monkeypatch.setattr(kept_engine, "processor", lambda: "another")
    assert folder() != before
    with pytest.raises(AssertionError):
        picked()


def test_without_openvino_nothing_is_kept_nor_used(monkeypatch: pytest.MonkeyPatch) -> None:
    kept()
    for module in (engine_choice, kept_engine):
        monkeypatch.setattr(module, "find_spec", lambda name: None)
    assert not can_keep()
    assert picked(network).name == "torch"
    shutil.rmtree(folder())
    assert kept().name == "torch"
    assert not folder().exists()


def test_a_process_that_dies_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def dies(engine: OpenVinoEngine, target: Path) -> None:
        target.write_text("half")
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(OpenVinoEngine, "save", dies)
        with pytest.raises(KeyboardInterrupt):
            kept()
    assert not folder().exists()
    kept()
    assert sorted(path.name for path in folder().iterdir()) == [FACTS, WEIGHTS, NETWORK]
    assert picked().name == "openvino"


def test_where_nothing_can_be_written_it_is_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(engine: OpenVinoEngine, target: Path) -> None:
        raise FlukeprintError("the disk is full")

    monkeypatch.setattr(OpenVinoEngine, "save", full)
    assert kept().name == "openvino"  # all the same
    assert "not kept for the next start: the disk is full" in capsys.readouterr().err


def test_the_oldest_are_removed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept_engine, "_MOST_KEPT", 2)
    for stamp in ("a", "b", "c"):
        picked(network, stamp=stamp, passes=1000)
    there = [path.name.split("-")[0] for path in folder().parent.iterdir()]
    assert sorted(there) == ["b", "c"]
