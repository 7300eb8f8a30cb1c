"""Whole or nothing."""

from pathlib import Path

import pytest

from flukeprint.errors import FlukeprintError
from flukeprint.files import folder_written_whole, written_whole


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_appears_when_it_is_whole(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "a.txt"
    with written_whole(target) as path:
        path.write_text("new")
        assert not target.exists()
    assert target.read_text() == "new"
    assert names(target.parent) == ["a.txt"]


def test_a_failure_keeps_the_old_file(tmp_path: Path) -> None:
    target = tmp_path / "a.txt"
    target.write_text("old")

    def fail() -> None:
        with written_whole(target) as path:
            path.write_text("half")
            raise OSError(28, "No space left on device")

    with pytest.raises(FlukeprintError, match=r"a\.txt: No space left"):
        fail()
    assert target.read_text() == "old"
    assert names(tmp_path) == ["a.txt"]


def test_a_folder_replaces_the_old_one_whole(tmp_path: Path) -> None:
    target = tmp_path / "kept"
    for text in ("one", "two"):
        with folder_written_whole(target) as folder:
            (folder / text).write_text(text)
    assert names(target) == ["two"]
    assert names(tmp_path) == ["kept"]


def test_a_failure_keeps_the_old_folder(tmp_path: Path) -> None:
    target = tmp_path / "kept"
    with folder_written_whole(target) as folder:
        (folder / "one").write_text("one")

    def fail() -> None:
        with folder_written_whole(target) as folder:
            (folder / "two").write_text("two")
            raise ValueError("a defect")

    with pytest.raises(ValueError, match="a defect"):
        fail()
    assert names(target) == ["one"]
    assert names(tmp_path) == ["kept"]


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(FlukeprintError, match="cannot write"), written_whole(tmp_path / "file/a"):
        pass
