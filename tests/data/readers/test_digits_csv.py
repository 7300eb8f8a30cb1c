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


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_digits_of_a_spreadsheet(tmp_path: Path, encoding: str) -> None:
    config = digits_folder(tmp_path, [[0, 1, 2, 255]], [3])
    before = read_labelled(config)
    text = "label;pixel0;pixel1;pixel2;pixel3;;\r\n3;0;1;2;255;;\r\n;;;;;;\r\n"
    (tmp_path / "train.csv").write_bytes(text.encode(encoding))
    after = read_labelled(config)
    assert after.identities == before.identities == ("3",)
    assert after.pixels is not None
    assert after.pixels.tolist() == [[[0, 1], [2, 255]]]


def test_digits_of_another_storage() -> None:
    upath = pytest.importorskip("upath")
    root = upath.UPath("memory://digits-of-another-storage")
    root.mkdir(parents=True, exist_ok=True)
    (root / "train.csv").write_text("label,pixel0\n3,7\n")
    (root / "test.csv").write_text("pixel0\n9\n")
    config = DataConfig(reader="digits_csv", root=root, test="test.csv", sample_submission=None)
    labelled, test = read_labelled(config), read_test(config)
    assert labelled.identities == ("3",)
    assert labelled.pixels is not None
    assert test.pixels is not None
    assert (labelled.pixels.item(), test.pixels.item()) == (7, 9)
