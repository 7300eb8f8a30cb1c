"""Tables with the column names of whoever made them."""

import zipfile
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from flukeprint.data.exchange.any_table.reading import read_any_table, recognises
from flukeprint.data.exchange.observed import Observed
from flukeprint.data.exchange.options import ReadOptions
from flukeprint.errors import ProblemsError
from tests.data.readers.layouts import write
from tests.refusals import refused


def read(path: Path, **options: Any) -> Observed:
    return read_any_table(path, options=ReadOptions(**options))


def test_headers_that_are_known_need_not_be_named(tmp_path: Path) -> None:
    path = write(
        tmp_path / "t.csv",
        "File,Individual,Lat,LON,Site,Scientific name,Date,Time,Weather",
        "a.jpg,00123,-27.5,32.25,Dam,Panthera leo,2024-05-03,14:02,fair",
        "sub/b.jpg,?,,,,,,,",
        ",,,,,,,,",
        "c.jpg,Unknown,,,NA,,2024,,",
    )
    assert recognises(path)
    found = read(path)
    first, second, third = found.photos
    assert (first.image, first.path, first.identity) == ("a.jpg", tmp_path / "a.jpg", "00123")
    assert (first.latitude, first.longitude) == (-27.5, 32.25)
    assert (first.place, first.species) == ("Dam", "Panthera leo")
    assert first.date == "2024-05-03T14:02"
    assert (second.image, second.path) == ("sub/b.jpg", tmp_path / "sub" / "b.jpg")
    assert second.identity is None
    assert (third.identity, third.place, third.date) == (None, "NA", "2024")
    assert found.notes == ("columns that mean nothing here: Weather",)


def test_headers_are_named(tmp_path: Path) -> None:
    path = write(
        tmp_path / "t.csv",
        "Bild;Name;ID;Breite;L\u00e4nge;Datum",
        "a.jpg;Ada;7;-27,5;32,25;03.04.2021",
    )
    columns = {
        "image": "Bild", "identity": "ID", "latitude": "breite", "longitude": "L\u00e4nge",
        "date": "Datum",
    }  # fmt: skip
    assert not recognises(path)
    (photo,) = read(path, columns=columns, dates="day-first").photos
    assert (photo.identity, photo.latitude, photo.longitude) == ("7", -27.5, 32.25)
    assert photo.date == "2021-04-03"
    refused(lambda: read(path, columns={"id": "ID"}), "no column that names photographs", "Bild")
    refused(lambda: read(path, columns=columns | {"date": "Data"}), "Datum")
    refused(lambda: read(path, columns=columns | {"identiy": "ID"}), "identity")
    refused(lambda: read(path, columns={"image": "Bild"}), "Name, ID mean the same", "identity")
    refused(lambda: read(path, columns={"place": "Name", "site": "ID"}), "twice")


def test_decimal_commas_are_told_by_semicolons_or_asked_for(tmp_path: Path) -> None:
    path = write(tmp_path / "t.tsv", "file\tlat\tlon", "a.jpg\t1,5\t2,25")
    refused(lambda: read(path), "line 2", "latitude '1,5' is no number", "comma")
    (photo,) = read(path, decimal="comma").photos
    assert (photo.latitude, photo.longitude) == (1.5, 2.25)
    write(tmp_path / "s.csv", "file;lat;lon", "a.jpg;1,5;2.25")
    assert read(tmp_path / "s.csv").photos[0].latitude == 1.5
    refused(lambda: read(tmp_path / "s.csv", decimal="point"), "1,5")
    (tmp_path / "u.csv").write_bytes("sep=;\nfile;place\na.jpg;\u00c9t\u00e9\n".encode("utf-16"))
    assert read(tmp_path / "u.csv").photos[0].place == "\u00c9t\u00e9"


def test_all_that_is_wrong_is_told_with_its_line(tmp_path: Path) -> None:
    path = write(
        tmp_path / "t.csv",
        "image,date,lat,lon,probability,sex",
        "a.jpg,03/04/2021,,,,",
        "b.jpg,2024-05-03,91,0,,",
        "",
        ",2024,,,,m",
        "c.jpg,,1,,,",
        "d.jpg,,,,1.5,",
        "d.jpg,,,,,#N/A",
        "e.jpg,,,,,",
        "e.jpg,,,,,",
    )
    with pytest.raises(ProblemsError) as caught:
        read(path)
    assert [line.partition(", line ")[2] for line in caught.value.problems] == [
        "2: date '03/04/2021' is 2021-04-03 or 2021-03-04; say which with day-first or month-first "
        "as the order of dates",
        "3: latitude 91 is not between -90 and 90",
        "5: no photograph is named",
        "6: a position needs latitude and longitude",
        "7: probability 1.5 is not between 0 and 1",
        "8: #N/A is the error of a formula; write the value",
        "10: e.jpg is in line 9 as well; keep one row",
    ]
    many = write(tmp_path / "m.csv", "image,lat,lon", *(f"{row}.jpg,x,1" for row in range(30)))
    with pytest.raises(ProblemsError) as caught:
        read(many)
    assert len(caught.value.problems) == 21
    assert caught.value.problems[-1] == "and 10 more"


def test_boxes_of_any_unit_become_shares(tmp_path: Path) -> None:
    Image.new("RGB", (200, 100)).save(tmp_path / "a.png")
    path = write(
        tmp_path / "t.csv",
        "image,x0,y0,x1,y1",
        "a.png,20,10,120,60", "a.png,100,0,230,100", "a.png,,,,", "gone.png,1,2,30,40",
    )  # fmt: skip
    found = read(path)
    assert [(photo.image, photo.box) for photo in found.photos] == [
        ("a.png#1", (0.1, 0.1, 0.6, 0.6)), ("a.png#2", (0.5, 0.0, 1.0, 1.0)), ("a.png#3", None),
    ]  # fmt: skip
    assert found.left_out == {
        "boxes in pixels of photographs that are not there or cannot be read": 1
    }
    write(path, "image,bbox", 'a.png,"[0.25, 0.5, 0.5, 0.25]"', "b.png,")
    assert [photo.box for photo in read(path, box_unit="share").photos] == [
        (0.25, 0.5, 0.75, 0.75), None,
    ]  # fmt: skip
    refused(lambda: read(path), "line 2", "share")
    write(path, "image,x0,y0,x1,y1", "a.png,300,0,400,50")
    refused(lambda: read(path), "line 2", "outside the photograph, 200 x 100")
    write(path, "image,x0,y0,x1,y1", "a.png,30,0,,50")
    refused(lambda: read(path), "line 2", "four numbers, found 3")
    write(path, "image,x0,y0,x1", "a.png,30,0,50")
    refused(lambda: read(path), "a box needs x0, y0, x1, y1")


def test_folders_stand_before_names(tmp_path: Path) -> None:
    path = write(
        tmp_path / "t.csv", "File,RelativePath,Species", "a.jpg,s1\\day,x", "a.jpg,s2,y", "b.jpg,,z"
    )
    assert [(photo.image, photo.path) for photo in read(path).photos] == [
        ("s1/day/a.jpg", tmp_path / "s1/day/a.jpg"), ("s2/a.jpg", tmp_path / "s2/a.jpg"),
        ("b.jpg", tmp_path / "b.jpg"),
    ]  # fmt: skip
    elsewhere = read_any_table(path, tmp_path / "photos")
    assert elsewhere.photos[1].path == tmp_path / "photos/s2/a.jpg"


def test_what_is_no_table_is_refused_in_one_line(tmp_path: Path) -> None:
    for name in ("t.csv", "t.xlsx", "t.parquet"):
        refused(lambda name=name: read(tmp_path / name), name, "missing")
    refused(lambda: read(tmp_path / "t.xls"), "save it as XLSX")
    refused(lambda: read(tmp_path / "t.pdf"), ".csv")
    refused(lambda: read(tmp_path), "pattern")
    (tmp_path / "t.csv").write_bytes(b"image,id\na.jpg,\xff\n")
    refused(lambda: read(tmp_path / "t.csv"), "t.csv", "UTF-8")
    write(tmp_path / "t.csv", "image,id", "a.jpg,1,2,3")
    refused(lambda: read(tmp_path / "t.csv"), "t.csv")
    refused(lambda: read(tmp_path / "t.csv", sheet="S"), "no sheets")
    refused(lambda: read(tmp_path / "t.csv", dates="dmy"), "day-first")
    with zipfile.ZipFile(tmp_path / "t.zip", "w") as archive:
        archive.writestr("notes.txt", "x")
    assert not recognises(tmp_path / "t.zip")
    assert not recognises(tmp_path)
