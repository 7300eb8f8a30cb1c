"""The doctor on photographs drawn and spoilt here."""

import hashlib
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from flukeprint.data.catalog import Catalog
from flukeprint.data.doctor import (
    Findings,
    check_readable,
    difference_hash,
    examine,
    file_digest,
    leaks,
)
from flukeprint.errors import FlukeprintError


def photo(seed: int, size: tuple[int, int] = (120, 80)) -> Image.Image:
    """A smooth random landscape, so that JPEG and scaling keep its large differences."""
    rng = np.random.default_rng(seed)
    small = Image.fromarray(rng.integers(0, 256, (6, 7, 3), dtype=np.uint8))
    return small.resize(size, Image.Resampling.BICUBIC)


def catalog_of(folder: Path, **identities: str | None) -> Catalog:
    """Files of `folder`, written with `_` for the dot, and their identities."""
    names = [name.replace("_", ".") for name in identities]
    return Catalog(
        images=tuple(names),
        paths=tuple(folder / name for name in names),
        identities=tuple(identities.values()),
    )


@pytest.fixture
def herd(tmp_path: Path) -> Path:
    """Good photographs in several formats and four kinds of damage."""
    photo(1).save(tmp_path / "a.jpg", quality=90)
    photo(2).save(tmp_path / "b.png")
    photo(3).convert("CMYK").save(tmp_path / "c.jpg")
    photo(4).convert("L").save(tmp_path / "d.jpg")
    whole = (tmp_path / "a.jpg").read_bytes()
    (tmp_path / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    png = bytearray((tmp_path / "b.png").read_bytes())
    png[len(png) // 2] ^= 0xFF
    (tmp_path / "flipped.png").write_bytes(png)
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "text.jpg").write_text("not a photograph")
    return tmp_path


GOOD = {"a_jpg": "w_1", "b_png": "w_2", "c_jpg": None, "d_jpg": None}
BAD = {"cut_jpg": "w_1", "flipped_png": "w_1", "empty_jpg": "w_1", "text_jpg": "w_1"}


def test_healthy_photographs_pass(herd: Path) -> None:
    catalog = catalog_of(herd, **GOOD)
    found = examine(catalog)
    assert found == Findings(photos=4)
    assert found.healthy
    assert "nothing found" in found.text()
    assert check_readable(catalog) is catalog
    assert check_readable(catalog, quick=True) is catalog


def test_all_unreadable_photographs_are_named_at_once(herd: Path) -> None:
    catalog = catalog_of(herd, **GOOD, **BAD, gone_jpg="w_1")
    found = examine(catalog)
    assert [image for image, _ in found.unreadable] == [
        "cut.jpg",
        "flipped.png",
        "empty.jpg",
        "text.jpg",
        "gone.jpg",
    ]
    why = dict(found.unreadable)
    assert "truncated" in why["cut.jpg"]
    assert why["empty.jpg"] == "0 bytes"
    assert why["text.jpg"] == "not a photograph"
    assert "No such file" in why["gone.jpg"]
    assert not found.healthy
    with pytest.raises(FlukeprintError) as caught:
        check_readable(catalog)
    message = str(caught.value)
    assert message.startswith("5 of 9 photos cannot be read: cut.jpg (")
    assert "data.skip_unreadable=true" in message
    assert "\n" not in message
    with pytest.warns(UserWarning, match="flipped.png.*skipped"):
        kept = check_readable(catalog, skip_unreadable=True)
    assert kept == catalog_of(herd, **GOOD)


def test_quick_looks_at_the_first_bytes_only(herd: Path) -> None:
    with pytest.warns(UserWarning, match="2 of 8 photos"):
        kept = check_readable(catalog_of(herd, **GOOD, **BAD), skip_unreadable=True, quick=True)
    assert "cut.jpg" in kept.images


def test_nothing_left_is_refused_even_when_skipping(herd: Path) -> None:
    with pytest.raises(FlukeprintError, match="no photo is left"):
        check_readable(catalog_of(herd, **BAD), skip_unreadable=True)


def test_copies_near_copies_and_conflicts(tmp_path: Path) -> None:
    photo(1).save(tmp_path / "a.png")
    for twin in ("b.png", "c.png"):
        (tmp_path / twin).write_bytes((tmp_path / "a.png").read_bytes())
    photo(2).save(tmp_path / "e.jpg", quality=95)
    photo(2).save(tmp_path / "f.jpg", quality=94)
    photo(3).save(tmp_path / "g.jpg")
    assert difference_hash(photo(2)) != difference_hash(photo(3))
    same = catalog_of(
        tmp_path, a_png="w_1", b_png="w_1", c_png="w_1", e_jpg="w_2", f_jpg="w_2", g_jpg="w_3"
    )
    found = examine(same)
    assert found.duplicates == (("a.png", "b.png", "c.png"),)
    assert found.near_duplicates == (("e.jpg", "f.jpg"),)
    assert found.conflicts == found.near_conflicts == ()
    assert found.healthy
    torn = catalog_of(
        tmp_path, a_png="w_1", b_png=None, c_png="w_1", e_jpg="w_2", f_jpg="w_3", g_jpg="w_3"
    )
    found = examine(torn)
    assert found.conflicts == (("a.png", "b.png", "c.png"),)
    assert found.near_conflicts == (("e.jpg", "f.jpg"),)
    assert not found.healthy
    assert "1 photograph under two identities: a.png = b.png = c.png" in found.text()


def test_flat_photographs_are_no_near_copies(tmp_path: Path) -> None:
    for name, grey in (("a.png", 10), ("b.png", 200)):
        Image.new("L", (40, 30), grey).save(tmp_path / name)
    assert examine(catalog_of(tmp_path, a_png="w_1", b_png="w_2")).near_duplicates == ()


def test_difference_hash_against_a_loop() -> None:
    rng = np.random.default_rng(5)
    grey = rng.integers(0, 256, (8, 9), dtype=np.uint8)
    bits = 0
    for y in range(8):
        for x in range(8):
            bits = bits << 1 | (int(grey[y, x]) < int(grey[y, x + 1]))
    assert difference_hash(Image.fromarray(grey)) == bits
    # every pixel repeated 5 x 3 times has the same means
    assert difference_hash(Image.fromarray(grey.repeat(5, 0).repeat(3, 1))) == bits


def test_pixels_are_compared_too() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (3, 8, 8), dtype=np.uint8)
    pixels[2] = pixels[0]
    catalog = Catalog(images=("a", "b", "c"), identities=("1", "2", "3"), pixels=pixels)
    assert examine(catalog).conflicts == (("a", "c"),)
    assert check_readable(catalog) is catalog
    assert leaks(catalog.take([0, 1]), catalog.take([2])) == (("a", "c"),)


def test_leaks_between_two_catalogues(tmp_path: Path) -> None:
    for name, seed in (("a.png", 1), ("b.png", 2), ("c.png", 1), ("d.png", 3)):
        photo(seed).save(tmp_path / name)
    train = catalog_of(tmp_path, a_png="w_1", b_png="w_2")
    assert leaks(train, catalog_of(tmp_path, c_png=None, d_png=None)) == (("a.png", "c.png"),)


def test_file_digest_is_sha256(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"fluke")
    assert file_digest(tmp_path / "x") == hashlib.sha256(b"fluke").hexdigest()


def test_a_group_of_one_is_no_finding() -> None:
    with pytest.raises(ValueError, match="two photos"):
        Findings(photos=1, duplicates=(("a",),))


@pytest.mark.photos
def test_nyala_has_copies_within_identities(photos: Path) -> None:
    from flukeprint.config.data import DataConfig
    from flukeprint.data.readers.read import read_labelled

    config = DataConfig(root=photos / "nyala", new_label="new_individual")
    catalog = read_labelled(config)
    start = time.monotonic()
    found = examine(catalog, progress=False)
    assert time.monotonic() - start < 60
    assert not found.unreadable
    assert found.duplicates
    assert not found.conflicts


def test_names_are_examined() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (5, 8, 8), dtype=np.uint8)
    names = ("Old Tom", "old_tom", "w_1", "w_2", None)
    catalog = Catalog(images=tuple("abcde"), identities=names, pixels=pixels)
    found = examine(catalog, new_label="new_whale")
    assert found.spellings == (("Old Tom", "old_tom"),)
    assert found.healthy  # they may be two animals
    assert "1 name in several spellings (one animal?): Old Tom = old_tom" in found.text()
    torn = replace(catalog, identities=("Old Tom", "Old_Tom", "new whale", "a\nb", None))
    found = examine(torn, new_label="new_whale")
    assert len(found.unfit_names) == 3
    assert not found.healthy
    assert "3 names that training refuses: identities 'Old Tom' and 'Old_Tom'" in found.text()


def test_two_animals_in_one_photograph_are_no_conflict(tmp_path: Path) -> None:
    photo(1).save(tmp_path / "a.jpg")
    path = tmp_path / "a.jpg"
    both = Catalog(
        images=("a_1", "a_2", "a_3"),
        paths=(path,) * 3,
        identities=("w_1", "w_2", "w_1"),
        boxes=((0, 0, 60, 80), (60, 0, 120, 80), (0, 40, 60, 80)),
    )
    assert examine(both) == Findings(photos=3)
    same = replace(both, boxes=((0, 0, 60, 80),) * 3)
    found = examine(same)
    assert found.duplicates == found.conflicts == (("a_1", "a_2", "a_3"),)
    assert not found.healthy
