"""Photographs checked by their headers: formats, damage, sizes, and markers of a JPEG."""

import io
import struct
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from flukeprint.config.schema import ServeConfig
from flukeprint.data import decoding
from flukeprint.data.formats.photo_formats import formats
from flukeprint.serving.api.photo_checks import (
    MOST_FILL,
    MOST_SCANS,
    MOST_SEGMENTS,
    check_photo,
    jpeg_markers,
    sniff,
)
from flukeprint.serving.api.problems import RefusedError
from tests.data.tiffs import picture, tiff
from tests.serving.api.refusals import LIMITS, status_of


def saved(format: str, size: tuple[int, int] = (16, 12), **more: Any) -> bytes:
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format, **more)
    return file.getvalue()


def saved_or_skip(format: str) -> bytes:
    try:
        return saved(format)
    except (KeyError, OSError) as error:
        pytest.skip(f"no encoder of {format} here: {error}")


ZIP = io.BytesIO()

with zipfile.ZipFile(ZIP, "w") as _archive:
    _archive.writestr("a.txt", "a")

NO_PHOTOGRAPHS = {
    "svg": b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>',
    "pdf": b"%PDF-1.7\n1 0 obj\n<<>>\nendobj",
    "html": b"<!DOCTYPE html><html></html>",
    "zip": ZIP.getvalue(),
    "eps": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
    "text": b"hello",
    "letters of BMP": b"BMW is a car, and a longer text than a header of a BMP would need",
    "letters of PPM": b"P6 is a motorway",
    "zeros": bytes(1000),
    "one byte": b"\xff",
}


@pytest.mark.parametrize("format", [*formats()])
def test_a_format_is_told_by_its_content(format: str) -> None:
    data = saved_or_skip(format)
    assert sniff(data) == format
    check_photo(data, LIMITS)


def test_a_format_that_is_not_ours_is_none_of_them() -> None:
    for format in ("ICO", "TGA", "PCX"):
        assert sniff(saved(format)) is None


def test_a_jpeg_of_two_pictures_is_a_jpeg() -> None:
    data = saved("MPO", save_all=True, append_images=[Image.new("RGB", (16, 12))])
    with Image.open(io.BytesIO(data)) as image:
        assert image.format == "MPO"
    assert sniff(data) == "JPEG"
    check_photo(data, LIMITS)


@pytest.mark.parametrize("what", NO_PHOTOGRAPHS)
def test_what_is_no_photograph_is_415(what: str) -> None:
    data = NO_PHOTOGRAPHS[what]
    assert sniff(data) is None
    with pytest.raises(RefusedError) as caught:
        check_photo(data, LIMITS, name="photograph 2")
    assert (caught.value.status, caught.value.kind) == (415, "not_a_photograph")
    assert caught.value.detail.startswith("photograph 2 is not")


@pytest.mark.parametrize("format", ["JPEG", "PNG", "TIFF", "WEBP", "GIF", "JPEG2000", "AVIF"])
def test_a_header_that_breaks_off_is_damage(format: str) -> None:
    data = saved_or_skip(format)[:20]
    assert sniff(data) is None
    with pytest.raises(RefusedError) as caught:
        check_photo(data, LIMITS)
    assert (caught.value.status, caught.value.kind) == (422, "damaged_photograph")


def test_a_polyglot_is_what_it_begins_with() -> None:
    for tail in NO_PHOTOGRAPHS.values():
        check_photo(saved("JPEG") + tail, LIMITS)
        assert sniff(saved("JPEG") + tail) == "JPEG"
        assert sniff(tail + saved("JPEG")) is None


def test_no_bytes_and_too_many_bytes() -> None:
    with pytest.raises(RefusedError, match="empty") as caught:
        check_photo(b"", LIMITS)
    assert (caught.value.status, caught.value.kind) == (422, "no_photograph")
    data = saved("JPEG")
    check_photo(data + bytes(4096 - len(data)), LIMITS)
    with pytest.raises(RefusedError) as caught:
        check_photo(data + bytes(4097 - len(data)), LIMITS)
    assert (caught.value.status, caught.value.kind) == (413, "too_many_bytes")


def bomb(width: int, height: int) -> bytes:
    """A PNG whose header claims pixels that it does not have."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        )

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(bytes(99)))


@pytest.mark.parametrize("size", [(101, 100), (60_000, 60_000), (2**31 - 1, 2**31 - 1)])
def test_too_many_pixels_are_refused_by_the_header_alone(size: tuple[int, int]) -> None:
    check_photo(bomb(100, 100), LIMITS)  # there is nothing to decode, so it is not decoded
    with pytest.raises(RefusedError) as caught:
        check_photo(bomb(*size), LIMITS)
    assert (caught.value.status, caught.value.kind) == (413, "too_many_pixels")
    assert "10000" in caught.value.detail


def test_no_more_pixels_than_decoding_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    most = ServeConfig(photo_pixels=10**9)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 20_000)
    check_photo(bomb(200, 100), most)
    with (
        pytest.warns(Image.DecompressionBombWarning),
        pytest.raises(RefusedError, match="20000 pixels"),
    ):
        check_photo(bomb(201, 100), most)


def test_a_thumbnail_does_not_hide_the_size_of_its_picture() -> None:
    full = np.zeros((101, 100), np.uint8)
    limits = ServeConfig(photo_pixels=10_000)
    small = picture(full[::10, ::10], 8, t254=1)
    check_photo(tiff(small), limits)
    small.inside = [picture(full, 8)]
    for data in (tiff(small), tiff(picture(full.astype(np.uint16), 12))):
        assert sniff(data) == "TIFF"
        with pytest.raises(RefusedError, match="10000"):
            check_photo(data, limits)


def naive_markers(data: bytes) -> tuple[int, int]:
    """(scans, segments), counted byte by byte, as the decoder of the standard reads them."""
    scans = segments = 0
    at = 2
    while at + 1 < len(data):
        if data[at] != 0xFF:
            at += 1
            continue
        code = data[at + 1]
        if code == 0xFF:
            at += 1
        elif code == 0 or 0xD0 <= code <= 0xD7:
            at += 2
        elif code == 0xD9:
            break
        else:
            segments += 1
            scans += code == 0xDA
            at += 2 + max(2, data[at + 2] * 256 + data[at + 3])
    return scans, segments


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"progressive": True},
        {"progressive": True, "quality": 100},
        {"restart_marker_blocks": 1},
        {"exif": b"Exif\0\0" + b"\xff\xda\x00\x08" * 500, "comment": b"\xff\xda" * 300},
    ],
)
def test_markers_are_those_of_a_naive_reader(options: dict[str, Any]) -> None:
    data = saved("JPEG", (96, 80), **options)
    found = jpeg_markers(data)
    assert (found.scans, found.segments) == naive_markers(data)
    assert (found.scans > 1) == ("progressive" in options)
    assert found.fill == 0
    behind = jpeg_markers(data + data)  # what stands behind the end is not read
    assert behind == found


def more_scans(times: int) -> bytes:
    """A progressive JPEG whose last scan is repeated `times` times; it can be decoded."""
    data = saved("JPEG", progressive=True)
    last = data.rindex(b"\xff\xda")
    return data[:-2] + data[last:-2] * times + data[-2:]


def test_a_jpeg_of_absurdly_many_scans_is_refused() -> None:
    limits = ServeConfig()
    own = jpeg_markers(more_scans(0)).scans
    most = more_scans(MOST_SCANS - own)
    assert decoding.decode_bytes(most, "most").shape == (12, 16, 3)
    check_photo(most, limits)
    with pytest.raises(RefusedError, match="100 scans") as caught:
        check_photo(more_scans(MOST_SCANS - own + 1), limits)
    assert (caught.value.status, caught.value.kind) == (422, "damaged_photograph")


@pytest.mark.parametrize(
    ("filler", "most", "says"),
    [
        (b"\xff\xfe\x00\x02", MOST_SEGMENTS, "segments"),
        (b"\xff\x01", MOST_SEGMENTS, "segments"),
        (b"\xff", MOST_FILL, "fill bytes"),
    ],
)
def test_a_jpeg_whose_header_never_ends_is_refused(filler: bytes, most: int, says: str) -> None:
    limits, data = ServeConfig(), saved("JPEG")
    for ending in (data[2:], b""):
        with pytest.raises(RefusedError, match=says) as caught:
            check_photo(b"\xff\xd8\xff\xfe\x00\x02" + filler * (most + 9) + ending, limits)
        assert caught.value.kind == "damaged_photograph"
    if filler != b"\xff\x01":
        check_photo(data[:2] + filler * (most // 2) + data[2:], limits)


@given(st.binary(max_size=200), st.integers(0, 400))
@settings(deadline=None)
def test_hostile_photographs_are_refused_and_nothing_else(junk: bytes, at: int) -> None:
    for data in (junk, b"\xff\xd8\xff" + junk, saved("JPEG")[:at] + junk, saved("GIF")[:at] + junk):
        jpeg_markers(data)
        assert status_of(lambda data=data: check_photo(data, LIMITS)) in (200, 413, 415, 422)


@pytest.mark.photos
def test_real_photographs_pass(photos: Path) -> None:
    paths = sorted(path for path in photos.rglob("*") if path.suffix.lower() in (".jpg", ".jpeg"))
    assert paths
    for path in paths[:: max(1, len(paths) // 300)]:
        data = path.read_bytes()
        assert sniff(data) == "JPEG"
        check_photo(data, ServeConfig(), name=str(path))
