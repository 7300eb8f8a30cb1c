"""What may go wrong with a server, its address and its key."""

import socket
from pathlib import Path
from typing import Any

import pytest

from flukeprint.errors import FlukeprintError
from flukeprint.search import qdrant_client
from flukeprint.search.qdrant_index import QdrantIndex
from tests.refusals import refused
from tests.search.contract import DIM, drawn
from tests.search.qdrant_server import KEY, Server, config


def refused_without_key(call: Any, *words: str) -> None:
    assert KEY not in str(refused(call, *words))


def test_a_server_that_is_not_there():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    refused_without_key(lambda: QdrantIndex.build(drawn(3), config(url)), url, "does not answer")


def test_a_server_that_does_not_answer(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(qdrant_client, "TIMEOUT", 1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        refused_without_key(
            lambda: QdrantIndex.connect(config(url), "x", DIM), "does not answer within 1 s"
        )


def test_the_key_comes_from_the_environment_and_stays_there(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str]
):
    server = Server(KEY)
    asked = config(server.url)
    monkeypatch.delenv("QDRANT_API_KEY", raising=False)
    refused_without_key(
        lambda: QdrantIndex.build(drawn(3), asked), "without a key", "QDRANT_API_KEY"
    )
    monkeypatch.setenv("QDRANT_API_KEY", "another")
    with pytest.warns(UserWarning, match="insecure connection"):
        refused_without_key(
            lambda: QdrantIndex.build(drawn(3), asked), "refuses the key in QDRANT_API_KEY"
        )
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
    refused_without_key(
        lambda: QdrantIndex.build(drawn(3), config()), "pip install 'flukeprint[qdrant]'"
    )
