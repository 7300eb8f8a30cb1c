"""Thumbnails of every kind of photograph, their bytes in one array, and damaged files of them."""

from io import BytesIO
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from flukeprint.data.catalog import Catalog
from flukeprint.data.decoding import Pixels
from flukeprint.data.formats.photo_formats import formats
from flukeprint.data.synthetic.shapes import draw_shape
from flukeprint.data.thumbnails import Thumbnails, thumbnail
from flukeprint.errors import FlukeprintError
from tests.ranking.local.textures import textured


def opened(file: bytes | None) -> Image.Image:
    assert file is not None
    return Image.open(BytesIO(file), formats=("JPEG",))


def shown(file: bytes | None) -> npt.NDArray[np.float64]:
    return np.asarray(opened(file)).astype(np.float64)


def quarters(height: int, width: int) -> Pixels:
    """Red, green over blue, white: each quarter of the photograph has its own colour."""
    photo = np.zeros((height, width, 3), np.uint8)
    photo[: height // 2, : width // 2] = (255, 0, 0)
    photo[: height // 2, width // 2 :] = (0, 255, 0)
    photo[height // 2 :, : width // 2] = (0, 0, 255)
    photo[height // 2 :, width // 2 :] = (255, 255, 255)
    return photo


def corners(file: bytes | None) -> str:
    """First letters of the colours of the quarters, row by row."""
    seen = shown(file)
    height, width = seen.shape[:2]
    names = {(1, 0, 0): "r", (0, 1, 0): "g", (0, 0, 1): "b", (1, 1, 1): "w"}
    middles = [
        seen[height * i // 4, width * j // 4] > 128 for i, j in ((1, 1), (1, 3), (3, 1), (3, 3))
    ]
    return "".join(names[tuple(middle.astype(int).tolist())] for middle in middles)


def of_files(paths: list[Path], **columns: object) -> Catalog:
    return Catalog(images=tuple(path.name for path in paths), paths=tuple(paths), **columns)


# --- one photograph


@pytest.mark.parametrize(
    ("shape", "size"),
    [
        ((120, 160, 3), (80, 60)),
        ((160, 120), (60, 80)),
        ((300, 200, 1), (53, 80)),
        ((80, 79, 3), (79, 80)),
        ((20, 40, 3), (40, 20)),  # never enlarged
        ((1, 1, 3), (1, 1)),
        ((1, 40_000, 3), (80, 1)),
        ((40_000, 1), (1, 80)),
        ((70_000, 2, 3), (1, 80)),  # longer than a JPEG may be
    ],
)
def test_the_long_side_is_at_most_the_asked_one(
    shape: tuple[int, ...], size: tuple[int, int]
) -> None:
    image = opened(thumbnail(np.full(shape, 77, np.uint8), 80))
    assert (image.size, image.mode) == (size, "RGB")
    assert np.abs(np.asarray(image).astype(int) - 77).max() <= 1


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 300), st.integers(1, 300), st.integers(1, 120))
def test_the_shape_is_kept_to_the_pixel(height: int, width: int, side: int) -> None:
    got_width, got_height = opened(thumbnail(np.zeros((height, width), np.uint8), side)).size
    assert max(got_height, got_width) == min(side, max(height, width))
    scale = min(1.0, side / max(height, width))
    assert abs(got_height - height * scale) <= 0.5 or got_height == 1
    assert abs(got_width - width * scale) <= 0.5 or got_width == 1


def test_areas_are_averaged() -> None:
    # Every fourth column is white: from afar a dark grey.  Taking single pixels, or only those
    # nearest to the middle of four, would leave black.
    lines = np.zeros((240, 320), np.uint8)
    lines[:, ::4] = 255
    assert np.abs(shown(thumbnail(lines, 80)) - 255 / 4).max() < 3
    photo = textured(0, 240, 320)[:, :, 0]
    blocks = photo.reshape(60, 4, 80, 4).mean(axis=(1, 3))
    error = np.abs(shown(thumbnail(photo, 80))[:, :, 0] - blocks).mean()
    assert error < 7  # what the JPEG loses of such a restless photograph


def test_a_thumbnail_is_small_and_the_same_each_time() -> None:
    photo = textured(1, 900, 1200)
    one = thumbnail(photo)
    assert opened(one).size == (320, 240)
    assert len(one) < 40_000
    assert thumbnail(photo.copy()) == one


@pytest.mark.parametrize("side", [0, -1, 70_000])
def test_a_side_that_no_jpeg_has_is_refused(side: int) -> None:
    with pytest.raises(ValueError, match="side of a thumbnail"):
        thumbnail(textured(0), side)


# --- a catalogue


def test_photographs_are_upright_whole_and_without_a_word_about_them(tmp_path: Path) -> None:
    photo = Image.fromarray(quarters(240, 320))
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by a quarter to the right
    exif[0x0110] = "a camera"
    exif.get_ifd(0x8825)[1] = "N"  # GPS
    turned = tmp_path / "turned.jpg"
    photo.save(turned, exif=exif, quality=95, comment=b"a secret place")
    plain = tmp_path / "plain.png"
    photo.save(plain)
    assert b"secret" in turned.read_bytes()
    thumbnails = Thumbnails.of(of_files([turned, plain]), side=80)
    assert [opened(thumbnails[row]).size for row in range(2)] == [(60, 80), (80, 60)]
    assert [corners(thumbnails[row]) for row in range(2)] == ["brwg", "rgbw"]
    for row in range(2):
        image = opened(thumbnails[row])
        assert dict(image.getexif()) == {}
        assert set(image.info) <= {"jfif", "jfif_version", "jfif_unit", "jfif_density"}
        assert b"secret" not in (thumbnails[row] or b"")
        assert b"camera" not in (thumbnails[row] or b"")


def test_a_photograph_is_cut_to_its_box(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Image.fromarray(quarters(240, 320)).save(path)
    other = tmp_path / "b.png"
    Image.fromarray(quarters(240, 320)).save(other)
    catalog = of_files([path, other], boxes=((160.0, 0.0, 320.0, 120.0), None))
    cut, whole = (Thumbnails.of(catalog, side=80)[row] for row in range(2))
    assert opened(cut).size == (80, 60)
    assert corners(cut) == "gggg"
    assert corners(whole) == "rgbw"


@pytest.mark.parametrize("shape", [(3, 40, 60), (3, 40, 60, 1), (3, 40, 60, 3)])
def test_catalogues_of_pixels_have_thumbnails(shape: tuple[int, ...]) -> None:
    pixels = np.zeros(shape, np.uint8)
    pixels[1], pixels[2] = 100, 200
    catalog = Catalog(images=("a", "b", "c"), pixels=pixels)
    thumbnails = Thumbnails.of(catalog, side=30)
    assert [opened(thumbnails[row]).size for row in range(3)] == [(30, 20)] * 3
    means = [shown(thumbnails[row]).mean() for row in range(3)]
    assert means == pytest.approx([0, 100, 200], abs=1)


@pytest.mark.parametrize(
    ("mode", "name"),
    [("L", "a.jpg"), ("CMYK", "a.jpg"), ("RGBA", "a.png"), ("P", "a.gif"), ("I;16", "a.png")],
)
def test_every_kind_of_photograph_becomes_an_rgb_jpeg(tmp_path: Path, mode: str, name: str) -> None:
    path = tmp_path / name
    grey = Image.fromarray(textured(2, 100, 200)).convert("L")
    if mode == "I;16":
        grey = Image.fromarray(np.asarray(grey).astype(np.uint16) * 257)
        grey.save(path)
    else:
        grey.convert(mode).save(path)
    image = opened(Thumbnails.of(of_files([path]), side=50)[0])
    assert (image.size, image.mode) == ((50, 25), "RGB")
    assert "JPEG" in formats()  # so that a thumbnail is a photograph, too


def test_a_photograph_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    path = tmp_path / "broken.jpg"
    path.write_bytes(b"no photograph")
    with pytest.raises(FlukeprintError, match=r"broken\.jpg"):
        Thumbnails.of(of_files([path]))


def test_a_catalogue_of_nothing() -> None:
    thumbnails = Thumbnails.of(Catalog(images=()))
    assert len(thumbnails) == 0
    assert len(Thumbnails.concatenate([])) == len(Thumbnails.packed([])) == 0


# --- many in one array

FILES = [thumbnail(np.full((5, 5 + i), 40 * i, np.uint8)) for i in range(5)]
KINDS: list[bytes | None] = [*FILES, None]


def listing(thumbnails: Thumbnails) -> list[bytes | None]:
    return [thumbnails[row] for row in range(len(thumbnails))]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(st.sampled_from(KINDS), max_size=4), max_size=4), st.data())
def test_parts_join_and_come_apart_like_lists(
    parts: list[list[bytes | None]], data: st.DataObject
) -> None:
    joined = Thumbnails.concatenate([Thumbnails.packed(part) for part in parts])
    want = [file for part in parts for file in part]
    assert listing(joined) == want
    assert len(joined.data) == sum(len(file or b"") for file in want)
    rows = data.draw(st.lists(st.integers(0, len(want) - 1), max_size=5)) if want else []
    assert listing(joined.take(rows)) == [want[row] for row in rows]
    mask = np.array(
        data.draw(st.lists(st.booleans(), min_size=len(want), max_size=len(want))), bool
    )
    assert listing(joined.take(mask)) == [f for f, m in zip(want, mask, strict=True) if m]


def test_photographs_without_a_thumbnail() -> None:
    none = Thumbnails.none(3)
    assert listing(none) == [None] * 3
    both = Thumbnails.concatenate([none, Thumbnails.packed(FILES[:1]), Thumbnails.none(1)])
    assert listing(both) == [None, None, None, FILES[0], None]
    for row in (-1, 5):
        with pytest.raises(IndexError, match=f"row {row} of 5"):
            both[row]


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    kept = Thumbnails.packed(KINDS)
    kept.save(tmp_path / "thumbnails.npz")
    again = Thumbnails.load(tmp_path / "thumbnails.npz")
    assert listing(again) == KINDS
    assert [path.name for path in tmp_path.iterdir()] == ["thumbnails.npz"]
    Thumbnails.none(0).save(tmp_path / "thumbnails.npz")
    assert len(Thumbnails.load(tmp_path / "thumbnails.npz")) == 0


WHOLE = Thumbnails.packed(FILES[:2])
MIDDLE, END = (int(offset) for offset in WHOLE.offsets[1:])
LARGEST = np.iinfo(np.int64).max


@pytest.mark.parametrize(
    "offsets",
    [
        [0, MIDDLE, END + 1],  # past the data
        [0, MIDDLE, END - 1],
        [0, MIDDLE],  # bytes of no photograph behind
        [MIDDLE, END],  # and before
        [1, MIDDLE, END],
        [0, MIDDLE, END - 1, END],
        [0, END, MIDDLE, END],  # backwards
        [0, -1, END],
        [0, LARGEST, -LARGEST, END],  # their difference overflows
        [0, MIDDLE + 1, END],  # within another file
        [0, MIDDLE, MIDDLE + 2, END],
        [],
        [[0, END]],
        [0.0, float(END)],
        [None, END],
    ],
)
def test_offsets_that_do_not_divide_the_data_are_refused(tmp_path: Path, offsets: list[object]):
    path = tmp_path / "thumbnails.npz"
    array = np.array(offsets) if offsets else np.empty(0, np.int64)
    np.savez(path, data=WHOLE.data, offsets=array)
    with pytest.raises(FlukeprintError, match="holds no whole thumbnails"):
        Thumbnails.load(path)
    with pytest.raises(ValueError, match=r"offsets|JPEG"):
        Thumbnails(WHOLE.data, array)


def test_other_bytes_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "thumbnails.npz"
    page = np.frombuffer(b"<script>alert(1)</script>", np.uint8)
    one = np.array([0, len(page)], np.int64)
    for arrays in (
        {"data": page, "offsets": one},  # would be served as a photograph
        {"data": page[:2], "offsets": np.array([0, 2], np.int64)},
        {"data": WHOLE.data.astype(np.int16), "offsets": WHOLE.offsets},
        {"data": WHOLE.data[None], "offsets": WHOLE.offsets},
        {"data": WHOLE.data},
    ):
        np.savez(path, **arrays)
        with pytest.raises(FlukeprintError, match="holds no whole thumbnails"):
            Thumbnails.load(path)
    path.write_bytes(b"PK no archive")
    with pytest.raises(FlukeprintError, match="holds no whole thumbnails"):
        Thumbnails.load(path)
    with pytest.raises(FlukeprintError, match="no thumbnails at"):
        Thumbnails.load(tmp_path / "absent.npz")


@pytest.mark.photos
def test_real_photographs(photos: Path) -> None:
    paths = sorted((photos / "nyala").rglob("*.jp*g"))[:5]
    assert paths
    thumbnails = Thumbnails.of(of_files(paths))
    for row in range(len(paths)):
        assert max(opened(thumbnails[row]).size) <= 320
        assert len(thumbnails[row] or b"") < 60_000


def test_where_a_digest_was_checked_pictures_stay_on_the_disk(tmp_path: Path) -> None:
    files = [thumbnail(draw_shape(seed, seed, 64)) for seed in range(4)]
    packed = Thumbnails.packed([*files[:2], None, *files[2:]])
    packed.save(tmp_path / "small.npz")
    there = Thumbnails.load(tmp_path / "small.npz", checked=True)
    assert [there[row] for row in range(5)] == [packed[row] for row in range(5)]
    assert there.data.base is not None  # the map
    assert not there.data.flags.writeable
    np.savez_compressed(tmp_path / "other.npz", data=packed.data, offsets=packed.offsets)
    assert Thumbnails.load(tmp_path / "other.npz", checked=True)[4] == packed[4]
    Thumbnails.none(3).save(tmp_path / "none.npz")
    assert Thumbnails.load(tmp_path / "none.npz", checked=True)[2] is None
    whole = (tmp_path / "small.npz").read_bytes()
    for cut in (b"", whole[:50], whole[: len(whole) // 2]):
        (tmp_path / "cut.npz").write_bytes(cut)
        with pytest.raises(FlukeprintError, match="thumbnails"):
            Thumbnails.load(tmp_path / "cut.npz", checked=True)
