"""Galleries in Qdrant: embedded, behind HTTP, and in the server that QDRANT_URL names, if any.

Behind HTTP stands the embedded mode, answering requests as a server does; so everything that the
client sends is read by the client's own schema.
"""

import json
import os
import re
import socket
import threading
import uuid
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from qdrant_client import QdrantClient, models

from flukeprint.config.schema import GalleryConfig
from flukeprint.data.embeddings import Embeddings
from flukeprint.errors import FlukeprintError
from flukeprint.search import qdrant_client, qdrant_collection
from flukeprint.search.index import NOTHING
from flukeprint.search.qdrant_client import SearchFilter
from flukeprint.search.qdrant_collection import QdrantCollection
from flukeprint.search.qdrant_index import QdrantIndex
from tests.search.contract import DIM, IndexContract, drawn, named

KEY = "a key that nobody may see"


class Server(ThreadingHTTPServer):
    """Qdrant's REST interface, as far as galleries need it, before the embedded mode."""

    def __init__(self, key: str | None = None) -> None:
        super().__init__(("127.0.0.1", 0), Answers)
        self.key = key
        self.qdrant = QdrantClient(":memory:")
        self.lock = threading.Lock()
        self.seen: list[tuple[str, str, Any]] = []  # method, path, body
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def bodies(self, path: str) -> list[Any]:
        """Of the requests whose path ends so."""
        return [body for _, where, body in self.seen if where.endswith(path)]


class Answers(BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None:
        pass

    def answer(self) -> None:
        length = int(self.headers.get("content-length") or 0)
        body = json.loads(self.rfile.read(length)) if length else {}
        path = self.path.partition("?")[0].replace("%40", "@")
        self.server.seen.append((self.command, path, body))
        if self.server.key is not None and self.headers.get("api-key") != self.server.key:
            self.say(401, {"status": {"error": "Must provide an API key"}})
            return
        try:
            with self.server.lock:
                result = self.result(path, body)
        except ValueError as error:
            status = 404 if "not found" in str(error) else 400
            self.say(status, {"status": {"error": str(error)}, "time": 0})
            return
        if hasattr(result, "model_dump"):
            result = result.model_dump(mode="json")
        self.say(200, {"result": result, "status": "ok", "time": 0.0})

    do_GET = do_PUT = do_POST = do_DELETE = do_PATCH = answer

    def say(self, status: int, body: Any) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def result(self, path: str, body: Any) -> Any:
        q, method = self.server.qdrant, self.command
        if path == "/aliases":
            return q.get_aliases()
        if path == "/collections":
            return q.get_collections()
        if path == "/collections/aliases":
            return q.update_collection_aliases(models.ChangeAliasesOperation(**body).actions)
        found = re.fullmatch(r"/collections/([^/]+)(/.*)?", path)
        assert found is not None, path
        name, what = found[1], found[2] or ""
        if (method, what) == ("PUT", ""):
            asked = models.CreateCollection(**body)
            return q.create_collection(name, asked.vectors, metadata=asked.metadata)
        if (method, what) == ("DELETE", ""):
            return q.delete_collection(name)
        if (method, what) == ("GET", ""):
            return q.get_collection(name)
        done = {"operation_id": 0, "status": "completed"}
        if (method, what) == ("PUT", "/index"):
            models.CreateFieldIndex(**body)
            return done
        if (method, what) == ("PUT", "/points"):
            q.upsert(name, models.PointsList(**body).points)
            return done
        if (method, what) == ("POST", "/points"):
            wanted = models.PointRequest(**body)
            points = q.retrieve(name, wanted.ids, with_payload=wanted.with_payload)
            return [point.model_dump(mode="json") for point in points]
        if (method, what) == ("POST", "/points/delete"):
            q.delete(name, models.PointIdsList(**body))
            return done
        if (method, what) == ("POST", "/points/count"):
            return q.count(name)
        if (method, what) == ("POST", "/points/query/batch"):
            batch = models.QueryRequestBatch(**body)
            return [
                one.model_dump(mode="json") for one in q.query_batch_points(name, batch.searches)
            ]
        raise AssertionError(f"{method} {path}")


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.shutdown()
    server.server_close()


def config(url: str | None = None, **keys: Any) -> GalleryConfig:
    return GalleryConfig(backend="qdrant", url=url, **keys)


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
    @pytest.fixture(autouse=True)
    def _served(self, server: Server) -> None:
        self.server = server

    def build(self, photos: Embeddings, rows: Any = None) -> QdrantIndex:
        name = f"g{uuid.uuid4().hex[:6]}"  # the contract builds several at once
        return QdrantIndex.build(
            photos, config(self.server.url, collection=name, recall_at_5=1), rows
        )

    def load(self, folder: Path) -> QdrantIndex:
        return QdrantIndex.load(folder)

    def test_only_its_place_is_saved(self, tmp_path: Path) -> None:
        self.build(drawn(3)).save(tmp_path)
        assert [path.name for path in tmp_path.iterdir()] == ["qdrant.json"]


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


# Filters.


@pytest.mark.parametrize("served", [False, True])
def test_filters_find_only_what_they_let_through(served: bool, server: Server):
    photos, queries = drawn(60), drawn(8, seed=1).vectors
    index = QdrantIndex.build(photos, config(server.url if served else None, recall_at_5=1))

    def right(query: Any, allowed: list[int]) -> list[int]:
        return sorted(allowed, key=lambda row: -float(photos.vectors[row] @ query))[:5]

    for among, lets in [
        (SearchFilter(views=("left",)), lambda row: row % 2 == 1),
        (SearchFilter(identities=("w1", "w7", "w12")), lambda row: row // 3 in (1, 7, 12)),
        (SearchFilter(without=("w0", "w19")), lambda row: row // 3 not in (0, 19)),
        (
            SearchFilter(views=("right",), identities=("w2", "w3"), without=("w3",)),
            lambda row: row % 2 == 0 and row // 3 == 2,
        ),
        (SearchFilter(identities=()), lambda row: False),
    ]:
        allowed = [row for row in range(60) if lets(row)]
        found = index.search(queries, 5, among)
        for query, rows, scores in zip(queries, found.rows, found.scores, strict=True):
            wanted = right(query, allowed)
            assert rows.tolist() == wanted + [NOTHING] * (5 - len(wanted))
            assert np.all(np.isneginf(scores[len(wanted) :]))


# What a server is told.


def test_a_server_is_told_how_to_keep_and_search(server: Server):
    photos = drawn(5)
    index = QdrantIndex.build(photos, config(server.url, quantize=True))
    assert not index.exact
    created = next(body for method, path, body in server.seen if method == "PUT")
    assert created["vectors"]["distance"] == "Dot"
    assert created["vectors"]["size"] == DIM
    assert created["vectors"]["on_disk"] is True
    assert created["quantization_config"]["scalar"]["type"] == "int8"
    assert created["quantization_config"]["scalar"]["always_ram"] is True
    assert created["metadata"] == {"stamp": photos.stamp}
    assert {body["field_name"] for body in server.bodies("/index")} == {"identity", "view"}
    index.search(photos.vectors[:2], 3)
    asked = server.bodies("/points/query/batch")[-1]["searches"]
    assert len(asked) == 2
    assert asked[0]["params"]["exact"] is False
    assert asked[0]["params"]["quantization"]["rescore"] is True
    plain = QdrantIndex.build(photos, config(server.url, collection="plain", recall_at_5=1))
    assert plain.exact
    plain.search(photos.vectors[:1], 3)
    assert server.bodies("/points/query/batch")[-1]["searches"][0]["params"]["exact"] is True


def test_points_and_queries_go_in_batches(server: Server, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(qdrant_collection, "UPSERT", 16)
    monkeypatch.setattr(qdrant_collection, "QUERIES_PER_REQUEST", 8)
    photos = drawn(50)
    index = QdrantIndex.build(photos, config(server.url))
    sizes = [len(body["points"]) for body in server.bodies("/points") if "points" in body]
    assert sizes == [16, 16, 16, 2]
    point = next(body["points"][1] for body in server.bodies("/points") if "points" in body)
    assert point["payload"] == {"image": "1.jpg", "identity": "w0", "view": "left"}
    found = index.search(photos.vectors[:20], 1)
    assert found.rows[:, 0].tolist() == list(range(20))
    assert [len(body["searches"]) for body in server.bodies("/batch")] == [8, 8, 4]


# Galleries of several networks.


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


# What may go wrong.


def refused(call: Any, *words: str) -> None:
    with pytest.raises(FlukeprintError) as caught:
        call()
    message = str(caught.value)
    assert "\n" not in message
    assert KEY not in message
    for word in words:
        assert word in message


def test_a_server_that_is_not_there():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    refused(lambda: QdrantIndex.build(drawn(3), config(url)), url, "does not answer")


def test_a_server_that_does_not_answer(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(qdrant_client, "TIMEOUT", 1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        refused(lambda: QdrantIndex.connect(config(url), "x", DIM), "does not answer within 1 s")


def test_the_key_comes_from_the_environment_and_stays_there(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str]
):
    server = Server(KEY)
    asked = config(server.url)
    monkeypatch.delenv("QDRANT_API_KEY", raising=False)
    refused(lambda: QdrantIndex.build(drawn(3), asked), "without a key", "QDRANT_API_KEY")
    monkeypatch.setenv("QDRANT_API_KEY", "another")
    with pytest.warns(UserWarning, match="insecure connection"):
        refused(lambda: QdrantIndex.build(drawn(3), asked), "refuses the key in QDRANT_API_KEY")
    monkeypatch.setenv("QDRANT_API_KEY", KEY)
    with pytest.warns(UserWarning, match="insecure connection"):
        index = QdrantIndex.build(drawn(3), asked)
    index.save(tmp_path)
    assert all(KEY.encode() not in path.read_bytes() for path in tmp_path.iterdir())
    assert KEY not in repr(index.location)
    said = capfd.readouterr()
    assert KEY not in said.out + said.err
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(
    ("url", "word"),
    [
        ("http://user:secret@host:6333", "user, a password"),
        ("http://host:6333/?key=secret", "user, a password or a query"),
        ("host:6333", "no address of a server"),
        ("ftp://host", "no address of a server"),
    ],
)
def test_an_address_that_is_none_or_tells_secrets(url: str, word: str):
    with pytest.raises(FlukeprintError, match=word) as caught:
        QdrantIndex.build(drawn(3), config(url))
    assert "secret" not in str(caught.value)


def test_a_name_that_no_collection_may_have():
    for name in ("", "a/b", "a@b"):
        with pytest.raises(FlukeprintError, match="no name of a collection"):
            QdrantIndex.build(drawn(3), config(collection=name))


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch):
    import sys

    monkeypatch.setitem(sys.modules, "qdrant_client", None)
    refused(lambda: QdrantIndex.build(drawn(3), config()), "pip install 'flukeprint[qdrant]'")
