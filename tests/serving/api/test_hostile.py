"""Hostile files and forms sent to a server: read or refused, no failure, no growth of memory."""

import json
import socket
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import httpx2
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from flukeprint.serving.api.schemas import Enrolled, Identification, Problem
from tests.serving.hostile import SORTS, whole
from tests.serving.served import TOKEN, Served, answer, copied, photo, served

MOST_GROWTH = 30  # MB, of a second pass over all files, which have more bytes than that
# Parts of files, names, forms and headers that no answer may repeat.
MARKS = ("EVIL", "echo me", "alert(1)", "passwd", "name-of-a-file")

# Odd files that are read, since a photographer's software may write them.
READ = {
    "PNG": {
        "bomb within the limit", "many texts", "very many texts", "profile of nonsense",
        "exif of nonsense", "animated", "script in a text",
    },
    "JPEG": {
        "1 x 40000", "40000 x 1", "80 scans", "huge exif", "huge profile", "exif without end",
        "exif in a circle", "exif far away", "exif of a rotation that is text",
        "exif of rotations", "exif of rotation 0/0", "pictures behind", "MPO", "broken MPO", "CMYK",
    },
    "TIFF": {
        "plain", "16 bits", "32 bits", "1 bit", "CMYK", "P", "LA", "RGBA", "LAB", "YCbCr",
        "tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg", "bomb within the limit", "turned",
        "pages", "circle",
    },
    "moving": {"GIF of 1,000 frames", "WebP of 60 frames", "AVIF of 6 frames"},
    "sized": {"WebP of 16 Mpx"},
    "polyglot": {
        "JPEG and ZIP", "JPEG and HTML", "JPEG with HTML in a comment", "JPEG and PDF",
        "GIF and JavaScript", "PNG and HTML",
    },
    "other": set(),
    "truncated": set(),
}  # fmt: skip
# Files that may be read or refused, depending on the version of a library; the rest is refused.
EITHER = {
    "PNG": {"too many pixels", "unknown critical chunk"},
    "JPEG": {"taller than its data", "Adobe of nonsense", "no codes", "arithmetic"},
    "TIFF": {"huge strip", "damaged jpeg", "damaged tiff_lzw", "damaged tiff_adobe_deflate"},
    "sized": {"JPEG 2000 of tiny tiles"},
    "truncated": {"PNG cut at", "GIF cut at"},  # a byte of what stands behind the pixels
}


@pytest.fixture(scope="module")
def server(identifier: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(copied(identifier, tmp_path_factory.mktemp("hostile")), enroll=True) as running:
        yield running


@pytest.fixture(scope="module")
def client(server: Served) -> Iterator[httpx2.Client]:
    with httpx2.Client(base_url=server.url, timeout=60) as client:
        yield client


@cache
def corpus() -> dict[tuple[str, str], bytes]:
    return {(sort, name): data for sort, files in SORTS.items() for name, data in files()}


def identify(client: httpx2.Client, data: bytes) -> httpx2.Response:
    return client.post(
        "/v1/identify", files=[("photos", ("name-of-a-file.jpg", data, "image/jpeg"))]
    )


def not_json(word: str) -> Any:
    raise AssertionError(f"{word} is not JSON")


def judged(status: int, kind: str | None, text: str, body: type[Any] = Identification) -> bool:
    """Check that an answer follows the schema; whether it is a success."""
    found = json.loads(text, parse_constant=not_json)
    for mark in MARKS:
        assert mark not in text
    if status in (200, 201):
        assert kind == "application/json"
        body.model_validate(found)
        return True
    assert 400 <= status < 500, text
    assert kind == "application/problem+json"
    assert Problem.model_validate(found).status == status
    return False


def read(answered: httpx2.Response) -> bool:
    return judged(answered.status_code, answered.headers.get("content-type"), answered.text)


@pytest.mark.parametrize("sort", SORTS)
def test_hostile_files_are_read_or_refused(client: httpx2.Client, sort: str) -> None:
    wrong, names = [], set()
    for (kind, name), data in corpus().items():
        if kind != sort:
            continue
        names.add(name)
        found = read(identify(client, data))
        free = any(name.startswith(free) for free in EITHER.get(sort, ()))
        if not free and found != (name in READ[sort]):
            wrong.append(f"{name}: {'read' if found else 'refused'}")
    assert READ[sort] <= names
    assert not wrong
    assert read(identify(client, photo()))
    assert client.get("/v1/ready").status_code == 200


def test_bombs_are_refused_for_what_they_are(client: httpx2.Client) -> None:
    for (_, name), data in corpus().items():
        if "50,000 px" in name or name in ("bomb", "huge", "WebP of 16,384 px", "GIF of 65,535 px"):
            found = identify(client, data)
            assert found.status_code in (413, 415, 422), name
            if found.status_code == 413:
                assert found.json()["type"].endswith("too_many_pixels"), name
    assert identify(client, corpus()["PNG", "bomb"]).status_code == 413
    assert len(corpus()["PNG", "bomb"]) < 2_000_000


def test_memory_does_not_grow(client: httpx2.Client, server: Served) -> None:
    """The allocator keeps what the largest photographs needed; then a pass must need no more."""

    def go() -> float:
        for data in corpus().values():
            identify(client, data)
        return server.memory_mb()

    assert sum(map(len, corpus().values())) > MOST_GROWTH * 2**20  # if any upload were kept
    passes = [go(), go()]
    # Each thread has an arena of its own, which a pass may be the first to fill.
    while passes[-1] - passes[-2] >= MOST_GROWTH and len(passes) < 6:
        passes.append(go())
    assert passes[-1] - passes[-2] < MOST_GROWTH, f"MB after each pass: {passes}"


def test_whatever_is_read_can_be_enrolled(client: httpx2.Client) -> None:
    """Enrolling decodes the whole photograph, for its thumbnail."""
    enrolled = 0
    for number, ((sort, name), data) in enumerate(corpus().items()):
        if name not in READ[sort]:
            continue
        answered = client.post(
            "/v1/enroll",
            files=[("photos", ("name-of-a-file.jpg", data, "image/jpeg"))],
            data={"identity": f"w_{number}", "keep_photos": "yes"},
            headers={"Authorization": f"Bearer {TOKEN}"},
        )
        kind = answered.headers["content-type"]
        good = judged(answered.status_code, kind, answered.text, Enrolled)
        assert good or answered.status_code == 409, name  # some show the same
        enrolled += good
    assert enrolled > 10
    assert client.get(f"/v1/photos/{client.get('/v1/about').json()['photos'] - 1}").is_success


# Forms ------------------------------------------------------------------------------------------

TYPE = "multipart/form-data; boundary=x"
DISPOSITION = b'Content-Disposition: form-data; name="photos"; filename="name-of-a-file.jpg"'


def part(data: bytes, head: bytes = DISPOSITION) -> bytes:
    return b"--x\r\n" + head + b"\r\n\r\n" + data + b"\r\n"


def form(*parts: bytes) -> bytes:
    return b"".join(parts) + b"--x--\r\n"


def nested(depth: int) -> bytes:
    inner = photo()
    for level in range(depth):
        head = b"Content-Type: multipart/mixed; boundary=y%d\r\n%b" % (level, DISPOSITION)
        inner = b"--y%d\r\n%b\r\n\r\n%b\r\n--y%d--\r\n" % (level, head, inner, level)
    return inner


def named(name: bytes, more: bytes = b"") -> bytes:
    return b'Content-Disposition: form-data; name="' + name + b'"' + more


GOOD = form(part(photo()))
FORMS: dict[str, tuple[str | None, bytes]] = {
    "deep": (TYPE, form(part(nested(200)))),
    "1,000 photographs": (TYPE, form(*[part(b"\xff\xd8\xff")] * 1000)),
    "1,000 fields": (TYPE, form(*[part(b"1", named(b"f%d" % i)) for i in range(1000)])),
    "1,000 empty parts": (TYPE, form(*[b"--x\r\n\r\n\r\n"] * 1000)),
    "1,000 headers": (TYPE, form(part(photo(), b"\r\n".join([b"X-EVIL: 1"] * 1000)))),
    "a header of 1 MB": (TYPE, form(part(photo(), b"X-EVIL: " + b"y" * 1_000_000))),
    "a name of 1 MB": (TYPE, form(part(photo(), named(b"EVIL" * 250_000)))),
    "no type": (None, GOOD),
    "another type": ("application/json", b'{"photos": []}'),
    "a text": ("text/html; boundary=x", GOOD),
    "urlencoded": ("application/x-www-form-urlencoded", b"photos=EVIL"),
    "no boundary": ("multipart/form-data", GOOD),
    "an empty boundary": ("multipart/form-data; boundary=", GOOD),
    "another boundary": ("multipart/form-data; boundary=z", GOOD),
    "a boundary of 5,000": ("multipart/form-data; boundary=" + "z" * 5000, GOOD),
    "two boundaries": ("multipart/form-data; boundary=z; boundary=y", GOOD),
    "a boundary that is none": ('multipart/form-data; boundary="\\', GOOD),
    "no end": (TYPE, GOOD[:-8]),
    "no beginning": (TYPE, GOOD[6:]),
    "nothing": (TYPE, b""),
    "only the end": (TYPE, b"--x--\r\n"),
    "only line feeds": (TYPE, GOOD.replace(b"\r\n", b"\n")),
    "no disposition": (TYPE, form(part(photo(), b"Content-Type: image/jpeg"))),
    "an attachment": (TYPE, form(part(photo(), DISPOSITION.replace(b"form-data", b"attachment")))),
    "no name": (TYPE, form(part(photo(), b"Content-Disposition: form-data"))),
    "an empty name": (TYPE, form(part(photo(), named(b"")))),
    "a header in a name": (TYPE, form(part(photo(), named(b"photos\r\nX-EVIL: 1\r\n")))),
    "an encoded header": (TYPE, form(part(photo(), named(b"EVIL%0d%0aSet-Cookie: a=b")))),
    "a zero in a name": (TYPE, form(part(photo(), named(b"photos\0")))),
    "a script for a name": (TYPE, form(part(photo(), named(b"<script>alert(1)</script>")))),
    "a name of no UTF-8": (TYPE, form(part(photo(), named(b"\xff\xfe\x80")))),
    "a name in Unicode": (TYPE, form(part(photo(), named("ph\u00f6t\u00f6s\u202e".encode())))),
    "a letter that looks the same": (TYPE, form(part(photo(), named("ph\u043etos".encode())))),
    "base64": (
        TYPE,
        form(part(b"/9j/4AAQ", DISPOSITION + b"\r\nContent-Transfer-Encoding: base64")),
    ),
    "a field of photographs": (TYPE, form(part(photo()), part(b"1", named(b"identity")))),
}
READABLE: dict[str, tuple[str | None, bytes]] = {
    "as usual": (TYPE, GOOD),
    "a file name in Unicode": (
        TYPE, form(part(photo(), named(b"photos", b"; filename*=UTF-8''%e2%80%aeEVIL"))),
    ),
    "a path for a file name": (
        TYPE, form(part(photo(), named(b"photos", b'; filename="../../../etc/passwd"'))),
    ),
    "a header in a file name": (
        TYPE, form(part(photo(), named(b"photos", b'; filename="a%0d%0aX-EVIL: 1"'))),
    ),
    "a preface and an afterword": (TYPE, b"\r\n" + GOOD + b"EVIL" * 100),
    "both names": (TYPE, form(part(photo()), part(photo(2), named(b"photo")))),
}  # fmt: skip


@pytest.mark.parametrize("what", [*FORMS, *READABLE])
def test_hostile_forms_are_refused(client: httpx2.Client, what: str) -> None:
    kind, body = {**FORMS, **READABLE}[what]
    for work in ("identify", "embed") if what in FORMS else ("identify",):
        headers = {} if kind is None else {"Content-Type": kind}
        answered = client.post(f"/v1/{work}", content=body, headers=headers)
        assert read(answered) == (what in READABLE), answered.text
        assert "EVIL" not in str(answered.headers)
    assert read(identify(client, photo()))


LINES: dict[str, tuple[tuple[bytes, ...], bytes]] = {
    "a length that is too short": ((b"Content-Length: 100",), GOOD),
    "no length": ((), GOOD),
    "a length of -1": ((b"Content-Length: -1",), GOOD),
    "a length that is a word": ((b"Content-Length: EVIL",), GOOD),
    "a length of 50 digits": ((b"Content-Length: " + b"9" * 50,), GOOD),
    "a length of 1 TB": ((b"Content-Length: 1000000000000",), GOOD),
    "two lengths": ((b"Content-Length: 100", b"Content-Length: 200"), GOOD),
    "a length and chunks": (
        (b"Content-Length: 5", b"Transfer-Encoding: chunked"), b"0\r\n\r\nGET /EVIL HTTP/1.1\r\n",
    ),
    "chunks of nonsense": ((b"Transfer-Encoding: chunked",), b"EVIL\r\n" + GOOD),
    "an endless chunk": ((b"Transfer-Encoding: chunked",), b"ffffffffffffffff\r\n" + GOOD),
    "another coding": ((b"Transfer-Encoding: EVIL",), GOOD),
    "a compressed body": ((b"Content-Encoding: gzip", b"Content-Length: 100"), b"\x1f\x8b" * 50),
    "a header without a name": ((b": EVIL", b"Content-Length: 0"), b""),
    "a header of 100 kB": ((b"X-EVIL: " + b"y" * 100_000, b"Content-Length: 0"), b""),
    "1,000 headers": ((*[b"X-EVIL: 1"] * 1000, b"Content-Length: 0"), b""),
    "no HTTP": ((b"\x16\x03\x01\x02\0\x01\0",), b"\0" * 500),
}  # fmt: skip


@pytest.mark.parametrize("what", LINES)
def test_hostile_requests_end_the_connection_at_most(
    server: Served, client: httpx2.Client, what: str
) -> None:
    headers, body = LINES[what]
    start = (b"POST /v1/identify HTTP/1.1", b"Host: localhost", b"Content-Type: " + TYPE.encode())
    with server.dial() as line:
        line.sendall(b"\r\n".join((*start, *headers, b"", b"")))
        try:
            line.sendall(body)
            line.shutdown(socket.SHUT_WR)  # nothing more will come
            status, _, said = answer(line)
        except (ConnectionError, OSError):
            status, said = 400, b""
    assert 400 <= status < 500
    assert b"EVIL" not in said
    assert read(identify(client, photo()))


# Chance -----------------------------------------------------------------------------------------


def mutated(data: bytes, changes: list[tuple[int, int, bytes]]) -> bytes:
    """The data with some bytes replaced by others."""
    for at, cut, new in changes:
        place = at % (len(data) + 1)
        data = data[:place] + new + data[place + cut :]
    return data


changes = st.lists(
    st.tuples(
        st.integers(0, 300) | st.integers(0, 1 << 16),  # headers are where it hurts
        st.sampled_from([0, 1, 2, 4, 100]),
        st.binary(max_size=8) | st.sampled_from([b"\0" * 4, b"\xff" * 4, b"\x7f\xff\xff\xff"]),
    ),
    min_size=1,
    max_size=6,
)
lately = settings(max_examples=250, deadline=None)


@lately
@given(
    data=st.binary(max_size=600), begin=st.sampled_from([b"", *(d[:12] for d in whole().values())])
)
@example(data=b"", begin=b"")
def test_random_bytes_are_no_photograph(client: httpx2.Client, data: bytes, begin: bytes) -> None:
    read(identify(client, begin + data))


@lately
@given(name=st.sampled_from(sorted(whole())), changes=changes)
def test_damaged_photographs_are_read_or_refused(
    client: httpx2.Client, name: str, changes: list[tuple[int, int, bytes]]
) -> None:
    read(identify(client, mutated(whole()[name], changes)))


@settings(max_examples=100, deadline=None)
@given(
    changes=changes,
    kind=st.sampled_from([TYPE, "multipart/form-data", "multipart/form-data; boundary=\u00ff"])
    | st.text(st.characters(min_codepoint=32, max_codepoint=255), max_size=40).map(str.strip),
    work=st.sampled_from(["identify", "embed", "verify", "enroll"]),
)
def test_damaged_forms_are_refused(
    client: httpx2.Client, changes: list[tuple[int, int, bytes]], kind: str, work: str
) -> None:
    answered = client.post(
        f"/v1/{work}",
        content=mutated(GOOD, changes),
        headers={
            b"Content-Type": kind.encode("latin-1"),
            b"Authorization": b"Bearer " + TOKEN.encode(),
        },
    )
    assert answered.status_code == 200 or 400 <= answered.status_code < 500
    if answered.status_code != 200:
        judged(answered.status_code, answered.headers["content-type"], answered.text)


def test_afterwards_the_server_lives_and_has_said_nothing(
    server: Served, client: httpx2.Client
) -> None:
    assert client.get("/v1/health").json() == {"status": "ok"}
    assert client.get("/v1/ready").json() == {"status": "ready"}
    assert read(identify(client, photo()))
    lines = [line for line in server.lines()[2:] if "Invalid HTTP request" not in line]
    assert not lines
