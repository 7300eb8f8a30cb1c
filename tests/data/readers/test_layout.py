"""Folders of photographs without labels."""

from pathlib import Path

from flukeprint.config.data import DataConfig
from flukeprint.data.readers.read import read_test
from tests.data.readers.layouts import labelled, touch
from tests.refusals import refused


def test_test_photos_in_the_order_of_the_sample_else_sorted(whales: Path) -> None:
    catalog = read_test(DataConfig(root=whales))
    assert catalog.images == ("z.jpg", "x.jpg")
    assert catalog.identities == (None, None)
    config = DataConfig(root=whales, sample_submission=None)
    assert read_test(config).images == ("x.jpg", "y.jpg", "z.jpg")
    (whales / "sample_submission.csv").unlink()
    refused(lambda: read_test(DataConfig(root=whales)), "sample_submission.csv is missing", "null")


def test_folder_without_photographs(tmp_path: Path) -> None:
    touch(tmp_path / "train/readme.txt")
    refused(lambda: labelled(tmp_path, reader="folders"), "holds no photographs")
