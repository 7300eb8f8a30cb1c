"""What tests of readers share: small files, and messages of one line."""

from pathlib import Path
from typing import Any

from flukeprint.config.data import DataConfig
from flukeprint.data.readers.read import read_labelled

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


def labelled(root: Path, **keys: Any) -> Any:
    return read_labelled(DataConfig(root=root, **keys))
