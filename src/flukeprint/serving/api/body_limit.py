"""Limits the size of request bodies, without losing the answer that a refused client gets."""

import asyncio
import contextlib

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from flukeprint.config.schema import MEBIBYTE
from flukeprint.serving.api.asgi import closing_header
from flukeprint.serving.api.problems import RefusedError


class BodyLimit:
    """ASGI middleware: 413 for a body over `most_bytes`, by Content-Length or as it arrives.

    A client that is answered while it still sends, for this or any other reason, gets the answer
    at once.  What it goes on to send is discarded, for up to `linger` seconds and twice
    `most_bytes`, because closing a connection under a sender loses the answer.  Then the
    connection is closed.
    """

    def __init__(self, app: ASGIApp, most_bytes: int, *, linger: float = 10.0) -> None:
        self.app = app
        self.most_bytes = most_bytes
        self.linger = linger

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        body = _Body(scope, receive, send, self.most_bytes, self.linger)
        if not body.over:
            try:
                await self.app(scope, body.receive, body.send)
            except Exception:
                if not body.over:  # otherwise it is a consequence of what `receive` raised
                    raise
        if body.over and not body.started:
            await body.refusal().response()(scope, body.receive, body.refuse)


class _Body:
    """The body of one request under BodyLimit, and the answer to it.

    over: the body is too large.  whole: nothing of it is left to arrive.  started: the answer
    has begun.
    """

    def __init__(
        self, scope: Scope, receive: Receive, send: Send, most: int, linger: float
    ) -> None:
        headers = Headers(scope=scope)
        length = headers.get("content-length", "")
        declared = length.isascii() and length.isdigit()  # otherwise only what arrives is counted
        # Python refuses to parse numbers of thousands of digits.
        self.over = declared and (len(length.lstrip("0")) > 18 or int(length) > most)
        self.whole = not (length.strip("0") or "transfer-encoding" in headers)
        self.started = False
        self._keeps_open = not closing_header(scope)
        self._waits = headers.get("expect", "").lower() == "100-continue"
        self._lingers = False
        self._receive, self._send = receive, send
        self._seen, self._most, self._seconds = 0, most, linger

    def refusal(self) -> RefusedError:
        return RefusedError(
            "too_many_bytes",
            f"the request has more than {self._most / MEBIBYTE:.4g} MiB; "
            "send fewer or smaller photographs",
        )

    async def receive(self) -> Message:
        message = await self._receive()
        self._count(message)
        if self._seen > self._most:
            self.over = True
            raise self.refusal()
        return message

    async def send(self, message: Message) -> None:
        """Pass on the application's answer, unless the body was too large before it began."""
        if self.started or not self.over:
            await self.refuse(message)

    async def refuse(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.started = True
            headers = MutableHeaders(raw=list(message.get("headers", [])))
            if not (self.whole or self._keeps_open or "connection" in headers):
                headers["connection"] = "close"
                # A client that still waits for "100 Continue" sends nothing now.
                self._lingers = not self._waits
                message = {**message, "headers": headers.raw}
            await self._send(message)
        elif self._lingers and not message.get("more_body", False):
            await self._send({**message, "more_body": True})
            await self._drain()
            await self._send({"type": "http.response.body", "body": b"", "more_body": False})
        else:
            await self._send(message)

    def _count(self, message: Message) -> None:
        self._waits = False
        self._seen += len(message.get("body", b""))
        self.whole = not message.get("more_body", False)  # also when the client has disconnected

    async def _drain(self) -> None:
        end = self._seen + 2 * self._most  # a single message never holds what was refused
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._seconds):
                while not self.whole and self._seen < end:
                    self._count(await self._receive())
