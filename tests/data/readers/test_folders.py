"""A folder for each identity."""

from pathlib import Path

import pytest

from tests.data.readers.layouts import labelled, touch
from tests.refusals import refused


def test_folder_per_identity(tmp_path: Path) -> None:
    touch(tmp_path / "train/w 2/b.JPG", tmp_path / "train/w_1/2019/a.png")
    touch(tmp_path / "train/new_whale/c.jpg", tmp_path / "train/w_1/.hidden.jpg")
    catalog = labelled(tmp_path, reader="folders")
    assert dict(zip(catalog.images, catalog.identities, strict=True)) == {
        "new_whale/c.jpg": None,
        "w 2/b.JPG": "w 2",
        "w_1/2019/a.png": "w_1",
    }
    touch(tmp_path / "train/stray.jpg")
    refused(lambda: labelled(tmp_path, reader="folders"), "stray.jpg")


def test_every_ending_in_any_letter_case_and_the_rest_is_counted(tmp_path: Path) -> None:
    names = ["a.HIF", "b.heic", "c.JFIF", "d.jpe", "e.mpo", "f.Tif", "g.jpg"]
    touch(*(tmp_path / "train/w_1" / name for name in names))
    touch(*(tmp_path / "train/w_1" / name for name in ("notes.txt", "Thumbs.db", "x.TXT", "who")))
    touch(tmp_path / "train/w_1/.DS_Store")
    told = "4 files left out that are no photographs by name: 2 .txt, 1 .db, 1 no ending"
    with pytest.warns(UserWarning, match=told):
        catalog = labelled(tmp_path, reader="folders")
    assert catalog.images == tuple(f"w_1/{name}" for name in names)


def test_folders_behind_links_are_animals_too(tmp_path: Path) -> None:
    touch(tmp_path / "train/w_1/a.jpg", tmp_path / "elsewhere/2019/b.jpg", tmp_path / "c.jpg")
    touch(tmp_path / "disk/w_4/d.jpg", tmp_path / "disk/w_4/2020/e.jpg")
    (tmp_path / "train/w_2").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "train/w_3").mkdir()
    (tmp_path / "train/w_3/c.jpg").symlink_to("../../c.jpg")
    (tmp_path / "train/w_4").symlink_to("../disk/w_4", target_is_directory=True)
    catalog = labelled(tmp_path, reader="folders")
    assert dict(zip(catalog.images, catalog.identities, strict=True)) == {
        "w_1/a.jpg": "w_1",
        "w_2/2019/b.jpg": "w_2",
        "w_3/c.jpg": "w_3",
        "w_4/d.jpg": "w_4",
        "w_4/2020/e.jpg": "w_4",
    }
    assert all(path.is_file() for path in catalog.paths)
