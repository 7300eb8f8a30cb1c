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
