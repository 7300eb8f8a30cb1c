"""What tests of readers share: small files, and messages of one line."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from flukeprint.config.data import DataConfig
from flukeprint.data.readers.read import read_labelled
from flukeprint.errors import FlukeprintError

SPIDERS = r"^(?P<identity>.+)_\d+[a-z]?\.jpg$"
ROWS = [("a.jpg", "w_1"), ("b.jpg", "new_whale"), ("c.jpg", "w_1"), ("d.jpg", "w_2")]


def touch(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def write(path: Path, *lines: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


def refused(call: Callable[[], Any], *words: str) -> str:
    """The message of the FlukeprintError, one line that holds all `words`."""
    with pytest.raises(FlukeprintError) as caught:
        call()
    message = str(caught.value)
    assert "\n" not in message
    for word in words:
        assert word in message, message
    return message


def labelled(root: Path, **keys: Any) -> Any:
    return read_labelled(DataConfig(root=root, **keys))
