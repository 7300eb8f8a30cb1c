"""The servers that several tests of the API share, each started once a session."""

from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from tests.serving.api.http_client import connected, noise, secretive
from tests.serving.served import Served, served

LIMITS = (
    "serve.photo_bytes=200000", "serve.photo_pixels=100000", "serve.photos=2",
    "serve.request_bytes=300000", "serve.queue=1", "serve.rate=60",
    "serve.cors=[https://whales.example]",
)  # fmt: skip


@pytest.fixture(scope="session")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder for temporary files of `server`."""
    return tmp_path_factory.mktemp("scratch")


@pytest.fixture(scope="session")
def server(identifier: Path, scratch: Path) -> Iterator[Served]:
    with served(identifier, environment={"TMPDIR": str(scratch)}) as running:
        yield running


@pytest.fixture(scope="session")
def client(server: Served) -> Iterator[httpx2.Client]:
    with connected(server) as client:
        yield client


@pytest.fixture(scope="session")
def limited(identifier: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server with low limits and examples of its own, which another site may call."""
    examples = tmp_path_factory.mktemp("examples")
    (examples / "a.jpg").write_bytes(secretive())
    (examples / "b.png").write_bytes(noise(99))
    (examples / "notes.txt").write_text("no photograph")
    with served(identifier, *LIMITS, f"serve.examples={examples}") as running:
        yield running
