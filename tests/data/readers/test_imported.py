"""Training data from where the field keeps its photographs."""

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from flukeprint.config.data import DataConfig
from flukeprint.data.readers import photo_names
from flukeprint.data.readers.read import photos_to_identify, read_labelled, read_test
from tests.data.readers.layouts import touch, write
from tests.refusals import refused


@pytest.fixture(autouse=True)
def said_anew() -> None:
    photo_names.say_once.cache_clear()


@pytest.fixture
def table(tmp_path: Path) -> Path:
    Image.new("RGB", (200, 100)).save(tmp_path / "a.png")
    touch(*(tmp_path / f"{name}.jpg" for name in "bcd"))
    write(
        tmp_path / "mine.csv",
        "File;Individual;Side;Date;Encounter;Deployment;bbox",
        "a.png;Ada;left;03/04/2021 07:05;e1;;[0.1, 0.2, 0.5, 0.5]",
        "a.png;Bo;;03/04/2021 07:05;e1;;[0.5, 0.2, 0.25, 0.5]",
        "b.jpg;Ada;right;03/04/2021 09:00;;d1;",
        "c.jpg;Ada;;;;d1;",
        "d.jpg;?;;;;;",
        ";;;;;;",
    )
    return tmp_path


def config(root: Path, **keys: Any) -> DataConfig:
    usual = {
        "reader": "imported", "labels": "mine.csv", "dates": "day-first", "box_unit": "share",
        "sample_submission": None,
    }  # fmt: skip
    return DataConfig(root=root, **usual | keys)


def test_a_table_is_trained_on(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    catalog = read_labelled(config(table))
    assert catalog.images == ("a.png#1", "a.png#2", "b.jpg", "c.jpg")
    assert catalog.identities == ("Ada", "Bo", "Ada", "Ada")
    assert catalog.views == ("left", None, "right", None)
    assert catalog.boxes is not None
    assert [box and [round(side) for side in box] for box in catalog.boxes] == [
        [20, 20, 120, 70], [100, 20, 150, 70], None, None,
    ]  # fmt: skip
    assert catalog.bursts is not None
    first, second, third, fourth = catalog.bursts
    # Two animals of one encounter, a day, and a deployment without a date.
    assert len({first, second, third, fourth}) == 4
    assert None not in catalog.bursts
    assert "left out: 1 photograph without an animal's name" in capsys.readouterr().err


def test_days_are_left_alone_if_asked(table: Path) -> None:
    bursts = read_labelled(config(table, same_day=False)).bursts
    assert bursts is not None
    assert [burst is None for burst in bursts] == [False, False, True, False]


def test_photographs_of_nobody_are_new_only_if_asked(table: Path) -> None:
    catalog = read_labelled(config(table, unnamed="new"))
    assert catalog.images[-1] == "d.jpg"
    assert catalog.identities[-1] is None
    write(table / "mine.csv", "image,id", "b.jpg,Ada", "c.jpg,New_Lion", "d.jpg,")
    found = read_labelled(config(table, new_label="new_lion"))
    assert found.identities == ("Ada", None)
    refused(lambda: read_labelled(config(table, new_label="new_label_of_ours", columns={
        "identity": "nobody"})), "no column 'nobody'")  # fmt: skip
    write(table / "mine.csv", "image,id", "b.jpg,?")
    refused(lambda: read_labelled(config(table)), "no photograph with a file names its animal")


def test_a_table_of_boxes_replaces_those_of_the_source(table: Path) -> None:
    write(table / "boxes.csv", "Image,x0,y0,x1,y1", "b.jpg,10,20,30,40", "a.png#1,,,,")
    kept = config(table, boxes="boxes.csv", box_unit="pixels", labels="plain.csv")
    write(table / "plain.csv", "image,id,share_x0,share_y0,share_x1,share_y1",
          "a.png,Ada,0,0,0.5,0.5", "b.jpg,Bo,,,,")  # fmt: skip
    write(table / "boxes.csv", "Image,x0,y0,x1,y1", "b.jpg,10,20,30,40")
    assert read_labelled(kept).boxes == (None, (10, 20, 30, 40))
    of_source = read_labelled(config(table, labels="plain.csv", box_unit="pixels"))
    assert of_source.boxes == ((0, 0, 100, 50), None)


def test_folders_by_a_pattern_are_trained_on(tmp_path: Path) -> None:
    touch(*(tmp_path / "p" / name for name in ("Dam/Ada/left_1.jpg", "Hill/Bo/right_2.jpg")))
    keys = {"labels": ".", "pattern": "{site}/{identity}/{view}_*.jpg"}
    catalog = read_labelled(config(tmp_path / "p", **keys))
    assert catalog.images == ("Dam/Ada/left_1.jpg", "Hill/Bo/right_2.jpg")
    assert (catalog.identities, catalog.views) == (("Ada", "Bo"), ("left", "right"))


def test_what_no_source_has_a_use_for_is_refused(table: Path) -> None:
    images = [{"id": 1, "file_name": "b.jpg"}]
    (table / "c.json").write_text(json.dumps({"images": images, "annotations": []}))
    refused(lambda: read_labelled(config(table, labels="c.json")), "data.dates means nothing")
    named = {"dates": None, "keywords": ("Animals|{identity}",)}
    refused(lambda: read_labelled(config(table, **named)), "data.keywords means nothing")
    # It is of use to one of both.
    refused(lambda: read_labelled(config(table, labels="c.json", test="mine.csv")), "names its")


def test_what_is_to_be_identified_is_a_folder_or_a_source(table: Path) -> None:
    touch(table / "test" / "y.jpg", table / "test" / "x.jpg")
    found = read_test(config(table, columns={"image": "File"}))
    assert (found.images, found.identities) == (("x.jpg", "y.jpg"), (None, None))
    detections = {
        "info": {"format_version": "1.4"},
        "detection_categories": {"1": "animal"},
        "images": [
            {"file": "a.png", "detections": [
                {"category": "1", "conf": 0.9, "bbox": [0.5, 0.0, 0.5, 1.0]}]},
        ],
    }  # fmt: skip
    (table / "found.json").write_text(json.dumps(detections))
    found = read_test(config(table, test="found.json"))
    assert (found.images, found.boxes) == (("a.png",), ((100, 0, 200, 100),))
    assert photos_to_identify(config(table, test="none.json")) is None
    write(table / "more.csv", "image;id", "b.jpg;Ada", "c.jpg;Bo")
    write(table / "sample.csv", "Image,Id", "c.jpg,new_whale", "b.jpg,new_whale")
    sampled = config(table, test="more.csv", sample_submission="sample.csv")
    found = read_test(sampled)
    assert (found.images, found.identities) == (("c.jpg", "b.jpg"), (None, None))
    write(table / "sample.csv", "Image,Id", "e.jpg,new_whale")
    refused(lambda: read_test(sampled), "sample.csv", "e.jpg")


def test_what_is_not_there_is_refused(table: Path) -> None:
    refused(lambda: read_labelled(config(table, labels="none.csv")), "none.csv is missing")
    refused(lambda: read_test(config(table, test="none.csv")), "none.csv is missing")
    (table / "c.jpg").unlink()
    refused(lambda: read_labelled(config(table)), "1 of 4", "c.jpg")
    assert len(read_labelled(config(table), photos=False)) == 4


def test_names_of_photographs_may_begin_elsewhere(table: Path) -> None:
    (table / "photos").mkdir()
    for name in ("a.png", "b.jpg", "c.jpg", "d.jpg"):
        (table / name).rename(table / "photos" / name)
    refused(lambda: read_labelled(config(table)), "a.png")
    paths = read_labelled(config(table, photo_root="photos")).paths
    assert paths is not None
    assert {path.parent for path in paths} == {table / "photos"}
    refused(lambda: read_labelled(config(table, photo_root="pictures")), "there is no folder")


def test_private_media_are_left_out_and_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    touch(tmp_path / "a.jpg")
    write(tmp_path / "mine.csv", "image,file_path,identity", "a,a.jpg,Ada", "b,,Bo")
    catalog = read_labelled(config(tmp_path))
    assert (catalog.images, catalog.identities) == (("a",), ("Ada",))
    assert "left out: 1 photograph without a file" in capsys.readouterr().err
