"""Readers on small folders drawn here, and on the real photographs where they are."""

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from flukeprint.config.schema import DataConfig
from flukeprint.data.readers.kaggle_csv import read_label_table
from flukeprint.data.readers.read import READERS, read_labelled, read_test
from flukeprint.data.readers.wildlife import from_wildlife
from flukeprint.data.tables import read_table
from flukeprint.errors import FlukeprintError

SPIDERS = r"^(?P<identity>.+)_\d+[a-z]?\.jpg$"

ROWS = [("a.jpg", "w_1"), ("b.jpg", "new_whale"), ("c.jpg", "w_1"), ("d.jpg", "w_2")]


def touch(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def write(path: Path, *lines: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


@pytest.fixture
def whales(tmp_path: Path) -> Path:
    """A tiny Kaggle layout: four labelled photos, three test photos, a sample that lists two."""
    write(tmp_path / "train.csv", "Image,Id", *(f"{image},{label}" for image, label in ROWS))
    write(tmp_path / "sample_submission.csv", "Image,Id", "z.jpg,new_whale", "x.jpg,new_whale")
    touch(*(tmp_path / "train" / image for image, _ in ROWS))
    touch(*(tmp_path / "test" / name for name in ("x.jpg", "y.jpg", "z.jpg", "notes.txt")))
    return tmp_path


def refused(call: Callable[[], Any], *words: str) -> str:
    """The message of the FlukeprintError, one line that holds all `words`."""
    with pytest.raises(FlukeprintError) as caught:
        call()
    message = str(caught.value)
    assert "\n" not in message
    for word in words:
        assert word in message, message
    return message


def labelled(root: Path, **keys: Any) -> Any:
    return read_labelled(DataConfig(root=root, **keys))


def test_every_reader_of_the_schema_is_there() -> None:
    annotation = DataConfig.model_fields["reader"].annotation
    assert set(READERS) == set(annotation.__args__)  # type: ignore[union-attr]


def test_kaggle_csv(whales: Path) -> None:
    catalog = labelled(whales)
    assert catalog.images == ("a.jpg", "b.jpg", "c.jpg", "d.jpg")
    assert catalog.identities == ("w_1", None, "w_1", "w_2")
    assert catalog.paths == tuple(whales / "train" / image for image, _ in ROWS)
    assert catalog.views is None


def test_test_photos_in_the_order_of_the_sample_else_sorted(whales: Path) -> None:
    catalog = read_test(DataConfig(root=whales))
    assert catalog.images == ("z.jpg", "x.jpg")
    assert catalog.identities == (None, None)
    config = DataConfig(root=whales, sample_submission=None)
    assert read_test(config).images == ("x.jpg", "y.jpg", "z.jpg")
    (whales / "sample_submission.csv").unlink()
    refused(lambda: read_test(DataConfig(root=whales)), "sample_submission.csv is missing", "null")


def test_optional_columns_of_the_label_table(tmp_path: Path) -> None:
    path = write(
        tmp_path / "t.csv",
        "Image,Id,view,x0,y0,x1,y1,burst",
        "a.jpg,w_1,left,1,2,3.5,4,e1",
        "b.jpg,w_2,,,,,,",
    )
    catalog = read_label_table(path, "new_whale")
    assert catalog.views == ("left", None)
    assert catalog.boxes == ((1.0, 2.0, 3.5, 4.0), None)
    assert catalog.bursts == ("e1", None)


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
    write(whales / "views.csv", "Image,view", "other.jpg,up")
    refused(lambda: labelled(whales, views="views.csv"), "views.csv", "none of the photos")


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ([], ["is empty"]),
        (["Image,Id"], ["no rows"]),
        (["Image,Label", "a.jpg,w_1"], ["no column Id", "wanted Image, Id", "Image, Label"]),
        (["Image,Id,Id", "a.jpg,w_1,w_2"], ["listed twice: Id"]),
        (["Image,Id", "a.jpg,w_1", "b.jpg,"], ["column Id is empty in line 3"]),
        (["Image,Id", ",w_1", "b.jpg,w_1", ",w_1"], ["column Image is empty in lines 2, 4"]),
        (["Image,Id", "a.jpg,w_1", "", "b.jpg,w_1"], ["empty rows: line 3"]),
        (["Image,Id", "a.jpg,w_1", ",", "b.jpg,w_1"], ["empty rows: line 3"]),
        (["Image,Id", "a.jpg,w_1", "a.jpg,w_1"], ["repeats rows: a.jpg", "lines 2, 3"]),
        (["Image,Id", "a.jpg,w_1", "a.jpg,w_2"], ["one photo two values of Id", "w_1, w_2"]),
        (["Image,Id", "a.jpg,w_1,left"], ["first row has more cells"]),
        (["Image,Id", "a.jpg,w_1", "b.jpg,w_1,left"], ["line 3"]),
        (["Image,Id", 'a.jpg,"w_1'], ["cannot be read as a CSV"]),
        (["Image,Id", "a.jpg,new_individual"], ["data.new_label=new_individual"]),
        (["Image,Id,x0,y0,x1,y1", "a.jpg,w_1,1,2,3,"], ["line 2", "four numbers"]),
        (["Image,Id,x0,y0,x1,y1", "a.jpg,w_1,5,2,3,9"], ["line 2", "x0 < x1"]),
        (["Image,Id,x0,y0,x1,y1", "a.jpg,w_1,0,0,nan,9"], ["line 2", "x0 < x1"]),
    ],
)
def test_bad_label_tables(whales: Path, lines: list[str], words: list[str]) -> None:
    write(whales / "train.csv", *lines)
    refused(lambda: labelled(whales), "train.csv" if "new_ind" not in str(words) else "", *words)


def test_table_that_is_not_text(whales: Path) -> None:
    (whales / "train.csv").write_bytes(b"Image,Id\n\xff\xfe,w_1\n")
    refused(lambda: labelled(whales), "train.csv", "UTF-8")


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


def test_folder_per_identity(tmp_path: Path) -> None:
    touch(tmp_path / "train/w 2/b.JPG", tmp_path / "train/w_1/2019/a.png")
    touch(tmp_path / "train/new_whale/c.jpg", tmp_path / "train/w_1/.hidden.jpg")
    catalog = labelled(tmp_path, reader="folders")
    assert dict(zip(catalog.images, catalog.identities, strict=True)) == {
        "new_whale/c.jpg": None,
        "w 2/b.JPG": "w 2",
        "w_1/2019/a.png": "w_1",
    }
    touch(tmp_path / "train/stray.jpg")
    refused(lambda: labelled(tmp_path, reader="folders"), "stray.jpg")


def test_identity_in_the_file_name(tmp_path: Path) -> None:
    touch(tmp_path / "train/acanthogonatus_sp _0006.jpg", tmp_path / "train/lox_laeta_0006a.jpg")
    catalog = labelled(tmp_path, reader="file_name", pattern=SPIDERS)
    assert catalog.identities == ("acanthogonatus_sp", "lox_laeta")

    def with_pattern(pattern: str | None) -> Callable[[], Any]:
        return lambda: labelled(tmp_path, reader="file_name", pattern=pattern)

    refused(with_pattern(None), "data.pattern")
    refused(with_pattern("(?P<identity>"), "not a regular expression")
    refused(with_pattern("(.+)_"), "no group `identity`")
    refused(
        with_pattern("(?P<identity>w)_"), "does not match 2 of 2 file names", "lox_laeta_0006a.jpg"
    )
    message = refused(
        with_pattern("(?P<identity>lox.*)_"), "not match 1 of 2 file names", "acanthogonatus"
    )
    assert "lox_laeta" not in message


def test_folder_without_photographs(tmp_path: Path) -> None:
    touch(tmp_path / "train/readme.txt")
    refused(lambda: labelled(tmp_path, reader="folders"), "holds no photographs")


def test_wildlife_table_and_dataframe_agree(tmp_path: Path) -> None:
    frame = pd.DataFrame(
        {
            "image_id": [11, 12, 13, 14],
            "path": ["p/a.jpg", "p/b.jpg", "p/b.jpg", "p/c.jpg"],
            "identity": ["n_1", "unknown", "n_2", "n_1"],
            "split": ["train", "train", "train", "test"],
            "orientation": ["left", np.nan, "right", "left"],
            "bbox": [[1, 2, 3, 4], np.nan, [0.5, 0, 10, 10], [1, 1, 1, 1]],
        }
    )
    frame.to_csv(tmp_path / "meta.csv", index=False)
    touch(*(tmp_path / "p" / name for name in ("a.jpg", "b.jpg", "c.jpg")))
    config = DataConfig(root=tmp_path, reader="wildlife", labels="meta.csv", sample_submission=None)
    catalog = read_labelled(config)
    assert catalog == from_wildlife(frame[:3], tmp_path)
    assert catalog.images == ("11", "12", "13")
    assert catalog.identities == ("n_1", None, "n_2")
    assert catalog.views == ("left", None, "right")
    assert catalog.boxes == ((1, 2, 4, 6), None, (0.5, 0, 10.5, 10))
    test = read_test(config)
    assert (test.images, test.identities) == (("14",), (None,))


@pytest.mark.parametrize(
    ("column", "values", "words"),
    [
        ("identity", ["n_1", np.nan], ["column identity is empty in line 3"]),
        ("image_id", [1, 1], ["two values of identity"]),
        ("bbox", ["[1, 2, 3, 4]", "[1, 2, x]"], ["bbox of 2"]),
        ("bbox", [[1, 2, 3, 4], [1, 2, 0, 4]], ["bbox of 2 has no area"]),
    ],
)
def test_bad_wildlife_dataframes(column: str, values: list[Any], words: list[str]) -> None:
    frame = pd.DataFrame({"image_id": [1, 2], "path": ["a", "b"], "identity": ["n_1", "n_2"]})
    frame = frame.astype(object)
    frame[column] = pd.Series(values, dtype=object)
    refused(lambda: from_wildlife(frame, Path()), *words)
    refused(lambda: from_wildlife(frame.drop(columns="path"), Path()), "no column path")


def test_wildlife_splits_are_checked(tmp_path: Path) -> None:
    write(tmp_path / "train.csv", "image_id,path,identity,split", "1,a.jpg,n_1,trian")
    refused(lambda: labelled(tmp_path, reader="wildlife"), "unknown split 'trian'", "train")
    write(tmp_path / "train.csv", "image_id,path,identity,split", "1,a.jpg,n_1,database")
    config = DataConfig(root=tmp_path, reader="wildlife", sample_submission=None)
    refused(lambda: read_test(config), "no row marked `test`")
    refused(lambda: read_labelled(config), "1 of 1", "a.jpg")


def test_scikit_learn_digits_are_parted_and_whole() -> None:
    from sklearn.datasets import load_digits

    config = DataConfig(reader="digits", test=None)
    train, test = read_labelled(config), read_test(config)
    assert len(train) + len(test) == 1797
    assert not set(train.images) & set(test.images)
    assert train.pixels is not None
    assert train.pixels.dtype == np.uint8
    assert train.pixels.shape == (1438, 8, 8)
    assert train.vocabulary() == tuple("0123456789")
    assert test.identities == (None,) * 359
    data = load_digits()
    row = int(train.images[100][1:])
    np.testing.assert_allclose(train.pixels[100], data.images[row] * 255 / 16, atol=0.5)
    assert train.identities[100] == str(data.target[row])
    assert read_labelled(config).images == train.images


def digits_folder(root: Path, cells: list[list[object]], labels: list[object]) -> DataConfig:
    names = [f"pixel{i}" for i in range(4)]
    with (root / "train.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerows(
            [["label", *names], *([a, *b] for a, b in zip(labels, cells, strict=True))]
        )
    with (root / "test.csv").open("w", newline="") as file:
        csv.writer(file).writerows([names, *cells])
    return DataConfig(reader="digits_csv", root=root, test="test.csv", sample_submission=None)


def test_kaggle_digits(tmp_path: Path) -> None:
    config = digits_folder(tmp_path, [[0, 1, 2, 255], [9, 8, 7, 6]], [3, 7])
    train, test = read_labelled(config), read_test(config)
    assert train.identities == ("3", "7")
    assert train.pixels is not None
    assert train.pixels.tolist() == [[[0, 1], [2, 255]], [[9, 8], [7, 6]]]
    assert train.images == ("train_1", "train_2")
    assert test.images == ("1", "2")


@pytest.mark.parametrize("cell", ["256", "-1", "", "x", "1.5", "70000"])
def test_bad_pixels_are_named(tmp_path: Path, cell: str) -> None:
    config = digits_folder(tmp_path, [[0, 1, 2, 255], [9, 8, cell, 6]], [3, 7])
    refused(lambda: read_labelled(config), "train.csv, line 3: pixel2", repr(cell), "0 to 255")
    refused(lambda: read_test(config), "test.csv, line 3: pixel2")


def test_bad_digit_tables(tmp_path: Path) -> None:
    config = digits_folder(tmp_path, [[0, 1, 2, 3]], [""])
    refused(lambda: read_labelled(config), "line 2: label is ''")
    write(tmp_path / "train.csv", "label,pixel0,pixel1", "1,2,3")
    refused(lambda: read_labelled(config), "square")
    write(tmp_path / "train.csv", "digit,pixel0", "1,2")
    refused(lambda: read_labelled(config), "first column is label")


cells = st.text(
    st.characters(codec="utf-8", exclude_categories=("Cs", "Cc", "Zl", "Zp", "Zs")), min_size=1
)


@settings(max_examples=40)
@given(st.lists(st.tuples(cells, cells), min_size=1, max_size=8))
def test_a_table_comes_back_as_it_was_written(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str]]
) -> None:
    """Quotes, commas, NA, numbers with zeros in front: what csv writes is what is read."""
    path = tmp_path_factory.mktemp("t") / "t.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("Image", "Id"), *rows])
    table = read_table(path, ("Image", "Id"))
    assert list(table.itertuples(index=False, name=None)) == rows


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
