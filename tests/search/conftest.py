"""A server as Qdrant is one, and files that are not flushed to the disk."""

import os
from collections.abc import Iterator

import pytest

from tests.search.edge_engine import EdgeEngine
from tests.search.qdrant_server import Server


@pytest.fixture
def server() -> Iterator[Server]:
    yield from _served(Server())


@pytest.fixture
def engine() -> Iterator[EdgeEngine]:
    engine = EdgeEngine()
    yield engine
    engine.close()


@pytest.fixture
def engine_server(engine: EdgeEngine) -> Iterator[Server]:
    """A server before Qdrant's own engine, not the client's embedded mode, which is Python."""
    yield from _served(Server(qdrant=engine))


def _served(server: Server) -> Iterator[Server]:
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture(autouse=True)
def _not_flushed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waiting for the disk takes most of the time of small writes, and no test pulls the plug."""
    monkeypatch.setattr(os, "fsync", lambda _: None)
