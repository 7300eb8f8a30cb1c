"""Turns every refusal and failure into a problem document (RFC 9457, application/problem+json).

Whatever the service refuses is a `RefusedError` of a kind in `KINDS`; programs read the kind,
people the detail.  No content of a request is returned or logged.
"""

import logging
import math
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Match
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from flukeprint.errors import listed, nearest
from flukeprint.serving.api.schemas import Problem

MEDIA_TYPE = "application/problem+json"
LOG = logging.getLogger("flukeprint.api")


@dataclass(frozen=True)
class ProblemKind:
    """A kind of refusal: HTTP status, title for people, a header that always comes with it."""

    status: int
    title: str
    header: str | None = None


# The first kind of a status is used where starlette or FastAPI refuse with that status.
# Sources: RFC 9110, section 15; RFC 6585, section 4 (429).
KINDS: dict[str, ProblemKind] = {
    "bad_request": ProblemKind(400, "The request cannot be read"),
    "unauthorized": ProblemKind(401, "A token is needed", "WWW-Authenticate"),
    "forbidden": ProblemKind(403, "Not allowed"),
    "not_found": ProblemKind(404, "Not found"),
    "method_not_allowed": ProblemKind(405, "Not with this method", "Allow"),
    "slow_upload": ProblemKind(408, "The request arrived too slowly"),
    "conflict": ProblemKind(409, "In conflict with what there is"),
    "too_many_bytes": ProblemKind(413, "Too many bytes"),
    "too_many_pixels": ProblemKind(413, "Too many pixels"),
    "no_catalogue": ProblemKind(409, "There is no catalogue"),
    "unsupported_media_type": ProblemKind(415, "Not this media type"),
    "not_a_photograph": ProblemKind(415, "Not a photograph"),
    "foreign_host": ProblemKind(421, "Not this host"),
    "invalid": ProblemKind(422, "The request is not valid"),
    "damaged_photograph": ProblemKind(422, "Damaged photograph"),
    "no_photograph": ProblemKind(422, "No photograph"),
    # Not 413, which asks for fewer bytes: each photograph is fine, only not all together.
    "too_many_photographs": ProblemKind(422, "Too many photographs"),
    "rate_limited": ProblemKind(429, "Too many requests", "Retry-After"),
    "internal": ProblemKind(500, "A defect of the service"),
    "busy": ProblemKind(503, "Busy", "Retry-After"),
    "not_ready": ProblemKind(503, "Not ready"),
    "timeout": ProblemKind(504, "Took too long"),
}
_INTERNAL = "the service failed, not the request; its log says where"

# Details for where starlette gives no more than the status; its own details are kept.
_DETAILS = {
    400: "the request cannot be read; see /openapi.json for what is expected",
    404: "there is nothing at this address; /openapi.json lists what there is",
    405: "this address does not take this method; the header Allow says which it takes",
}

# Errors of pydantic whose text depends on the declaration alone; others may quote the request.
_DECLARED = {
    "missing", "extra_forbidden", "literal_error", "enum", "json_invalid",
    "string_pattern_mismatch", "multiple_of", "finite_number", "greater_than", "greater_than_equal",
    "less_than", "less_than_equal", "too_short", "too_long", "string_too_short", "string_too_long",
    "string_type", "int_type", "float_type", "bool_type", "list_type", "dict_type", "model_type",
    "model_attributes_type", "int_parsing", "float_parsing", "bool_parsing", "int_from_float",
}  # fmt: skip
_HEADERS = {
    "WWW-Authenticate": {"schema": {"type": "string"}, "description": "Bearer"},
    "Retry-After": {"schema": {"type": "integer"}, "description": "seconds to wait"},
    "Allow": {"schema": {"type": "string"}, "description": "methods that are taken"},
}


class RefusedError(Exception):
    """A request that is refused.

    kind: a key of KINDS.
    detail: one line on this case: what, where and what to do; it must not quote the request.
    retry_after: seconds; sent as a whole number, at least 1.
    """

    def __init__(
        self,
        kind: str,
        detail: str,
        *,
        retry_after: float | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        if kind not in KINDS:
            raise ValueError(f"no problem is called {kind}; {nearest(kind, KINDS)}")
        super().__init__(detail)
        self.kind = kind
        self.status = KINDS[kind].status
        self.title = KINDS[kind].title
        self.detail = detail
        self.headers = dict(headers or {})
        if kind == "unauthorized":
            self.headers.setdefault("WWW-Authenticate", "Bearer")
        if retry_after is not None:
            self.headers["Retry-After"] = str(max(1, math.ceil(retry_after)))

    def response(self) -> Response:
        """The answer; also an ASGI application."""
        return _response(self.kind, self.status, self.title, self.detail, self.headers)


def responses(*kinds: str) -> dict[int | str, dict[str, Any]]:
    """The OpenAPI descriptions of problems of these kinds, for `responses=` of a FastAPI route."""
    found: dict[int | str, dict[str, Any]] = {}
    for kind in kinds:
        known = KINDS[kind]
        text = f"`{kind}`: {known.title}"
        entry = found.get(known.status)
        if entry is not None:
            entry["description"] += f"; {text}"
        else:
            schema = {"$ref": "#/components/schemas/Problem"}  # `install` adds it
            entry = {"description": text, "content": {MEDIA_TYPE: {"schema": schema}}}
            found[known.status] = entry
        if known.header is not None:
            entry.setdefault("headers", {})[known.header] = dict(_HEADERS[known.header])
    return found


def install(app: FastAPI) -> None:
    """Make `app` answer every refusal and failure with a problem, and say so in its schema.

    Call it before adding other middleware, which then surrounds the one added here.
    """
    app.add_exception_handler(RefusedError, _refused_error)
    app.add_exception_handler(RequestValidationError, _validation_error)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(ClientDisconnect, _disconnected)
    # starlette re-raises what its own catch-all has answered, and the server then logs the
    # exception's text; so `CatchAll` answers failures first, and this handler is for failures of
    # middleware around it.
    app.add_exception_handler(Exception, _failure)
    app.add_middleware(CatchAll)
    _describe(app)


class CatchAll:
    """ASGI middleware: any exception of the application becomes 500 with a fixed text.

    The log gets where it happened, not the exception's text, which may quote the request.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started = False

        async def watched(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self.app(scope, receive, watched)
        except Exception as error:
            LOG.error("a request failed: %s", where(error))
            if not started:  # otherwise the server closes the connection, as the answer has no end
                await RefusedError("internal", _INTERNAL).response()(scope, receive, send)


def where(error: BaseException) -> str:
    """Types and lines of code of an exception and its causes, for the log; never its text."""
    lines: list[str] = []
    seen: set[int] = set()
    at: BaseException | None = error
    while at is not None and id(at) not in seen:
        seen.add(id(at))
        lines += [type(at).__qualname__, *traceback.format_tb(at.__traceback__)]
        at = at.__cause__ or (None if at.__suppress_context__ else at.__context__)
        if at is not None:
            lines.append("caused by")
    return "\n".join(line.rstrip() for line in lines)


def _response(
    kind: str, status: int, title: str, detail: str, headers: Mapping[str, str] | None
) -> Response:
    problem = Problem(
        type=f"urn:flukeprint:problem:{kind}", title=title, status=status, detail=detail
    )
    return Response(problem.model_dump_json(), status, headers, media_type=MEDIA_TYPE)


async def _refused_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, RefusedError)
    return error.response()


async def _validation_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    lines = []
    for found in error.errors():
        place = [str(part) for part in found["loc"]]
        if found["type"] == "extra_forbidden":
            place.pop()  # a name that the client chose
        text = found["msg"] if found["type"] in _DECLARED else "is not valid"
        lines.append(f"{' '.join(place)}: {text}")
    return RefusedError("invalid", listed(lines, most=3)).response()


def _methods(request: Request) -> list[str]:
    """All methods that an address takes; starlette names those of its first route alone."""
    found: set[str] = set()
    for route in getattr(request.app, "routes", ()):
        if route.matches(request.scope)[0] != Match.NONE:
            found |= set(getattr(route, "methods", None) or ())
    if "GET" in found:
        found.add("HEAD")  # `access/head.py` answers it
    return sorted(found)


async def _http_error(request: Request, error: Exception) -> Response:
    """The problem for a refusal by starlette or FastAPI; headers such as Allow are kept."""
    assert isinstance(error, HTTPException)
    status = error.status_code
    phrase = HTTPStatus(status).phrase
    kind = next((name for name, kind in KINDS.items() if kind.status == status), None)
    title = phrase if kind is None else KINDS[kind].title
    named = kind or phrase.lower().replace(" ", "_")
    detail = error.detail
    if not isinstance(detail, str) or detail in ("", phrase):
        detail = _DETAILS.get(status, phrase)
    headers = {**({"WWW-Authenticate": "Bearer"} if status == 401 else {}), **(error.headers or {})}
    if status == 405 and (taken := _methods(request)):
        headers["Allow"] = ", ".join(taken)
    return _response(named, status, title, detail, headers)


async def _disconnected(_: Request, error: Exception) -> Response:
    return Response(status_code=400)  # nobody reads it


async def _failure(_: Request, error: Exception) -> Response:
    LOG.error("a request failed: %s", where(error))
    return RefusedError("internal", _INTERNAL).response()


def _describe(app: FastAPI) -> None:
    """Put Problem into the OpenAPI schema, in place of the bodies FastAPI declares for 422."""
    plain = app.openapi

    def openapi() -> dict[str, Any]:
        schema = plain()
        for path in schema.get("paths", {}).values():
            for operation in path.values():
                answers = operation.get("responses", {}) if isinstance(operation, dict) else {}
                if "HTTPValidationError" in str(answers.get("422")):
                    answers["422"] = responses("invalid")[422]
        components = schema.setdefault("components", {}).setdefault("schemas", {})
        components.pop("HTTPValidationError", None)
        components.pop("ValidationError", None)
        components["Problem"] = Problem.model_json_schema()
        return schema

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's own way of extending it
