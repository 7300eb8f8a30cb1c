"""Refuses requests that name another host: a page of another site may point its name here.

Such a page could otherwise read what a server on a loopback address answers (DNS rebinding).
"""

import re
from collections.abc import Sequence

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from flukeprint.config.schema import ServeConfig
from flukeprint.serving.api.problems import RefusedError

LOOPBACK = ("localhost", "127.0.0.1", "::1")
ANY = "*"
_PORT = re.compile(r":\d{0,5}$")


def known_hosts(settings: ServeConfig) -> tuple[str, ...]:
    """The host names that are answered; `*` for any."""
    if settings.hosts != "auto":
        return tuple(settings.hosts)
    return LOOPBACK if is_loopback(settings.host) else (ANY,)


def is_loopback(host: str) -> bool:
    """Whether an address to listen on is reached from this machine alone."""
    return host in LOOPBACK or host.startswith("127.")


def hosts_advice(settings: ServeConfig) -> str | None:
    """A line for whoever starts a server that answers any host name; None where it does not."""
    if settings.hosts != "auto" or ANY not in known_hosts(settings):
        return None
    return (
        "hosts: requests for any host name are answered; name yours, such as "
        "serve.hosts=[whales.example.org]"
    )


class KnownHosts:
    """ASGI middleware: 421 for a request whose Host is none of `hosts`, whatever its port.

    A request without a Host is no browser's and passes.
    """

    def __init__(self, app: ASGIApp, hosts: Sequence[str]) -> None:
        self.app = app
        self.hosts = frozenset(_plain(host) for host in hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and ANY not in self.hosts:
            given = Headers(scope=scope).get("host")
            if given is not None and _plain(_PORT.sub("", given)) not in self.hosts:
                error = RefusedError(
                    "foreign_host",
                    "this server does not answer for that host name; whoever runs it lists the "
                    "names in serve.hosts",
                )
                await error.response()(scope, receive, send)
                return
        await self.app(scope, receive, send)


def _plain(host: str) -> str:
    return host.strip().strip("[]").rstrip(".").lower()
