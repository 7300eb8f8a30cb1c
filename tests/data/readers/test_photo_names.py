"""Names that table and disk write differently: found where one file can be meant, else refused."""

import time
import unicodedata
from pathlib import Path

import pytest

from flukeprint.config.data import DataConfig
from flukeprint.data.readers.photo_names import loose_name, rows_of_photos
from flukeprint.data.readers.read import read_labelled, read_test
from tests.data.readers.layouts import labelled, touch, write
from tests.refusals import refused


def form(kind: str, name: str) -> str:
    return unicodedata.normalize(kind, name)


COMPOSED, DECOMPOSED = form("NFC", "ñandú é.jpg"), form("NFD", "ñandú é.jpg")


@pytest.mark.parametrize(
    ("table", "disk"),
    [
        (COMPOSED, DECOMPOSED),
        (DECOMPOSED, COMPOSED),
        ("a.JPG", "a.jpg"),
        ("a.jpg", "a.JPG"),
        ("a.jpg", "a.Jpg"),
        ("2019\\05\\a.jpg", "2019/05/a.jpg"),
        ("2019\\é\\a.JPG", form("NFD", "2019/é/a.jpg")),
        ("./a.jpg", "a.jpg"),
        ("back\\slash.jpg", "back\\slash.jpg"),
    ],
)
def test_a_photograph_is_found_under_its_other_spelling(
    tmp_path: Path, table: str, disk: str
) -> None:
    write(tmp_path / "train.csv", "Image,Id", f"{table},w_1", "z.jpg,w_1")
    touch(tmp_path / "train" / disk, tmp_path / "train" / "z.jpg")
    catalog = labelled(tmp_path)
    assert catalog.images == (table, "z.jpg")
    assert catalog.paths == (tmp_path / "train" / disk, tmp_path / "train" / "z.jpg")
    write(tmp_path / "meta.csv", "image_id,path,identity", f"1,train/{table},w_1")
    assert labelled(tmp_path, reader="wildlife", labels="meta.csv").paths == catalog.paths[:1]
    write(tmp_path / "sample.csv", "Image,Id", f"{table},new_whale")
    config = DataConfig(root=tmp_path, test="train", sample_submission="sample.csv")
    assert read_test(config).paths == catalog.paths[:1]


def test_a_folder_in_another_form_is_found(tmp_path: Path) -> None:
    folder = form("NFD", "año")
    write(tmp_path / "train.csv", "Image,Id", f"{form('NFC', 'año')}/a.jpg,w_1")
    touch(tmp_path / "train" / folder / "a.JPG")
    assert labelled(tmp_path).paths == (tmp_path / "train" / folder / "a.JPG",)


@pytest.mark.parametrize(
    ("rows", "files", "words"),
    [
        (["a.Jpg"], ["a.jpg", "a.JPG"], ["a.Jpg (a.JPG, a.jpg)", "do not tell which file"]),
        (["a.jpg", "a.JPG"], ["a.jpg"], ["a.JPG (a.jpg has another row)"]),
        (["a.JPG", "a.Jpg"], ["a.jpg"], ["one file is named in several ways", "a.JPG", "a.Jpg"]),
        (["a.jpg"], ["A.jpg"], ["1 of 1 listed photo is not on disk", "a.jpg"]),
        (["a.jpg"], ["a.jpeg"], ["not on disk"]),
        (["a.jpg"], ["sub/a.jpg"], ["not on disk"]),
        (["sub\\a.jpg"], ["a.jpg"], ["not on disk", "sub\\a.jpg"]),
    ],
)
def test_what_is_unclear_or_missing_is_refused(
    tmp_path: Path, rows: list[str], files: list[str], words: list[str]
) -> None:
    write(tmp_path / "train.csv", "Image,Id", *(f"{row},w_1" for row in rows))
    touch(*(tmp_path / "train" / file for file in files))
    refused(lambda: labelled(tmp_path), *words)


def test_both_files_are_found_where_both_are_named(tmp_path: Path) -> None:
    write(tmp_path / "train.csv", "Image,Id", "a.jpg,w_1", "a.JPG,w_2")
    touch(tmp_path / "train" / "a.jpg", tmp_path / "train" / "a.JPG")
    assert [path.name for path in labelled(tmp_path).paths] == ["a.jpg", "a.JPG"]


def test_side_tables_match_by_the_same_rules(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [(f"i{n}.jpg", f"w_{n % 3}") for n in range(30)] + [(COMPOSED, "w_1")]
    write(tmp_path / "train.csv", "Image,Id", *(f"{image},{name}" for image, name in rows))
    touch(*(tmp_path / "train" / image for image, _ in rows), tmp_path / "test" / "t.jpg")
    names = ["i0.jpg", *(f"i{n}.JPG" for n in range(1, 30)), DECOMPOSED, "t.JPG", "gone.jpg"]
    write(tmp_path / "boxes.csv", "Image,x0,y0,x1,y1", *(f"{name},0,0,9,9" for name in names))
    catalog = labelled(tmp_path, boxes="boxes.csv", sample_submission=None)
    assert catalog.boxes == ((0, 0, 9, 9),) * 31
    said = capsys.readouterr().err
    assert said == f"{tmp_path}/boxes.csv: 1 of 33 rows names no photograph: gone.jpg\n"
    config = DataConfig(root=tmp_path, boxes="boxes.csv", sample_submission=None)
    assert read_test(config).boxes == ((0, 0, 9, 9),)
    assert capsys.readouterr().err == ""  # once is enough


def test_rows_that_name_a_photograph_otherwise_are_refused(tmp_path: Path) -> None:
    images = ("w_1/a.jpg", "w_1/b.jpg", "w_2/a.jpg")
    here = tmp_path / "views.csv"
    for row in ("w_1/B.jpg", "w_1/b.png", "w_1/b", "b.jpg", "train/w_1/b.jpg", "train\\w_1\\B.JPG"):
        refused(
            lambda row=row: rows_of_photos(
                ["w_1/a.jpg", row], images, here, lambda: (), kind="test"
            ),
            "views.csv: 1 row names a photograph otherwise than it is called",
            f"such as {row} for w_1/b.jpg",
        )
    assert rows_of_photos(["a.jpg", "w_3/a.jpg"], images, here, lambda: None, kind="labelled") == {}
    found = rows_of_photos(["w_1/b.jpg", "b.jpg"], images, here, lambda: ["b.jpg"], kind="test")
    assert found == {"w_1/b.jpg": "w_1/b.jpg"}


def test_rows_that_may_be_several_photographs_are_refused() -> None:
    refused(
        lambda: rows_of_photos(
            ["a.JPG", "a.Jpg"], ["a.jpg"], Path("b.csv"), lambda: (), kind="test"
        ),
        "b.csv: names that may be one of several photographs: a.JPG, a.Jpg",
    )
    both = rows_of_photos(
        ["a.JPG", "a.jpg"], ["a.jpg"], Path("b.csv"), lambda: None, kind="labelled"
    )
    assert both == {"a.jpg": "a.jpg"}


def test_rows_of_no_photograph_are_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = tmp_path / "b.csv"
    for others, whose in (((), "no photograph"), (None, "no labelled photograph")):
        rows = ["a.jpg", "x.jpg", "y.jpg"]
        found = rows_of_photos(rows, ["a.jpg", "b.jpg"], table, lambda o=others: o, kind="labelled")
        assert found == {"a.jpg": "a.jpg"}
        assert capsys.readouterr().err == f"{table}: 2 of 3 rows name {whose}: x.jpg, y.jpg\n"


def test_loose_names() -> None:
    assert loose_name(".\\a\\B.JPG") == "a/B.jpg"
    assert loose_name("a.b/c") == "a.b/c"
    assert loose_name(DECOMPOSED) == COMPOSED


def test_thirty_thousand_names_are_found_in_one_listing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from flukeprint.data.readers import photo_names

    count = 30_000
    listed = []

    def names_in(folder: Path) -> set[str]:
        listed.append(folder)
        return {f"{n:06d}.jpg" for n in range(count)}

    monkeypatch.setattr(photo_names, "names_in", names_in)
    write(tmp_path / "train.csv", "Image,Id", *(f"{n:06d}.JPG,w_1" for n in range(count)))
    start = time.monotonic()
    catalog = read_labelled(DataConfig(root=tmp_path))
    assert time.monotonic() - start < 20
    assert listed == [tmp_path / "train"]
    assert catalog.paths is not None
    assert catalog.paths[-1].name == "029999.jpg"
