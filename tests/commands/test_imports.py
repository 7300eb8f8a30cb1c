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


def test_what_is_no_source_is_refused(tmp_path: Path, says: Says) -> None:
    (tmp_path / "notes.json").write_text("{}")
    assert "of no format that is read: Camtrap DP" in str(
        says("import", tmp_path / "notes.json")[1]
    )
    assert "is missing" in str(says("import", tmp_path / "none.json")[1])
