"""The scripts of findings/ are listed, pinned, and run nothing of this project."""

import os
import re
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[1] / "findings"
SCRIPTS = sorted(FOLDER.glob("*.sh"))


def test_each_script_has_a_row_and_each_row_a_script() -> None:
    rows = re.findall(r"^\| \[([\w.]+)\]\(\1\) \|", (FOLDER / "README.md").read_text(), re.M)
    assert rows == [path.name for path in SCRIPTS]
    assert {path.name for path in FOLDER.iterdir()} == {"README.md", *rows}


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_scripts_pin_what_they_install_and_say_what_was_seen(path: Path) -> None:
    text = path.read_text()
    assert os.access(path, os.X_OK)
    assert "set -euo pipefail" in text
    assert "trap 'rm -rf \"$folder\"' EXIT" in text
    installed = re.findall(r"pip install [^\n]*", text)
    assert len(installed) == 1
    packages = re.findall(r"'([^']+)'", installed[0])
    assert packages
    assert all(re.fullmatch(r"[\w.-]+==[\w.]+", package) for package in packages)
    assert "index-url" not in text
    assert "flukeprint" not in text
    for word in ("# Packages: ", "# Guess: ", "# Behaviour: ", "# Whom it hurts: ", "# Seen: "):
        assert word in text
    assert re.search(r"^assert ", text, re.M)
