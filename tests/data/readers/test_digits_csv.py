"""Kaggle's tables of digits."""

import csv
from pathlib import Path

import pytest

from flukeprint.config.data import DataConfig
from flukeprint.data.readers.read import read_labelled, read_test
from tests.data.readers.layouts import write
from tests.refusals import refused


def digits_folder(root: Path, cells: list[list[object]], labels: list[object]) -> DataConfig:
    names = [f"pixel{i}" for i in range(4)]
    with (root / "train.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerows(
            [["label", *names], *([a, *b] for a, b in zip(labels, cells, strict=True))]
        )
    with (root / "test.csv").open("w", newline="") as file:
        csv.writer(file).writerows([names, *cells])
    return DataConfig(reader="digits_csv", root=root, test="test.csv", sample_submission=None)


def test_kaggle_digits(tmp_path: Path) -> None:
    config = digits_folder(tmp_path, [[0, 1, 2, 255], [9, 8, 7, 6]], [3, 7])
    train, test = read_labelled(config), read_test(config)
    assert train.identities == ("3", "7")
    assert train.pixels is not None
    assert train.pixels.tolist() == [[[0, 1], [2, 255]], [[9, 8], [7, 6]]]
    assert train.images == ("train_1", "train_2")
    assert test.images == ("1", "2")


@pytest.mark.parametrize("cell", ["256", "-1", "", "x", "1.5", "70000"])
def test_bad_pixels_are_named(tmp_path: Path, cell: str) -> None:
    config = digits_folder(tmp_path, [[0, 1, 2, 255], [9, 8, cell, 6]], [3, 7])
    refused(lambda: read_labelled(config), "train.csv, line 3: pixel2", repr(cell), "0 to 255")
    refused(lambda: read_test(config), "test.csv, line 3: pixel2")


def test_bad_digit_tables(tmp_path: Path) -> None:
    config = digits_folder(tmp_path, [[0, 1, 2, 3]], [""])
    refused(lambda: read_labelled(config), "line 2: label is ''")
    write(tmp_path / "train.csv", "label,pixel0,pixel1", "1,2,3")
    refused(lambda: read_labelled(config), "square")
    write(tmp_path / "train.csv", "digit,pixel0", "1,2")
    refused(lambda: read_labelled(config), "first column is label")
