"""Puts the middleware around API and page: headers, CORS, and limits on size, rate, time and load.

From the outside in:

    HeadRequests      HEAD is GET without a body, for all that follows
    Compressed        pages and JSON; photographs are so already
    SecurityHeaders   on every answer, refusals too
    KnownHosts        before anything else is looked at
    (CORS)            so that pages of other sites may read refusals
    BodyLimit         also lets a refused client finish sending, whoever refused it
    RateLimit         before anything is computed
    Guard             where people have tokens
    Deadline          of a whole request: upload, wait and answer
    Admission         a place is held from before the body is read until the answer has been sent
    the application   with `problems.install`

None reads more than one message ahead, and none writes to disk or to the log.
"""

from collections.abc import Callable

from brotli_asgi import BrotliMiddleware
from fastapi import FastAPI
from fastapi.middleware.cors import CORSMiddleware
from starlette.types import Scope

from flukeprint.config.schema import ServeConfig
from flukeprint.serving.api.access.doors import Guard
from flukeprint.serving.api.access.head import HeadRequests
from flukeprint.serving.api.access.hosts import KnownHosts, is_loopback, known_hosts
from flukeprint.serving.api.body_limit import BodyLimit
from flukeprint.serving.api.load_limits import Admission, Deadline, RateLimit
from flukeprint.serving.api.security_headers import API_CSP, SecurityHeaders

PHOTO_PATHS = (
    "/v1/identify", "/v1/embed", "/v1/verify", "/v1/matches", "/v1/enroll", "/identify",
)  # fmt: skip
# What is compressed already, as regular expressions of the beginnings of paths.
PACKED_PATHS = (r"^/v1/photos/\d+$", r"^/v1/examples/\d+$", r"^/assets/")
FORM_BYTES = 64 * 1024  # allowed for a form besides its photographs


def add_middleware(app: FastAPI, settings: ServeConfig, page_csp: Callable[[Scope], str]) -> None:
    """Put the middleware around `app`, in the order that the module describes.

    page_csp: the Content-Security-Policy of everything that does not lie under /v1.
    """

    def csp(scope: Scope) -> str:
        return API_CSP if scope["path"].startswith("/v1/") else page_csp(scope)

    # The last one added is the outermost.
    app.add_middleware(Admission, most=settings.queue, paths=PHOTO_PATHS)
    app.add_middleware(Deadline, seconds=settings.timeout, paths=PHOTO_PATHS)
    app.add_middleware(Guard, doors=app.state.doors)
    app.add_middleware(RateLimit, per_minute=requests_per_minute(settings), paths=PHOTO_PATHS)
    most = min(settings.request_bytes, settings.photo_bytes * settings.photos)
    app.add_middleware(BodyLimit, most_bytes=most + FORM_BYTES)
    if settings.cors:
        app.add_middleware(
            CORSMiddleware, allow_origins=list(settings.cors),
            allow_methods=["GET", "HEAD", "POST", "PUT", "DELETE"],
            allow_headers=["Authorization", "Content-Type"], expose_headers=["Retry-After"],
        )  # fmt: skip
    app.add_middleware(KnownHosts, hosts=known_hosts(settings))
    app.add_middleware(SecurityHeaders, csp=csp, cors=bool(settings.cors))
    app.add_middleware(
        BrotliMiddleware, quality=5, minimum_size=1000, excluded_handlers=list(PACKED_PATHS)
    )
    app.add_middleware(HeadRequests)


def requests_per_minute(settings: ServeConfig) -> int:
    """The rate limit of one address, 0 for none; `auto` means none on a loopback host."""
    if settings.rate != "auto":
        return settings.rate
    return 0 if is_loopback(settings.host) else 120
