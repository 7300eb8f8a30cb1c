"""Tables of wildlife-datasets."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from flukeprint.config.data import DataConfig
from flukeprint.data.readers.read import read_labelled, read_test
from flukeprint.data.readers.wildlife import from_wildlife
from tests.data.readers.layouts import labelled, touch, write
from tests.refusals import refused


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


def turtles(root: Path) -> pd.DataFrame:
    """What the package makes of a data set with a test part: paths of Windows, NaN, arrays."""
    names = ["n_1", "n_1", "n_2", "Unknown", "UNKNOWN", "n_2"]
    frame = pd.DataFrame(
        {
            "image_id": ["a", "b", "c", "d", "e", "f", "t", "u"],
            "path": [*(f"train\\{name}.JPG" for name in "abcdef"), "test/t.jpg", "test/u.jpg"],
            "identity": [*names, np.nan, "n_1"],
            "original_split": ["train"] * 5 + ["val", "test", "query"],
            "bbox": [list(np.array([1.0, 2, 30, 40]))] * 4 + [[np.nan] * 4] * 4,
            "encounter": [1, 1, 2, 3, 3, np.nan, np.nan, 7],
            "date": ["2019-05-01"] * 2 + ["2020-01-01"] * 6,
        }
    )
    touch(*(root / "train" / f"{name}.jpg" for name in "abcdef"), root / "test" / "t.jpg")
    touch(root / "test" / "u.jpg")
    return frame


def test_a_table_as_to_csv_writes_it(tmp_path: Path) -> None:
    frame = turtles(tmp_path)
    frame.to_csv(tmp_path / "train.csv", index=False)
    config = DataConfig(root=tmp_path, reader="wildlife", sample_submission=None)
    catalog, test = read_labelled(config), read_test(config)
    assert catalog.images == tuple("abcdef")
    assert catalog.identities == ("n_1", "n_1", "n_2", None, None, "n_2")
    assert catalog.boxes == ((1, 2, 31, 42),) * 4 + (None,) * 2
    assert catalog.bursts is not None
    assert catalog.bursts[0] == catalog.bursts[1] != catalog.bursts[2] is not None
    assert (test.images, test.identities) == (("t", "u"), (None, None))
    whole = from_wildlife(frame, tmp_path)  # a frame's own test rows keep the names they have
    assert whole.identities == (*catalog.identities, None, "n_1")
    frame["identity"] = frame["identity"].astype(str)  # NaN as `nan`
    assert from_wildlife(frame, tmp_path).identities == whole.identities
    frame["original_split"] = "train"
    refused(lambda: from_wildlife(frame, tmp_path), "column identity is empty in line 8")


def test_the_parts_of_a_table(tmp_path: Path) -> None:
    rows = {
        "train": "Train", "training": "train", "database": "train", "gallery": "train",
        "val": "train", "valid": "train", "validation": "train", "": "train",
        "TEST": "test", "testing": "test", "query": "test",
    }  # fmt: skip
    lines = [f"{number},{number}.jpg,w_1,{value}" for number, value in enumerate(rows)]
    touch(*(tmp_path / f"{number}.jpg" for number in range(len(rows))))
    config = DataConfig(root=tmp_path, reader="wildlife", sample_submission=None)
    for column in ("split", "original_split"):
        write(tmp_path / "train.csv", f"image_id,path,identity,{column}", *lines)
        assert read_labelled(config).images == tuple(map(str, range(8)))
        assert read_test(config).images == ("8", "9", "10")
    both = [f"{line},test" for line in lines[:2]] + [f"{lines[-1]},train"]
    write(tmp_path / "train.csv", "image_id,path,identity,split,original_split", *both)
    assert read_labelled(config).images == ("0", "1")  # split comes first
    write(tmp_path / "train.csv", "image_id,path,identity", "1,1.jpg,w_1")
    refused(lambda: read_test(config), "no column split or original_split")
