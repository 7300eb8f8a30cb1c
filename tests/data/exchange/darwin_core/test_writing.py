"""What is written as a Darwin Core Archive is valid, and read back it tells the same."""

import csv
import tempfile
import zipfile
from pathlib import Path

import pytest
from defusedxml import ElementTree
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flukeprint.data.exchange.darwin_core.reading import read_darwin_core
from flukeprint.data.exchange.darwin_core.writing import write_darwin_core
from flukeprint.data.exchange.forms import form_of, read_observed, write_observed
from flukeprint.data.exchange.observed import Observed, ObservedPhoto
from flukeprint.errors import FlukeprintError
from tests.data.exchange.darwin_core.archives import errors
from tests.data.exchange.drawn import by_image, photographs


@pytest.fixture(autouse=True)
def _unsafe(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.fsync", lambda number: None)  # dozens of archives a test


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def filled(row: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in row.items() if value}


@settings(max_examples=50, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_drawn_photographs_come_back_the_same_from_valid_archives(data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "archive"
        photos = data.draw(photographs(folder))
        root = write_darwin_core(Observed("drawn", "", photos), folder)
        assert errors(folder) == []
        once = read_darwin_core(folder, root)
        assert by_image(once.photos) == by_image(photos)
        assert [photo.image for photo in once.photos] == [photo.image for photo in photos]
        assert not once.left_out
        write_darwin_core(once, folder / "again", root=root)
        assert by_image(read_darwin_core(folder / "again", root).photos) == by_image(photos)


WHOLE = ObservedPhoto(
    "media/m1.jpg", None, "Zoë", (0.1, 0.25, 0.5, 0.75), "left", "2024-05-03T14:02:31", "+02:00",
    50.5, 4.25, 187, "Bach", "Ann", None, "e1", "d1", "Lynx lynx", "female", "adult", "limps",
    0.875, None, "Ben", False,
)  # fmt: skip


def test_what_darwin_core_has_terms_for_stands_in_its_columns(tmp_path: Path) -> None:
    photo = ObservedPhoto(**(vars(WHOLE) | {"path": tmp_path / WHOLE.image}))
    write_darwin_core(Observed("", "", (photo,)), tmp_path)
    (seen,) = rows(tmp_path / "occurrence.csv")
    assert filled(seen) == {
        "occurrenceID": "media/m1.jpg", "basisOfRecord": "MachineObservation", "eventID": "e1",
        "parentEventID": "d1", "samplingProtocol": "camera trap",
        "eventDate": "2024-05-03T14:02:31+02:00", "locality": "Bach", "decimalLatitude": "50.5",
        "decimalLongitude": "4.25", "geodeticDatum": "WGS84",
        "coordinateUncertaintyInMeters": "187", "recordedBy": "Ann", "organismID": "Zoë",
        "sex": "female", "lifeStage": "adult", "scientificName": "Lynx lynx",
        "identifiedBy": "Ben", "occurrenceRemarks": "limps",
        "identificationRemarks": "classified by a human with 87.5% certainty",
    }  # fmt: skip
    medium, region = rows(tmp_path / "multimedia.csv")
    assert filled(medium) == {
        "coreid": "media/m1.jpg", "identifier": "media/m1.jpg", "type": "StillImage",
        "format": "image/jpeg", "accessURI": "media/m1.jpg", "subjectOrientationLiteral": "left",
    }  # fmt: skip
    assert filled(region) == {
        "coreid": "media/m1.jpg", "identifier": "media/m1.jpg#region", "type": "StillImage",
        "isROIOf": "media/m1.jpg", "xFrac": "0.1", "yFrac": "0.25", "widthFrac": "0.4",
        "heightFrac": "0.5",
    }  # fmt: skip
    assert errors(tmp_path) == []


@pytest.mark.parametrize(
    ("machine", "deployment", "basis"),
    [(False, None, "Human"), (True, None, "Machine"), (False, "d1", "Machine")],
)
def test_a_model_or_a_camera_trap_makes_a_machine_observation(
    tmp_path: Path, machine: bool, deployment: str | None, basis: str
) -> None:
    photo = ObservedPhoto("a.jpg", None, deployment=deployment, machine=machine)
    write_darwin_core(Observed("", "", (photo,)), tmp_path)
    (seen,) = rows(tmp_path / "occurrence.csv")
    assert seen["basisOfRecord"] == f"{basis}Observation"
    assert read_darwin_core(tmp_path).photos == (photo,)


def test_what_has_no_term_is_json_in_dynamic_properties(tmp_path: Path) -> None:
    photo = ObservedPhoto(
        "a.jpg", tmp_path / "a.jpg", "A", date="last May", notes="a\tb", probability=0.75,
        confidence=0.5, occasion="1", machine=True,
    )  # fmt: skip
    write_darwin_core(Observed("", "", (photo,)), tmp_path)
    (seen,) = rows(tmp_path / "occurrence.csv")
    assert seen["dynamicProperties"] == (
        '{"flukeprint": {"date": "last May", "occasion": "1", "notes": "a\\tb", "confidence": 0.5}}'
    )
    assert (seen["basisOfRecord"], seen["eventDate"]) == ("MachineObservation", "")
    assert seen["identificationRemarks"] == "classified by a machine with 75% certainty"
    assert read_darwin_core(tmp_path).photos == (photo,)


def test_an_ordinary_record_needs_no_json(tmp_path: Path) -> None:
    more = {"latitude": 50.512345678901234, "longitude": 1e-7, "uncertainty": 0.1 + 0.2}
    more |= {"probability": 1 / 3, "box": (1 / 3, 0.1, 2 / 3, 0.7), "path": tmp_path / WHOLE.image}
    photo = ObservedPhoto(**(vars(WHOLE) | more))  # type: ignore[arg-type]
    write_darwin_core(Observed("", "", (photo,)), tmp_path)
    assert errors(tmp_path) == []
    (seen,) = rows(tmp_path / "occurrence.csv")
    assert (seen["dynamicProperties"], seen["decimalLongitude"]) == ("", "0.0000001")
    assert read_darwin_core(tmp_path).photos == (photo,)


def test_a_cell_holds_no_end_of_a_row(tmp_path: Path) -> None:
    photo = ObservedPhoto("a.jpg", tmp_path / "a.jpg", 'A\n"B"\r\tC')
    write_darwin_core(Observed("", "", (photo,)), tmp_path)
    assert errors(tmp_path) == []
    assert len((tmp_path / "occurrence.csv").read_bytes().splitlines()) == 2
    assert read_darwin_core(tmp_path).photos == (photo,)


def test_the_metadata_have_what_eml_demands(tmp_path: Path) -> None:
    write_darwin_core(Observed("", "", ()), tmp_path, title="Lynx & <co>", contact='"Ann"')
    tree = ElementTree.parse(tmp_path / "eml.xml")
    assert tree.getroot().tag == "{https://eml.ecoinformatics.org/eml-2.2.0}eml"
    assert set(tree.getroot().attrib) >= {"packageId", "system"}
    names = [part.tag for part in tree.find("dataset")]
    assert names == ["title", "creator", "pubDate", "abstract", "contact"]
    assert tree.findtext("dataset/title") == "Lynx & <co>"
    assert tree.findtext("dataset/creator/organizationName") == '"Ann"'
    assert tree.findtext("dataset/contact/organizationName") == '"Ann"'
    assert errors(tmp_path) == []


@pytest.mark.parametrize(
    ("file", "old", "new", "found"),
    [
        ("meta.xml", "dwc/terms/organismID", "dwc/terms/animal", "no term of"),
        ("meta.xml", '<coreid index="0"/>', "", "elements are"),
        ("occurrence.csv", "MachineObservation", "Machine", "basisOfRecord"),
        ("occurrence.csv", "2024-05-03T", "03.05.2024 ", "eventDate"),
        ("occurrence.csv", "media/m1.jpg,Machine", "m,Machine", "no core has"),
        ("occurrence.csv", "50.5", "95.5", "decimalLatitude"),
        ("multimedia.csv", "0.4", "0", "widthFrac"),
        ("multimedia.csv", "StillImage,image/jpeg", "StillImage", "cells"),
    ],
)
def test_the_check_finds_what_is_wrong(
    tmp_path: Path, file: str, old: str, new: str, found: str
) -> None:
    write_darwin_core(Observed("", "", (WHOLE,)), tmp_path)
    assert errors(tmp_path) == []
    text = (tmp_path / file).read_text()
    assert old in text
    (tmp_path / file).write_text(text.replace(old, new))
    assert any(found in error for error in errors(tmp_path))


def test_two_animals_of_a_photograph_are_two_occurrences_of_one_file(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    photos = (
        ObservedPhoto("a.jpg", path, "A", (0, 0, 0.5, 1), encounter="e"),
        ObservedPhoto("a.jpg#2", path, "B", (0.5, 0, 1, 1), encounter="e"),
    )
    write_darwin_core(Observed("", "", photos), tmp_path)
    assert [row["accessURI"] for row in rows(tmp_path / "multimedia.csv")] == [
        "a.jpg", "", "a.jpg", "",
    ]  # fmt: skip
    assert "flukeprint" not in (tmp_path / "occurrence.csv").read_text()
    assert read_darwin_core(tmp_path).photos == photos


def test_an_archive_names_no_folder_of_the_machine(tmp_path: Path) -> None:
    photos = tuple(
        ObservedPhoto(name, tmp_path / "photos" / name) for name in ("a/1.jpg", "b/2.jpg")
    )
    root = write_darwin_core(Observed("", "", photos), tmp_path / "archive")
    assert root == tmp_path / "photos"
    assert read_darwin_core(tmp_path / "archive", root).photos == photos
    text = "".join(file.read_text() for file in (tmp_path / "archive").iterdir())
    assert str(tmp_path) not in text


def test_a_name_that_ends_in_zip_is_a_zip_file(tmp_path: Path) -> None:
    photo = ObservedPhoto("p/a.jpg", tmp_path / "p" / "a.jpg", "A")
    target = tmp_path / "archive.zip"
    assert write_observed(Observed("", "", (photo,)), target, "darwin-core") == ()
    with zipfile.ZipFile(target) as archive:
        assert sorted(archive.namelist()) == [
            "eml.xml", "meta.xml", "multimedia.csv", "occurrence.csv",
        ]  # fmt: skip
    assert form_of(target).name == "Darwin Core"
    assert read_observed(target).photos == (photo,)


def test_the_form_says_where_names_begin(tmp_path: Path) -> None:
    photo = ObservedPhoto("a.jpg", tmp_path / "photos" / "a.jpg")
    lines = write_observed(Observed("", "", (photo,)), tmp_path / "out", "darwin-core")
    assert lines == (f"names of photographs begin in {tmp_path / 'photos'}",)
    assert form_of(tmp_path / "out").name == "Darwin Core"


def test_an_archive_that_is_there_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "meta.xml").write_text("<archive/>")
    with pytest.raises(FlukeprintError, match="holds an archive already"):
        write_darwin_core(Observed("", "", ()), tmp_path)
    assert (tmp_path / "meta.xml").read_text() == "<archive/>"
    (tmp_path / "file").touch()
    with pytest.raises(FlukeprintError, match="file"):
        write_darwin_core(Observed("", "", ()), tmp_path / "file" / "folder")
