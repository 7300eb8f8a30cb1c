"""Kaggle's layout: a label table, its optional columns, and everything wrong with one."""

from pathlib import Path

import pytest

from flukeprint.data.readers.kaggle_csv import read_label_table
from tests.data.readers.layouts import ROWS, labelled, write
from tests.refusals import refused


def test_kaggle_csv(whales: Path) -> None:
    catalog = labelled(whales)
    assert catalog.images == ("a.jpg", "b.jpg", "c.jpg", "d.jpg")
    assert catalog.identities == ("w_1", None, "w_1", "w_2")
    assert catalog.paths == tuple(whales / "train" / image for image, _ in ROWS)
    assert catalog.views is None


def test_optional_columns_of_the_label_table(tmp_path: Path) -> None:
    path = write(
        tmp_path / "t.csv",
        "Image,Id,view,x0,y0,x1,y1,burst",
        "a.jpg,w_1,left,1,2,3.5,4,e1",
        "b.jpg,w_2,,,,,,",
    )
    catalog = read_label_table(path, "new_whale")
    assert catalog.views == ("left", None)
    assert catalog.boxes == ((1.0, 2.0, 3.5, 4.0), None)
    assert catalog.bursts == ("e1", None)


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ([], ["is empty"]),
        (["Image,Id"], ["no rows"]),
        (["Image,Label", "a.jpg,w_1"], ["no column Id", "wanted Image, Id", "Image, Label"]),
        (["Image,Id,Id", "a.jpg,w_1,w_2"], ["listed twice: Id"]),
        (["Image,Id", "a.jpg,w_1", "b.jpg,"], ["column Id is empty in line 3"]),
        (["Image,Id", ",w_1", "b.jpg,w_1", ",w_1"], ["column Image is empty in lines 2, 4"]),
        (["Image,Id", "a.jpg,w_1", "", "b.jpg,w_1"], ["empty rows: line 3"]),
        (["Image,Id", "a.jpg,w_1", ",", "b.jpg,w_1"], ["empty rows: line 3"]),
        (["Image,Id", "a.jpg,w_1", "a.jpg,w_1"], ["repeats rows: a.jpg", "lines 2, 3"]),
        (["Image,Id", "a.jpg,w_1", "a.jpg,w_2"], ["one photo two values of Id", "w_1, w_2"]),
        (["Image,Id", "a.jpg,w_1,left"], ["first row has more cells"]),
        (["Image,Id", "a.jpg,w_1", "b.jpg,w_1,left"], ["line 3"]),
        (["Image,Id", 'a.jpg,"w_1'], ["cannot be read as a CSV"]),
        (["Image,Id", "a.jpg,new_individual"], ["data.new_label=new_individual"]),
        (["Image,Id,x0,y0,x1,y1", "a.jpg,w_1,1,2,3,"], ["line 2", "four numbers"]),
        (["Image,Id,x0,y0,x1,y1", "a.jpg,w_1,5,2,3,9"], ["line 2", "x0 < x1"]),
        (["Image,Id,x0,y0,x1,y1", "a.jpg,w_1,0,0,nan,9"], ["line 2", "x0 < x1"]),
    ],
)
def test_bad_label_tables(whales: Path, lines: list[str], words: list[str]) -> None:
    write(whales / "train.csv", *lines)
    refused(lambda: labelled(whales), "train.csv" if "new_ind" not in str(words) else "", *words)


def test_table_that_is_not_text(whales: Path) -> None:
    (whales / "train.csv").write_bytes(b"Image,Id\n\xff\xfe,w_1\n")
    refused(lambda: labelled(whales), "train.csv", "UTF-8")
