"""Reading MegaDetector's batch JSON, rebuilt small in all its versions."""

import json
from pathlib import Path
from typing import Any

import pytest

from flukeprint.data.exchange.megadetector import read_megadetector, recognises
from flukeprint.errors import FlukeprintError

KINDS = {"1": "animal", "2": "person", "3": "vehicle"}


def found(
    x: float, y: float, width: float, height: float, conf: float = 0.9, kind: str = "1", **more: Any
) -> dict[str, Any]:
    return {"category": kind, "conf": conf, "bbox": [x, y, width, height], **more}


def written(
    path: Path, images: list[Any], *, kinds: Any = KINDS, version: Any = "1.5", **more: Any
) -> Path:
    # The program itself writes `info` last and text in ASCII.
    tree = {
        "images": images,
        "detection_categories": kinds,
        "info": {"detector": "md_v5a.0.1.pt", "format_version": version},
        **more,
    }
    path.write_text(json.dumps(tree, indent=1))
    return path


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "results.json"


def test_each_box_of_an_animal_is_a_row(file: Path) -> None:
    written(
        file,
        [
            {
                "file": "north/a.jpg",
                "detections": [
                    found(0.1, 0.2, 0.3, 0.4, 0.926),
                    found(0.5, 0.5, 0.1, 0.1, 0.8, "2"),
                    found(0.6, 0.7, 0.2, 0.1, 0.2),
                    found(0.6, 0.7, 0.2, 0.1, 0.199),
                ],
            },
            {"file": "b.jpg", "detections": [found(0.1, 0, 0.2, 1)]},
            {"file": "empty.jpg", "detections": []},
        ],
    )
    assert recognises(file)
    read = read_megadetector(file)
    first, second, third = read.photos
    assert [one.image for one in read.photos] == ["north/a.jpg#1", "north/a.jpg#3", "b.jpg"]
    assert first.path == second.path == file.parent / "north" / "a.jpg"
    assert first.box == pytest.approx((0.1, 0.2, 0.4, 0.6))
    assert second.box == pytest.approx((0.6, 0.7, 0.8, 0.8))
    assert (first.confidence, second.confidence) == (0.926, 0.2)
    assert third.box == (0.1, 0, 0.3, 1)  # and not 0.1 + 0.2
    assert first.identity is None
    assert first.species is None
    assert (read.form, read.version) == ("MegaDetector", "1.5")
    assert read.left_out == {
        "boxes of person": 1,
        "boxes of a confidence below 0.2": 1,
        "photographs without an animal of confidence 0.2 or more": 1,
    }
    assert read.examples["boxes of person"] == ("north/a.jpg#2",)


def test_another_confidence_leaves_the_names_of_boxes(file: Path) -> None:
    boxes = [found(0, 0, 0.1, 0.1, 0.3), found(0.5, 0.5, 0.1, 0.1, 0.7)]
    written(file, [{"file": "a.jpg", "detections": boxes}])
    few, more = (read_megadetector(file, confidence=least).photos for least in (0.5, 0.1))
    assert [one.image for one in few] == ["a.jpg#2"]
    assert few[0] == more[1]


def test_names_of_categories_decide_not_their_keys(file: Path) -> None:
    boxes = [found(0, 0, 0.5, 0.5, kind="1"), found(0.5, 0.5, 0.5, 0.5, kind="7")]
    written(file, [{"file": "a.jpg", "detections": boxes}], kinds={"1": "person", "7": "Animal"})
    (photo,) = read_megadetector(file).photos
    assert photo.box == (0.5, 0.5, 1, 1)


def test_boxes_are_cut_to_the_photograph(file: Path) -> None:
    boxes = [
        found(-0.01, 0.9, 0.5, 0.1004),
        found(1.2, 0, 0.1, 0.1),
        found(0.1, 0.1, 0, 0.3),
        found(0.5, 0.5, -0.1, 0.1),
    ]
    written(file, [{"file": "a.jpg", "detections": boxes}])
    read = read_megadetector(file)
    (photo,) = read.photos
    assert photo.box == pytest.approx((0, 0.9, 0.49, 1))
    assert photo.box is not None
    assert photo.box[0] == 0
    assert photo.box[3] == 1
    assert read.left_out == {"boxes that hold nothing of their photograph": 3}


@pytest.mark.parametrize(
    "bad",
    [
        {"category": "1", "conf": 0.9},
        {"category": "1", "conf": 0.9, "bbox": [0, 0, 1]},
        {"category": "1", "conf": 0.9, "bbox": [0, 0, 1, None]},
        {"category": "1", "conf": "high", "bbox": [0, 0, 1, 1]},
        {"category": "1", "conf": 1.5, "bbox": [0, 0, 1, 1]},
        "box",
        None,
    ],
)
def test_malformed_boxes_are_left_out(file: Path, bad: Any) -> None:
    written(file, [{"file": "a.jpg", "detections": [bad, found(0, 0, 1, 1)]}])
    read = read_megadetector(file)
    assert [one.image for one in read.photos] == ["a.jpg#2"]
    assert read.left_out == {"malformed boxes": 1}


def test_failed_photographs_are_left_out_with_the_reason(file: Path) -> None:
    written(
        file,
        [
            {"file": "a.jpg", "failure": "Failure image access", "detections": None},
            {"file": "b.jpg", "failure": "Failure inference"},
            {"file": "c.jpg", "detections": None},
            {"file": "d.jpg", "failure": None, "detections": [found(0, 0, 1, 1)]},
        ],
    )
    read = read_megadetector(file)
    assert [one.image for one in read.photos] == ["d.jpg"]
    why = "photographs that MegaDetector could not use"
    assert read.examples == {
        f"{why} (Failure image access)": ("a.jpg",),
        f"{why} (Failure inference)": ("b.jpg",),
        f"{why} (no reason given)": ("c.jpg",),
    }
    assert f"left out: 1, {why} (Failure inference): b.jpg" in read.text()


def test_videos_are_left_out(file: Path) -> None:
    box = found(0, 0, 1, 1)
    written(
        file,
        [
            {"file": "a.MP4", "detections": [box]},
            {"file": "b", "frame_rate": 20, "frames_processed": [0], "detections": []},
            {"file": "c", "detections": [{**box, "frame_number": 0}]},
            {"file": "d.jpg", "detections": [{**box, "frame_number": None}]},
        ],
    )
    read = read_megadetector(file)
    assert [one.image for one in read.photos] == ["d.jpg"]
    assert read.examples == {"videos": ("a.MP4", "b", "c")}


def test_paths_of_other_systems_and_absolute_ones(file: Path, tmp_path: Path) -> None:
    names = ["site 1\\Ä\\a.jpg", "/far/b.jpg", "D:\\cams\\c.jpg", "site 1/Ä/a.jpg"]
    written(file, [{"file": name, "detections": [found(0, 0, 1, 1)]} for name in names])
    read = read_megadetector(file, root=tmp_path / "photos")
    assert [one.path for one in read.photos] == [
        tmp_path / "photos" / "site 1" / "Ä" / "a.jpg",
        Path("/far/b.jpg"),
        Path("D:/cams/c.jpg"),
    ]
    assert [one.image for one in read.photos] == ["site 1/Ä/a.jpg", "/far/b.jpg", "D:/cams/c.jpg"]
    assert read.left_out == {"photographs listed twice": 1}


def test_the_most_probable_classification_is_the_species(file: Path) -> None:
    def classified(*pairs: Any) -> dict[str, Any]:
        return found(0, 0, 1, 1, classifications=list(pairs))

    boxes = [
        classified(["3", 0.2], ["0", 0.7], ["4", 0.1]),
        classified(["4", 0.9]),
        classified(["9", 0.9]),
        classified(),
        classified("odd", ["0"]),
        found(0, 0, 1, 1, classifications=None),
    ]
    written(
        file,
        [{"file": "a.jpg", "detections": boxes}],
        classification_categories={"0": "renard", "3": "cerf élaphe", "4": "blank"},
    )
    photos = read_megadetector(file).photos
    assert [one.species for one in photos] == ["renard", None, None, None, None, None]
    assert all(one.identity is None and one.probability is None for one in photos)


def test_the_date_that_the_program_may_write(file: Path) -> None:
    dates = ["2022:12:31 09:52:50", None, "31.12.22"]
    entries = [
        {"file": f"{place}.jpg", "datetime": date, "detections": [found(0, 0, 1, 1)]}
        for place, date in enumerate(dates)
    ]
    read = read_megadetector(written(file, entries))
    assert [one.date for one in read.photos] == ["2022-12-31T09:52:50", None, None]
    assert read.notes == ("1 date could not be read",)


@pytest.mark.parametrize("version", ["1.0", "1.1", "1.2", "1.3", "1.4", "1.5", "1.6", 1.4, None])
def test_versions(file: Path, version: Any) -> None:
    written(file, [{"file": "a.jpg", "detections": [found(0, 0, 1, 1)]}], version=version)
    read = read_megadetector(file)
    assert len(read.photos) == 1
    assert not read.notes
    assert read.version == ("" if version is None else str(version))


def test_a_newer_version_is_told_and_another_format_refused(file: Path) -> None:
    written(file, [], version="1.9")
    assert read_megadetector(file).notes == ("format 1.9 is newer than 1.6, which is known",)
    written(file, [], version="2.0")
    with pytest.raises(FlukeprintError, match=r"is of format 2\.0"):
        read_megadetector(file)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"images": [', "is no JSON: .* in line 1, column 13; it may have been cut short"),
        (b"", "is no JSON"),
        (b'[{"file": "a.jpg", "detections": []}]', "top level is no object .* is read"),
        (b"{}", "has no list `images`"),
        (b'{"images": {}}', "has no list `images`"),
        (b'{"images": []}', "has no object `detection_categories`"),
        (b'{"images": [], "detection_categories": {"1": "lynx"}}', "no category `animal`.* lynx;"),
        (b'{"images": "\xff"}', r"is not UTF-8 \(byte 12\)"),
        (b"[" * 100_000, "is no results of MegaDetector"),
        (b"{" + b'"a":' + b"1" * 5000 + b"}", "is no results of MegaDetector"),
    ],
)
def test_what_is_refused_in_one_line(file: Path, content: bytes, message: str) -> None:
    file.write_bytes(content)
    with pytest.raises(FlukeprintError, match=message) as caught:
        read_megadetector(file)
    assert str(file) in str(caught.value)


def test_refusals_of_the_call(file: Path, tmp_path: Path) -> None:
    with pytest.raises(FlukeprintError, match="no such file"):
        read_megadetector(tmp_path / "none.json")
    with pytest.raises(FlukeprintError, match="cannot be read"):
        read_megadetector(tmp_path)
    with pytest.raises(FlukeprintError, match="not between 0 and 1"):
        read_megadetector(written(file, []), confidence=20)


def test_entries_that_name_no_file(file: Path) -> None:
    written(file, [None, {"detections": []}, {"file": 3, "detections": []}])
    assert read_megadetector(file).examples == {
        "entries that name no file": ("entry 1", "entry 2", "entry 3")
    }


def test_what_is_recognised(file: Path, tmp_path: Path) -> None:
    assert not recognises(file)
    assert not recognises(tmp_path)
    file.write_bytes(b"")
    assert not recognises(file)
    file.write_bytes(b"\xef\xbb\xbf" + written(file, []).read_bytes())
    assert recognises(file)
    assert not read_megadetector(file).photos
    # The words inside a text are no keys.
    file.write_text(json.dumps({"images": 'x "detection_categories": y'}))
    assert not recognises(file)
    file.write_text('[{"images": 1, "detection_categories": 2}]')
    assert not recognises(file)
    other = written(tmp_path / "results.txt", [])
    assert not recognises(other)


def test_it_is_recognised_by_keys_far_inside(file: Path) -> None:
    images = [{"file": f"{place:06}.jpg", "detections": []} for place in range(5000)]
    assert recognises(written(file, images, more=["x" * 200_000]))
    assert read_megadetector(file).left_out == {
        "photographs without an animal of confidence 0.2 or more": 5000
    }
