"""CSV tables: what is written is read, and what is wrong is named with its line."""

import csv
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flukeprint.data.readers.boxes import read_boxes
from flukeprint.data.tables import (
    Sample,
    lines,
    read_column,
    read_header,
    read_sample,
    read_table,
)
from tests.data.readers.layouts import write
from tests.refusals import refused

cells = st.text(
    st.characters(codec="utf-8", exclude_categories=("Cs", "Cc", "Zl", "Zp", "Zs")), min_size=1
)


@settings(max_examples=40)
@given(st.lists(st.tuples(cells, cells), min_size=1, max_size=8))
def test_a_table_comes_back_as_it_was_written(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str]]
) -> None:
    """Quotes, commas, NA, numbers with zeros in front: what csv writes is what is read."""
    path = tmp_path_factory.getbasetemp() / "table.csv"  # one for all examples
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("Image", "Id"), *rows])
    table = read_table(path, ("Image", "Id"))
    assert list(table.itertuples(index=False, name=None)) == rows


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"\n", "is empty"),
        (b"Image,Id\n", "no rows"),
        (b"Image,Id,Image\na,b,c\n", "listed twice: Image"),
        (b"Image,Name\na,b\n", "no column Id"),
        (b"Image,Id\na,b\n,\nc,d\n", "line 3"),
        (b"Image,Id\na,b,c\n", "more cells"),
        (b"Image,Id\n\xff,b\n", "not UTF-8"),
    ],
)
def test_a_wrong_table_is_refused_in_one_line(tmp_path: Path, data: bytes, words: str) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(data)
    message = str(refused(lambda: read_table(path, ("Image", "Id")), words))
    assert str(path) in message


def test_a_missing_table_comes_with_advice(tmp_path: Path) -> None:
    for read in (read_header, lambda path, **keys: read_table(path, (), **keys)):
        refused(lambda read=read: read(tmp_path / "t.csv", absent="draw it"), "missing; draw it")


def test_a_byte_order_mark_and_blanks_are_no_part_of_a_name(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(b"\xef\xbb\xbf Image , Id\n a ,b \n")
    assert read_header(path) == ["Image", "Id"]
    assert read_table(path, ("Id",)).to_numpy().tolist() == [["a", "b"]]


def test_lines_are_those_of_an_editor() -> None:
    assert lines([1]) == "line 3"
    assert lines([1, 5]) == "lines 3, 7"


def test_side_tables(tmp_path: Path) -> None:
    views = write(tmp_path / "views.csv", "Image,view", "a,left", "b,")
    assert read_column(views, "view") == {"a": "left", "b": None}
    write(views, "Image,view", "a,left", "a,right")
    refused(lambda: read_column(views, "view"), "two values of view: a (left, right)")
    write(views, "Image,view", "a,left", "a,left")
    refused(lambda: read_column(views, "view"), "repeats rows: a (lines 2, 3)")
    boxes = write(tmp_path / "boxes.csv", "Image,x0,y0,x1,y1", "a,1,2,3.5,4", "b,,,,")
    assert read_boxes(boxes) == {"a": (1, 2, 3.5, 4), "b": None}
    write(boxes, "Image,x0,y0,x1,y1", "a,1,2,1,4")
    refused(lambda: read_boxes(boxes), "boxes.csv, line 2: a box needs x0 < x1")


def test_a_sample_submission(tmp_path: Path) -> None:
    path = write(tmp_path / "sample.csv", "Image,Id", "z,new_whale", "a,new_whale")
    assert read_sample(path) == Sample(("Image", "Id"), ("z", "a"))
    write(path, "Image,Id,more", "z,new_whale,1")
    refused(lambda: read_sample(path), "two columns, found Image, Id, more")
    write(path, "Image,Id", "z,new_whale", "z,new_whale")
    refused(lambda: read_sample(path), "repeats rows: z")
