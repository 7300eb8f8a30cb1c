"""What tests of the page share: a browser, a service, and a photograph to ask it about."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tests.serving.page.browsing import browser
from tests.serving.served import Served, photo, served


@pytest.fixture(scope="module")
def site(identifier: Path) -> Iterator[Served]:
    with served(identifier) as running:
        yield running


@pytest.fixture(scope="module")
def chrome() -> Iterator[Browser]:
    with browser() as started:
        yield started


@pytest.fixture
def shape(tmp_path: Path) -> Path:
    path = tmp_path / "shape.jpg"
    path.write_bytes(photo(3, 3, 200))
    return path
