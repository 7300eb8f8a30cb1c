"""The table of readers: side tables, missing files, and the real photographs where they are."""

from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from flukeprint.config.data import DataConfig
from flukeprint.data.readers.read import READERS, read_labelled, read_test
from tests.data.readers.layouts import SPIDERS, labelled, write
from tests.refusals import refused


def test_every_reader_of_the_schema_is_there() -> None:
    annotation = DataConfig.model_fields["reader"].annotation
    assert set(READERS) == set(annotation.__args__)  # type: ignore[union-attr]


def test_side_tables_may_know_more_and_less_than_the_catalogue(whales: Path) -> None:
    write(whales / "views.csv", "Image,view", "d.jpg,left", "x.jpg,right", "other.jpg,up", "a.jpg,")
    write(whales / "boxes.csv", "Image,x0,y0,x1,y1", "c.jpg,0,0,10,20")
    write(whales / "bursts.csv", "burst,Image", "7,a.jpg", "7,c.jpg")
    keys = {"views": "views.csv", "boxes": "boxes.csv", "bursts": "bursts.csv"}
    catalog = labelled(whales, **keys)
    assert catalog.views == (None, None, None, "left")
    assert catalog.boxes == (None, None, (0, 0, 10, 20), None)
    assert catalog.bursts == ("7", None, "7", None)
    test = read_test(DataConfig(root=whales, **keys))
    assert test.views == (None, "right")
    assert test.boxes == (None, None)
    write(whales / "encounters.csv", "Image,Id,encounter,date", "a.jpg,w_1,7,", "c.jpg,w_1,7,")
    assert labelled(whales, labels="encounters.csv").bursts == ("7", "7")
    write(whales / "views.csv", "Image,view", "other.jpg,up")
    refused(lambda: labelled(whales, views="views.csv"), "views.csv", "none of the photos")


def test_missing_files_say_where_to_get_them(whales: Path) -> None:
    keys = {"root": whales / "none", "competition": "humpback-whale-identification"}
    refused(lambda: labelled(**keys), "none/train.csv is missing", "`flukeprint download none`")
    refused(lambda: labelled(whales / "none"), "none/train.csv is missing", "data.root")
    refused(lambda: labelled(whales / "none", reader="synthetic"), "`flukeprint synthesize`")
    refused(lambda: labelled(whales, train="elsewhere"), "folder", "elsewhere is missing")
    refused(lambda: labelled(whales, views="v.csv"), "v.csv is missing")
    config = DataConfig(root=whales, test="no", sample_submission=None)
    refused(lambda: read_test(config), "no is missing")
    refused(lambda: read_test(DataConfig(root=whales, test="no")), "no is missing")
    refused(lambda: read_test(DataConfig(root=whales, test=None)), "data.test")


def test_all_photos_missing_on_disk_are_named_at_once(whales: Path) -> None:
    (whales / "train" / "a.jpg").unlink()
    (whales / "train" / "d.jpg").unlink()
    refused(lambda: labelled(whales), "2 of 4", "train/a.jpg, train/d.jpg;")
    assert len(read_labelled(DataConfig(root=whales), photos=False)) == 4


@pytest.mark.photos
@pytest.mark.parametrize(
    ("name", "keys", "counts"),
    [
        ("lions", {"views": "views.csv"}, (585, 94, 155)),
        ("nyala", {"views": "views.csv"}, (1514, 237, 428)),
        ("spiders", {"reader": "file_name", "pattern": SPIDERS}, (389, 50, 100)),
    ],
)
def test_real_photographs(
    photos: Path, name: str, keys: dict[str, Any], counts: tuple[int, int, int]
) -> None:
    config = DataConfig(root=photos / name, new_label="new_individual", **keys)
    train, test = read_labelled(config), read_test(config)
    assert (len(train), len(train.vocabulary()), len(test)) == counts
    assert all(label == label.strip() for label in train.vocabulary())
    if train.views is not None:
        assert None not in train.views
        assert test.views is not None
        assert None not in test.views
    assert train.paths is not None
    with Image.open(train.paths[0]) as image:
        assert max(image.size) <= 480
