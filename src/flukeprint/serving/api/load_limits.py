"""Limits on load: requests per address and minute, seconds per request, requests at once."""

import asyncio
import ipaddress
import math
import time
from collections import OrderedDict
from collections.abc import Callable

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from flukeprint.serving.api.asgi import Paths, applies_to, closing_header
from flukeprint.serving.api.problems import RefusedError

Clock = Callable[[], float]


class Buckets:
    """Token buckets, one per address, that refill at `per_minute` and hold as many tokens.

    Of more than `most` addresses the least recently seen is forgotten.
    """

    def __init__(self, per_minute: int, most: int = 10_000, clock: Clock = time.monotonic) -> None:
        self._full, self._per_second, self._most = per_minute, per_minute / 60, most
        self._clock = clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()  # tokens, when

    def __len__(self) -> int:
        return len(self._buckets)

    def wait(self, address: str) -> float:
        """Seconds until there is a token, 0 where there is one; none is taken."""
        tokens, then = self._buckets.get(address, (float(self._full), 0.0))
        tokens += (self._clock() - then) * self._per_second
        return 0.0 if tokens >= 1 - 1e-9 else (1 - tokens) / self._per_second

    def take(self, address: str) -> float:
        """Take a token and return 0, or take none and return the seconds until there is one."""
        now = self._clock()
        tokens, then = self._buckets.pop(address, (float(self._full), now))
        tokens = min(self._full, tokens + (now - then) * self._per_second)
        taken = tokens >= 1 - 1e-9  # rounding must not refuse a client that waited as advised
        self._buckets[address] = (max(0.0, tokens - 1) if taken else tokens, now)
        if len(self._buckets) > self._most:
            self._buckets.popitem(last=False)
        return 0.0 if taken else (1 - tokens) / self._per_second


class RateLimit:
    """ASGI middleware: 429 for more than `per_minute` requests on `paths` from one address.

    As many may come at once.  per_minute 0: no limit.  An IPv6 address counts as its /64, which
    is what one household has.
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
        self._applies = applies_to(paths)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self.buckets is not None and self._applies(scope):
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


def client_address(scope: Scope) -> str:
    """The key of a client for rate limiting: its IPv4 address, or the /64 of its IPv6 address.

    Where the server gives no IP address it is whatever the server calls the client.
    """
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


class Deadline:
    """ASGI middleware: at most `seconds` for a whole request on `paths`.

    After that 408 if the body has not arrived yet, otherwise 504; an answer that has begun is
    cut off.
    """

    def __init__(self, app: ASGIApp, seconds: float, *, paths: Paths) -> None:
        self.app = app
        self.seconds = seconds
        self._applies = applies_to(paths)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if not self._applies(scope):
            await self.app(scope, receive, send)
            return
        started = whole = waiting = False

        async def watched_receive() -> Message:
            nonlocal whole, waiting
            waiting = not whole  # after the body one only waits for the client to disconnect
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
            closing = closing_header(scope)
            if waiting:
                text = f"the request did not arrive within {self.seconds:g} s; send smaller photos"
                error = RefusedError("slow_upload", text, headers=closing)
            else:
                text = f"there was no answer within {self.seconds:g} s; send fewer photographs"
                error = RefusedError("timeout", f"{text}, or try later", headers=closing)
            await error.response()(scope, receive, send)


class Admission:
    """ASGI middleware: at most `most` requests on `paths` at once; 503 for one more, unread.

    under_way: the number of requests in progress.
    """

    def __init__(
        self, app: ASGIApp, most: int, *, paths: Paths, clock: Clock = time.monotonic
    ) -> None:
        self.app = app
        self.most = most
        self.under_way = 0
        self._clock = clock
        self._seconds = 1.0  # moving average of a request's duration, its wait included
        self._applies = applies_to(paths)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if not self._applies(scope):
            await self.app(scope, receive, send)
            return
        if self.under_way >= self.most:
            # After the average duration all requests now in progress should be done.
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
