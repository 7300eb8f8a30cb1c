"""A server as Qdrant is one, and files that are not flushed to the disk."""

import os
from collections.abc import Iterator

import pytest

from tests.search.qdrant_server import Server


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture(autouse=True)
def _not_flushed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waiting for the disk takes most of the time of small writes, and no test pulls the plug."""
    monkeypatch.setattr(os, "fsync", lambda _: None)
