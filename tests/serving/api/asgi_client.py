"""Scripted ASGI clients, applications and clocks for tests of the middleware."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from typing import Any

from fastapi import FastAPI, HTTPException, Query, Request
from fastapi.responses import PlainTextResponse, StreamingResponse
from pydantic import BaseModel, ConfigDict, field_validator

from flukeprint.serving.api.problems import KINDS, RefusedError, install, responses
from flukeprint.serving.api.schemas import Problem

WORK = ("/v1/work",)


class Said:
    """The messages that an application sent."""

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
    """A client that sends its chunks and then stays connected, or disconnects."""

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
    """An application that reads the body and answers its length."""
    size = await read_all(Request(scope, receive))
    await PlainTextResponse(str(size))(scope, receive, send)


async def deaf(scope: Any, receive: Any, send: Any) -> None:
    """An application that refuses without reading."""
    await RefusedError("unauthorized", "no").response()(scope, receive, send)


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


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now
