"""Boxes: every way in which a cell writes one, and the two units."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from flukeprint.data.catalog import Box
from flukeprint.data.decoding import decode
from flukeprint.data.readers.boxes import (
    asked_box,
    box_of_cell,
    read_boxes,
    shares_in_pixels,
    upright_size,
)
from flukeprint.data.readers.read import read_test
from tests.data.readers.layouts import labelled, touch, write
from tests.refusals import refused

TEN = (10.5, 20.0, 40.5, 60.0)


@pytest.mark.parametrize(
    ("cell", "box"),
    [
        ("[10.5, 20.0, 30.0, 40.0]", TEN),
        (str([np.float64(10.5), np.float64(20), np.float64(30), np.float64(40)]), TEN),
        ("[np.float32(10.5), np.int64(20), np.float64(30.0), 40]", TEN),
        (str(np.array([10.5, 20, 30, 40])), TEN),
        (repr(np.array([10.5, 20, 30, 40], dtype=np.float32)), TEN),
        ("tensor([10.5000, 20.0000, 30.0000, 40.0000])", TEN),
        ("[1.05e+01 2.e+01 3.0e+01\n 4.e+01]", TEN),
        ("(10.5, 20, 30, 40)", TEN),
        ("10.5 20 30 40", TEN),
        (np.array([10.5, 20, 30, 40]), TEN),
        ((np.float64(10.5), 20, 30, np.int64(40)), TEN),
        ([10.5, 20, 30, 40], TEN),
        ("[-5, -5.5, 20, 20]", (-5.0, -5.5, 15.0, 14.5)),
        ("[nan, nan, nan, nan]", None),
        ("[nan nan nan nan]", None),
        ("[np.float64(nan), np.float64(nan), np.float64(nan), np.float64(nan)]", None),
        ("array([nan, nan, nan, nan])", None),
        ("[None, None, None, None]", None),
        ("", None),
        ("[]", None),
        ("nan", None),
        ("None", None),
        (None, None),
        (np.nan, None),
        (pd.NA, None),
        ([np.nan] * 4, None),
        ([], None),
    ],
)
def test_a_cell_is_read_however_it_was_written(cell: object, box: Box | None) -> None:
    assert box_of_cell(cell, "bbox of 7") == box


@pytest.mark.parametrize(
    ("cell", "words"),
    [
        ("[1, 2, 3]", "bbox of 7 is not [x, y, w, h]"),
        ("[1, 2, 3, 4, 5]", "is not"),
        ("[1, 2, nan, 4]", "is not"),
        ("[1, 2, inf, 4]", "is not"),
        ("[1, 2, x, 4]", "is not"),
        ("[1, 2, 3, 4", "is not"),
        ("[[1, 2, 3, 4]]", "is not"),
        ("__import__('os').abort()", "is not"),
        ("{'x': 1, 'y': 2, 'w': 3, 'h': 4}", "is not"),
        ({"x": 1}, "is not"),
        (7, "is not"),
        ([1, 2, "x", 4], "is not"),
        ("[5, 5, 0, 4]", "has no area"),
        ("[5, 5, 4, -1]", "has no area"),
        ("[0.1, 0.1, 0.5, 0.5]", "data.box_unit=share"),
    ],
)
def test_anything_else_is_refused(cell: object, words: str) -> None:
    refused(lambda: box_of_cell(cell, "bbox of 7"), "bbox of 7", words)


@pytest.mark.parametrize(
    ("row", "refusal"),
    [
        ("0.1,0.15,0.85,0.9", "box_unit=share"),
        ("0,0,1,1", "box_unit=share"),
        ("0,0,1.5,1.9", "box_unit=share"),
        ("0,0,2,1", None),
        ("0.1,0.15,0.85,90", None),
    ],
)
def test_shares_are_not_taken_for_pixels(tmp_path: Path, row: str, refusal: str | None) -> None:
    boxes = write(tmp_path / "boxes.csv", "Image,x0,y0,x1,y1", "a.jpg,5,5,20,30", f"b.jpg,{row}")
    if refusal is None:
        assert len(read_boxes(boxes)) == 2
    else:
        refused(lambda: read_boxes(boxes), "boxes.csv, line 3", refusal)


@pytest.mark.parametrize("row", ["0,0,1.2,1", "-0.2,0,1,1", "10,20,30,40"])
def test_pixels_are_not_taken_for_shares(tmp_path: Path, row: str) -> None:
    boxes = write(tmp_path / "boxes.csv", "Image,x0,y0,x1,y1", f"a.jpg,{row}")
    refused(lambda: read_boxes(boxes, "share"), "line 2", "data.box_unit=pixels")
    write(boxes, "Image,x0,y0,x1,y1", "a.jpg,-0.001,0,1.001,1")
    assert read_boxes(boxes, "share") == {"a.jpg": (0, 0, 1, 1)}


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.tif", "a.webp"])
@pytest.mark.parametrize("turn", [1, 3, 6, 8])
def test_the_upright_size_is_that_of_the_decoded_photograph(
    tmp_path: Path, name: str, turn: int
) -> None:
    exif = Image.Exif()
    exif[0x0112] = turn
    Image.new("RGB", (60, 40)).save(tmp_path / name, exif=exif)
    size = upright_size(tmp_path / name)
    assert size == decode(tmp_path / name).shape[1::-1]
    assert size == ((40, 60) if turn > 4 else (60, 40))


def test_boxes_in_shares_become_pixels_of_the_upright_photograph(tmp_path: Path) -> None:
    keys: dict[str, Any] = {"boxes": "boxes.csv", "box_unit": "share", "sample_submission": None}
    write(tmp_path / "train.csv", "Image,Id", "a.jpg,w_1", "b.jpg,w_2", "c.jpg,w_3")
    write(
        tmp_path / "boxes.csv", "Image,x0,y0,x1,y1", "a.jpg,0.1,0.25,0.5,1", "t.jpg,0,0,0.5,0.5",
        "c.jpg,0,0,1,0.5",
    )  # fmt: skip
    touch(tmp_path / "train" / "c.jpg", tmp_path / "test" / "t.jpg")  # empty, so without a size
    exif = Image.Exif()
    exif[0x0112] = 6
    for name in ("train/a.jpg", "train/b.jpg", "test/t.jpg"):
        Image.new("RGB", (60, 40)).save(tmp_path / name, exif=exif)
    catalog = labelled(tmp_path, **keys)
    assert catalog.boxes == ((4, 15, 20, 60), None, None)
    from flukeprint.config.data import DataConfig

    assert read_test(DataConfig(root=tmp_path, **keys)).boxes == ((0, 0, 20, 30),)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "four numbers"), ("a,b,c,d", "four numbers"), ("0.1,0.2,0.3", "four numbers"),
        ("0,0,1,1,1", "four numbers"), ("nan,0,1,1", "finite"), ("0,0,inf,1", "finite"),
        ("0.5,0.5,0,0.1", "empty"), ("0.5,0.5,0.1,-0.1", "empty"), ("-0.1,0,0.5,0.5", "inside"),
        ("0.6,0,0.5,0.5", "inside"), ("0,1,0.5,0.0005", "inside"), ("10,20,300,400", "inside"),
    ],
)  # fmt: skip
def test_a_box_that_is_asked_for_lies_in_the_photograph(text: str, words: str) -> None:
    refused(lambda: asked_box(text), words, "X,Y,WIDTH,HEIGHT in shares")


def test_a_box_that_is_asked_for_becomes_pixels_of_the_upright_photograph(tmp_path: Path) -> None:
    assert asked_box(" 0.1, 0.25 ,0.4,0.7504") == (0.1, 0.25, 0.5, 1.0)  # rounded by who asked
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (60, 40)).save(tmp_path / "a.jpg", exif=exif)
    data = (tmp_path / "a.jpg").read_bytes()
    assert shares_in_pixels(asked_box("0.1,0.25,0.4,0.75"), data) == (4, 15, 20, 60)
    assert shares_in_pixels((0, 0, 1, 1), b"nothing") is None
