"""Identities in file names."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.data.readers.layouts import SPIDERS, labelled, touch
from tests.refusals import refused


def test_identity_in_the_file_name(tmp_path: Path) -> None:
    touch(tmp_path / "train/acanthogonatus_sp _0006.jpg", tmp_path / "train/lox_laeta_0006a.jpg")
    catalog = labelled(tmp_path, reader="file_name", pattern=SPIDERS)
    assert catalog.identities == ("acanthogonatus_sp", "lox_laeta")

    def with_pattern(pattern: str | None) -> Callable[[], Any]:
        return lambda: labelled(tmp_path, reader="file_name", pattern=pattern)

    refused(with_pattern(None), "data.pattern")
    refused(with_pattern("(?P<identity>"), "not a regular expression")
    refused(with_pattern("(.+)_"), "no group `identity`")
    refused(
        with_pattern("(?P<identity>w)_"), "does not match 2 of 2 file names", "lox_laeta_0006a.jpg"
    )
    error = refused(
        with_pattern("(?P<identity>lox.*)_"), "not match 1 of 2 file names", "acanthogonatus"
    )
    assert "lox_laeta" not in str(error)
