"""TIFFs written here byte by byte: grey of every depth, both byte orders, thumbnails, damage."""

import contextlib
import zlib
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flukeprint.data.decoding import decode_bytes, header
from flukeprint.errors import FlukeprintError
from tests.data.tiffs import Picture, packed, picture, tiff
from tests.refusals import refused

ORDERS = ["<", ">"]


def grey(bits: int, height: int = 7, width: int = 9) -> np.ndarray:
    """Random samples below 2^bits, of an odd width, with the darkest and the brightest."""
    pixels = np.random.default_rng(bits).integers(0, 2**bits, (height, width), dtype=np.uint32)
    pixels[0, :2] = 0, 2**bits - 1
    return pixels


def colour(bits: int) -> np.ndarray:
    return np.stack([grey(bits), grey(bits)[::-1], grey(bits)[:, ::-1]], axis=2)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("bits", [1, 2, 4, 8, 10, 12, 14, 16])
@pytest.mark.parametrize("white", [False, True])
def test_grey_of_any_depth_fills_0_to_255(bits: int, white: bool, order: str) -> None:
    pixels = grey(bits)
    data = tiff(picture(pixels, bits, order, t262=0 if white else 1), order=order)
    want = np.rint(pixels / (2**bits - 1) * 255).astype(int)
    got = decode_bytes(data, "x").astype(int)
    np.testing.assert_array_equal(got, np.repeat((255 - want if white else want)[:, :, None], 3, 2))
    assert header(data) == ("TIFF", 9, 7)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("bits", [10, 12, 16])
@pytest.mark.parametrize("planes", [1, 2])
def test_deep_colour_keeps_the_high_byte(bits: int, planes: int, order: str) -> None:
    data = tiff(picture(colour(bits), bits, order, t284=planes), order=order)
    np.testing.assert_array_equal(decode_bytes(data, "x"), colour(bits) >> (bits - 8))


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize(("bits", "white"), [(16, False), (16, True), (12, False)])
def test_compressed_grey(bits: int, white: bool, order: str) -> None:
    pixels = grey(bits)
    one = picture(pixels, bits, order, t259=8, t262=0 if white else 1)
    one = Picture(one.tags, [zlib.compress(strip) for strip in one.strips])
    read = partial(decode_bytes, tiff(one, order=order), "x.tif")
    if bits == 12 and order == ">":  # Pillow has no such kind
        refused(read, "12 bits a sample")
        return
    want = np.rint(pixels / (2**bits - 1) * 255).astype(int)
    np.testing.assert_array_equal(read()[:, :, 0], 255 - want if white else want)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize(("kind", "bits"), [(2, 8), (2, 16), (3, 32)])
def test_signed_and_floating_samples_are_refused(kind: int, bits: int, order: str) -> None:
    data = tiff(picture(grey(bits), bits, order, t339=kind), order=order)
    refused(lambda: decode_bytes(data, "odd.tif"), "odd.tif", "unknown range", "8 or 16 bits")


def thumbnail_and(order: str = "<") -> tuple[Picture, Picture, np.ndarray]:
    """A thumbnail that says so, a full picture, and its pixels."""
    pixels = grey(8, 30, 40)
    small = picture(pixels[::10, ::10], 8, order, t254=1)
    return small, picture(pixels, 8, order, t254=0), pixels


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("where", ["inside", "after", "inside another", "among others"])
def test_the_full_picture_behind_a_thumbnail(where: str, big: bool, order: str) -> None:
    small, full, pixels = thumbnail_and(order)
    if where == "inside":
        small.inside = [full]
        pages = [small]
    elif where == "after":
        pages = [small, full]
    elif where == "inside another":
        pages = [small, Picture(small.tags, small.strips, [full])]
    else:
        mask = picture(grey(8, 60, 80), 8, order, t254=4)
        medium = picture(pixels[::2, ::2], 8, order, t254=1)
        small.inside = [medium, mask, full]
        pages = [small, picture(grey(8, 90, 90), 8, order)]
    data = tiff(*pages, order=order, big=big)
    if big and order == ">":  # Pillow reads none of these
        refused(lambda: decode_bytes(data, "x.tif"), "big-endian BigTIFF", "full picture")
        return
    np.testing.assert_array_equal(decode_bytes(data, "x")[:, :, 0], pixels)
    assert header(data) == ("TIFF", 40, 30)


def test_first_pages_stay_first() -> None:
    small, full, pixels = thumbnail_and()
    full.inside = [small, picture(grey(8, 6, 6), 8)]  # a pyramid, and a smaller picture besides
    other = picture(grey(8, 90, 90), 8)
    np.testing.assert_array_equal(decode_bytes(tiff(full, other), "x")[:, :, 0], pixels)
    alone = tiff(picture(pixels, 8, t254=1))  # reduced from what is elsewhere
    np.testing.assert_array_equal(decode_bytes(alone, "x")[:, :, 0], pixels)
    unmarked = picture(pixels[::10, ::10], 8)
    unmarked.inside = [picture(pixels, 8)]
    np.testing.assert_array_equal(decode_bytes(tiff(unmarked), "x")[:, :, 0], pixels)


def test_a_full_picture_is_turned_as_its_thumbnail_says() -> None:
    small, full, pixels = thumbnail_and()
    small.tags[274] = 6
    small.inside = [full]
    np.testing.assert_array_equal(decode_bytes(tiff(small), "x")[:, :, 0], np.rot90(pixels, -1))
    full.tags[274] = 3  # its own goes first
    np.testing.assert_array_equal(decode_bytes(tiff(small), "x")[:, :, 0], np.rot90(pixels, 2))
    deep = picture(grey(12, 30, 40), 12, t274=8)
    want = np.rot90(np.rint(grey(12, 30, 40) / 4095 * 255))
    np.testing.assert_array_equal(decode_bytes(tiff(deep), "x")[:, :, 0], want)


def test_a_raw_picture_is_not_answered_from_its_thumbnail() -> None:
    small, _, _ = thumbnail_and()
    small.inside = [picture(grey(16, 30, 40), 16, t254=0, t262=32803)]  # a camera's mosaic
    data = tiff(small)
    refused(lambda: decode_bytes(data, "x.dng"), "full picture", "photometric 32803")


def test_truncated_strips_are_damage() -> None:
    data = tiff(picture(grey(12), 12))
    one = picture(grey(12), 12)
    one.tags[257] = 90  # more rows than strips
    refused(lambda: decode_bytes(tiff(one), "x.tif"), "damaged or truncated")
    refused(lambda: decode_bytes(data[: len(data) // 3], "x.tif"), "x.tif")


def test_too_large_by_its_header_alone() -> None:
    one = picture(grey(12), 12)
    one.tags[256] = one.tags[257] = 60_000
    refused(lambda: decode_bytes(tiff(one), "x.tif"), "scale it down")


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_damage_never_escapes(data: st.DataObject) -> None:
    small, full, _ = thumbnail_and()
    small.inside = [full]
    whole = bytearray(tiff(small, picture(grey(12), 12)))
    for _ in range(data.draw(st.integers(1, 6))):
        place = data.draw(st.integers(4, len(whole) - 1))
        whole[place] = data.draw(st.integers(0, 255))
    with contextlib.suppress(FlukeprintError):
        assert decode_bytes(bytes(whole), "x").shape[2] == 3


def test_what_is_written_here_is_by_the_book() -> None:
    assert packed(np.array([0xABC, 0x123, 0xF]), 12, "<").hex() == "abc12300f0"
    assert tiff(picture(np.zeros((1, 1)), 8))[:4] == b"II*\0"
    assert tiff(picture(np.zeros((1, 1)), 8), order=">", big=True)[:8].hex() == "4d4d002b00080000"
