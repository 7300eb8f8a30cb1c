"""The endings of names that readers take, against those that Pillow knows and against decoding."""

from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image

from flukeprint.data.decoding import decode_bytes
from flukeprint.data.formats.photo_formats import (
    SUFFIXES,
    format_claimed,
    formats,
    named_like_photo,
)


def test_every_ending_of_a_format_that_decodes_is_taken() -> None:
    Image.init()
    known = {ending for ending, name in Image.EXTENSION.items() if name in (*formats(), "MPO")}
    known.discard(".pfm")  # a PPM of floating-point pixels, which are refused
    assert known <= set(SUFFIXES)
    assert {".heic", ".heif", ".hif", ".heics", ".heifs"} <= set(SUFFIXES)


@pytest.mark.parametrize("name", ["IMG_1.HIF", "a.jfif", "a.JPE", "a.mpo", "dir/b.HeIc", "c.TIFF"])
def test_letter_case_is_of_no_account(name: str) -> None:
    assert named_like_photo(name)


@pytest.mark.parametrize("name", ["a.txt", "jpg", ".jpg", "a.jpg.part", "a.eps", "a.mp4"])
def test_other_files_are_no_photographs(name: str) -> None:
    assert not named_like_photo(name)


@pytest.mark.parametrize("name", formats())
def test_what_each_format_writes_decodes_and_tells_its_name(name: str) -> None:
    file = BytesIO()
    Image.new("RGB", (64, 48), (90, 90, 90)).save(file, name)
    assert decode_bytes(file.getvalue(), "x").shape == (48, 64, 3)
    assert format_claimed(file.getvalue()) == (None if name in ("BMP", "PPM") else name)


def test_the_page_of_layouts_lists_every_ending(repository: Path) -> None:
    text = " ".join((repository / "input/README.md").read_text().split())
    assert ", ".join(ending.removeprefix(".") for ending in SUFFIXES) in text
