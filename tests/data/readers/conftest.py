"""A tiny data set in Kaggle's layout."""

from pathlib import Path

import pytest

from tests.data.readers.layouts import ROWS, touch, write


@pytest.fixture
def whales(tmp_path: Path) -> Path:
    """A tiny Kaggle layout: four labelled photos, three test photos, a sample that lists two."""
    write(tmp_path / "train.csv", "Image,Id", *(f"{image},{label}" for image, label in ROWS))
    write(tmp_path / "sample_submission.csv", "Image,Id", "z.jpg,new_whale", "x.jpg,new_whale")
    touch(*(tmp_path / "train" / image for image, _ in ROWS))
    touch(*(tmp_path / "test" / name for name in ("x.jpg", "y.jpg", "z.jpg", "notes.txt")))
    return tmp_path
