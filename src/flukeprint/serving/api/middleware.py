"""Guards around the service: a request (ASGI) enters, it or a problem leaves, nothing is kept.

Each is one wrapper of the next.  From the outside in:

    SecurityHeaders   every answer gets them, refusals too
    (CORS)            so that pages of other sites may read refusals
    BodyLimit         also lets a refused sender finish, for all that lies within
    RateLimit         before anything costs
    Deadline          of a whole request, its upload, wait and answer
    Admission         a place is held from before the body is read until the answer has left
    the application   with `api_problems.install`

None reads more than a message ahead, and none writes to disk or to the log.
"""

import asyncio
import contextlib
import hashlib
import hmac
import ipaddress
import math
import time
from collections import OrderedDict
from collections.abc import Callable

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from flukeprint.config.schema import MEBIBYTE
from flukeprint.serving.api.problems import RefusedError

# Path prefixes whose POST requests are meant, or a test of an ASGI scope.
Paths = tuple[str, ...] | Callable[[Scope], bool]
Clock = Callable[[], float]
API_CSP = "default-src 'none'; frame-ancestors 'none'"  # an answer of the API loads nothing


class SecurityHeaders:
    """Headers that keep browsers from guessing, framing, leaking and caching.

    csp: Content-Security-Policy, or what tells it for a scope.  cors: other sites may call, so
    their pages may embed answers.  What an answer says of itself stays as it says.
    """

    def __init__(
        self, app: ASGIApp, csp: str | Callable[[Scope], str] = API_CSP, *, cors: bool = False
    ) -> None:
        self.app = app
        self.csp = csp
        self.fixed = {
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "no-referrer",
            "X-Frame-Options": "DENY",
            "Permissions-Policy": "camera=(self), geolocation=(), microphone=()",
            "Cross-Origin-Opener-Policy": "same-origin",
        }
        if not cors:
            self.fixed["Cross-Origin-Resource-Policy"] = "same-origin"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def dressed(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(raw=list(message.get("headers", [])))
                csp = self.csp if isinstance(self.csp, str) else self.csp(scope)
                if "frame-ancestors" not in csp:
                    csp = "; ".join(part for part in (csp, "frame-ancestors 'none'") if part)
                headers.setdefault("Content-Security-Policy", csp)
                for name, value in self.fixed.items():
                    headers.setdefault(name, value)
                if _path(scope).startswith("/v1/"):
                    headers.setdefault("Cache-Control", "no-store")
                message = {**message, "headers": headers.raw}
            await send(message)

        await self.app(scope, receive, dressed)


class BodyLimit:
    """At most `most_bytes` in a request's body, by its Content-Length or as it arrives: else 413.

    Whoever is answered while still sending, for this or any other reason, gets the answer at
    once; what he goes on to send is thrown away for up to `linger` seconds and twice `most_bytes`,
    because a connection closed under a sender loses the answer.  Then the connection is closed.
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
                if not body.over:  # else it comes of what `receive` raised
                    raise
        if body.over and not body.started:
            await body.refusal().response()(scope, body.receive, body.refuse)


class _Body:
    """The body of one request under BodyLimit, and the answer to it."""

    def __init__(
        self, scope: Scope, receive: Receive, send: Send, most: int, linger: float
    ) -> None:
        headers = Headers(scope=scope)
        length = headers.get("content-length", "")
        declared = length.isascii() and length.isdigit()  # else what arrives is counted
        # Python refuses to read numbers of thousands of digits.
        self.over = declared and (len(length.lstrip("0")) > 18 or int(length) > most)
        self.whole = not (length.strip("0") or "transfer-encoding" in headers)
        self.started = False
        self._keeps_open = not _closing(scope)
        self._waits = headers.get("expect", "").lower() == "100-continue"
        self._lingers = False
        self._received, self._sent = receive, send
        self._seen, self._most, self._seconds = 0, most, linger

    def refusal(self) -> RefusedError:
        return RefusedError(
            "too_many_bytes",
            f"the request has more than {self._most / MEBIBYTE:.4g} MiB; "
            "send fewer or smaller photographs",
        )

    async def receive(self) -> Message:
        message = await self._received()
        self._count(message)
        if self._seen > self._most:
            self.over = True
            raise self.refusal()
        return message

    async def send(self, message: Message) -> None:
        """What the application answers, unless the body was too long before it began to."""
        if self.started or not self.over:
            await self.refuse(message)

    async def refuse(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.started = True
            headers = MutableHeaders(raw=list(message.get("headers", [])))
            if not (self.whole or self._keeps_open or "connection" in headers):
                headers["connection"] = "close"
                # Who waits to be told to go on sends nothing now.
                self._lingers = not self._waits
                message = {**message, "headers": headers.raw}
            await self._sent(message)
        elif self._lingers and not message.get("more_body", False):
            await self._sent({**message, "more_body": True})
            await self._drain()
            await self._sent({"type": "http.response.body", "body": b"", "more_body": False})
        else:
            await self._sent(message)

    def _count(self, message: Message) -> None:
        self._waits = False
        self._seen += len(message.get("body", b""))
        self.whole = not message.get("more_body", False)  # so it is when the sender has gone

    async def _drain(self) -> None:
        end = self._seen + 2 * self._most  # one alone never holds what was refused
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._seconds):
                while not self.whole and self._seen < end:
                    self._count(await self._received())


class Buckets:
    """Token buckets by address, which fill at `per_minute` and hold as many.

    Of more than `most` addresses the one that was not seen for longest is forgotten.
    """

    def __init__(self, per_minute: int, most: int = 10_000, clock: Clock = time.monotonic) -> None:
        self._full, self._per_second, self._most = per_minute, per_minute / 60, most
        self._clock = clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()  # tokens, when

    def __len__(self) -> int:
        return len(self._buckets)

    def take(self, address: str) -> float:
        """0 where a token was taken, else the seconds until there is one; none is taken then."""
        now = self._clock()
        tokens, then = self._buckets.pop(address, (float(self._full), now))
        tokens = min(self._full, tokens + (now - then) * self._per_second)
        taken = tokens >= 1 - 1e-9  # rounding must not refuse who waited as told
        self._buckets[address] = (max(0.0, tokens - 1) if taken else tokens, now)
        if len(self._buckets) > self._most:
            self._buckets.popitem(last=False)
        return 0.0 if taken else (1 - tokens) / self._per_second


class RateLimit:
    """At most `per_minute` requests of one address a minute on `paths`, as many at once: else 429.

    per_minute 0: no limit.  An IPv6 address counts as its /64, which one household has.
    """

    def __init__(
        self,
        app: ASGIApp,
        per_minute: int,
        *,
        paths: Paths,
        addresses: int = 10_000,
        clock: Clock = time.monotonic,
    ) -> None:
        self.app = app
        self.buckets = Buckets(per_minute, addresses, clock) if per_minute else None
        self._meant = _meant(paths)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self.buckets is not None and self._meant(scope):
            wait = self.buckets.take(client_address(scope))
            if wait > 0:
                error = RefusedError(
                    "rate_limited",
                    f"too many requests from this address; try again in {math.ceil(wait)} s",
                    retry_after=wait,
                )
                await error.response()(scope, receive, send)
                return
        await self.app(scope, receive, send)


class Deadline:
    """At most `seconds` for a whole request on `paths`.

    Then 408 where it still waits for the body, else 504; an answer that has begun is cut off.
    """

    def __init__(self, app: ASGIApp, seconds: float, *, paths: Paths) -> None:
        self.app = app
        self.seconds = seconds
        self._meant = _meant(paths)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if not self._meant(scope):
            await self.app(scope, receive, send)
            return
        started = whole = waiting = False

        async def watched_receive() -> Message:
            nonlocal whole, waiting
            waiting = not whole  # afterwards one only waits for the client to leave
            message = await receive()
            waiting = False
            whole = whole or not message.get("more_body", False)
            return message

        async def watched_send(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            async with asyncio.timeout(self.seconds) as limit:
                await self.app(scope, watched_receive, watched_send)
        except TimeoutError:
            if not limit.expired():
                raise  # the application's own
            if started:
                return  # the server closes a connection whose answer has no end
            if waiting:
                text = f"the request did not arrive within {self.seconds:g} s; send smaller photos"
                error = RefusedError("slow_upload", text, headers=_closing(scope))
            else:
                text = f"there was no answer within {self.seconds:g} s; send fewer photographs"
                error = RefusedError("timeout", f"{text}, or try later", headers=_closing(scope))
            await error.response()(scope, receive, send)


class Admission:
    """At most `most` requests on `paths` at once; one more is answered 503 before it is read.

    under_way: how many there are now.
    """

    def __init__(
        self, app: ASGIApp, most: int, *, paths: Paths, clock: Clock = time.monotonic
    ) -> None:
        self.app = app
        self.most = most
        self.under_way = 0
        self._clock = clock
        self._seconds = 1.0  # that a request takes of late, its wait in the queue within
        self._meant = _meant(paths)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if not self._meant(scope):
            await self.app(scope, receive, send)
            return
        if self.under_way >= self.most:
            # By the time that a request takes now, all that are under way will have left.
            error = RefusedError(
                "busy",
                f"{self.most} requests are under way, no more are taken; try again soon",
                retry_after=min(self._seconds, 60),
            )
            await error.response()(scope, receive, send)
            return
        self.under_way += 1
        begun = self._clock()
        try:
            await self.app(scope, receive, send)
        finally:
            self.under_way -= 1
            self._seconds += 0.2 * (self._clock() - begun - self._seconds)


def token_matches(header: str | None, token: str) -> bool:
    """Whether an Authorization header bears `token`, in a time that does not tell how nearly.

    An empty token matches nothing.
    """
    scheme, _, given = (header or "").partition(" ")
    digests = (
        hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
        for text in (given.strip(), token)
    )
    same = hmac.compare_digest(*digests)
    return same and scheme.lower() == "bearer" and token != ""


def client_address(scope: Scope) -> str:
    """Who is counted as one: an IPv4 address, an IPv6 /64, else whatever the server calls it."""
    client = scope.get("client")
    host = str(client[0])[:64] if client else ""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ipaddress.IPv6Network((int(address), 64), strict=False))


def _meant(paths: Paths) -> Callable[[Scope], bool]:
    if callable(paths):
        return lambda scope: scope["type"] == "http" and paths(scope)
    return lambda scope: (
        scope["type"] == "http" and scope["method"] == "POST" and _path(scope).startswith(paths)
    )


def _path(scope: Scope) -> str:
    """The path below where the service is mounted."""
    return str(scope["path"]).removeprefix(scope.get("root_path", ""))


def _closing(scope: Scope) -> dict[str, str]:
    """The header that ends the connection; HTTP/2 and later must not have it."""
    one = str(scope.get("http_version", "1.1")).startswith("1")
    return {"connection": "close"} if one else {}
