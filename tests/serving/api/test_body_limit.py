"""The limit on bodies: declared and counted sizes, refused senders, one real server."""

import contextlib
import json
import socket
from typing import Any

import pytest
import uvicorn
from fastapi import Request
from fastapi.responses import PlainTextResponse

from flukeprint.serving.api.body_limit import BodyLimit
from flukeprint.serving.api.problems import RefusedError
from tests.serving.api.asgi_client import (
    Sender,
    ask,
    counting,
    deaf,
    read_all,
    service,
)
from tests.serving.in_thread import running


def test_a_body_up_to_the_limit_passes_untouched() -> None:
    said = ask(BodyLimit(counting, 10), Sender([b"12345", b"67890"]))
    assert (said.status, said.body) == (200, b"10")
    assert "connection" not in said.headers


@pytest.mark.parametrize("length", ["11", "9" * 5000])
def test_a_declared_length_is_refused_before_reading(length: str) -> None:
    async def never(scope: Any, receive: Any, send: Any) -> None:
        raise AssertionError("the application was asked")

    sender = Sender([b"x" * 6, b"x" * 6])
    said = ask(BodyLimit(never, 10), sender, headers={"content-length": length})
    assert (said.status, said.kind) == (413, "too_many_bytes")
    assert said.headers["connection"] == "close"
    assert said.whole
    # The whole answer was sent before the rest of the body was thrown away.
    assert said.messages[1]["body"] == said.body
    assert said.messages[1]["more_body"]
    assert sender.script == []


@pytest.mark.parametrize("length", [{}, {"content-length": "4"}, {"content-length": "-3"}])
def test_what_arrives_is_counted_whatever_was_declared(length: dict[str, str]) -> None:
    headers = {"transfer-encoding": "chunked", **length}
    sender = Sender([b"x" * 4] * 4)
    said = ask(BodyLimit(counting, 10), sender, headers=headers)
    assert (said.status, said.kind) == (413, "too_many_bytes")
    assert said.headers["connection"] == "close"
    assert said.whole
    assert sender.script == []


def test_an_endless_sender_is_read_no_further_than_three_times_the_limit() -> None:
    sender = Sender([b"x" * 4] * 1000)
    said = ask(BodyLimit(counting, 100), sender, headers={"transfer-encoding": "chunked"})
    assert said.status == 413
    assert said.whole
    assert 4 * sender.asked <= 3 * 100 + 3 * 4


def test_a_sender_who_stalls_is_left_after_a_while() -> None:
    sender = Sender([b"x" * 4, b""])
    sender.script.pop()  # never ends, never leaves
    app = BodyLimit(deaf, 100, linger=0.01)
    said = ask(app, sender, headers={"content-length": "50"})
    assert (said.status, said.headers["connection"]) == (401, "close")
    assert said.whole


def test_whoever_waits_to_go_on_is_not_waited_for() -> None:
    sender = Sender([b"x" * 4])
    headers = {"content-length": "50", "expect": "100-continue"}
    said = ask(BodyLimit(deaf, 10), sender, headers=headers)
    assert (said.status, said.headers["connection"]) == (413, "close")
    assert sender.asked == 0
    sender = Sender([b"x" * 4] * 6)  # it was told to go on, and did
    headers = {"transfer-encoding": "chunked", "expect": "100-continue"}
    assert ask(BodyLimit(counting, 10), sender, headers=headers).status == 413
    assert sender.script == []


def test_the_limit_holds_whatever_the_application_makes_of_it() -> None:
    """FastAPI answers errors of reading itself; other applications may swallow or change them."""

    async def own_answer(scope: Any, receive: Any, send: Any) -> None:
        with contextlib.suppress(RefusedError):
            await read_all(Request(scope, receive))
        await PlainTextResponse("all is well")(scope, receive, send)

    async def other_error(scope: Any, receive: Any, send: Any) -> None:
        try:
            await read_all(Request(scope, receive))
        except RefusedError as error:
            raise KeyError("odd") from error

    for app in (own_answer, other_error, service()):
        said = ask(BodyLimit(app, 5), Sender([b"x" * 4] * 3), path="/left")
        assert (said.status, said.kind) == (413, "too_many_bytes")


def test_a_refused_body_is_drained_for_every_refusal_and_kept_alive_without_one() -> None:
    sender = Sender([b"x" * 4] * 3)
    said = ask(BodyLimit(deaf, 100), sender, headers={"content-length": "12"})
    assert (said.status, said.headers["connection"]) == (401, "close")
    assert sender.script == []
    for headers in ({}, {"content-length": "0"}):
        said = ask(BodyLimit(deaf, 100), Sender(), headers=headers)
        assert "connection" not in said.headers
    said = ask(BodyLimit(deaf, 9), http_version="2", headers={"content-length": "5"})
    assert "connection" not in said.headers


def test_an_error_of_the_application_passes_the_limit() -> None:
    async def broken(scope: Any, receive: Any, send: Any) -> None:
        raise KeyError("odd")

    with pytest.raises(KeyError):
        ask(BodyLimit(broken, 5))


def served(app: Any) -> Any:
    """A real server on a free port of this machine."""
    return running(uvicorn.Config(app, port=0, log_level="critical", lifespan="off"))


@pytest.mark.parametrize("chunked", [False, True])
def test_a_client_that_sends_all_before_it_reads_gets_its_answer(chunked: bool) -> None:
    """Most clients do so; 8 MiB are more than the buffers in between hold."""
    size = 8 << 20
    piece = b"x" * (1 << 16)
    head = "transfer-encoding: chunked" if chunked else f"content-length: {size}"
    with (
        served(BodyLimit(counting, size * 2 // 3)) as address,
        socket.create_connection(address) as to,
    ):
        to.sendall(f"POST /v1/work HTTP/1.1\r\nhost: a\r\n{head}\r\n\r\n".encode())
        for _ in range(size // len(piece)):
            to.sendall(b"10000\r\n" + piece + b"\r\n" if chunked else piece)
        if chunked:
            to.sendall(b"0\r\n\r\n")
        answer = b"".join(iter(lambda: to.recv(1 << 16), b""))  # to the end of the connection
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 413 ")
    assert b"connection: close" in head.lower()
    assert json.loads(body)["type"] == "urn:flukeprint:problem:too_many_bytes"
