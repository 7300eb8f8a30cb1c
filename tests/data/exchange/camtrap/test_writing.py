"""What is written as Camtrap DP is valid, and read back it tells the same."""

import csv
import json
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from flukeprint.data.exchange.camtrap.reading import read_camtrap_dp
from flukeprint.data.exchange.camtrap.writing import write_camtrap_dp
from flukeprint.data.exchange.observed import Observed, ObservedPhoto
from flukeprint.errors import FlukeprintError
from tests.data.exchange.camtrap.packages import (
    FIELDS,
    deployment,
    medium,
    observation,
    schema,
    write_package,
)
from tests.data.exchange.drawn import by_image, photographs


@pytest.fixture(autouse=True)
def _unsafe(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.fsync", lambda number: None)  # dozens of packages a test


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def errors(folder: Path) -> list[Any]:
    """What frictionless finds wrong with the package, by the standard's tables."""
    frictionless = pytest.importorskip("frictionless")
    description = json.loads((folder / "datapackage.json").read_text(encoding="utf-8"))
    del description["profile"]  # lies on the web
    for resource in description["resources"]:
        del resource["profile"]
        if resource["name"] in FIELDS:
            assert resource["schema"].endswith(f"/1.0.2/{resource['name']}-table-schema.json")
            resource["schema"] = schema(resource["name"])
    package = frictionless.Package.from_descriptor(description, basepath=str(folder))
    report = package.validate()
    return report.flatten(["title", "rowNumber", "fieldName", "message"])


@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_drawn_photographs_come_back_the_same(data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "package"
        photos = data.draw(photographs(folder))
        root = write_camtrap_dp(Observed("drawn", "", photos), folder)
        once = read_camtrap_dp(folder, root)
        assert by_image(once.photos) == by_image(photos)
        assert not once.left_out
        write_camtrap_dp(once, folder / "again", root=root)
        assert by_image(read_camtrap_dp(folder / "again", root).photos) == by_image(photos)


@settings(
    max_examples=8, deadline=None, suppress_health_check=list(HealthCheck),
    phases=(Phase.explicit, Phase.reuse, Phase.generate),  # shrinking takes minutes
)  # fmt: skip
@given(st.data())
def test_drawn_packages_are_valid(data: st.DataObject) -> None:
    pytest.importorskip("frictionless")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "package"
        write_camtrap_dp(Observed("drawn", "", data.draw(photographs(folder))), folder)
        assert errors(folder) == []


def test_bars_in_few_rows_are_no_separators(tmp_path: Path) -> None:
    photos = tuple(ObservedPhoto(name, None, occasion="|") for name in "ab")
    write_camtrap_dp(Observed("", "", photos), tmp_path)
    assert errors(tmp_path) == []


def test_the_check_finds_what_is_wrong(tmp_path: Path) -> None:
    write_camtrap_dp(Observed("", "", (ObservedPhoto("a.jpg", tmp_path / "a.jpg"),)), tmp_path)
    assert errors(tmp_path) == []
    table = tmp_path / "observations.csv"
    table.write_text(table.read_text().replace("unclassified", "something"))
    (error,) = errors(tmp_path)
    assert error[2] == "observationType"


WHOLE = ObservedPhoto(
    "media/m1.jpg", None, "Zoë", (0.1, 0.25, 0.5, 0.75), "left", "2024-05-03T14:02:31", "+02:00",
    50.5, 4.25, 187, "Bach", "Ann", None, "e1", "d1", "Lynx lynx", "female", "adult", "limps",
    0.75, None, "a model", True,
)  # fmt: skip


def test_what_the_standard_has_room_for_stands_in_its_tables(tmp_path: Path) -> None:
    when = datetime(2025, 1, 2, 3, 4, 5, tzinfo=UTC)
    photo = ObservedPhoto(**(vars(WHOLE) | {"path": tmp_path / WHOLE.image}))
    write_camtrap_dp(Observed("", "", (photo,)), tmp_path, classified=when)
    assert errors(tmp_path) == []
    assert not (tmp_path / "flukeprint.csv").exists()
    (seen,) = rows(tmp_path / "observations.csv")
    assert {key: value for key, value in seen.items() if value} == {
        "observationID": "media/m1.jpg", "deploymentID": "d1", "mediaID": "media/m1.jpg",
        "eventID": "e1", "eventStart": "2024-05-03T14:02:31+02:00",
        "eventEnd": "2024-05-03T14:02:31+02:00", "observationLevel": "media",
        "observationType": "animal", "scientificName": "Lynx lynx", "count": "1",
        "lifeStage": "adult", "sex": "female", "individualID": "Zoë", "bboxX": "0.1",
        "bboxY": "0.25", "bboxWidth": "0.4", "bboxHeight": "0.5",
        "classificationMethod": "machine", "classifiedBy": "a model",
        "classificationTimestamp": "2025-01-02T03:04:05Z", "classificationProbability": "0.75",
        "observationTags": "view:left", "observationComments": "limps",
    }  # fmt: skip
    (place,) = rows(tmp_path / "deployments.csv")
    assert (place["locationName"], place["latitude"], place["longitude"]) == (
        "Bach",
        "50.5",
        "4.25",
    )
    assert (place["coordinateUncertainty"], place["setupBy"]) == ("187", "Ann")
    (media,) = rows(tmp_path / "media.csv")
    assert (media["filePath"], media["filePublic"]) == ("media/m1.jpg", "true")
    assert media["fileMediatype"] == "image/jpeg"


def test_what_is_unknown_is_said_to_be(tmp_path: Path) -> None:
    write_camtrap_dp(Observed("", "", (ObservedPhoto("a.jpg", None),)), tmp_path)
    (place,) = rows(tmp_path / "deployments.csv")
    assert (place["coordinateUncertainty"], place["timestampIssues"]) == ("20037508", "true")
    assert place["deploymentComments"] == "position unknown"
    (media,) = rows(tmp_path / "media.csv")
    assert media["timestamp"].startswith("1970-01-01")
    assert (media["mediaComments"], media["filePublic"]) == ("time unknown", "false")
    (seen,) = rows(tmp_path / "observations.csv")
    assert (seen["observationType"], seen["classificationMethod"]) == ("unclassified", "")


def test_a_deployment_lasts_from_its_first_to_its_last_photograph(tmp_path: Path) -> None:
    dates = [("2024-05-03T01:00:00", "+02:00"), ("2024-05-02T23:30:00", "+00:00"), (None, None),
             ("2024-05-02T23:10:00", "+00:00")]  # fmt: skip
    photos = [
        ObservedPhoto(str(i), None, date=date, offset=offset, deployment="d1")
        for i, (date, offset) in enumerate(dates)
    ]
    write_camtrap_dp(Observed("", "", tuple(photos)), tmp_path)
    (place,) = rows(tmp_path / "deployments.csv")
    assert place["deploymentStart"] == "2024-05-03T01:00:00+02:00"  # 23:00 UTC
    assert place["deploymentEnd"] == "2024-05-02T23:30:00+00:00"


def test_one_deployment_at_two_places_is_two(tmp_path: Path) -> None:
    photos = tuple(
        ObservedPhoto(str(i), None, deployment="d1", latitude=float(i), longitude=2.0)
        for i in range(2)
    )
    write_camtrap_dp(Observed("", "", photos), tmp_path)
    assert [one["deploymentID"] for one in rows(tmp_path / "deployments.csv")] == ["d1", "d1-2"]
    assert read_camtrap_dp(tmp_path).photos == photos


def test_photographs_elsewhere_are_named_from_the_folder_that_holds_them(tmp_path: Path) -> None:
    photos = tuple(
        ObservedPhoto(name, tmp_path / "photos" / name) for name in ("a/1.jpg", "b/2.jpg")
    )
    root = write_camtrap_dp(Observed("", "", photos), tmp_path / "package")
    assert root == tmp_path / "photos"
    assert read_camtrap_dp(tmp_path / "package", root).photos == photos
    text = "".join(file.read_text() for file in (tmp_path / "package").iterdir())
    assert str(tmp_path) not in text  # a package is published


def test_a_package_read_and_written_tells_the_same(tmp_path: Path) -> None:
    box = {"bboxX": "0.52053", "bboxY": "0.66516", "bboxWidth": "0.15059", "bboxHeight": "0.29469"}
    tables = {
        "deployments": [deployment("d1"), deployment("d2", locationName="Tümpel")],
        "media": [
            medium("m1"),
            medium("m2", filePath="https://example.org/m2/file"),
            medium("m3", deploymentID="d2", filePublic="false"),
        ],
        "observations": [
            observation("o1", "m1", individualID="A", **box),
            observation("o2", "m1", individualID="B", classificationProbability="0.5"),
            observation("o3", "m2"),
            observation("o4", "m3", sex="male"),
        ],
    }
    source = write_package(tmp_path / "source", tables)
    once = read_camtrap_dp(source)
    root = write_camtrap_dp(once, tmp_path / "out")
    assert read_camtrap_dp(tmp_path / "out", root).photos == once.photos
    assert errors(tmp_path / "out") == []
    assert not (tmp_path / "out" / "flukeprint.csv").exists()


def test_a_package_that_is_there_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "datapackage.json").write_text("{}")
    with pytest.raises(FlukeprintError, match="holds a package already"):
        write_camtrap_dp(Observed("", "", ()), tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["datapackage.json"]
    (tmp_path / "file").touch()
    with pytest.raises(FlukeprintError, match="file"):
        write_camtrap_dp(Observed("", "", ()), tmp_path / "file" / "folder")
