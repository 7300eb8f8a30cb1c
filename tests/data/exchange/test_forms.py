"""The table of formats: which one reads a path, and how options reach it."""

import json
import sys
from pathlib import Path

import pytest

from flukeprint.data.exchange.any_table.columns import COLUMNS, FIELDS
from flukeprint.data.exchange.forms import (
    FORMS,
    TABLE,
    check_options,
    form_of,
    read_observed,
    recognised,
)
from flukeprint.data.exchange.options import ReadOptions
from tests.data.readers.layouts import touch, write
from tests.refusals import refused


def test_any_table_is_the_last_that_is_tried() -> None:
    assert list(FORMS)[-1] == TABLE


def test_a_table_is_recognised_by_its_headers(tmp_path: Path) -> None:
    assert recognised(write(tmp_path / "a.csv", "Filename,Animal", "a.jpg,Ada")) is FORMS[TABLE]
    assert recognised(write(tmp_path / "b.csv", "Filename,Weather", "a.jpg,fair")) is None
    assert recognised(write(tmp_path / "c.txt", "Filename\tAnimal", "a.jpg\tAda")) is FORMS[TABLE]
    assert recognised(write(tmp_path / "d.csv", "")) is None
    assert recognised(tmp_path / "none.csv") is None
    refused(lambda: form_of(tmp_path / "b.csv"), "columns Filename, Weather", "the image")


@pytest.mark.parametrize("name", ["t.xlsx", "t.parquet", "t.csv"])
def test_a_damaged_table_is_named_so(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"\0" * 100)
    assert recognised(tmp_path / name) is None
    refused(lambda: form_of(tmp_path / name), name, "cannot be read as")


@pytest.mark.parametrize(("name", "package"), [("t.xlsx", "openpyxl"), ("t.parquet", "pyarrow")])
def test_a_missing_package_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, package: str
) -> None:
    touch(tmp_path / name)
    module = "workbooks" if package == "openpyxl" else "parquet"
    monkeypatch.delitem(sys.modules, f"flukeprint.data.exchange.any_table.{module}", raising=False)
    monkeypatch.setitem(sys.modules, package, None)
    refused(lambda: form_of(tmp_path / name), package, "pip install 'flukeprint[tables]'")


def test_options_of_a_table_make_it_one(tmp_path: Path) -> None:
    touch(tmp_path / "p" / "Ada" / "a.jpg")
    assert form_of(tmp_path / "p", ReadOptions(pattern="{identity}/*")) is FORMS[TABLE]
    refused(lambda: form_of(tmp_path / "p", ReadOptions(dates="day-first")), "give a pattern")
    path = write(tmp_path / "b.csv", "Bild", "a.jpg")
    found = read_observed(path, options=ReadOptions(columns={"image": "Bild"}))
    assert [photo.image for photo in found.photos] == ["a.jpg"]


def test_options_that_a_format_has_no_use_for_are_refused(tmp_path: Path) -> None:
    coco = tmp_path / "t.json"
    coco.write_text(json.dumps({"images": [{"id": 1, "file_name": "a.jpg"}], "annotations": []}))
    check_options(coco, ReadOptions())
    dated = ReadOptions(dates="day-first", box_unit="share")
    refused(lambda: check_options(coco, dated), "read as COCO", "--dates, --box-unit means nothing")
    table = write(tmp_path / "b.csv", "image,identity", "a.jpg,Ada")
    check_options(table, dated)
    refused(lambda: check_options(table, ReadOptions(keywords=("{identity}",))), "--keywords")
    touch(tmp_path / "p" / "Ada" / "a.jpg")
    check_options(tmp_path / "p", ReadOptions(pattern="{identity}/*", dates="day-first"))
    patterned = ReadOptions(pattern="{identity}/*", box_unit="share")
    refused(lambda: check_options(tmp_path / "p", patterned), "--box-unit means nothing")
    check_options(tmp_path / "p", ReadOptions(keywords=("{identity}",)))


def test_what_is_enrolled_can_be_imported_under_the_same_names() -> None:
    assert all(FIELDS[name] == others for name, others in COLUMNS.items())
    words = [word for name, others in FIELDS.items() for word in (name, *others)]
    assert [word for word in words if words.count(word) > 1] == ["time", "time"]  # see `choose`
