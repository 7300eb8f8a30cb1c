"""Problems and guards over real ASGI: scripted clients, injected clocks, one real server."""

import asyncio
import contextlib
import json
import logging
import math
import socket
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from fractions import Fraction
from typing import Any

import pytest
import uvicorn
from fastapi import FastAPI, HTTPException, Query, Request
from fastapi.responses import PlainTextResponse, StreamingResponse
from fastapi.testclient import TestClient
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, field_validator
from starlette.requests import ClientDisconnect

from flukeprint.serving.api.middleware import (
    Admission,
    BodyLimit,
    Buckets,
    Deadline,
    RateLimit,
    SecurityHeaders,
    client_address,
    token_matches,
)
from flukeprint.serving.api.problems import KINDS, RefusedError, Unforeseen, install, responses
from flukeprint.serving.api.schemas import Problem

WORK = ("/v1/work",)


class Said:
    """What an application sent, message by message."""

    def __init__(self) -> None:
        self.messages: list[dict[str, Any]] = []

    @property
    def status(self) -> int:
        return int(self.messages[0]["status"])

    @property
    def headers(self) -> dict[str, str]:
        return {k.decode().lower(): v.decode() for k, v in self.messages[0]["headers"]}

    @property
    def body(self) -> bytes:
        return b"".join(message.get("body", b"") for message in self.messages[1:])

    @property
    def whole(self) -> bool:
        return bool(self.messages) and not self.messages[-1].get("more_body", False)

    @property
    def kind(self) -> str:
        assert self.headers["content-type"] == "application/problem+json"
        problem = Problem.model_validate_json(self.body)
        assert problem.status == self.status
        return problem.type.removeprefix("urn:flukeprint:problem:")


def scope(path: str = "/v1/work", method: str = "POST", **more: Any) -> dict[str, Any]:
    headers = [(k.encode(), v.encode()) for k, v in more.pop("headers", {}).items()]
    return {
        "type": "http", "http_version": "1.1", "method": method, "path": path, "root_path": "",
        "query_string": b"", "scheme": "http", "client": ("192.0.2.1", 1), "server": ("s", 80),
        "headers": headers, **more,
    }  # fmt: skip


class Sender:
    """A client that sends its chunks and then stays on the line, or leaves."""

    def __init__(self, chunks: Iterable[bytes] = (b"",), *, stays: bool = True, after: float = 0):
        chunks = list(chunks)
        last = len(chunks) - 1
        self.script = [
            {"type": "http.request", "body": chunk, "more_body": number < last}
            for number, chunk in enumerate(chunks)
        ]
        self.asked = 0
        self.stays, self.after = stays, after

    async def __call__(self) -> dict[str, Any]:
        self.asked += 1
        if self.after:
            await asyncio.sleep(self.after)
        if self.script:
            return self.script.pop(0)
        if self.stays:
            await asyncio.Event().wait()
        return {"type": "http.disconnect"}


async def call(app: Any, receive: Any = None, **asked: Any) -> Said:
    said = Said()

    async def send(message: Any) -> None:
        said.messages.append(dict(message))

    await app(scope(**asked), receive or Sender(), send)
    return said


def ask(app: Any, receive: Any = None, **asked: Any) -> Said:
    return asyncio.run(call(app, receive, **asked))


async def read_all(request: Request) -> int:
    return sum([len(chunk) async for chunk in request.stream()])


async def counting(scope: Any, receive: Any, send: Any) -> None:
    """Reads the body and answers its length."""
    size = await read_all(Request(scope, receive))
    await PlainTextResponse(str(size))(scope, receive, send)


async def deaf(scope: Any, receive: Any, send: Any) -> None:
    """Refuses without reading."""
    await RefusedError("unauthorized", "no").response()(scope, receive, send)


# Problems ---------------------------------------------------------------------------------------


class Form(BaseModel):
    model_config = ConfigDict(extra="forbid")
    name: str
    many: int = 1

    @field_validator("name")
    @classmethod
    def short(cls, value: str) -> str:
        if len(value) > 3:
            raise ValueError(f"{value} is long")
        return value


def service() -> FastAPI:
    app = FastAPI()
    install(app)

    @app.get("/refused/{kind}", responses=responses(*KINDS))
    async def refused(kind: str) -> None:
        raise RefusedError(kind, "of this case", retry_after=2.1 if "r" in kind else None)

    @app.get("/page")
    async def page(limit: int = Query(1, ge=1, le=9)) -> int:
        return limit

    @app.post("/form")
    async def form(form: Form) -> None: ...

    @app.get("/defect")
    def defect(secret: str) -> None:
        try:
            raise KeyError(secret)
        except KeyError as error:
            raise ValueError(f"cannot use {secret}") from error

    @app.get("/http/{status}")
    async def http(status: int) -> None:
        raise HTTPException(status, headers={"x-more": "kept"})

    @app.get("/late")
    async def late(secret: str) -> StreamingResponse:
        async def parts() -> AsyncIterator[bytes]:
            yield b"begun"
            raise ValueError(secret)

        return StreamingResponse(parts())

    @app.post("/left")
    async def left(request: Request) -> int:
        return await read_all(request)

    return app


@pytest.fixture
def client() -> TestClient:
    return TestClient(service())


@pytest.mark.parametrize("kind", KINDS)
def test_a_refusal_is_a_problem(client: TestClient, kind: str) -> None:
    answer = client.get(f"/refused/{kind}")
    assert answer.status_code == KINDS[kind].status
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json() == {
        "type": f"urn:flukeprint:problem:{kind}",
        "title": KINDS[kind].title,
        "status": KINDS[kind].status,
        "detail": "of this case",
    }
    assert answer.headers.get("retry-after") == ("3" if "r" in kind else None)
    assert answer.headers.get("www-authenticate") == ("Bearer" if kind == "unauthorized" else None)


def test_a_kind_that_there_is_not_is_a_defect() -> None:
    with pytest.raises(ValueError, match="did you mean not_found"):
        RefusedError("not_fund", "x")
    assert RefusedError("busy", "x", retry_after=0.01).headers == {"Retry-After": "1"}


@pytest.mark.parametrize(
    ("path", "wanted"),
    [("/page?limit=SECRET", "query limit"), ("/page?limit=99", "less than or equal to 9")],
)
def test_an_invalid_query_is_told_but_not_echoed(
    client: TestClient, path: str, wanted: str
) -> None:
    answer = client.get(path)
    assert answer.status_code == 422
    assert answer.json()["type"].endswith(":invalid")
    assert wanted in answer.json()["detail"]
    assert "SECRET" not in answer.text
    assert "99" not in answer.text


@pytest.mark.parametrize(
    ("body", "wanted"),
    [
        ('{"name": "SECRET"}', "body name: is not valid"),
        ('{"name": "a", "SECRET": 1}', "body: Extra inputs are not permitted"),
        ('{"name": "a", "many": "SECRET"}', "body many: "),
        ('{"SECRET', "JSON decode error"),
        ("{}", "body name: Field required"),
    ],
)
def test_an_invalid_body_is_told_but_not_echoed(client: TestClient, body: str, wanted: str) -> None:
    answer = client.post("/form", content=body, headers={"content-type": "application/json"})
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert wanted in answer.json()["detail"]
    assert "SECRET" not in answer.text


def test_what_starlette_refuses_is_a_problem_too(client: TestClient) -> None:
    missing = client.get("/SECRET")
    assert (missing.status_code, missing.json()["type"]) == (
        404,
        "urn:flukeprint:problem:not_found",
    )
    assert "SECRET" not in missing.text
    wrong = client.post("/page")
    assert wrong.status_code == 405
    assert wrong.headers["allow"] == "GET"
    assert wrong.json()["type"] == "urn:flukeprint:problem:method_not_allowed"
    for status, kind in ((401, "unauthorized"), (415, "unsupported_media_type"), (418, None)):
        answer = client.get(f"/http/{status}")
        assert answer.status_code == answer.json()["status"] == status
        assert answer.headers["x-more"] == "kept"
        assert ("www-authenticate" in answer.headers) == (status == 401)
        assert kind is None or answer.json()["type"] == f"urn:flukeprint:problem:{kind}"


def test_a_defect_tells_where_to_the_log_and_nothing_of_the_request(
    client: TestClient, caplog: pytest.LogCaptureFixture
) -> None:
    answer = client.get("/defect?secret=SECRET")  # does not raise: no server logs it again
    assert answer.status_code == 500
    assert answer.json()["type"] == "urn:flukeprint:problem:internal"
    records = [record for record in caplog.records if record.name == "flukeprint.api"]
    assert len(records) == 1
    text = caplog.text
    assert "in defect" in text
    assert "ValueError" in text
    assert "KeyError" in text
    for leak in (answer.text, text):
        assert "SECRET" not in leak
    assert "Traceback" not in answer.text
    assert "ValueError" not in answer.text


def test_a_defect_in_middle_of_an_answer_cuts_it_off(caplog: pytest.LogCaptureFixture) -> None:
    said = ask(service(), path="/late", method="GET", query_string=b"secret=SECRET")
    assert said.status == 200
    assert said.body == b"begun"
    assert not said.whole
    assert "in parts" in caplog.text
    assert "SECRET" not in caplog.text


def test_a_defect_of_middleware_around_is_answered_alike() -> None:
    async def broken(scope: Any, receive: Any, send: Any) -> None:
        raise ValueError("SECRET")

    app = service()
    app.add_middleware(lambda app: broken)
    answer = TestClient(app, raise_server_exceptions=False).get("/page")
    assert answer.status_code == 500
    assert answer.headers["content-type"] == "application/problem+json"
    assert "SECRET" not in answer.text


def test_other_scopes_pass_unforeseen_untouched() -> None:
    async def fails(scope: Any, receive: Any, send: Any) -> None:
        raise ValueError("startup")

    with pytest.raises(ValueError, match="startup"):
        asyncio.run(Unforeseen(fails)({"type": "lifespan"}, Sender(), None))  # type: ignore[arg-type]


def test_a_sender_who_leaves_is_not_an_error(caplog: pytest.LogCaptureFixture) -> None:
    sender = Sender([b"SECRET", b""], stays=False)
    sender.script.pop()
    with caplog.at_level(logging.DEBUG):
        ask(service(), sender, path="/left")
    assert [r for r in caplog.records if r.levelno >= logging.WARNING] == []
    assert "SECRET" not in caplog.text


def test_the_schema_names_the_problems(client: TestClient) -> None:
    schema = client.get("/openapi.json").json()
    assert schema["components"]["schemas"]["Problem"]["required"] == [
        "type", "title", "status", "detail",
    ]  # fmt: skip
    reference = {"$ref": "#/components/schemas/Problem"}
    answers = schema["paths"]["/refused/{kind}"]["get"]["responses"]
    for kind, known in KINDS.items():
        answer = answers[str(known.status)]
        assert answer["content"] == {"application/problem+json": {"schema": reference}}
        assert f"`{kind}`" in answer["description"]
        assert known.header is None or known.header in answer["headers"]
    # A route that says nothing has FastAPI's 422, which no answer looks like.
    page = schema["paths"]["/page"]["get"]["responses"]["422"]
    assert page["content"] == {"application/problem+json": {"schema": reference}}
    assert "HTTPValidationError" not in json.dumps(schema)
    assert client.get("/openapi.json").json() == schema


# BodyLimit --------------------------------------------------------------------------------------


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
    """FastAPI answers errors of reading itself; another one may swallow or change them."""

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


@contextlib.contextmanager
def served(app: Any) -> Any:
    """A real server on a free port of this machine."""
    config = uvicorn.Config(app, port=0, log_level="critical", lifespan="off")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            time.sleep(0.005)
        yield server.servers[0].sockets[0].getsockname()
    finally:
        server.should_exit = True
        thread.join()


@pytest.mark.parametrize("chunked", [False, True])
def test_a_client_that_sends_all_before_it_reads_gets_its_answer(chunked: bool) -> None:
    """As most clients do; 8 MiB are more than the buffers between them hold."""
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


# RateLimit --------------------------------------------------------------------------------------


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@given(
    st.integers(1, 200),
    st.lists(st.tuples(st.integers(0, 64 * 90), st.sampled_from("abc")), max_size=120),
)
def test_buckets_are_those_of_exact_arithmetic(
    per_minute: int, visits: list[tuple[int, str]]
) -> None:
    """A twin in fractions that replays each address's whole history; steps of 1/64 s."""
    clock = Clock()
    buckets = Buckets(per_minute, clock=clock)
    now = Fraction(1000)
    history: dict[str, list[Fraction]] = {}
    for step, address in visits:
        now += Fraction(step, 64)
        clock.now = float(now)
        tokens, then = Fraction(per_minute), Fraction(1000)
        for taken_at in history.get(address, []):
            tokens = min(per_minute, tokens + (taken_at - then) * per_minute / 60) - 1
            then = taken_at
        tokens = min(per_minute, tokens + (now - then) * per_minute / 60)
        wait = buckets.take(address)
        if tokens >= 1:
            assert wait == 0
            history.setdefault(address, []).append(now)
        else:
            assert wait == pytest.approx(float((1 - tokens) * 60 / per_minute), abs=1e-6)


@given(st.integers(1, 300), st.integers(0, 50))
def test_who_waits_as_told_is_admitted(per_minute: int, sixtyfourths: int) -> None:
    clock = Clock()
    buckets = Buckets(per_minute, clock=clock)
    assert [buckets.take("a") for _ in range(per_minute)] == [0] * per_minute
    clock.now += sixtyfourths / 64 / per_minute
    wait = buckets.take("a")
    assert wait > 0
    clock.now += math.ceil(wait)
    assert buckets.take("a") == 0


def test_the_table_forgets_who_was_not_seen_for_longest() -> None:
    buckets = Buckets(1, most=3, clock=Clock())
    for address in "abc":
        assert buckets.take(address) == 0
    assert buckets.take("a") > 0  # seen again: b is now the oldest
    assert buckets.take("d") == 0
    assert len(buckets) == 3
    assert buckets.take("a") > 0
    assert buckets.take("b") == 0  # forgotten, so it is new
    assert len(buckets) == 3


def test_too_many_requests_wait_as_long_as_told() -> None:
    clock = Clock()
    app = RateLimit(counting, 2, paths=WORK, clock=clock)
    assert [ask(app).status for _ in range(2)] == [200, 200]
    clock.now += 0.5
    said = ask(app)
    assert (said.status, said.kind, said.headers["retry-after"]) == (429, "rate_limited", "30")
    assert ask(app, client=("192.0.2.2", 1)).status == 200
    assert ask(app, path="/v1/other").status == 200
    assert ask(app, method="GET").status == 200
    clock.now += 30
    assert ask(app).status == 200
    assert ask(app).status == 429
    assert ask(app, path="/mounted/v1/work", root_path="/mounted").status == 429


def test_a_predicate_and_no_limit() -> None:
    app = RateLimit(counting, 1, paths=lambda scope: scope["method"] == "GET", clock=Clock())
    assert [ask(app, method="GET").status for _ in range(2)] == [200, 429]
    assert [ask(app).status for _ in range(3)] == [200] * 3
    free = RateLimit(counting, 0, paths=WORK)
    assert [ask(free).status for _ in range(9)] == [200] * 9


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("2001:db8::1", "2001:db8::ffff:1:2:3", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("192.0.2.1", "192.0.2.2", False),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("::ffff:192.0.2.1", "::ffff:192.0.2.2", False),
        ("fe80::1%eth0", "fe80::2%eth0", True),
        ("testclient", "other", False),
    ],
)
def test_an_address_is_one_household(one: str, other: str, same: bool) -> None:
    keys = [client_address({"client": (host, 5)}) for host in (one, other)]
    assert (keys[0] == keys[1]) == same


def test_who_has_no_address_is_counted_as_one() -> None:
    assert client_address({"client": None}) == client_address({}) == ""
    assert len(client_address({"client": ("x" * 9999, 0)})) <= 64


# SecurityHeaders --------------------------------------------------------------------------------


def test_every_answer_gets_the_headers() -> None:
    headers = ask(SecurityHeaders(counting)).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["x-frame-options"] == "DENY"
    assert headers["permissions-policy"] == "camera=(self), geolocation=(), microphone=()"
    assert headers["cross-origin-opener-policy"] == "same-origin"
    assert headers["cross-origin-resource-policy"] == "same-origin"
    assert headers["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'"
    assert headers["cache-control"] == "no-store"
    assert headers["content-length"] == "1"


def test_the_headers_leave_room_for_what_an_answer_says() -> None:
    async def cached(scope: Any, receive: Any, send: Any) -> None:
        own = {"Cache-Control": "max-age=60", "content-security-policy": "default-src 'self'"}
        own["Referrer-Policy"] = "origin"
        await PlainTextResponse("", headers=own)(scope, receive, send)

    said = ask(SecurityHeaders(cached, cors=True))
    assert said.headers["cache-control"] == "max-age=60"
    assert said.headers["referrer-policy"] == "origin"
    assert said.headers["content-security-policy"] == "default-src 'self'"
    assert "cross-origin-resource-policy" not in said.headers
    assert len(said.messages[0]["headers"]) == len(said.headers)  # none twice
    by_path = SecurityHeaders(counting, lambda scope: f"img-src {scope['path']}")
    page = ask(by_path, path="/page").headers
    assert page["content-security-policy"] == "img-src /page; frame-ancestors 'none'"
    assert "cache-control" not in page


# Deadline ---------------------------------------------------------------------------------------


async def sleeping(scope: Any, receive: Any, send: Any) -> None:
    await read_all(Request(scope, receive))
    await asyncio.sleep(60)


def test_work_that_takes_too_long_is_504() -> None:
    said = ask(Deadline(sleeping, 0.02, paths=WORK), Sender([b"a", b"b"]))
    assert (said.status, said.kind) == (504, "timeout")


def test_a_body_that_takes_too_long_is_408() -> None:
    sender = Sender([b"a"] * 1000, after=0.005)
    said = ask(Deadline(sleeping, 0.03, paths=WORK), sender)
    assert (said.status, said.kind, said.headers["connection"]) == (408, "slow_upload", "close")
    said = ask(
        BodyLimit(Deadline(sleeping, 0.02, paths=WORK), 10**6),
        Sender([b"a"] * 1000, after=0.005),
        headers={"transfer-encoding": "chunked"},
    )
    assert said.status == 408
    assert len(said.messages) == 2  # a slow sender is not waited for any longer


def test_waiting_for_the_client_to_leave_is_not_a_slow_body() -> None:
    async def listening(scope: Any, receive: Any, send: Any) -> None:
        await read_all(Request(scope, receive))
        await receive()

    assert ask(Deadline(listening, 0.02, paths=WORK)).kind == "timeout"


def test_work_in_a_thread_does_not_hold_the_answer_back() -> None:
    app = FastAPI()
    install(app)
    free = threading.Event()

    @app.post("/v1/work")
    def work() -> None:
        free.wait(20)

    async def go() -> tuple[Said, bool]:
        said = await call(Deadline(app, 0.05, paths=WORK))
        was_free = free.is_set()
        free.set()
        return said, was_free

    said, was_free = asyncio.run(go())
    assert said.kind == "timeout"
    assert not was_free


def test_an_answer_that_has_begun_is_cut_off() -> None:
    async def endless(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"begun", "more_body": True})
        await asyncio.sleep(60)

    said = ask(Deadline(endless, 0.02, paths=WORK))
    assert (said.status, said.body, said.whole) == (200, b"begun", False)


def test_other_cancellations_and_timeouts_are_not_the_deadlines() -> None:
    async def own(scope: Any, receive: Any, send: Any) -> None:
        raise TimeoutError("of a database")

    with pytest.raises(TimeoutError, match="of a database"):
        ask(Deadline(own, 5, paths=WORK))

    async def cancelled() -> None:
        task = asyncio.create_task(call(Deadline(sleeping, 5, paths=WORK)))
        await asyncio.sleep(0.01)
        task.cancel()
        await task

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(cancelled())

    async def around() -> None:
        async with asyncio.timeout(0.02):
            await call(Deadline(sleeping, 5, paths=WORK))

    with pytest.raises(TimeoutError):
        asyncio.run(around())


def test_other_paths_have_no_deadline() -> None:
    async def slow(scope: Any, receive: Any, send: Any) -> None:
        await asyncio.sleep(0.03)
        await PlainTextResponse("done")(scope, receive, send)

    assert ask(Deadline(slow, 0.01, paths=WORK), path="/page").body == b"done"
    assert ask(Deadline(slow, 0.01, paths=WORK)).status == 504


# Admission --------------------------------------------------------------------------------------


def test_one_too_many_is_turned_away_unread() -> None:
    clock = Clock()
    gate = asyncio.Event()

    async def held(scope: Any, receive: Any, send: Any) -> None:
        await gate.wait()
        await counting(scope, receive, send)

    async def go() -> None:
        app = Admission(held, 2, paths=WORK, clock=clock)
        tasks = [asyncio.create_task(call(app)) for _ in range(2)]
        await asyncio.sleep(0)
        assert app.under_way == 2
        sender = Sender([b"x"])
        said = await call(app, sender)
        assert (said.status, said.kind, said.headers["retry-after"]) == (503, "busy", "1")
        assert sender.asked == 0
        clock.now += 20
        gate.set()
        assert [(await task).status for task in tasks] == [200, 200]
        assert app.under_way == 0
        assert (await call(app)).status == 200

        gate.clear()
        tasks = [asyncio.create_task(call(app)) for _ in range(2)]
        await asyncio.sleep(0)
        later = await call(app)
        assert later.status == 503
        assert 1 < int(later.headers["retry-after"]) <= 20  # of late they took 20 s
        other = asyncio.create_task(call(app, path="/v1/other"))
        await asyncio.sleep(0)
        assert app.under_way == 2
        gate.set()
        assert (await other).status == 200
        await asyncio.gather(*tasks)

    asyncio.run(go())


@pytest.mark.parametrize("error", [KeyError, asyncio.CancelledError, ClientDisconnect])
def test_a_place_is_given_back_whatever_happens(error: type[BaseException]) -> None:
    async def fails(scope: Any, receive: Any, send: Any) -> None:
        raise error()

    async def go() -> None:
        app = Admission(fails, 1, paths=WORK)
        for _ in range(3):
            with pytest.raises(error):
                await call(app)
        assert app.under_way == 0

    asyncio.run(go())


def test_all_guards_together_in_the_order_that_is_documented() -> None:
    app = service()

    @app.post("/v1/work")
    async def work(request: Request) -> int:
        return await read_all(request)

    admission = Admission(app, 1, paths=WORK)
    guarded = SecurityHeaders(
        BodyLimit(RateLimit(Deadline(admission, 0.05, paths=WORK), 4, paths=WORK), 100)
    )
    good = ask(guarded, Sender([b"abc", b"def"]), headers={"content-length": "6"})
    assert (good.status, good.body) == (200, b"6")
    slow = ask(guarded, Sender([b"a"] * 99, after=0.02), headers={"content-length": "99"})
    assert slow.kind == "slow_upload"
    assert admission.under_way == 0
    big = ask(guarded, Sender([b"a" * 60] * 3), headers={"transfer-encoding": "chunked"})
    assert big.kind == "too_many_bytes"
    admission.under_way = 1
    assert ask(guarded, headers={"content-length": "0"}).kind == "busy"
    assert ask(guarded, headers={"content-length": "0"}).kind == "rate_limited"
    for said in (good, slow, big):
        assert said.headers["x-content-type-options"] == "nosniff"
        assert said.headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    "guard",
    [
        lambda app: SecurityHeaders(app),
        lambda app: BodyLimit(app, 1),
        lambda app: RateLimit(app, 1, paths=WORK),
        lambda app: Deadline(app, 0.001, paths=lambda scope: True),
        lambda app: Admission(app, 1, paths=lambda scope: True),
    ],
)
def test_lifespan_passes_every_guard(
    guard: Callable[[Any], Callable[..., Awaitable[None]]],
) -> None:
    seen: list[Any] = []

    async def app(*given: Any) -> None:
        await asyncio.sleep(0.005)
        seen.append(given)

    given = ({"type": "lifespan"}, Sender(), None)
    asyncio.run(guard(app)(*given))  # type: ignore[arg-type]
    assert seen == [given]


# Tokens -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("header", "token", "matches"),
    [
        ("Bearer abc", "abc", True),
        ("bearer  abc ", "abc", True),
        ("Bearer abcd", "abc", False),
        ("Bearer ab", "abc", False),
        ("Bearer", "abc", False),
        ("Basic abc", "abc", False),
        ("abc", "abc", False),
        ("", "abc", False),
        (None, "abc", False),
        ("Bearer ", "", False),
        (None, "", False),
        ("Bearer é\udcff", "é\udcff", True),
    ],
)
def test_a_token_matches_itself_as_a_bearer(header: str | None, token: str, matches: bool) -> None:
    assert token_matches(header, token) is matches
