"""The doctor on photographs drawn and spoilt here."""

import os
import socket
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from flukeprint.config.data import DataConfig
from flukeprint.data.catalog import Catalog
from flukeprint.data.decoding import decode_row
from flukeprint.data.doctor import Findings, check_readable, examine, examine_data
from flukeprint.errors import FlukeprintError
from tests.refusals import refused


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
    assert why["empty.jpg"] == "is empty (0 bytes)"
    assert why["text.jpg"] == "not a photograph that can be read"
    assert why["gone.jpg"] == "no such file"
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


def test_pixels_are_compared_too() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (3, 8, 8), dtype=np.uint8)
    pixels[2] = pixels[0]
    catalog = Catalog(images=("a", "b", "c"), identities=("1", "2", "3"), pixels=pixels)
    assert examine(catalog).conflicts == (("a", "c"),)
    assert check_readable(catalog) is catalog


def tiff_of(pixels: np.ndarray, path: Path) -> None:
    Image.fromarray(pixels).save(path, "TIFF")


def unusable(folder: Path) -> dict[str, str]:
    """Photographs and things named like photographs that cannot be used, each with its reason."""
    tiff_of(np.full((40, 50), 0.5, np.float32), folder / "float.tif")
    tiff_of(np.full((40, 50), -3, np.int32), folder / "negative.tif")
    tiff_of(np.full((40, 50), 70000, np.int32), folder / "wide.tif")
    os.mkfifo(folder / "pipe.jpg")
    (folder / "folder.jpg").mkdir()
    (folder / "device.jpg").symlink_to("/dev/zero")
    (folder / "nowhere.jpg").symlink_to(folder / "gone")
    with socket.socket(socket.AF_UNIX) as one:  # the name of a socket must be short
        here = Path.cwd()
        os.chdir(folder)
        one.bind("socket.jpg")
        os.chdir(here)
    return {
        "float.tif": "floating-point pixels of unknown range",
        "negative.tif": "32-bit grey of unknown range",
        "wide.tif": "32-bit grey of unknown range",
        "pipe.jpg": "cannot be read (it is a pipe, not a file)",
        "folder.jpg": "cannot be read (Is a directory)",
        "device.jpg": "cannot be read (it is a device, not a file)",
        "socket.jpg": "cannot be read (it is a socket, not a file)",
        "nowhere.jpg": "no such file",
    }


def test_doctor_check_and_decoding_judge_alike(herd: Path) -> None:
    reasons = unusable(herd)
    good = catalog_of(herd, **GOOD)
    names = (*reasons, *good.images, "a.jpg", "b.png")
    boxes = [None] * len(names)
    boxes[-2:] = [(500.0, 0.0, 600.0, 50.0), (10.0, 10.0, 11.5, 60.0)]
    catalog = Catalog(
        images=(*names[:-2], "outside", "thin"),
        paths=tuple(herd / name for name in names),
        boxes=tuple(boxes),
    )
    reasons["outside"] = "box 500, 0, 600, 50 holds none of its 120 x 80 pixels"
    found = examine(catalog)
    assert dict(found.unreadable) == reasons
    assert found.small_boxes == (("thin", "1.5 x 50"),)
    assert "1 box keeps fewer than 32 pixels on a side: thin (1.5 x 50)" in found.text()
    with pytest.warns(UserWarning, match="9 of 14"):
        kept = check_readable(catalog, skip_unreadable=True)
    for row, image in enumerate(catalog.images):
        if image in reasons:
            refused(partial(decode_row, catalog, row), reasons[image])
        else:
            assert image in kept.images
            assert decode_row(catalog, row).size
    refused(lambda: check_readable(catalog), "pipe.jpg (cannot be read", "outside (box 500")


def test_heif_is_a_photograph_for_all(herd: Path) -> None:
    heif = pytest.importorskip("pillow_heif")
    heif.from_pillow(photo(5)).save(herd / "h.heic")
    catalog = catalog_of(herd, **GOOD, h_heic="w_3")
    assert examine(catalog) == Findings(photos=5)
    assert check_readable(catalog) is catalog


def test_boxes_of_pixels_are_checked_too() -> None:
    catalog = Catalog(
        images=("a", "b"),
        pixels=np.zeros((2, 8, 8), np.uint8),
        boxes=((0.0, 0.0, 4.0, 4.0), (9.0, 0.0, 12.0, 4.0)),
    )
    assert [image for image, _ in examine(catalog).unreadable] == ["b"]
    with pytest.warns(UserWarning, match="1 of 2"):
        assert check_readable(catalog, skip_unreadable=True).images == ("a",)


def test_copies_of_other_depth_and_turned_ones_are_found(tmp_path: Path) -> None:
    grey = photo(7).convert("L")
    grey.save(tmp_path / "g8.png")
    sixteen = np.asarray(grey).astype(np.uint16) * 257
    Image.fromarray(sixteen).save(tmp_path / "g16.png")
    photo(8).save(tmp_path / "up.jpg", quality=92)
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = photo(8).transpose(Image.Transpose.ROTATE_90)
    turned.save(tmp_path / "turned.jpg", quality=88, exif=exif)
    turned.save(tmp_path / "aside.jpg", quality=88)  # shows something else: it lies on its side
    found = examine(
        catalog_of(
            tmp_path, g8_png="w_1", up_jpg="w_2", g16_png="w_1", turned_jpg="w_2", aside_jpg="w_3"
        )
    )
    assert found.near_duplicates == (("g8.png", "g16.png"), ("up.jpg", "turned.jpg"))


def test_test_photographs_are_examined_too(tmp_path: Path) -> None:
    for name, seed in (("train/w_1/a.png", 1), ("train/w_2/b.png", 2), ("test/c.png", 1)):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        photo(seed).save(tmp_path / name)
    config = DataConfig(root=tmp_path, reader="folders")
    report = examine_data(config)
    assert report.healthy
    assert report.leaks == (("w_1/a.png", "c.png"),)
    assert "1 test photograph is among the labelled ones" in report.text()
    assert "w_1/a.png = c.png" in report.text()
    (tmp_path / "test/d.jpg").write_bytes(b"no photograph")
    report = examine_data(config)
    assert not report.healthy
    assert "d.jpg (not a photograph that can be read)" in report.text()
    for without in (
        config.model_copy(update={"test": None}),
        config.model_copy(update={"test": "elsewhere"}),
    ):
        assert examine_data(without).test is None


def test_a_group_of_one_is_no_finding() -> None:
    with pytest.raises(ValueError, match="two photos"):
        Findings(photos=1, duplicates=(("a",),))


@pytest.mark.photos
def test_nyala_has_copies_within_identities(photos: Path) -> None:
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
