"""Who asks, and whether that person may: bearer tokens, sessions in cookies, and their roles.

Without `serve.people` everybody may look, and only the server's own token may change anything.
With it, all but `OPEN` needs somebody's token.
"""

import hmac
import math
from collections.abc import Awaitable, Callable
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import Depends, FastAPI, Request
from fastapi.security import APIKeyCookie, HTTPAuthorizationCredentials, HTTPBearer
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from flukeprint.config.schema import ServeConfig
from flukeprint.serving.api.access.hosts import is_loopback
from flukeprint.serving.api.asgi import path_of
from flukeprint.serving.api.load_limits import Buckets, client_address
from flukeprint.serving.api.problems import RefusedError, responses
from flukeprint.serving.people import PeopleFile, Person, Role, digest_of, holder
from flukeprint.serving.service import AUTHOR
from flukeprint.serving.sessions import Session, Sessions, session_secret

COOKIE, CSRF = "flukeprint_session", "X-CSRF-Token"
OPEN = ("/v1/health", "/v1/ready", "/v1/about", "/v1/session")
FAILURES = 20  # wrong tokens of one address a minute; none are counted on a loopback host
SAFE = ("GET", "HEAD", "OPTIONS")
# The page's documents that show the gallery, and what they fetch, are closed as well.
_GUARDED = (
    "/v1/", "/classes", "/similar", "/compare", "/map", "/fragments/", "/animals", "/queue",
)  # fmt: skip
# Documents that a person without a token may see; from all others he is sent to sign in.
_OPEN_PAGES = ("/sign-in", "/about", "/docs", "/assets/", "/openapi.json")
_KNOWN = "flukeprint.person"  # in a request's scope

BEARER = HTTPBearer(auto_error=False, description="A person's token, or the server's own")
SESSION = APIKeyCookie(
    name=COOKIE, auto_error=False,
    description=f"Of POST /v1/session; changes also need the header {CSRF}",
)  # fmt: skip

Allowed = Callable[..., Awaitable[Person]]


class Doors:
    """Knows people by what their requests bear.

    token: the server's own, of role `keep`; None: there is none.
    """

    def __init__(self, settings: ServeConfig, token: str | None = None) -> None:
        """Read the file of people; raises FlukeprintError where it cannot be read."""
        self._file = None if settings.people is None else PeopleFile(settings.people)
        self._own = () if not token else (Person(AUTHOR, "keep", digest_of(token)),)
        self.sessions = Sessions(session_secret())
        self._failures = None if is_loopback(settings.host) else Buckets(FAILURES)

    @property
    def closed(self) -> bool:
        """Whether even looking needs a token."""
        return self._file is not None

    @property
    def changes(self) -> bool:
        """Whether anybody may change anything."""
        return self.closed or bool(self._own)

    def people(self) -> tuple[Person, ...]:
        """All who have a token."""
        return (*self._own, *(() if self._file is None else self._file.now()))

    def is_own(self, person: Person) -> bool:
        """Whether it is the server's own token, which names nobody."""
        return person in self._own

    def who(self, request: Request) -> Person | None:
        """Who asks; None where the request bears nothing.

        Raises:
            RefusedError: unauthorized for what is nobody's, forbidden for a change with a cookie
                alone, rate_limited after too many wrong tokens.
        """
        if _KNOWN in request.scope:
            known: Person = request.scope[_KNOWN]
            return known
        found = self._who(request)
        if found is not None:
            request.scope[_KNOWN] = found
        return found

    def _who(self, request: Request) -> Person | None:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer":  # others are a proxy's
            return self.token_of(token.strip(), request)
        session = self.session(request)
        if session is None:
            return None
        given = request.headers.get(CSRF, "")
        if request.method not in SAFE and not hmac.compare_digest(
            given.encode("utf-8", "replace"), session.csrf.encode()
        ):
            raise RefusedError(
                "forbidden", f"a change needs the header {CSRF} with what /v1/session gives as csrf"
            )
        return session.person

    def session(self, request: Request) -> Session | None:
        """The session of the cookie that a request bears, if it holds."""
        cookie = request.cookies.get(COOKIE)
        return None if not cookie else self.sessions.read(cookie, self.people())

    def token_of(self, token: str, request: Request) -> Person:
        """Whose token it is; raises RefusedError for nobody's, and after too many of these."""
        address = client_address(request.scope)
        if self._failures is not None and (wait := self._failures.wait(address)) > 0:
            raise RefusedError(
                "rate_limited",
                f"too many wrong tokens from this address; try again in {math.ceil(wait)} s",
                retry_after=wait,
            )
        person = holder(token, self.people())
        if person is None:
            if self._failures is not None:
                self._failures.take(address)
            raise RefusedError("unauthorized", "this is nobody's token here; ask for a new one")
        return person

    def needs(self, role: Role) -> Allowed:
        """The dependency of a route that only some may use: it gives the person."""

        async def allowed(
            request: Request,
            bearer: Annotated[HTTPAuthorizationCredentials | None, Depends(BEARER)],
            session: Annotated[str | None, Depends(SESSION)],
        ) -> Person:
            if not self.changes:
                raise RefusedError(
                    "forbidden",
                    "changes are off here; serve with serve.people, or enrolling with --enroll",
                )
            person = self.who(request)
            if person is None:
                raise RefusedError("unauthorized", "this needs a token of this server")
            if not person.may(role):
                raise RefusedError(
                    "forbidden", f"this needs the role {role}, and yours is {person.role}"
                )
            return person

        return allowed


class Guard:
    """ASGI middleware: 401 for all but `OPEN` without a token, where people have tokens."""

    def __init__(self, app: ASGIApp, doors: Doors) -> None:
        self.app, self._doors = app, doors

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if (
            scope["type"] == "http"
            and self._doors.closed
            and (needs_token(path_of(scope), scope["method"]) or wants_page(scope))
        ):
            try:
                if scope["method"] != "OPTIONS" and self._doors.who(Request(scope)) is None:
                    if wants_page(scope):
                        await to_sign_in(scope)(scope, receive, send)
                        return
                    raise RefusedError("unauthorized", "this server needs a token: ask its keeper")
            except RefusedError as error:
                await error.response()(scope, receive, send)
                return
        await self.app(scope, receive, send)


def wants_page(scope: Scope) -> bool:
    """Whether a browser asks for a document that shows or asks something of the catalogue."""
    path = path_of(scope)
    accepted = dict(scope["headers"]).get(b"accept", b"")
    return (
        scope["method"] == "GET"
        and b"text/html" in accepted
        and not path.startswith(("/v1/", "/fragments/", *_OPEN_PAGES))
    )


def to_sign_in(scope: Scope) -> Response:
    """Sends a browser to the page on which people sign in, and from there back."""
    query = scope.get("query_string", b"").decode("latin-1")
    wanted = path_of(scope) + (f"?{query}" if query else "")
    return RedirectResponse(f"/sign-in?{urlencode({'next': wanted})}", 303)


def needs_token(path: str, method: str = "GET") -> bool:
    """Whether a request is refused without a token, where people have tokens."""
    return path not in OPEN and (path.startswith(_GUARDED) or method not in SAFE)


def describe_doors(app: FastAPI, doors: Doors) -> None:
    """Say in the OpenAPI schema which routes need a token, where looking needs one."""
    if not doors.closed:
        return
    plain = app.openapi

    def openapi() -> dict[str, Any]:
        schema = plain()
        for path, operations in schema["paths"].items():
            if needs_token(path):
                for operation in operations.values():
                    names = (BEARER.scheme_name, SESSION.scheme_name)
                    operation.setdefault("security", [{name: []} for name in names])
                    for status, said in responses("unauthorized", "rate_limited").items():
                        operation["responses"].setdefault(str(status), said)
        schemes = schema.setdefault("components", {}).setdefault("securitySchemes", {})
        for scheme in (BEARER, SESSION):
            told = scheme.model.model_dump(by_alias=True, exclude_none=True, mode="json")
            schemes.setdefault(scheme.scheme_name, told)
        return schema

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's own way of extending it
