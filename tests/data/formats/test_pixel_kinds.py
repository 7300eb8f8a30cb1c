"""PNGs written here byte by byte: every depth, with the transparency of a colour or a channel."""

import struct
import zlib
from functools import partial
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from flukeprint.data.decoding import decode_bytes
from flukeprint.data.formats.pixel_kinds import BACKGROUND
from tests.data.tiffs import packed, picture, tiff
from tests.refusals import refused

GREY, RGB, PALETTE, GREY_ALPHA, RGBA = 0, 2, 3, 4, 6
# Adam7 (PNG, 8.2): first column and row, and the steps, of each pass.
PASSES = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2),
          (0, 1, 1, 2)]  # fmt: skip


def png(
    samples: np.ndarray, bits: int, colour: int, *, interlaced: bool = False, **chunks: bytes
) -> bytes:
    """Encode samples (h, w[, c]) below 2^bits (PNG, third edition), with further chunks."""

    def chunk(name: bytes, body: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(name + body))
        return struct.pack(">I", len(body)) + name + body + check

    height, width = samples.shape[:2]
    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, int(interlaced))
    parts = [samples[y::dy, x::dx] for x, y, dx, dy in PASSES] if interlaced else [samples]
    rows = (row.reshape(-1) for part in parts if part.size for row in part)
    body = b"".join(b"\0" + packed(row, bits, ">") for row in rows)
    between = b"".join(chunk(name.encode(), data) for name, data in chunks.items())
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + between
        + chunk(b"IDAT", zlib.compress(body)) + chunk(b"IEND", b"")
    )  # fmt: skip


def drawn(bits: int, *channels: int) -> np.ndarray:
    return np.random.default_rng(bits).integers(0, 2**bits, (9, 11, *channels), dtype=np.uint32)


def eight(samples: np.ndarray, bits: int) -> np.ndarray:
    return np.rint(samples * 255 / (2**bits - 1))


@pytest.mark.parametrize("interlaced", [False, True])
@pytest.mark.parametrize("bits", [1, 2, 4, 8, 16])
def test_a_transparent_grey_becomes_the_background(bits: int, interlaced: bool) -> None:
    pixels = drawn(bits)
    pixels[3, 4] = 2**bits - 2
    data = png(pixels, bits, GREY, interlaced=interlaced, tRNS=struct.pack(">H", 2**bits - 2))
    want = np.where(pixels == 2**bits - 2, BACKGROUND[0], eight(pixels, bits))
    got = decode_bytes(data, "x")
    np.testing.assert_array_equal(got, np.repeat(want[:, :, None], 3, axis=2))
    assert (got[3, 4] == 128).all()
    without = decode_bytes(png(pixels, bits, GREY, interlaced=interlaced), "x")
    np.testing.assert_array_equal(without[:, :, 0], eight(pixels, bits))


@pytest.mark.parametrize("interlaced", [False, True])
@pytest.mark.parametrize("bits", [8, 16])
def test_a_transparent_colour_becomes_the_background(bits: int, interlaced: bool) -> None:
    pixels = drawn(bits, 3)
    pixels[3, 4] = pixels[5, 6]
    near = pixels[5, 6].copy()
    near[2] ^= 1  # in 16 bits it has the same high bytes
    pixels[7, 8] = near
    key = struct.pack(">3H", *pixels[5, 6].tolist())
    got = decode_bytes(png(pixels, bits, RGB, interlaced=interlaced, tRNS=key), "x")
    want = (pixels >> (bits - 8)).astype(np.uint8)
    want[3, 4] = want[5, 6] = BACKGROUND
    np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("colour", [GREY_ALPHA, RGBA])
@pytest.mark.parametrize("bits", [8, 16])
def test_an_alpha_channel_lies_over_the_background(bits: int, colour: int) -> None:
    pixels = drawn(bits, 2 if colour == GREY_ALPHA else 4)
    pixels[0, :, -1], pixels[1, :, -1] = 0, 2**bits - 1
    got = decode_bytes(png(pixels, bits, colour), "x")
    shown, alpha = eight(pixels[..., :-1], bits), pixels[..., -1:] / (2**bits - 1)
    assert np.abs(got - (shown * alpha + 128 * (1 - alpha))).max() <= 1.6
    assert (got[0] == 128).all()
    assert np.abs(got[1] - shown[1]).max() <= 1


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_a_palette_with_transparent_colours(bits: int) -> None:
    index = drawn(bits)
    index[0, 0] = 1
    colours = np.random.default_rng(0).integers(0, 256, (2**bits, 3), dtype=np.uint8)
    data = png(index, bits, PALETTE, PLTE=colours.tobytes(), tRNS=b"\xff\x00")
    want = colours[index]
    want[index == 1] = BACKGROUND
    np.testing.assert_array_equal(decode_bytes(data, "x"), want)


def test_a_wrong_checksum_is_damage() -> None:
    whole = png(drawn(8), 8, GREY, tEXt=b"name\0fluke")
    for place in (whole.index(b"fluke"), whole.index(b"IDAT") + 8, whole.index(b"IEND") - 5):
        data = bytearray(whole)
        data[place] ^= 1
        refused(partial(decode_bytes, bytes(data), "x.png"), "x.png: damaged or truncated")


@pytest.mark.parametrize(("maxval", "kind"), [(255, b"P5"), (4095, b"P5"), (65535, b"P5")])
def test_a_pgm_of_any_maximum(maxval: int, kind: bytes) -> None:
    pixels = np.array([[0, maxval // 2, maxval]])
    body = pixels.astype(">u1" if maxval < 256 else ">u2").tobytes()
    got = decode_bytes(kind + b" 3 1 %d\n" % maxval + body, "x")[0, :, 0]
    assert got.tolist() in ([0, 127, 255], [0, 128, 255])


@pytest.mark.parametrize("extra", [0, 1, 2])
def test_grey_tiff_with_a_second_channel(extra: int) -> None:
    """ExtraSamples 0 is of no meaning, 1 premultiplied alpha, 2 alpha of its own."""
    pixels = drawn(8)
    alpha = np.where(np.arange(11) % 2, 255, 0)[None].repeat(9, 0)
    both = np.stack([pixels * (alpha > 0) if extra == 1 else pixels, alpha], axis=2)
    one = picture(both.reshape(9, 22), 8, t256=11, t258=8, t277=2, t338=extra)
    one.tags[258] = [8, 8]
    want = pixels if extra == 0 else np.where(alpha, pixels, 128)
    np.testing.assert_array_equal(decode_bytes(tiff(one), "x")[:, :, 0], want)


def test_heif_without_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    heif = pytest.importorskip("pillow_heif")
    file = BytesIO()
    heif.from_pillow(Image.new("RGB", (64, 48))).save(file)
    assert decode_bytes(file.getvalue(), "x").shape == (48, 64, 3)
    monkeypatch.setattr("flukeprint.data.decoding.formats", lambda: ("JPEG",))
    refused(lambda: decode_bytes(file.getvalue(), "x"), "pillow-heif", "flukeprint[heif]")
