"""A picture has the format that its suffix names, or is refused before it is drawn."""

from pathlib import Path

import pytest
from PIL import Image

from flukeprint.config.data import DataConfig
from flukeprint.config.ranking import LocalConfig
from flukeprint.data.explore import explore_data
from flukeprint.evaluation.plots import draw_pair
from flukeprint.pictures import CONVERTED, DRAWN, check_picture, shortened, slide
from tests.refusals import refused

FORMATS = {
    "png": "PNG", "jpg": "JPEG", "jpeg": "JPEG", "webp": "WEBP", "tif": "TIFF", "tiff": "TIFF",
    "bmp": "BMP", "gif": "GIF",
}  # fmt: skip


@pytest.mark.parametrize("suffix", [*FORMATS, "JPG"])
def test_the_suffix_names_the_format(suffix: str, tmp_path: Path) -> None:
    target = tmp_path / f"picture.{suffix}"
    with slide(target, "a title") as figure:
        figure.subplots().plot([1, 2])
    with Image.open(target) as picture:
        assert picture.format == FORMATS[suffix.lower()]
        assert picture.size == (1920, 1080)


@pytest.mark.parametrize(("suffix", "start"), [("pdf", b"%PDF"), ("svg", b"<?xml")])
def test_drawings_too(suffix: str, start: bytes, tmp_path: Path) -> None:
    with slide(tmp_path / f"picture.{suffix}", "a title") as figure:
        figure.subplots()
    assert (tmp_path / f"picture.{suffix}").read_bytes().startswith(start)


def test_every_format_is_tested() -> None:
    assert {*DRAWN, *CONVERTED} == {*FORMATS, "pdf", "svg"}


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("picture.jgp", ("the suffix .jgp", "did you mean jpg")),
        ("picture", ("no suffix", "png")),
        ("folder.png", ("is a folder",)),
        ("file/below.png", ("file: Not a directory",)),
    ],
)
def test_what_is_no_picture_is_refused_before_any_work(
    name: str, words: tuple[str, ...], tmp_path: Path
) -> None:
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "file").touch()
    target, nobody = tmp_path / name, tmp_path / "nobody.jpg"
    refused(lambda: check_picture(target), *words)
    refused(lambda: draw_pair(nobody, nobody, LocalConfig(), target), *words)
    refused(lambda: explore_data(DataConfig(root=tmp_path / "nothing"), target), *words)


def test_names_are_shortened_in_their_middle() -> None:
    assert shortened("short.jpg", 9) == "short.jpg"
    assert shortened("two\nlines", 20) == "two lines"
    assert shortened("0123456789", 5) == "01\u202689"
    assert all(len(shortened("x" * 50, most)) == most for most in range(3, 30))
