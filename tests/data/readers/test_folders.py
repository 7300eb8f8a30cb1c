"""A folder for each identity."""

from pathlib import Path

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
