"""The command import: a source becomes a table that the other commands read."""

import csv
import json
import shutil
from pathlib import Path

import pytest
from PIL import Image

from flukeprint.data.exchange.observed import Observed, ObservedPhoto
from flukeprint.data.exchange.photo_table import write_photo_table
from tests.refusals import refused
from tests.says import Says
from tests.serving.served import make_identifier, photo


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_identifier(tmp_path_factory.mktemp("imports"))


@pytest.fixture
def detections(tmp_path: Path) -> Path:
    """Results of MegaDetector: two animals, one too unsure, and a photograph that failed."""
    (tmp_path / "day").mkdir()
    (tmp_path / "day" / "a.jpg").write_bytes(photo(70, 3))
    path = tmp_path / "results.json"
    path.write_text(
        json.dumps(
            {
                "info": {"format_version": "1.4"},
                "detection_categories": {"1": "animal", "2": "person"},
                "images": [
                    {"file": "day\\a.jpg", "detections": [
                        {"category": "1", "conf": 0.9, "bbox": [0.0, 0.0, 0.5, 1.0]},
                        {"category": "1", "conf": 0.8, "bbox": [0.5, 0.0, 0.5, 1.0]},
                        {"category": "1", "conf": 0.05, "bbox": [0.1, 0.1, 0.2, 0.2]},
                        {"category": "2", "conf": 0.9, "bbox": [0.1, 0.1, 0.2, 0.2]},
                    ]},
                    {"file": "broken.jpg", "failure": "Failure image access", "detections": None},
                ],
            }
        )
    )  # fmt: skip
    return path


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_boxes_of_a_detector_are_enrolled(
    made: Path, detections: Path, tmp_path: Path, says: Says
) -> None:
    out, error = says("import", detections)
    assert error is None
    assert "1 photograph, 2 boxes, 0 animals" in out
    assert "left out" in out
    table = tmp_path / "table.csv"
    assert says("import", detections, "--table", table)[0].endswith(f"2 rows: {table}\n")
    found = rows(table)
    with Image.open(tmp_path / "day" / "a.jpg") as image:
        width, height = image.size
    assert [[float(row[side]) for side in ("x0", "y0", "x1", "y1")] for row in found] == [
        [0, 0, width / 2, height], [width / 2, 0, width, height],
    ]  # fmt: skip
    for row, name in zip(found, ("Ada", "Bo"), strict=True):
        row["identity"] = name
    with table.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(found[0]))
        writer.writeheader()
        writer.writerows(found)
    identifier = shutil.copytree(made, tmp_path / "identifier")
    done, error = says("enroll", identifier, table, "--new", "--force", "--json")
    assert error is None
    assert json.loads(done)["identities"] == ["Ada", "Bo"]
    page = json.loads(says("individuals", identifier, "Bo", "--json")[0])
    assert page["photographs"][0]["box"] == [width / 2, 0, width, height]


def test_photographs_of_one_encounter_are_dated_alike(tmp_path: Path) -> None:
    for name in "abc":
        (tmp_path / f"{name}.jpg").write_bytes(photo(ord(name), 1))
    kinds = [
        ("a", "2026-05-03T07:10:40", "e"),
        ("b", "2026-05-03T07:10:00", "e"),
        ("c", None, None),
    ]
    photos = tuple(
        ObservedPhoto(name, tmp_path / f"{name}.jpg", date=date, encounter=key, sex="unknown")
        for name, date, key in kinds
    )
    missing = ObservedPhoto("gone", tmp_path / "gone.jpg")
    table = tmp_path / "table.csv"
    assert write_photo_table(Observed("any", "1", (*photos, missing)), table) == 3
    assert [(row["date"], row["sex"]) for row in rows(table)] == [
        ("2026-05-03T07:10:00", ""), ("2026-05-03T07:10:00", ""), ("", ""),
    ]  # fmt: skip
    refused(
        lambda: write_photo_table(Observed("any", "1", (missing,)), tmp_path / "none.csv"),
        "none of these photographs has a file",
    )
    assert not (tmp_path / "none.csv").exists()


def test_a_table_is_imported_as_it_is_told(tmp_path: Path, says: Says) -> None:
    (tmp_path / "a.jpg").write_bytes(photo(70, 3))
    path = tmp_path / "field.csv"
    path.write_text("Bild,Wer,Wann,x0,y0,x1,y1\na.jpg,Ada,03/04/2021,0,0,0.5,1\n")
    assert "say what its columns Bild, Wer, Wann" in str(says("import", path)[1])
    told = ["--column", "image=Bild", "--column", "identity=Wer", "--column", "date=Wann"]
    assert "2021-04-03 or 2021-03-04" in str(says("import", path, *told)[1])
    told += ["--dates", "day-first", "--box-unit", "share"]
    out, error = says("import", path, *told, "--table", tmp_path / "out.csv")
    assert error is None
    assert out.startswith("table csv: 1 photograph, 1 box, 1 animal, 1 with a date, 0 with a")
    (row,) = rows(tmp_path / "out.csv")
    with Image.open(tmp_path / "a.jpg") as image:
        assert float(row["x1"]) == image.width / 2
    assert (row["identity"], row["date"]) == ("Ada", "2021-04-03")
    book = tmp_path / "again.xlsx"
    assert says("import", path, *told, "--to", "table", "--out", book)[1] is None
    assert says("import", book)[0].startswith("table xlsx: 1 photograph, 1 box, 1 animal, 1 with")
    assert "is given twice" in str(says("import", path, *told, *told[:2])[1])
    assert "not of the form image=File" in str(says("import", path, "--column", "File")[1])
    assert "no sheet 'S'; Known: photographs" in str(says("import", book, "--sheet", "S")[1])


def test_folders_are_imported_by_a_pattern(tmp_path: Path, says: Says) -> None:
    for name in ("Dam/Ada/left_1.jpg", "Dam/Bo/right_2.jpg", "Dam/other.jpg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(photo(70, 3))
    assert "give a pattern" in str(says("import", tmp_path)[1])
    out, error = says("import", tmp_path, "--pattern", "{site}/{identity}/{view}_*.jpg")
    assert error is None
    assert "2 photographs, 0 boxes, 2 animals" in out
    assert "left out: 1, photographs that {site}/{identity}/{view}_*.jpg does not match" in out


def test_what_is_no_source_is_refused(tmp_path: Path, says: Says) -> None:
    (tmp_path / "notes.json").write_text("{}")
    assert "of no format that is read: Camtrap DP" in str(
        says("import", tmp_path / "notes.json")[1]
    )
    assert "is missing" in str(says("import", tmp_path / "none.json")[1])
