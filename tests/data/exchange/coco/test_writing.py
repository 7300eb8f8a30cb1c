"""COCO out and in again, by hypothesis and by its own reader."""

import json
import string
import unicodedata
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from flukeprint.data.exchange.coco.reading import read_coco, recognises
from flukeprint.data.exchange.coco.writing import write_coco
from flukeprint.data.exchange.observed import Observed, ObservedPhoto

SIZE = (1921, 1081)


def written(photos: list[ObservedPhoto], path: Path, **options: Any) -> dict[str, Any]:
    write_coco(Observed("test", "", tuple(photos)), path, **options)
    tree: dict[str, Any] = json.loads(path.read_text())
    return tree


words = (
    st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=12)
    .map(lambda word: unicodedata.normalize("NFC", word).strip())
    .filter(lambda word: word.casefold() not in
            ("", "____", "unknown", "unidentified", "none", "null", "nan", "na", "n/a", "-1",
             "animal", "object", "empty", "blank", "person", "people", "human", "homo sapiens",
             "homo_sapiens", "vehicle"))
)  # fmt: skip
file_names = st.text(string.ascii_letters + "äéñ ß漢#.-", min_size=1, max_size=10).map(
    lambda name: f"x{name}.jpg"
)
shares = st.integers(0, 10**9).map(lambda number: number / 10**9)
boxes = st.tuples(shares, shares, shares, shares).filter(
    lambda box: box[0] < box[2] and box[1] < box[3]
)
dates = st.one_of(
    st.dates().map(lambda day: day.isoformat()),
    st.datetimes().map(lambda when: when.isoformat(timespec="seconds")),
    st.sampled_from(["2020", "2020-05", "2020-05-01T10:00", "2020-05-01T10:00:00.25"]),
)


def maybe(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.none() | strategy


@st.composite
def places(draw: st.DrawFn) -> dict[str, Any]:
    """What a photograph's rows mostly share."""
    where = draw(maybe(st.tuples(st.floats(-90, 90), st.floats(-180, 180)))) or (None, None)
    return {
        "date": draw(maybe(dates)),
        "offset": draw(maybe(st.sampled_from(["+02:00", "-03:30"]))),
        "latitude": where[0],
        "longitude": where[1],
        "uncertainty": draw(maybe(st.floats(0, 1e5))),
        **{
            field: draw(maybe(words))
            for field in ("place", "observer", "occasion", "encounter", "deployment")
        },
    }


@st.composite
def catalogues(draw: st.DrawFn, box: st.SearchStrategy[Any] = boxes) -> list[ObservedPhoto]:
    photos = []
    names = draw(st.lists(file_names, max_size=4, unique=True))
    for number, name in enumerate(names):
        shared = draw(places())
        path = draw(st.sampled_from([Path(name), Path("sub") / name, None]))
        count = 1 if path is None else draw(st.integers(1, 3))
        for row in range(count):
            if draw(st.booleans()) and draw(st.booleans()):
                shared = draw(places())
            texts = {
                field: draw(maybe(words))
                for field in (
                    "identity", "view", "species", "sex", "life_stage", "notes", "by",
                )
            }  # fmt: skip
            photos.append(
                ObservedPhoto(
                    draw(st.sampled_from([f"{name}{number}-{row}", f"{row}/{name}#{number}"])),
                    path,
                    box=draw(maybe(box)),
                    probability=draw(maybe(st.floats(0, 1))),
                    confidence=draw(maybe(st.floats(0, 1))),
                    machine=draw(st.booleans()),
                    **texts,
                    **shared,
                )
            )
    return photos


def beside(photos: list[ObservedPhoto], folder: Path) -> list[ObservedPhoto]:
    """The rows with their files in a folder."""
    return [one if one.path is None else replace(one, path=folder / one.path) for one in photos]


def again(photos: list[ObservedPhoto], folder: Path, measured: bool) -> list[ObservedPhoto]:
    sizes = {one.path: SIZE for one in photos if one.path is not None} if measured else {}
    path = folder / "out.json"
    write_coco(Observed("test", "", tuple(photos)), path, sizes=sizes)
    read = read_coco(path)
    assert not read.left_out
    return list(read.photos)


@settings(deadline=None, max_examples=60)
@given(photos=catalogues(), measured=st.booleans())
def test_out_and_in_again(photos: list[ObservedPhoto], measured: bool) -> None:
    with TemporaryDirectory() as folder:
        photos = beside(photos, Path(folder))
        assert again(photos, Path(folder), measured) == photos


@settings(deadline=None, max_examples=60)
@given(
    photos=catalogues(
        st.tuples(*[st.floats(0, 1)] * 4).filter(
            lambda box: box[2] - box[0] > 1e-12 and box[3] - box[1] > 1e-12
        )
    ),
    measured=st.booleans(),
)
def test_boxes_of_any_shares_change_once_and_not_to_be_seen(
    photos: list[ObservedPhoto], measured: bool
) -> None:
    with TemporaryDirectory() as folder:
        photos = beside(photos, Path(folder))
        once = again(photos, Path(folder), measured)
        assert again(once, Path(folder), measured) == once
        for before, after in zip(photos, once, strict=True):
            assert after == replace(before, box=after.box)
            assert (before.box is None) == (after.box is None)
            if before.box is not None:
                assert after.box == pytest.approx(before.box, abs=2e-12)


@settings(deadline=None, max_examples=60)
@given(
    corners=st.tuples(st.integers(0, 1920), st.integers(0, 1080)),
    size=st.tuples(st.integers(1, 1921), st.integers(1, 1081)),
)
def test_whole_pixels_stay_whole(corners: tuple[int, int], size: tuple[int, int]) -> None:
    width, height = (min(size[i], SIZE[i] - corners[i]) for i in (0, 1))
    bbox = [corners[0], corners[1], width, height]
    with TemporaryDirectory() as folder:
        path = Path(folder) / "in.json"
        image = {"id": 1, "file_name": "a.jpg", "width": SIZE[0], "height": SIZE[1]}
        row = {"id": 1, "image_id": 1, "category_id": 1, "bbox": bbox}
        path.write_text(json.dumps({"images": [image], "annotations": [row], "categories": []}))
        (photo,) = read_coco(path).photos
        assert photo.path is not None
        tree = written([photo], path, sizes={photo.path: SIZE})
    assert tree["annotations"][0]["bbox"] == bbox


def test_what_is_written(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    (tmp_path / "sub").mkdir()
    Image.new("RGB", (80, 40)).save(tmp_path / "sub" / "a.jpg", exif=exif)
    base = ObservedPhoto(
        "a", tmp_path / "sub" / "a.jpg", species="Puma concolor", place="Río", encounter="s1",
        date="2020-05-01T10:00:00",
    )  # fmt: skip
    photos = [
        replace(base, identity="Zoë", box=(0.25, 0.5, 0.5, 1), view="left"),
        replace(base, image="b"),
        ObservedPhoto("c.jpg", tmp_path / "c.jpg"),
    ]
    tree = written(photos, tmp_path / "out" / "coco.json", root=tmp_path)
    assert recognises(tmp_path / "out" / "coco.json")
    assert tree["images"] == [
        {
            "id": 1, "file_name": "sub/a.jpg", "width": 40, "height": 80, "location": "Río",
            "seq_id": "s1", "datetime": "2020-05-01 10:00:00",
            "date_captured": "2020-05-01 10:00:00",
        },
        {"id": 2, "file_name": "c.jpg"},
    ]  # fmt: skip
    assert tree["annotations"] == [
        {
            "id": 1, "image_id": 1, "category_id": 1, "iscrowd": 0, "name": "Zoë",
            "viewpoint": "left", "bbox": [10, 40, 10, 40], "area": 400,
            "segmentation": [[10, 40, 20, 40, 20, 80, 10, 80]], "photograph_name": "a",
        },
        {
            "id": 2, "image_id": 1, "category_id": 1, "iscrowd": 0, "name": None,
            "viewpoint": None, "photograph_name": "b",
        },
    ]  # fmt: skip
    assert tree["categories"] == [{"id": 1, "name": "Puma concolor", "supercategory": "animal"}]
    again = read_coco(tmp_path / "out" / "coco.json", root=tmp_path)
    assert list(again.photos) == photos


def test_photographs_that_cannot_be_measured_are_told(tmp_path: Path) -> None:
    photo = ObservedPhoto("a.jpg", tmp_path / "a.jpg", box=(0.1, 0.2, 0.3, 0.4))
    (line,) = write_coco(Observed("test", "", (photo,)), tmp_path / "out.json")
    assert line.startswith("1 photograph could not be measured")
    (row,) = json.loads((tmp_path / "out.json").read_text())["annotations"]
    assert row["bbox_relative"] == [0.1, 0.2, 0.2, 0.2]
    assert "bbox" not in row


def test_files_elsewhere_keep_their_whole_path(tmp_path: Path) -> None:
    photos = [ObservedPhoto("/far/a.jpg", Path("/far/a.jpg"), identity="A")]
    tree = written(photos, tmp_path / "out.json")
    assert tree["images"][0]["file_name"] == "/far/a.jpg"
    assert "photograph_name" not in tree["annotations"][0]
    assert list(read_coco(tmp_path / "out.json").photos) == photos


def test_a_photograph_without_a_file_beside_one_of_that_name(tmp_path: Path) -> None:
    photos = [
        ObservedPhoto("a.jpg", None, identity="A"),
        ObservedPhoto("b", tmp_path / "a.jpg", identity="B"),
        ObservedPhoto("c", tmp_path / "c.jpg"),
        ObservedPhoto("c.jpg", None),
    ]
    written(photos, tmp_path / "out.json")
    assert list(read_coco(tmp_path / "out.json").photos) == photos


def test_pycocotools_reads_it(tmp_path: Path) -> None:
    coco = pytest.importorskip("pycocotools.coco")
    Image.new("RGB", (80, 40)).save(tmp_path / "a.jpg")
    photos = [
        ObservedPhoto("a#1", tmp_path / "a.jpg", "Zoë", (0.25, 0.5, 0.5, 1), species="puma"),
        ObservedPhoto("a#2", tmp_path / "a.jpg", "Émile", (0, 0, 0.5, 0.5), species="lynx"),
        ObservedPhoto("a#3", tmp_path / "a.jpg", species="lynx"),
        ObservedPhoto("b.jpg", tmp_path / "b.jpg"),
    ]
    written(photos, tmp_path / "out.json")
    index = coco.COCO(str(tmp_path / "out.json"))
    assert sorted(index.getImgIds()) == [1, 2]
    assert index.getImgIds(catIds=index.getCatIds(catNms=["puma"])) == [1]
    puma, lynx, whole = index.loadAnns(index.getAnnIds(imgIds=[1], iscrowd=False))
    assert (puma["bbox"], lynx["bbox"]) == ([20, 20, 20, 20], [0, 0, 40, 20])
    assert "bbox" not in whole
    mask = index.annToMask(puma)
    assert mask.shape == (40, 80)
    assert mask.sum() == puma["area"] == 400
    assert mask[20:, 20:40].all()
