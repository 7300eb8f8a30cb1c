"""Uploads cut anywhere, nothing on disk, hostile forms and photographs, markers counted naively."""

import asyncio
import io
import logging
import os
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi import FastAPI, Request
from fastapi.testclient import TestClient
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from starlette.requests import ClientDisconnect

from flukeprint.config.schema import MEBIBYTE, ServeConfig
from flukeprint.data import decoding
from flukeprint.serving.api.problems import RefusedError, install
from flukeprint.serving.api.uploads import (
    FIELD_BYTES,
    MOST_FILL,
    MOST_SCANS,
    MOST_SEGMENTS,
    Upload,
    check_photo,
    jpeg_markers,
    read_photos,
    sniff,
)

LIMITS = ServeConfig(photo_bytes=4096, photos=3, photo_pixels=10_000)
BOUNDARY = b"xYzZy"
TYPE = "multipart/form-data; boundary=xYzZy"

Part = tuple[str, bytes]


def form(*parts: Part, boundary: bytes = BOUNDARY) -> bytes:
    """Written by hand after RFC 7578."""
    lines = b"".join(
        b"--%b\r\nContent-Disposition: form-data; %b\r\nContent-Type: text/html\r\n\r\n%b\r\n"
        % (boundary, disposition.encode(), data)
        for disposition, data in parts
    )
    return lines + b"--%b--\r\n" % boundary


def photo(data: bytes, name: str = "photos") -> Part:
    return f'name="{name}"; filename="../../etc/passwd"', data


def text(name: str, data: bytes) -> Part:
    return f'name="{name}"', data


def request(chunks: Iterable[bytes], content_type: str | None = TYPE) -> tuple[Request, list[Any]]:
    """A request that sends the chunks and leaves, and what it has not sent yet."""
    chunks = list(chunks)
    script: list[Any] = [
        {"type": "http.request", "body": chunk, "more_body": number < len(chunks) - 1}
        for number, chunk in enumerate(chunks)
    ]

    async def receive() -> Any:
        return script.pop(0) if script else {"type": "http.disconnect"}

    headers = [] if content_type is None else [(b"content-type", content_type.encode("latin-1"))]
    scope = {"type": "http", "method": "POST", "path": "/", "headers": headers}
    return Request(scope, receive), script


def read(
    body: bytes | list[bytes],
    limits: ServeConfig = LIMITS,
    fields: tuple[str, ...] = (),
    content_type: str | None = TYPE,
) -> Upload:
    asked, _ = request([body] if isinstance(body, bytes) else body, content_type)
    return asyncio.run(read_photos(asked, limits, fields=fields))


def refusal(*args: Any, **more: Any) -> RefusedError:
    with pytest.raises(RefusedError) as caught:
        read(*args, **more)
    return caught.value


def status_of(act: Callable[[], Any]) -> int:
    try:
        act()
    except RefusedError as error:
        return error.status
    return 200


# Forms ------------------------------------------------------------------------------------------


def test_photographs_and_fields_come_back_as_they_were_sent() -> None:
    body = form(
        photo(b"one"), text("identity", " Ala ñ 1 ".encode()), photo(b"", "photo"), photo(b"\r\n--")
    )
    upload = read(body, fields=("identity",))
    assert upload == Upload((b"one", b"", b"\r\n--"), {"identity": "Ala ñ 1"})
    assert "one" not in repr(upload)  # so that no log shows it
    assert "Ala" not in repr(upload)


pieces = st.lists(st.sampled_from([b"\r\n", b"--", b"\r", BOUNDARY, b"\x00\xff", b"a"]), max_size=9)


@given(
    st.lists(pieces.map(b"".join), min_size=1, max_size=3).filter(
        lambda photos: all(b"\r\n--" + BOUNDARY not in b"\r\n" + data for data in photos)
    ),
    st.lists(st.integers(0, 700), max_size=12),
)
@settings(deadline=None)
def test_a_form_may_arrive_cut_anywhere(photos: list[bytes], cuts: list[int]) -> None:
    body = form(*map(photo, photos))
    ends = sorted({cut for cut in cuts if cut < len(body)} | {len(body)})
    chunks = [body[start:end] for start, end in zip([0, *ends], ends, strict=False)]
    assert read(chunks).photos == tuple(photos)


def test_a_form_of_a_real_client_is_read() -> None:
    app = FastAPI()
    install(app)

    @app.post("/")
    async def post(request: Request) -> list[int]:
        return [len(data) for data in (await read_photos(request, LIMITS)).photos]

    client = TestClient(app)
    files = [("photos", ("a.jpg", b"12345", "image/jpeg")), ("photos", ("b", b"123"))]
    assert client.post("/", files=files).json() == [5, 3]
    assert client.post("/", json={}).status_code == 415
    assert client.post("/", files=[("photos", b"x" * 5000)]).status_code == 413


def test_nothing_is_ever_written_to_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also of parts over the 1 MiB from which starlette's own parser writes a file."""
    import starlette.formparsers

    def fails(*args: Any, **more: Any) -> Any:
        raise AssertionError("a file was opened for a photograph")

    class Spool(tempfile.SpooledTemporaryFile):  # type: ignore[type-arg]
        rollover = fails

    data = bytes(3 * MEBIBYTE)
    body = form(photo(data))
    chunks = [body[at : at + 65536] for at in range(0, len(body), 65536)]

    async def both() -> tuple[bytes, ...]:
        with pytest.raises(AssertionError, match="a file was opened"):
            await request(chunks)[0].form()  # so this test can fail
        return (await read_photos(request(chunks)[0], ServeConfig())).photos

    with asyncio.Runner() as runner:
        runner.get_loop()  # opens what it waits with, so it is made before nothing can be opened
        with monkeypatch.context() as patch:
            patch.setattr(starlette.formparsers, "SpooledTemporaryFile", Spool)
            for name in ("TemporaryFile", "NamedTemporaryFile", "SpooledTemporaryFile", "mkstemp"):
                patch.setattr(tempfile, name, fails)
            patch.setattr(os, "open", fails)
            patch.setattr("builtins.open", fails)
            photos = runner.run(both())
    assert photos == (data,)


@pytest.mark.parametrize(
    "content_type",
    [None, "", "image/jpeg", "application/x-www-form-urlencoded", "multipart/mixed; boundary=a"],
)
def test_another_media_type_is_415(content_type: str | None) -> None:
    error = refusal(form(photo(b"a")), content_type=content_type)
    assert (error.status, error.kind) == (415, "unsupported_media_type")


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (form(photo(b"a")), "multipart/form-data"),
        (form(photo(b"a")), "multipart/form-data; boundary="),
        (form(photo(b"a")), 'multipart/form-data; boundary=""'),
        (form(photo(b"a")), "multipart/form-data; boundary=" + "x" * 300),
        (form(photo(b"a")), "multipart/form-data; boundary=other"),
        (b"", TYPE),
        (b"\r\n\r\n", TYPE),
        (b"SECRET no form", TYPE),
        (form(photo(b"a"))[:-6], TYPE),
        (form(photo(b"a" * 50))[:-40], TYPE),
        (b"--xYzZy\r\nno header\r\n\r\na\r\n--xYzZy--\r\n", TYPE),
        (b"--xYzZy\r\n: empty\r\n\r\na\r\n--xYzZy--\r\n", TYPE),
        (b"--xYzZy\r\nA: b\rc\r\n\r\na\r\n--xYzZy--\r\n", TYPE),
        (b"--xYzZy\r\n\r\na\r\n--xYzZy--\r\n", TYPE),
        (b"--xYzZy\r\n" + b"A: b\r\n" * 50 + b"\r\na\r\n--xYzZy--\r\n", TYPE),
        (b"--xYzZy\r\nA: " + b"b" * 9999 + b"\r\n\r\na\r\n--xYzZy--\r\n", TYPE),
        (form(("", b"a")), TYPE),
        (form(photo(b"a"))[:-11] + b"--xYzZy\r\n\r\na\r\n--xYzZy--\r\n", TYPE),
        (form(('name=""', b"a")), TYPE),
        (form(('filename="photos"', b"a")), TYPE),
        (form(photo(b"a")).replace(b"form-data", b"attachment"), TYPE),
    ],
)
def test_a_broken_form_is_422_and_not_logged(
    body: bytes, content_type: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        error = refusal(body, content_type=content_type)
    assert (error.status, error.kind) == (422, "invalid")
    assert "SECRET" not in error.detail
    assert [r for r in caplog.records if r.name != "asyncio"] == []


@given(st.binary(max_size=300), st.integers(0, 400), st.sampled_from([b"", b"\r\n", b"--xYzZy"]))
@settings(deadline=None)
def test_no_form_fails_in_another_way(junk: bytes, at: int, end: bytes) -> None:
    body = form(photo(b"abc"), text("identity", b"x"))
    for hostile in (body[:at] + junk + end + body[at:], body[:at] + end + junk):
        status = status_of(lambda body=hostile: read(body, fields=("identity",)))
        assert status in (200, 413, 422)


@pytest.mark.parametrize(
    ("parts", "kind", "says"),
    [
        ([], "no_photograph", "part called photos"),
        ([text("identity", b"a")], "no_photograph", "part called photos"),
        ([photo(b"a")], "invalid", "lacks the field identity"),
        ([photo(b"a"), text("identity", b" ")], "invalid", "field identity"),
        ([photo(b"a"), text("identity", b"a\nb")], "invalid", "one line"),
        ([photo(b"a"), text("identity", b"a\x00b")], "invalid", "printable"),
        ([photo(b"a"), text("identity", b"\xff\xfe")], "invalid", "UTF-8"),
        ([photo(b"a"), text("identity", b"x" * (FIELD_BYTES + 1))], "invalid", "1000 bytes"),
        ([photo(b"a"), text("identity", b"a"), text("identity", b"a")], "invalid", "twice"),
        ([photo(b"a"), text("SECRET", b"a")], "invalid", "its parts are: photos, identity"),
    ],
)
def test_what_a_form_must_hold(parts: list[Part], kind: str, says: str) -> None:
    error = refusal(form(*parts), fields=("identity",))
    assert (error.status, error.kind) == (422, kind)
    assert says in error.detail
    assert "SECRET" not in error.detail


def test_limits_are_reached_but_not_passed() -> None:
    full = form(*[photo(b"x" * 4096)] * 3, text("identity", b"x" * FIELD_BYTES))
    upload = read(full, fields=("identity",))
    assert [len(data) for data in upload.photos] == [4096] * 3
    error = refusal(form(photo(b"x"), photo(b"x" * 4097)))
    assert (error.status, error.kind) == (413, "too_many_bytes")
    assert "photograph 2" in error.detail
    error = refusal(form(*[photo(b"x")] * 4))
    assert (error.status, error.kind) == (422, "too_many_photographs")
    assert "at most 3" in error.detail


def test_limits_are_enforced_before_the_rest_has_arrived() -> None:
    for body, kind in (
        (form(photo(b"x" * 5000), photo(b"y" * 4000)), "too_many_bytes"),
        (form(*[photo(b"")] * 4, photo(b"y" * 4000)), "too_many_photographs"),
    ):
        asked, unsent = request([body[at : at + 100] for at in range(0, len(body), 100)])
        with pytest.raises(RefusedError) as caught:
            asyncio.run(read_photos(asked, LIMITS))
        assert caught.value.kind == kind
        assert len(unsent) > 30


def test_a_sender_who_leaves_is_told_from_a_broken_form() -> None:
    asked, script = request([form(photo(b"abc"))[:-9], b""])
    script.pop()
    with pytest.raises(ClientDisconnect):
        asyncio.run(read_photos(asked, LIMITS))


# Photographs ------------------------------------------------------------------------------------


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


@pytest.mark.parametrize("format", [*decoding.formats()])
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
    """A PNG whose header tells of pixels that it does not have."""

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


# Markers ----------------------------------------------------------------------------------------


def naive_markers(data: bytes) -> tuple[int, int]:
    """(scans, segments), a byte at a time, as the standard's decoder reads them."""
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
    """A progressive JPEG whose last scan comes so many times again; it can be decoded."""
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
