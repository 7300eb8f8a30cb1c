"""Tables as spreadsheets save them: read where they tell how, else refused with what to do."""

import zipfile
from pathlib import Path

import pytest

from flukeprint.data.readers.boxes import read_boxes
from flukeprint.data.table_format import open_table
from flukeprint.data.tables import check_filled, read_column, read_header, read_table
from tests.data.readers.layouts import write
from tests.refusals import refused

ROWS = [["a.jpg", "Jos\u00e9"], ["b,c.jpg", "w 2"]]


@pytest.mark.parametrize(
    "data",
    [
        'Image,Id\na.jpg,José\n"b,c.jpg",w 2\n'.encode(),
        'Image,Id\r\na.jpg,José\r\n"b,c.jpg",w 2\r\n'.encode("utf-8-sig"),
        "Image;Id\na.jpg;José\nb,c.jpg;w 2\n".encode(),
        "Image\tId\na.jpg\tJosé\nb,c.jpg\tw 2\n".encode(),
        "Image\tId\r\na.jpg\tJosé\r\nb,c.jpg\tw 2\r\n".encode("utf-16"),
        "Image;Id\na.jpg;José\nb,c.jpg;w 2\n".encode("utf-16-be").join([b"\xfe\xff", b""]),
        "Image;Id\na.jpg;José\nb,c.jpg;w 2\n".encode("utf-32"),
        "sep=;\nImage;Id\na.jpg;José\nb,c.jpg;w 2\n".encode(),
        '"sep=|"\r\nImage|Id\r\na.jpg|José\r\nb,c.jpg|w 2\r\n'.encode("utf-8-sig"),
        'sep=,\nImage,Id\na.jpg,José\n"b,c.jpg",w 2\n'.encode(),
        'Image,Id,,\na.jpg,José,,\n"b,c.jpg",w 2,,\n,,,\n,,,\n'.encode(),
        'Image,Id\na.jpg,José,,\n"b,c.jpg",w 2,\n\n\n'.encode(),
        "Image;Id;;\na.jpg;José;;\nb,c.jpg;w 2;;\n;;;\n".encode(),
        'Image,,Id\na.jpg,,José\n"b,c.jpg",,w 2\n'.encode(),
        'Image;Id;"note, mine"\na.jpg;José;\nb,c.jpg;w 2;\n'.encode(),
    ],
)
def test_what_a_spreadsheet_saves_is_read(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(data)
    table = read_table(path, ("Image", "Id"))
    assert table[["Image", "Id"]].to_numpy().tolist() == ROWS
    assert read_column(path, "Id") == dict(ROWS)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"Image,Id\na.jpg,w_1,,x\n", "more cells"),
        (b"Image,Id\na.jpg,w_1\nb.jpg,w_2,,x\n", "line 3"),
        (b"Image,Id,,\na.jpg,w_1,x,y\n", "columns 3, 4 have no name"),
        ("Image,Id\na.jpg,Jos\xe9\n".encode("latin-1"), "CSV UTF-8"),
        ("Image,Id\na.jpg,w_1\n".encode("utf-16-le"), "UTF-16 without a mark"),
        ("Image,Id\na.jpg,w_1\n".encode("utf-16")[:-1], "not UTF-16"),
        (b"a;b\tc\nd;e\tf\n", "separated by tabs or by ;"),
        (b"a.b;c\nd;e\n", "no column Image (wanted Image, Id): Known: a.b, c"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(100), "workbook"),
        (b"\x1f\x8b\x08\x00", "gzip file: unpack it"),
        (b"sep=;\n", "is empty"),
        (b"sep=;\nImage;Id\n", "no rows"),
        (b"sep=;\nImage;Id\na.jpg;w_1\n;\nb.jpg;w_1\n", "empty rows: line 4"),
        (b"", "is empty"),
    ],
)
def test_what_cannot_be_told_is_refused(tmp_path: Path, data: bytes, words: str) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(data)
    refused(lambda: read_table(path, ("Image", "Id")), str(path), words)


def test_lines_are_counted_after_a_line_that_names_the_separator(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", "sep=;", "Image;Id", "a.jpg;w_1", "b.jpg;")
    table = read_table(path, ("Image", "Id"))
    refused(lambda: check_filled(table, ("Id",), path), "column Id is empty in line 4")


def test_a_row_that_ends_early_has_empty_cells(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", "Image,Id,view", "a.jpg,w_1,left", "b.jpg,w_2")
    assert read_table(path, ("Image",))["view"].tolist() == ["left", ""]
    write(path, "Image,Id", "a.jpg,w_1", "b.jpg")
    refused(lambda: check_filled(read_table(path, ()), ("Id",), path), "empty in line 3")


def test_a_numbered_table_of_pandas_keeps_its_nameless_column(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", ",Image,Id", "0,a.jpg,w_1", "1,b.jpg,w_2")
    assert read_column(path, "Id") == {"a.jpg": "w_1", "b.jpg": "w_2"}


def test_decimal_commas_are_read_where_semicolons_separate(tmp_path: Path) -> None:
    path = write(tmp_path / "b.csv", "Image;x0;y0;x1;y1", "a;0,5;1;10,25;20", "b;0.5;1;9;9")
    assert read_boxes(path) == {"a": (0.5, 1, 10.25, 20), "b": (0.5, 1, 9, 9)}
    write(path, "Image,x0,y0,x1,y1", 'a,"0,5",1,9,9')
    refused(lambda: read_boxes(path), "line 2: a box is four numbers")


def zipped(path: Path, members: dict[str, str]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in members.items():
            archive.writestr(name, text)
    return path


def test_the_one_table_of_a_zip_file_is_read(tmp_path: Path) -> None:
    table = {"in/sub.CSV": "Image,Id\na.jpg,w_1\n", "readme.txt": "x", "__MACOSX/._sub.csv": "x"}
    path = zipped(tmp_path / "sub.csv.zip", table)
    assert read_header(path) == ["Image", "Id"]
    assert read_column(path, "Id") == {"a.jpg": "w_1"}


def test_other_zip_files_are_refused(tmp_path: Path) -> None:
    path = zipped(tmp_path / "t.csv", {"a.csv": "x", "b.csv": "y"})
    refused(lambda: read_header(path), "ZIP file with 2 tables, not one: unpack it")
    zipped(path, {"a.txt": "x"})
    refused(lambda: read_header(path), "with 0 tables")
    zipped(path, {"[Content_Types].xml": "x", "xl/a.csv": "y"})
    refused(lambda: read_header(path), "workbook of a spreadsheet: save it as `CSV UTF-8`")
    path.write_bytes(path.read_bytes()[:40])
    refused(lambda: read_header(path), "ZIP file that cannot be read")


def test_numbers_are_read_as_numbers(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", "a;b", "1;x", "2;y")
    table = open_table(path).read({"a": "int16"})
    assert table["a"].dtype == "int16"
    assert table["b"].tolist() == ["x", "y"]
