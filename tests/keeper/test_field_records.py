"""A catalogue's photographs in the formats of the field."""

import json
import shutil
from pathlib import Path

import pytest

from flukeprint.data.exchange.forms import read_observed
from tests.keeper.kept import identifier, written
from tests.says import Says

SPECIES = "Tragelaphus angasii"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return identifier(tmp_path_factory.mktemp("made"))


@pytest.fixture
def kept(made: Path, tmp_path: Path, says: Says) -> Path:
    """A catalogue of which four photographs came from a table: with boxes, dates and a place."""
    folder = Path(shutil.copytree(made, tmp_path / "kept"))
    rows = ["image,identity,date,latitude,longitude,place,view,sex,x0,y0,x1,y1"]
    for number in range(4):
        path = written(tmp_path, 20 + number, 0)
        box = ",,," if number else "60,45,180,135"
        dated = "2026-05-03T14:02+02:00,-27.05,32.41,Maputo" if number < 3 else ",,,"
        rows.append(f"{path.name},Zoë {number // 2},{dated},left,female,{box}")
    table = tmp_path / "table.csv"
    table.write_text("\n".join(rows), encoding="utf-8")
    done = says("enroll", folder, table, "--new", "--force", "--author", "Ann")
    assert done[1] is None
    return folder


@pytest.mark.parametrize(("form", "name"), [("camtrap-dp", "package"), ("coco", "coco.json")])
def test_photographs_boxes_and_encounters_are_found_again(
    kept: Path, tmp_path: Path, says: Says, form: str, name: str
) -> None:
    out = tmp_path / name
    text, error = says("export-catalogue", kept, "-o", out, "--format", form, "--species", SPECIES)
    assert error is None
    assert str(out) in text
    found = {one.path.name: one for one in read_observed(out).photos if one.path is not None}
    own = [found[f"2{number}-0.jpg"] for number in range(4)]
    assert [one.identity for one in own] == ["Zoë 0", "Zoë 0", "Zoë 1", "Zoë 1"]
    assert own[0].box == pytest.approx((0.25, 0.25, 0.75, 0.75))
    assert [one.box for one in own[1:]] == [None] * 3
    assert {(one.date, one.offset, one.place) for one in own[:3]} == {
        ("2026-05-03T14:02", "+02:00", "Maputo")
    }
    assert own[3].date is None
    assert {(one.sex, one.view, one.species, one.by) for one in own} == {
        ("female", "left", SPECIES, "Ann")
    }
    assert not any(one.machine for one in own)


def test_photographs_that_are_gone_are_named_and_keep_their_records(
    kept: Path, tmp_path: Path, says: Says
) -> None:
    (tmp_path / "20-0.jpg").unlink()
    out = tmp_path / "coco.json"
    assert says("export-catalogue", kept, "-o", out, "--format", "coco")[1] is None
    names = {one["name"] for one in json.loads(out.read_text())["annotations"]}
    assert {"Zoë 0", "Zoë 1"} <= names
    gone = [one for one in read_observed(out).photos if "20-0" in one.image]
    assert [(one.path, one.box, one.identity) for one in gone] == [(None, None, "Zoë 0")]


def test_a_format_that_is_not_written_is_refused(kept: Path, tmp_path: Path, says: Says) -> None:
    out = tmp_path / "out"
    assert "nothing is written as 'megadetector'" in str(
        says("export-catalogue", kept, "-o", out, "--format", "megadetector")[1]
    )
    assert "exported as campdp" in str(
        says("export-catalogue", kept, "-o", out, "--format", "campdp")[1]
    )
    assert not out.exists()
