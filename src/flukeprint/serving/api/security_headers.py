"""Adds security headers to every answer, unless the answer sets them itself."""

from collections.abc import Callable

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from flukeprint.serving.api.asgi import path_of

API_CSP = "default-src 'none'; frame-ancestors 'none'"  # an answer of the API loads nothing


class SecurityHeaders:
    """ASGI middleware: headers that stop browsers from guessing, framing, leaking and caching.

    csp: Content-Security-Policy, or a function that gives it for a scope.
    cors: other sites may call the API, so their pages may embed its answers.
    A header that the application sets itself is left as it is.
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

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(raw=list(message.get("headers", [])))
                csp = self.csp if isinstance(self.csp, str) else self.csp(scope)
                if "frame-ancestors" not in csp:
                    csp = "; ".join(part for part in (csp, "frame-ancestors 'none'") if part)
                headers.setdefault("Content-Security-Policy", csp)
                for name, value in self.fixed.items():
                    headers.setdefault(name, value)
                if path_of(scope).startswith("/v1/"):
                    headers.setdefault("Cache-Control", "no-store")
                message = {**message, "headers": headers.raw}
            await send(message)

        await self.app(scope, receive, send_with_headers)
