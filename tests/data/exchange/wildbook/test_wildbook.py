"""Wildbook's spreadsheets: exports are read, and imports written that its guide allows."""

import csv
import re
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openpyxl import Workbook, load_workbook

from flukeprint.data.exchange.forms import read_observed, write_observed
from flukeprint.data.exchange.observed import Observed, ObservedPhoto
from flukeprint.data.exchange.wildbook.columns import is_wildbook
from flukeprint.data.exchange.wildbook.reading import read_wildbook, recognises
from flukeprint.data.exchange.wildbook.writing import write_wildbook
from tests.data.exchange.drawn import by_image, pictures, sightings
from tests.refusals import refused

# As Wildbook's guide to its bulk import names them.
ALLOWED = {
    "Encounter.mediaAsset0", "MarkedIndividual.individualID", "Encounter.genus",
    "Encounter.specificEpithet", "Encounter.year", "Encounter.month", "Encounter.day",
    "Encounter.hour", "Encounter.minutes", "Encounter.decimalLatitude",
    "Encounter.decimalLongitude", "Encounter.verbatimLocality", "Encounter.sex",
    "Encounter.lifeStage", "Encounter.occurrenceID", "Encounter.photographer0.fullName",
    "Encounter.mediaAsset0.keywords", "Encounter.occurrenceRemarks", "Encounter.state",
}  # fmt: skip


def book(path: Path, *rows: list[Any]) -> Path:
    made = Workbook()
    sheet = made.active
    assert sheet is not None
    for row in rows:
        sheet.append(row)
    made.save(path)
    return path


def filed(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"a photograph")
    return path


def test_encounters_of_an_export_are_read(tmp_path: Path) -> None:
    for name in ("a.jpg", "b.jpg", "c.jpg"):
        filed(tmp_path / name)
    path = book(
        tmp_path / "export.xlsx",
        ["Encounter.mediaAsset0", "Encounter.mediaAsset1", "Encounter.individualID",
         "Encounter.genus", "Encounter.specificEpithet", "Encounter.year", "Encounter.month",
         "Encounter.day", "Encounter.hour", "Encounter.minutes", "Encounter.sex",
         "Encounter.locationID", "Encounter.decimalLatitude", "Encounter.decimalLongitude",
         "Encounter.photographer0.fullName", "Encounter.dateInMilliseconds"],
        ["a.jpg", "b.jpg", 45, "Panthera", "leo", 2020, 8, 24, 11, "05", "Female", "Zone 5",
         -35.46, 54.678, "Joe", None],
        ["c.jpg", None, "Unassigned", "Panthera", None, None, None, None, None, None, "unknown",
         None, 91, 0, None, 1589554848000],
        [None, None, "x", None, 2020, None, None, None, None, None, None, None, None, None, None,
         None],
    )  # fmt: skip
    assert recognises(path)
    assert recognises(tmp_path)
    found = read_observed(path)
    first, second, third = found.photos
    assert (first.image, second.image) == ("a.jpg", "b.jpg")
    assert first.path == tmp_path / "a.jpg"
    assert first.encounter == second.encounter == "export.xlsx, line 2"
    assert (first.identity, first.species, first.date) == ("45", "Panthera leo", "2020-08-24T11:05")
    assert (first.sex, first.place, first.observer) == ("female", "Zone 5", "Joe")
    assert (first.latitude, first.longitude) == (-35.46, 54.678)
    assert (third.identity, third.sex, third.latitude) == (None, None, None)
    assert (third.date, third.offset) == ("2020-05-15T15:00:48", "+00:00")
    assert found.left_out == {"encounters without a photograph": 1}


@pytest.mark.parametrize(
    ("year", "month", "day", "hour", "date"),
    [
        (2020, None, 3, 5, "2020"), (2020, 2, None, 5, "2020-02"), (2020, 2, 3, None, "2020-02-03"),
        (2020, 2, 3, 24, "2020-02-03"), (2020, 2, 30, None, None), (None, 2, 3, 4, None),
    ],
)  # fmt: skip
def test_dates_are_as_precise_as_they_are_known(
    tmp_path: Path, year: int, month: int, day: int, hour: int, date: str | None
) -> None:
    path = book(
        tmp_path / "x.xlsx",
        ["Encounter.mediaAsset0", "Encounter.year", "Encounter.month", "Encounter.day",
         "Encounter.hour"],
        ["a.jpg", year, month, day, hour],
    )  # fmt: skip
    assert [one.date for one in read_wildbook(path).photos] == [date]


def test_other_tables_are_not_wildbook() -> None:
    assert not is_wildbook(("image", "identity", "Encounter.year"))
    assert is_wildbook(("Encounter.mediaAsset0", "Encounter.year"))
    assert not is_wildbook(())


def records(folder: Path, number: int, **facts: Any) -> tuple[ObservedPhoto, ...]:
    return tuple(
        ObservedPhoto(f"{i}.jpg", filed(folder / f"{i}.jpg"), identity=f"n_{i:03d}", **facts)
        for i in range(number)
    )


def test_what_is_written_is_what_the_guide_allows(tmp_path: Path) -> None:
    photos = (
        *records(tmp_path / "a", 430, species="panthera Leo", date="2024-05-03T14:02:31",
                 encounter="day 1/ä", place="Mara"),
        ObservedPhoto("é", filed(tmp_path / "b" / "Zoë_1(2).JPG"), identity="=1+1",
                      date="2024-05-03T00:30", box=(0.1, 0.2, 0.5, 0.6), machine=True),
        ObservedPhoto("e", filed(tmp_path / "c" / "Zoe 1 2 .jpg"), identity="00123"),
        ObservedPhoto("gone", tmp_path / "gone.jpg", identity="x"),
    )  # fmt: skip
    out = tmp_path / "out"
    lines = write_observed(Observed("any", "", photos), out, "wildbook")
    told = "\n".join(lines)
    for words in ("gone", "without a species", "without a place", "without a year", "boxes"):
        assert words in told
    books = sorted(out.glob("*.xlsx"))
    assert [path.name for path in books] == [f"wildbook-{i}.xlsx" for i in (1, 2, 3)]
    names: set[str] = set()
    rows = []
    for path in books:
        header, *cells = load_workbook(path).active.iter_rows(values_only=True)
        assert set(header) <= ALLOWED
        assert len(cells) <= 200
        rows += [dict(zip(header, row, strict=True)) for row in cells]
        kinds = {cell.data_type for row in load_workbook(path).active for cell in row}
        assert "f" not in kinds
    for row in rows:
        name = row["Encounter.mediaAsset0"]
        assert re.fullmatch(r"[A-Za-z0-9. ]+", name)
        assert (out / "photographs" / name).read_bytes() == b"a photograph"
        names.add(name.casefold())
        assert re.fullmatch(r"[A-Za-z0-9_-]+", row.get("Encounter.occurrenceID") or "x")
        assert (row.get("Encounter.hour") or 1) in range(1, 24)
    assert len(rows) == len(names) == 432
    taxon = rows[0]["Encounter.genus"], rows[0]["Encounter.specificEpithet"]
    assert taxon == ("Panthera", "leo")
    assert (rows[-2]["MarkedIndividual.individualID"], rows[-2]["Encounter.state"]) == (
        "=1+1", "unapproved",
    )  # fmt: skip
    assert rows[-1]["MarkedIndividual.individualID"] == "00123"
    refused(lambda: write_wildbook(Observed("any", "", photos), out), "is there already")


def test_a_row_that_a_person_changed_counts_as_it_stands(tmp_path: Path) -> None:
    photos = records(tmp_path / "a", 2, box=(0.1, 0.1, 0.5, 0.5), view="left", date="2024-05-03")
    out = tmp_path / "out"
    write_wildbook(Observed("any", "", photos), out)
    assert read_wildbook(out).photos[0].box == (0.1, 0.1, 0.5, 0.5)
    path = out / "wildbook-1.xlsx"
    sheets = load_workbook(path)
    sheet = sheets.active
    assert sheet is not None
    place = [cell.value for cell in sheet[1]].index("MarkedIndividual.individualID") + 1
    sheet.cell(2, place, "Bella")
    sheets.save(path)
    first, second = read_wildbook(out).photos
    assert (first.identity, first.box) == ("Bella", None)
    assert (second.identity, second.box) == ("n_001", (0.1, 0.1, 0.5, 0.5))
    (out / "flukeprint.csv").write_text("file,line,cells,details\nx,y,z,w\n")
    refused(lambda: read_wildbook(out), "flukeprint.csv", "damaged")


def test_nothing_is_left_of_what_could_not_be_written(tmp_path: Path) -> None:
    nowhere = ObservedPhoto("a", None, identity="a")
    refused(lambda: write_wildbook(Observed("any", "", (nowhere,)), tmp_path / "out"), "no")
    assert not (tmp_path / "out").exists()


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_in_and_out_and_in_again(data: st.DataObject) -> None:
    with TemporaryDirectory() as name:
        root = Path(name)
        photos: list[ObservedPhoto] = []
        names = st.sampled_from(["a.jpg", "été/ü.png", "b/a.jpg", "d..e.jpg", "NA.jpg", "x#2.jpg"])
        for file in data.draw(st.lists(names, unique=True, min_size=1, max_size=4)):
            path, where = filed(root / "photos" / file), data.draw(pictures())
            for number, seen in enumerate(data.draw(st.lists(sightings(), min_size=1, max_size=3))):
                photos.append(ObservedPhoto(f"{file}#{number}", path, **where, **seen))
        out = root / "out"
        write_wildbook(Observed("any", "", tuple(photos)), out)
        back = by_image(read_wildbook(out).photos)
        assert set(back) == {photo.image for photo in photos}
        for photo in photos:
            found = back[photo.image]
            assert found.path is not None
            assert photo.path is not None
            assert found.path.samefile(photo.path) or (
                found.path.read_bytes() == photo.path.read_bytes()
            )
            assert replace(found, path=None) == replace(photo, path=None)
        with (out / "flukeprint.csv").open(newline="") as file:
            assert next(csv.reader(file)) == ["file", "line", "cells", "details"]
