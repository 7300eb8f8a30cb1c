"""Remembered measurements of engines."""

import json
from pathlib import Path

import pytest

from flukeprint.models.network import FlukeNet
from tests.embedding.tiny import picked


@pytest.mark.parametrize("broken", ["", "{", "[]", '{"rates": 3, "parity": {}}', "\x00\xff"])
def test_a_broken_file_of_notes_is_made_anew(broken: str, net: FlukeNet, own_notes: Path) -> None:
    own_notes.parent.mkdir()
    own_notes.write_bytes(broken.encode("latin-1"))
    picked(net)
    assert json.loads(own_notes.read_text())["rates"]
