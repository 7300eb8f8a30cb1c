"""The long tail counted by hand, and on the real label table."""

import struct
from pathlib import Path

import pytest

from flukeprint.config.data import DataConfig
from flukeprint.data.catalog import Catalog
from flukeprint.data.explore import Distribution, distribution, explore_data, plot
from flukeprint.data.readers.kaggle_csv import read_label_table


def catalog_of(labels: str, views: tuple[str | None, ...] | None = None) -> Catalog:
    """One photo a letter; `-` is a new individual."""
    return Catalog(
        images=tuple(str(i) for i in range(len(labels))),
        paths=tuple(Path(str(i)) for i in range(len(labels))),
        identities=tuple(None if label == "-" else label for label in labels),
        views=views,
    )


def test_counts_by_hand() -> None:
    found = distribution(catalog_of("aab-c-ddddd", ("left", None, "left", *["right"] * 8)), "new")
    assert (found.photos, found.identities, found.new_photos, found.single) == (11, 4, 2, 2)
    assert found.sizes == ((1, 2), (2, 1), (5, 1))
    assert found.largest[:2] == (("d", 5), ("a", 2))
    assert found.views == (("right", 8), ("left", 2))
    text = found.text()
    assert text.startswith("11 photos, 4 identities, 2 new, 2 identities with one photo\n")
    assert "     1           2\n" in text
    assert "views: right 8, left 2" in text


def test_many_photos_share_a_line() -> None:
    text = distribution(catalog_of("a" * 10 + "b" * 31 + "c"), "new").text()
    assert "  10..           2  (the largest has 31)" in text


def test_a_distribution_that_does_not_add_up_is_refused() -> None:
    with pytest.raises(ValueError, match="add up"):
        Distribution(photos=3, new_photos=1, new_label="new", sizes=((1, 1),))


@pytest.mark.parametrize("labels", ["aab-c-ddddd", "--", "a"])
def test_plot_is_a_png(tmp_path: Path, labels: str) -> None:
    path = plot(distribution(catalog_of(labels), "new_whale"), tmp_path / "figures" / "tail.png")
    data = path.read_bytes()
    assert data.startswith(b"\x89PNG\r\n\x1a\n")
    width, height = struct.unpack(">II", data[16:24])
    assert (width, height) == (1920, 1080)
    assert [file.name for file in path.parent.iterdir()] == ["tail.png"]


def test_labels_are_explored_without_photographs(tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_text("Image,Id\na.jpg,w_1\nb.jpg,new_whale\n")
    found = explore_data(DataConfig(root=tmp_path), tmp_path / "tail.png")
    assert found.text().startswith("2 photos, 1 identity, 1 new_whale, 1 identity with one photo")
    assert (tmp_path / "tail.png").is_file()


@pytest.mark.photos
def test_the_real_label_table(photos: Path) -> None:
    catalog = read_label_table(photos / "humpback" / "train.csv", "new_whale")
    found = distribution(catalog, "new_whale")
    assert (found.photos, found.identities, found.new_photos, found.single) == (
        25_361,
        5_004,
        9_664,
        2_073,
    )
    assert "25,361 photos, 5,004 identities, 9,664 new_whale, 2,073 identities" in found.text()


def test_names_that_may_be_one_animal_are_told(tmp_path: Path) -> None:
    names = ("Jos\u00e9", "Jose\u0301", "jos\u00e9 ", "JOS\u00c9", "Tom")
    rows = "".join(f"{row}.jpg,{name}\n" for row, name in enumerate(names))
    (tmp_path / "train.csv").write_text(f"Image,Id\n{rows}")
    found = explore_data(DataConfig(root=tmp_path))
    assert found.identities == 4
    assert found.spellings == (("JOS\u00c9", "Jos\u00e9", "jos\u00e9"),)
    assert "one animal in several spellings? 'JOS\u00c9' = 'Jos\u00e9' = 'jos" in found.text()
