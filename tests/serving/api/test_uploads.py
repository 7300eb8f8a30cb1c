"""Forms read in any pieces, nothing written to disk, and hostile forms refused."""

import asyncio
import logging
import os
import tempfile
from collections.abc import Iterable
from typing import Any

import pytest
from fastapi import FastAPI, Request
from fastapi.testclient import TestClient
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.requests import ClientDisconnect

from flukeprint.config.schema import MEBIBYTE, ServeConfig
from flukeprint.serving.api.problems import RefusedError, install
from flukeprint.serving.api.uploads import FIELD_BYTES, Upload, read_photos
from tests.serving.api.refusals import LIMITS, status_of

BOUNDARY = b"xYzZy"

TYPE = "multipart/form-data; boundary=xYzZy"

Part = tuple[str, bytes]


def form(*parts: Part, boundary: bytes = BOUNDARY) -> bytes:
    """A form, written by hand after RFC 7578."""
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
    """A request that sends the chunks and disconnects, and the messages it has not sent yet."""
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
    lists: tuple[str, ...] = (),
) -> Upload:
    asked, _ = request([body] if isinstance(body, bytes) else body, content_type)
    return asyncio.run(read_photos(asked, limits, fields=fields, lists=lists))


def refusal(*args: Any, **more: Any) -> RefusedError:
    with pytest.raises(RefusedError) as caught:
        read(*args, **more)
    return caught.value


def test_photographs_and_fields_come_back_as_they_were_sent() -> None:
    body = form(
        photo(b"one"), text("identity", " Ala ñ 1 ".encode()), photo(b"", "photo"), photo(b"\r\n--")
    )
    upload = read(body, fields=("identity",))
    assert upload == Upload((b"one", b"", b"\r\n--"), {"identity": "Ala ñ 1"}, {})
    assert "one" not in repr(upload)  # so that no log shows it
    assert "Ala" not in repr(upload)


def test_a_field_of_a_list_comes_as_often_as_photographs_may() -> None:
    one, two = text("box", b"1"), text("box", b" 2 ")
    assert read(form(photo(b"one"), one, two), lists=("box",)).lists == {"box": ("1", "2")}
    assert read(form(photo(b"one")), lists=("box",)).lists == {"box": ()}
    many = form(photo(b"one"), *[one] * (LIMITS.photos + 1))
    assert "more than" in refusal(many, lists=("box",)).detail


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
    """Not even for parts over 1 MiB, from which on starlette's own parser writes a file."""
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
