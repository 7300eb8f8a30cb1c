"""Galleries in Qdrant: embedded, behind HTTP, and in the server that QDRANT_URL names, if any."""

import os
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flukeprint.data.embeddings import Embeddings
from flukeprint.errors import FlukeprintError
from flukeprint.search.index import NOTHING
from flukeprint.search.qdrant_client import SearchFilter
from flukeprint.search.qdrant_collection import QdrantCollection
from flukeprint.search.qdrant_index import QdrantIndex
from tests.search.contract import DIM, IndexContract, drawn, named
from tests.search.qdrant_server import Server, config


class TestEmbedded(IndexContract):
    def build(self, photos: Embeddings, rows: Any = None) -> QdrantIndex:
        return QdrantIndex.build(photos, config(), rows)

    def load(self, folder: Path) -> QdrantIndex:
        return QdrantIndex.load(folder)

    def test_is_exact(self) -> None:
        assert self.build(drawn(3)).exact

    def test_its_files_hold_no_pickles(self, tmp_path: Path) -> None:
        self.build(drawn(3)).save(tmp_path)
        assert {path.name for path in tmp_path.iterdir()} == {"qdrant.json", "points.npz"}
        with np.load(tmp_path / "points.npz", allow_pickle=False) as file:
            assert all(file[name].dtype != object for name in file.files)

    def test_a_damaged_file_is_refused_in_one_line(self, tmp_path: Path) -> None:
        self.build(drawn(3)).save(tmp_path)
        (tmp_path / "points.npz").write_bytes(b"PK no more")
        with pytest.raises(FlukeprintError, match="holds no whole points"):
            QdrantIndex.load(tmp_path)
        (tmp_path / "qdrant.json").write_text("{}")
        with pytest.raises(FlukeprintError, match="describes no gallery"):
            QdrantIndex.load(tmp_path)

    def test_names_survive_saving(self, tmp_path: Path) -> None:
        photos = named(np.eye(DIM)[:4])
        self.build(photos).save(tmp_path)
        again = QdrantIndex.load(tmp_path)
        found = again.search(np.eye(DIM, dtype=np.float32)[:1], 4, SearchFilter(identities=("w1",)))
        assert found.rows.tolist() == [[3, NOTHING, NOTHING, NOTHING]]


class TestBehindHttp(IndexContract):
    exhaustive, quantize = True, False

    @pytest.fixture(autouse=True)
    def _served(self, server: Server) -> None:
        self.server = server

    def build(self, photos: Embeddings, rows: Any = None) -> QdrantIndex:
        name = f"g{uuid.uuid4().hex[:6]}"  # the contract builds several at once
        target = 1 if self.exhaustive else 0.99
        settings = config(
            self.server.url, collection=name, recall_at_5=target, quantize=self.quantize
        )
        return QdrantIndex.build(photos, settings, rows)

    def load(self, folder: Path) -> QdrantIndex:
        return QdrantIndex.load(folder)

    def test_only_its_place_is_saved(self, tmp_path: Path) -> None:
        self.build(drawn(3)).save(tmp_path)
        assert [path.name for path in tmp_path.iterdir()] == ["qdrant.json"]


class TestEngine(TestBehindHttp):
    """The engine of a server: it orders equal scores otherwise than the client's Python."""

    @pytest.fixture(autouse=True)
    def _served(self, engine_server: Server) -> None:
        self.server = engine_server


class TestEngineOfCodes(TestEngine):
    recall, exhaustive, quantize = 0.99, False, True


@pytest.mark.skipif(not os.environ.get("QDRANT_URL"), reason="QDRANT_URL names no server")
@pytest.mark.parametrize("quantize", [False, True])
class TestRealServer(IndexContract):
    recall = 0.99

    @pytest.fixture(autouse=True)
    def _cleaned(self, quantize: bool) -> Iterator[None]:
        self.made: list[QdrantIndex] = []
        self.quantize = quantize
        yield
        for index in self.made:
            for alias, name in index.collection.aliases().items():
                if alias == index.location.collection:
                    index.collection.client.delete_collection(name)

    def build(self, photos: Embeddings, rows: Any = None) -> QdrantIndex:
        name = f"flukeprint-test-{uuid.uuid4().hex[:8]}"
        index = QdrantIndex.build(
            photos, config(os.environ["QDRANT_URL"], collection=name, quantize=self.quantize), rows
        )
        self.made.append(index)
        return index

    def load(self, folder: Path) -> QdrantIndex:
        return QdrantIndex.load(folder)


def test_a_new_gallery_takes_over_in_one_step(server: Server):
    old = QdrantIndex.build(drawn(10, stamp="old"), config(server.url))
    assert old.current_stamp() == "old"
    new = QdrantIndex.build(drawn(20, seed=1, stamp="new"), config(server.url))
    assert new.current_stamp() == "old"  # what is asked for by its alias is as it was
    assert QdrantIndex.connect(config(server.url), "old", DIM).__len__() == 10
    assert (len(old), len(new), new.stamps()) == (10, 20, ("new", "old"))
    before = len(server.seen)
    new.switch()
    told = [path for method, path, _ in server.seen[before:] if method != "GET"]
    assert told == ["/collections/aliases"]
    assert new.current_stamp() == "new"
    assert len(QdrantIndex.connect(config(server.url), "new", DIM)) == 20
    assert len(old) == 10  # a process that still has the old network finds its gallery
    with pytest.raises(FlukeprintError, match="network new has the current gallery"):
        new.drop("new")
    new.drop("old")
    assert new.stamps() == ("new",)
    with pytest.raises(FlukeprintError, match="any more; build it again"):
        old.search(drawn(1).vectors, 1)


def test_a_gallery_of_the_same_network_replaces_the_earlier_one(server: Server):
    first = QdrantIndex.build(drawn(10), config(server.url))
    again = QdrantIndex.build(drawn(20), config(server.url))
    stamp = first.location.stamp
    assert (again.current_stamp(), again.stamps()) == (stamp, (stamp,))
    assert len(first) == len(again) == 20
    assert len(server.qdrant.get_collections().collections) == 1


def test_a_killed_build_is_never_found(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    index = QdrantIndex.build(drawn(10), config(server.url))
    index.save(tmp_path)

    def killed(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(QdrantCollection, "give_aliases", killed)
        with pytest.raises(KeyboardInterrupt):
            QdrantIndex.build(drawn(30), config(server.url))
        with pytest.raises(KeyboardInterrupt):
            QdrantIndex.build(drawn(30, stamp="other"), config(server.url))
    assert len(QdrantIndex.load(tmp_path)) == 10
    assert index.stamps() == (index.location.stamp,)
    index.drop("other")
    names = [found.name for found in server.qdrant.get_collections().collections]
    assert not any("other" in name for name in names)


def test_another_network_is_refused(server: Server, tmp_path: Path):
    index = QdrantIndex.build(drawn(5, stamp="one"), config(server.url))
    with pytest.raises(FlukeprintError, match=r"two networks do not compare.*one.*other"):
        index.add(drawn(5, stamp="other"), np.arange(5, 10))
    with pytest.raises(FlukeprintError, match="is of network one, not other") as caught:
        QdrantIndex.connect(config(server.url), "other", DIM)
    assert "\n" not in str(caught.value)
    with pytest.raises(FlukeprintError, match="has no gallery lions; build it first"):
        QdrantIndex.connect(config(server.url, collection="lions"), "one", DIM)
    with pytest.raises(FlukeprintError, match=f"vectors of {DIM} numbers, the network has 9"):
        QdrantIndex.connect(config(server.url), "one", 9)
    index.save(tmp_path)
    server.qdrant.delete_collection(index.collection.aliases()[index.location.alias])
    with pytest.raises(FlukeprintError, match="has no gallery flukeprint of network one"):
        QdrantIndex.load(tmp_path)


def test_a_row_in_use_is_refused():
    index = QdrantIndex.build(drawn(5), config())
    with pytest.raises(ValueError, match="3"):
        index.add(drawn(2), np.array([3, 9]))
    with pytest.raises(ValueError, match="twice"):
        index.add(drawn(2), np.array([8, 8]))
    assert len(index) == 5
