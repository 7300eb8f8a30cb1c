"""Reading COCO as camera traps, WBIA and Wildbook write it, rebuilt small."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageOps

from flukeprint.data.exchange.coco.reading import read_coco, recognises
from flukeprint.data.exchange.observed import ObservedPhoto
from flukeprint.errors import FlukeprintError

CATEGORIES = [{"id": 0, "name": "zebra_plains"}, {"id": 1, "name": "giraffe"}]


def picture(
    key: Any, name: str, width: Any = 200, height: Any = 100, **more: Any
) -> dict[str, Any]:
    return {"id": key, "file_name": name, "width": width, "height": height, **more}


def annotated(of: Any, *bbox: float, category: int = 0, **more: Any) -> dict[str, Any]:
    box = {"bbox": list(bbox)} if bbox else {}
    return {"id": 1, "image_id": of, "category_id": category, **box, **more}


def written(
    path: Path, images: list[Any], annotations: list[Any], categories: Any = CATEGORIES, **more: Any
) -> Path:
    tree = {"info": {"version": "1.0"}, "categories": categories, **more}
    path.write_text(json.dumps({**tree, "annotations": annotations, "images": images}))
    return path


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "set" / "annotations").mkdir(parents=True)
    return tmp_path / "set" / "annotations" / "instances_train2020.json"


def only(path: Path, **options: Any) -> ObservedPhoto:
    (photo,) = read_coco(path, **options).photos
    return photo


def test_pixels_become_shares(file: Path) -> None:
    written(
        file,
        [picture(7, "b.jpg"), picture("x", "sub\\ä.jpg", 50, 80), picture(9, "none.jpg")],
        [
            annotated("x", 5, 8, 10.5, 72, category=1),
            annotated(7, 20, 10, 60, 40, name="Zoë"),
            annotated(7, 0, 0, 200, 100, name="____", viewpoint="unknown"),
        ],
    )
    read = read_coco(file)
    first, second, third, fourth = read.photos
    assert [one.image for one in read.photos] == [
        "b.jpg#1", "b.jpg#2", "sub/ä.jpg", "none.jpg",
    ]  # fmt: skip
    assert first.box == (0.1, 0.1, 0.4, 0.5)
    assert (first.identity, first.species) == ("Zoë", "zebra_plains")
    assert (second.box, second.identity, second.view) == ((0, 0, 1, 1), None, None)
    assert third.box == (0.1, 0.1, 0.31, 1)
    assert (third.path, third.species) == (file.parent / "sub" / "ä.jpg", "giraffe")
    assert (fourth.box, fourth.identity, fourth.species) == (None, None, None)
    assert read.notes == ("photographs without an annotation, which are taken whole: 1",)
    assert (read.form, read.version) == ("COCO", "1.0")


def test_camera_traps(file: Path) -> None:
    kinds = [{"id": 0, "name": "empty"}, {"id": 3, "name": "human"}, {"id": 5, "name": "bear"}]
    images = [
        picture("a", "a.jpg", None, None, location=12, datetime="2022-12-31 09:52:50", seq_id="s1"),
        picture("b", "b.jpg", location="b1", datetime=None),
        picture("c", "c.jpg", location="b1", corrupt=True),
        picture("d", "d.jpg", datetime="31/12/2022 09:52"),
    ]
    annotations = [
        annotated("a", category=5, sequence_level_annotation=True),
        annotated("b", category=0),
        annotated("b", 1, 1, 5, 5, category=3),
        annotated("d", category=5, bbox_relative=[0.1, 0.2, 0.2, 0.3]),
        annotated("c", 0, 0, 1, 1, category=5),
    ]
    read = read_coco(written(file, images, annotations, kinds))
    bear, other = read.photos
    assert read.form == "COCO Camera Traps"
    assert (bear.place, bear.date, bear.encounter) == ("12", "2022-12-31T09:52:50", "s1")
    assert (bear.box, bear.species) == (None, "bear")
    assert (other.box, other.date) == ((0.1, 0.2, 0.3, 0.5), None)
    assert read.left_out == {
        "photographs that their source calls corrupt": 1,
        "photographs marked as empty": 1,
        "annotations of human": 1,
        "annotations of no image that is listed": 1,
    }
    assert read.notes == (
        "annotations of a series, not of each of its photographs: 1",
        "dates that could not be read, as years are to stand first: 1",
    )


def test_wild_me(file: Path) -> None:
    photos = file.parents[1] / "images" / "train2020"
    photos.mkdir(parents=True)
    Image.new("RGB", (200, 100)).save(photos / "000000000001.jpg")
    where = {"gps_lat_captured": "-1.281000", "gps_lon_captured": "36.812000"}
    nowhere = {"gps_lat_captured": "-1.000000", "gps_lon_captured": "-1.000000"}
    images = [
        picture(1, "000000000001.jpg", date_captured="2015-03-01 10:20:30", **where),
        picture(2, "000000000002.jpg", date_captured="NA", photographer="", **nowhere),
    ]
    annotations = [
        annotated(
            1, 50, 20, 100, 40, theta=0.0, viewpoint="frontleft", name="NNP_GZ_0001",
            individual_ids=[1, 2], segmentation=[[50, 20, 150, 20, 150, 60, 50, 60, 50, 20]],
        ),
        annotated(2, 50, 20, 100, 40, theta=math.pi / 2, viewpoint="left", name="____",
                  individual_ids=[1, 2]),
    ]  # fmt: skip
    info = {"description": "Wild Me Dataset", "version": "1.0", "contributor": "Wild Me <a@b>"}
    written(file, images, annotations, info=info, parts=[{"id": 1}])
    read = read_coco(file)
    first, second = read.photos
    assert read.form == "WildMe COCO"
    assert first.path == photos / "000000000001.jpg"
    assert (first.latitude, first.longitude) == (-1.281, 36.812)
    assert (second.latitude, second.longitude, second.date) == (None, None, None)
    assert first.date == "2015-03-01T10:20:30"
    assert (first.view, first.identity) == ("frontleft", "NNP_GZ_0001")
    assert (second.view, second.identity) == ("left", None)
    assert first.box == (0.25, 0.2, 0.75, 0.6)
    # Turned by a quarter about its centre (100, 40): 40 wide, from -10 to 90 and so cut at 0.
    assert second.box == pytest.approx((0.4, 0, 0.6, 0.9))
    assert read.notes == (
        f"photographs are looked for in {photos}",
        "turned boxes, of which the upright box around each is taken: 1",
        "1 part of animals are not read",
    )


def test_wildbook_names_of_several_individuals(file: Path) -> None:
    def of(place: int, name: str | None, uuid: str | None) -> dict[str, Any]:
        return annotated(
            place, 0, 0, 9, 9, name=name, individual_uuid=uuid, encounter_id=f"e{place}"
        )

    people = [("Stumpy", "u1"), ("Stumpy", "u2"), ("Dot", "u3"), (None, "u4"), (None, None)]
    images = [
        picture(place, f"{place}.jpg", date_captured="2024-06-15T14:30:00.000+02:00")
        for place in range(5)
    ]
    rows = [of(place, *who) for place, who in enumerate(people)]
    info = {"description": "Wildbook COCO Export", "contributor": "Wildbook"}
    read = read_coco(written(file, images, rows, info=info))
    assert [one.identity for one in read.photos] == [
        "Stumpy (u1)", "Stumpy (u2)", "Dot", "u4", None,
    ]  # fmt: skip
    assert (read.photos[0].date, read.photos[0].offset) == ("2024-06-15T14:30:00", "+02:00")
    assert [one.encounter for one in read.photos] == ["e0", "e1", "e2", "e3", "e4"]
    assert read.notes == ("names of several individuals, whose ids stand behind them: 1",)


@pytest.mark.parametrize(
    "key",
    ["name", "individual_name", "individual", "identity", "individual_id", "individualID",
     "individual_uuid", "name_uuid"],
)  # fmt: skip
def test_keys_of_individuals(file: Path, key: str) -> None:
    written(file, [picture(1, "a.jpg")], [annotated(1, 0, 0, 9, 9, **{key: "  E\u0301milie "})])
    assert only(file).identity == "Émilie"
    written(file, [picture(1, "a.jpg")], [annotated(1, 0, 0, 9, 9, **{key: 17})])
    assert only(file).identity == "17"


def test_a_named_person_is_an_animal_of_that_category(file: Path) -> None:
    kinds = [{"id": 0, "name": "person"}]
    written(file, [picture(1, "a.jpg")], [annotated(1, 0, 0, 9, 9, name="Koko")], kinds)
    assert only(file).identity == "Koko"


@pytest.mark.parametrize(
    ("bbox", "why"),
    [
        ([1, 2, 3], "malformed boxes"),
        ([1, 2, 3, "x"], "malformed boxes"),
        ([1, 2, 0, 3], "malformed boxes"),
        ([1, 2, 3, -1], "malformed boxes"),
        ([1, 2, 3, None], "malformed boxes"),
        ("1 2 3 4", "malformed boxes"),
        ([200, 0, 10, 10], "boxes that hold nothing of their photograph"),
        ([-10, 0, 10, 10], "boxes that hold nothing of their photograph"),
    ],
)
def test_boxes_that_are_left_out(file: Path, bbox: Any, why: str) -> None:
    rows = [{**annotated(1), "bbox": bbox}, annotated(1, -10, 20, 30, 200)]
    read = read_coco(written(file, [picture(1, "a.jpg")], rows))
    assert [(one.image, one.box) for one in read.photos] == [("a.jpg#2", (0, 0.2, 0.1, 1))]
    assert read.examples == {why: ("a.jpg#1",)}


def test_nan_as_pandas_writes_it(file: Path) -> None:
    images = [picture(1, "a.jpg", seq_id=math.nan, location=3.0)]
    rows = [annotated(1, math.nan, 0, 9, 9), annotated(1, 0, 0, 20, 10, name=math.nan)]
    read = read_coco(written(file, images, rows))
    (photo,) = read.photos
    assert (photo.identity, photo.encounter, photo.place) == (None, None, "3")
    assert read.left_out == {"malformed boxes": 1}


def test_groups_and_polygons(file: Path) -> None:
    rows = [
        annotated(1, 0, 0, 9, 9, iscrowd=1),
        annotated(1, segmentation=[[20, 10, 60, 30, 40, 50], [80, 20, 90, 20, 90, 25]]),
        annotated(1, segmentation={"size": [100, 200], "counts": "x"}),
    ]
    read = read_coco(written(file, [picture(1, "a.jpg")], rows))
    assert [one.box for one in read.photos] == [(0.1, 0.1, 0.45, 0.5), None]
    assert read.left_out == {"groups of animals in one box": 1}


def test_missing_sizes_are_read_from_the_file(file: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (80, 40)).save(file.parent / "a.jpg", exif=exif)
    (file.parent / "b.jpg").write_bytes(b"no photograph")
    images = [{"id": name, "file_name": f"{name}.jpg"} for name in "abc"]
    rows = [annotated(name, 10, 20, 10, 20) for name in "abc"]
    read = read_coco(written(file, images, rows), look=False)
    (photo,) = read.photos
    assert photo.box == (0.25, 0.25, 0.5, 0.5)  # of the upright 40 x 80
    assert read.examples == {"boxes of photographs of unknown size": ("b.jpg", "c.jpg")}
    assert read.notes == ("sizes that are missing and were read from the photographs: 1",)


@pytest.mark.parametrize("turn", range(1, 9))
@pytest.mark.parametrize("kind", ["jpg", "png", "tif"])
@pytest.mark.parametrize("size", ["upright", "stored"])
def test_photographs_that_exif_turns(file: Path, turn: int, kind: str, size: str) -> None:
    """The box is that of a white patch, wherever the stored picture has it."""
    pixels = np.zeros((40, 80), np.uint8)
    pixels[4:12, 50:74] = 255
    exif = Image.Exif()
    exif[0x0112] = turn
    stored = Image.fromarray(pixels)
    stored.save(file.parent / f"a.{kind}", exif=exif)
    stored.getexif()[0x0112] = turn
    upright = ImageOps.exif_transpose(stored)
    truth = np.argwhere(np.asarray(upright) > 0)
    (y0, x0), (y1, x1) = truth.min(axis=0).tolist(), (truth.max(axis=0) + 1).tolist()
    width, height = upright.size
    if size == "stored" and turn >= 5:
        images = [picture(1, f"a.{kind}", 80, 40)]
        rows = [annotated(1, 50, 4, 24, 8)]
    else:
        images = [picture(1, f"a.{kind}", width, height)]
        rows = [annotated(1, x0, y0, x1 - x0, y1 - y0)]
    read = read_coco(written(file, images, rows))
    (photo,) = read.photos
    assert photo.box == pytest.approx((x0 / width, y0 / height, x1 / width, y1 / height))
    how = "sizes of photographs before EXIF turns them, whose boxes were turned with them"
    assert read.notes == ((f"{how}: 1",) if size == "stored" and turn >= 5 else ())


def test_upright_boxes_with_the_stored_size(file: Path) -> None:
    """As some programs export: boxes that only fit the upright picture show it."""
    exif = Image.Exif()
    exif[0x0112] = 8
    for name in "ab":
        Image.new("L", (80, 40)).save(file.parent / f"{name}.jpg", exif=exif)
    images = [picture("a", "a.jpg", 80, 40), picture("b", "b.jpg", 80, 40)]
    rows = [annotated("a", 10, 40, 20, 40), annotated("b", 10, 10, 20, 20)]
    read = read_coco(written(file, images, rows))
    assert [one.box for one in read.photos] == [(0.25, 0.5, 0.75, 1), (0.25, 0.125, 0.75, 0.375)]
    (note,) = read.notes
    assert note.startswith("sizes of photographs before EXIF turns them, whose boxes are upright")


def test_sizes_of_a_scaled_copy_and_of_another_photograph(file: Path) -> None:
    Image.new("L", (80, 40)).save(file.parent / "a.jpg")
    written(file, [picture(1, "a.jpg", 800, 401)], [annotated(1, 80, 0, 80, 401)])
    assert only(file).box == (0.1, 0, 0.2, 1)
    assert not read_coco(file).notes
    written(file, [picture(1, "a.jpg", 400, 800)], [annotated(1, 80, 0, 80, 400)])
    assert only(file).box == (0.2, 0, 0.4, 0.5)
    assert "another shape" in read_coco(file).notes[0]
    assert not read_coco(file, look=False).notes


def test_a_real_position_is_kept_where_the_same_text_means_none(file: Path) -> None:
    where = {"gps_lat_captured": -1.0, "gps_lon_captured": -1.0}
    photo = only(written(file, [picture(1, "a.jpg", **where)], []))
    assert (photo.latitude, photo.longitude) == (-1, -1)
    where = {"latitude": 91, "longitude": 5}
    photo = only(written(file, [picture(1, "a.jpg", **where)], []))
    assert (photo.latitude, photo.longitude) == (None, None)


def test_ids_and_files_given_twice(file: Path) -> None:
    images = [
        picture(1, "a.jpg"), picture(1, "b.jpg"), picture(2, "a.jpg"), picture(3, "a.jpg#1"),
        {"id": 4}, None, {"file_name": "c.jpg"},
    ]  # fmt: skip
    rows = [annotated(2, 0, 0, 20, 10), annotated(1, 0, 0, 40, 10), annotated("9", 0, 0, 1, 1), 5]
    read = read_coco(written(file, images, rows))
    assert [one.image for one in read.photos] == ["a.jpg#1", "a.jpg#2"]
    assert read.left_out == {
        "images whose id is given twice": 1,
        "images without an id or a file's name": 3,
        "annotations of no image that is listed": 2,
        "boxes whose name another photograph has": 1,
    }


def test_names_of_files(file: Path, tmp_path: Path) -> None:
    names = ["/far/a.jpg", "C:\\cams\\b.jpg", "c.jpg"]
    images = [picture(place, name) for place, name in enumerate(names)]
    read = read_coco(written(file, images, []), root=tmp_path)
    assert [one.path for one in read.photos] == [
        Path("/far/a.jpg"), Path("C:/cams/b.jpg"), tmp_path / "c.jpg",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "is no JSON: .* in line 1, column 2"),
        ("[]", "is no COCO: its top level is no object"),
        ('{"annotations": []}', "has no list `images`"),
        ('{"images": [], "annotations": {}}', "has no list `annotations`"),
    ],
)
def test_what_is_refused_in_one_line(file: Path, content: str, message: str) -> None:
    file.write_text(content)
    with pytest.raises(FlukeprintError, match=message):
        read_coco(file)


def test_what_is_recognised(file: Path) -> None:
    assert not recognises(file)
    assert recognises(written(file, [picture(1, "a.jpg")], []))
    file.write_text('{"images": [{"file": "a.jpg"}], "detection_categories": {}}')
    assert not recognises(file)
    file.write_text('{"resources": [], "profile": "x"}')
    assert not recognises(file)
