"""Every way a photograph may be stored, made here and recomputed with numpy."""

import contextlib
import io
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from flukeprint.data.catalog import Catalog
from flukeprint.data.decoding import (
    Pixels,
    decode,
    decode_array,
    decode_bytes,
    decode_row,
)
from flukeprint.data.formats.pixel_kinds import BACKGROUND
from flukeprint.errors import FlukeprintError

# What a viewer must do to the stored pixels (EXIF 2.32: where row 0 and column 0 lie).
UPRIGHT = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: np.rot90(a, 2),
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: np.rot90(a, 2).swapaxes(0, 1),
    8: lambda a: np.rot90(a, 1),
}


def noise(height: int, width: int, channels: int = 3, seed: int = 0) -> Pixels:
    shape = (height, width, channels) if channels > 1 else (height, width)
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def smooth(height: int, width: int, seed: int = 0) -> Pixels:
    """Large blobs, so that JPEG and reduced decoding hardly change them."""
    coarse = noise(5, 6, seed=seed)
    return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)


def encoded(image: Image.Image, form: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def with_orientation(value: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = value
    return exif


@pytest.mark.parametrize("form", ["PNG", "TIFF", "JPEG", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation(form: str, orientation: int) -> None:
    stored = smooth(48, 80)
    options = {"lossless": True} if form == "WEBP" else {}
    data = encoded(Image.fromarray(stored), form, exif=with_orientation(orientation), **options)
    got = decode_bytes(data, "x")
    want = UPRIGHT[orientation](stored)
    assert got.shape == want.shape
    if form == "JPEG":
        assert np.abs(got.astype(int) - want).mean() < 3
    else:
        np.testing.assert_array_equal(got, want)
    assert got.flags.c_contiguous
    assert got.flags.writeable


@pytest.mark.parametrize("orientation", [0, 9, 255])
def test_orientation_out_of_range_is_upright(orientation: int) -> None:
    stored = noise(5, 7)
    data = encoded(Image.fromarray(stored), "PNG", exif=with_orientation(orientation))
    np.testing.assert_array_equal(decode_bytes(data, "x"), stored)


def test_exif_of_nonsense_is_upright() -> None:
    stored = smooth(16, 24)
    data = encoded(Image.fromarray(stored), "JPEG", exif=b"Exif\x00\x00" + b"\xff" * 40)
    assert decode_bytes(data, "x").shape == (16, 24, 3)


def test_grey_and_bilevel() -> None:
    grey = noise(6, 9, 1)
    want = np.repeat(grey[:, :, None], 3, axis=2)
    np.testing.assert_array_equal(decode_bytes(encoded(Image.fromarray(grey), "PNG"), "x"), want)
    bits = Image.fromarray(grey).point(lambda v: 255 * (v > 127)).convert("1")
    got = decode_bytes(encoded(bits, "PNG"), "x")
    np.testing.assert_array_equal(got, np.repeat((grey > 127)[:, :, None] * 255, 3, axis=2))


def test_cmyk_jpeg_and_tiff() -> None:
    # Ink covers: cyan leaves green and blue, full black leaves nothing, no ink is paper.
    inks = np.array([[255, 0, 0, 0], [0, 255, 0, 0], [0, 0, 0, 255], [0, 0, 0, 0]], np.uint8)
    paper = np.array([[0, 255, 255], [255, 0, 255], [0, 0, 0], [255, 255, 255]])
    image = Image.fromarray(np.tile(inks[:, None], (16, 64, 1)).reshape(64, 64, 4)[:, :], "CMYK")
    want = np.tile(paper[:, None], (16, 64, 1)).reshape(64, 64, 3)
    np.testing.assert_array_equal(decode_bytes(encoded(image, "TIFF"), "x"), want)
    flat = Image.new("CMYK", (32, 32), (255, 0, 0, 0))
    got = decode_bytes(encoded(flat, "JPEG", quality=95), "x")
    assert np.abs(got.astype(int) - [0, 255, 255]).max() < 8


def over_background(colour: Pixels, alpha: Pixels) -> npt.NDArray[np.float64]:
    share = alpha[:, :, None] / 255
    return colour * share + np.array(BACKGROUND) * (1 - share)


@pytest.mark.parametrize("form", ["PNG", "TIFF"])
def test_alpha_lies_over_the_background(form: str) -> None:
    rgba = noise(12, 10, 4)
    got = decode_bytes(encoded(Image.fromarray(rgba), form), "x")
    want = over_background(rgba[:, :, :3], rgba[:, :, 3])
    assert np.abs(got - want).max() <= 1
    la = noise(12, 10, 2)
    got = decode_bytes(encoded(Image.fromarray(la, "LA"), form), "x")
    want = over_background(np.repeat(la[:, :, :1], 3, axis=2), la[:, :, 1])
    assert np.abs(got - want).max() <= 1


def test_palette_with_and_without_transparency() -> None:
    index = np.random.default_rng(0).integers(0, 4, (9, 11), dtype=np.uint8)
    colours = np.array([[10, 20, 30], [200, 0, 0], [0, 150, 255], [255, 255, 255]], np.uint8)
    image = Image.fromarray(index, "P")
    image.putpalette(colours.tobytes())
    np.testing.assert_array_equal(decode_bytes(encoded(image, "PNG"), "x"), colours[index])

    want = colours[index].copy()
    want[index == 2] = BACKGROUND
    for form in ("PNG", "GIF"):
        got = decode_bytes(encoded(image, form, transparency=2), "x")
        np.testing.assert_array_equal(got, want)
    alphas = np.array([255, 0, 100, 255], np.uint8)
    got = decode_bytes(encoded(image, "PNG", transparency=alphas.tobytes()), "x")
    assert np.abs(got - over_background(colours[index], alphas[index])).max() <= 1


@pytest.mark.parametrize("mode", ["L", "RGB", "1"])
def test_colour_key_transparency(mode: str) -> None:
    image = Image.fromarray(noise(8, 8)).convert(mode)
    key = image.getpixel((3, 4))
    got = decode_bytes(encoded(image, "PNG", transparency=key), "x")
    keyed = np.asarray(image.convert("L" if mode == "1" else mode)) == np.array(key)
    keyed = keyed.all(axis=2) if keyed.ndim == 3 else keyed
    want = np.asarray(image.convert("RGB")).copy()
    want[keyed] = BACKGROUND
    assert keyed[4, 3]
    np.testing.assert_array_equal(got, want)


def test_sixteen_bits() -> None:
    rng = np.random.default_rng(0)
    grey = rng.integers(0, 65536, (20, 30), dtype=np.uint16)
    grey[0, :2] = 0, 65535
    want = np.rint(grey / 257)[:, :, None].repeat(3, axis=2)
    for form, ending in (("PNG", ".png"), ("TIFF", ".tif"), ("PGM", ".pgm")):
        done, data = cv2.imencode(ending, grey)
        assert done, form
        np.testing.assert_array_equal(decode_bytes(data.tobytes(), "x"), want)

    colour = rng.integers(0, 65536, (20, 30, 3), dtype=np.uint16)
    for ending in (".png", ".tif"):
        got = decode_bytes(cv2.imencode(ending, colour)[1].tobytes(), "x")[:, :, ::-1]
        assert np.abs(got - colour / 257).max() < 1.01
        widened = noise(5, 6)
        data = cv2.imencode(ending, widened.astype(np.uint16) * 257)[1].tobytes()
        np.testing.assert_array_equal(decode_bytes(data, "x")[:, :, ::-1], widened)


def test_unknown_range_is_refused() -> None:
    for pixels in (np.ones((4, 4), np.float32), np.full((4, 4), 70000, np.int32)):
        data = encoded(Image.fromarray(pixels), "TIFF")
        with pytest.raises(FlukeprintError, match=r"odd\.tif.*unknown range"):
            decode_bytes(data, "odd.tif")


def test_two_pictures_in_one_jpeg() -> None:
    first, second = smooth(40, 60, 1), smooth(40, 60, 2)
    others = [Image.fromarray(second)]
    data = encoded(Image.fromarray(first), "MPO", quality=95, save_all=True, append_images=others)
    assert np.abs(decode_bytes(data, "x").astype(int) - first).mean() < 3


def bomb(width: int, height: int) -> bytes:
    """A PNG that claims to be large."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b"\0"))
        + chunk(b"IEND", b"")
    )


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_wrong_files_are_named(tmp_path: Path) -> None:
    jpeg = encoded(Image.fromarray(noise(64, 64)), "JPEG")
    png = encoded(Image.fromarray(noise(64, 64)), "PNG")
    wrong = {
        "half.jpg": (jpeg[: len(jpeg) // 2], "truncated"),
        "head.jpg": (jpeg[:20], "."),
        "half.png": (png[: len(png) // 2], "truncated"),
        "text.jpg": (b"this is no photograph at all", "not a photograph"),
        "empty.jpg": (b"", r"0 bytes"),
        "drawing.eps": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not a photograph"),
        "big.png": (bomb(10_000, 10_000), "pixels; scale it down"),
        "huge.png": (bomb(60_000, 60_000), "pixels; scale it down"),
    }
    for name, (data, reason) in wrong.items():
        path = tmp_path / name
        path.write_bytes(data)
        with pytest.raises(FlukeprintError, match=reason) as caught:
            decode(path)
        assert str(path) in str(caught.value)
        assert "\n" not in str(caught.value)
    with pytest.raises(FlukeprintError, match=r"none\.jpg: no such file"):
        decode(tmp_path / "none.jpg")
    with pytest.raises(FlukeprintError, match="directory"):
        decode(tmp_path)


@settings(max_examples=60, deadline=None)
@given(data=st.binary(max_size=200), cut=st.integers(0, 400), form=st.sampled_from(["JPEG", "PNG"]))
def test_damage_never_escapes(data: bytes, cut: int, form: str) -> None:
    whole = encoded(Image.fromarray(noise(16, 16)), form)
    damaged = whole[:cut] + data + whole[cut + len(data) :]
    with contextlib.suppress(FlukeprintError):
        assert decode_bytes(damaged, "x").shape[2] == 3


def test_box_is_upright_clipped_and_rounded_outwards(tmp_path: Path) -> None:
    stored = noise(20, 30)
    path = tmp_path / "turned.png"
    Image.fromarray(stored).save(path, exif=with_orientation(6))
    upright = np.rot90(stored, -1)  # 30 high, 20 wide
    for box, rows, columns in [
        ((2, 5, 12, 29), slice(5, 29), slice(2, 12)),
        ((2.6, 5.2, 11.1, 28.9), slice(5, 29), slice(2, 12)),
        ((-7, -1, 4, 100), slice(0, 30), slice(0, 4)),
        ((19.5, 29.5, 25, 35), slice(29, 30), slice(19, 20)),
    ]:
        np.testing.assert_array_equal(decode(path, box=box), upright[rows, columns])
    for empty in [(5, 5, 5, 9), (9, 5, 4, 9), (20, 0, 25, 5), (-5, 0, 0, 5), (np.nan, 0, 5, 5)]:
        with pytest.raises(FlukeprintError, match=r"turned\.png: box .* holds none"):
            decode(path, box=empty)


@settings(max_examples=60, deadline=None)
@given(
    size=st.tuples(st.integers(8, 300), st.integers(8, 300)),
    need=st.tuples(st.integers(1, 120), st.integers(1, 120)),
    orientation=st.sampled_from([1, 3, 6, 8]),
    corners=st.tuples(*[st.floats(0, 1)] * 4) | st.none(),
)
def test_reduced_is_never_smaller_than_asked(
    size: tuple[int, int],
    need: tuple[int, int],
    orientation: int,
    corners: tuple[float, float, float, float] | None,
) -> None:
    image = Image.fromarray(smooth(*size))
    data = encoded(image, "JPEG", exif=with_orientation(orientation))
    height, width = size if orientation < 5 else size[::-1]
    box = None
    if corners is not None:
        (x0, x1), (y0, y1) = sorted(corners[:2]), sorted(corners[2:])
        box = (x0 * (width - 1), y0 * (height - 1), x1 * (width - 1) + 1, y1 * (height - 1) + 1)
    full = decode_bytes(data, "x", box=box)
    got = decode_bytes(data, "x", box=box, min_size=need)
    for side in (0, 1):
        assert got.shape[side] >= min(need[side], full.shape[side])
        assert got.shape[side] <= full.shape[side]
    # Of a box its exact sides count: rounded out to whole pixels a thin one looks larger.
    exact = (height, width) if box is None else (box[3] - box[1], box[2] - box[0])
    if min(exact[0] / need[0], exact[1] / need[1]) >= 2.5:
        assert got.shape[0] < full.shape[0]  # and work was saved


@pytest.mark.parametrize("orientation", [1, 6])
def test_reduced_shows_the_same(orientation: int) -> None:
    stored = smooth(640, 960)
    data = encoded(Image.fromarray(stored), "JPEG", quality=95, exif=with_orientation(orientation))
    box = (200.0, 120.0, 520.0, 600.0)
    full = decode_bytes(data, "x", box=box)
    got = decode_bytes(data, "x", box=box, min_size=(60, 40))
    assert full.shape == (480, 320, 3)
    assert got.shape == (60, 40, 3)
    small = cv2.resize(full, (40, 60), interpolation=cv2.INTER_AREA)
    assert np.abs(small.astype(int) - got).mean() < 2
    # A stored width that is tall enough only when turned: 960 x 640 stored, 900 high asked.
    tall = decode_bytes(data, "x", min_size=(900, 10))
    assert tall.shape[:2] == ((960, 640) if orientation == 6 else (640, 960))


def test_arrays_and_rows() -> None:
    grey, colour = noise(6, 5, 1), noise(6, 5)
    tripled = np.repeat(grey[:, :, None], 3, axis=2)
    np.testing.assert_array_equal(decode_array(grey, "x"), tripled)
    np.testing.assert_array_equal(decode_array(grey[:, :, None], "x"), tripled)
    np.testing.assert_array_equal(decode_array(colour, "x", box=(1, 2, 9, 4)), colour[2:4, 1:5])
    catalog = Catalog(images=("a", "b"), pixels=np.stack([grey, grey.T.reshape(6, 5)]))
    np.testing.assert_array_equal(decode_row(catalog, 0), tripled)
    for bad in (colour.astype(float), noise(6, 5, 4), np.zeros((0, 5), np.uint8)):
        with pytest.raises(ValueError, match="x: "):
            decode_array(bad, "x")


@pytest.mark.photos
@pytest.mark.parametrize("name", ["lions", "nyala", "spiders"])
def test_real_photographs(photos: Path, name: str) -> None:
    for path in sorted((photos / name / "train").iterdir())[:20]:
        pixels = decode(path)
        with Image.open(path) as image:
            width, height = image.size
        assert pixels.shape == (height, width, 3)
        assert pixels.std() > 5
        small = decode(path, min_size=(100, 100))
        assert min(small.shape[:2]) >= min(100, height, width)
