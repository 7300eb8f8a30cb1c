"""Refusals: an exception enters, a problem (RFC 9457) leaves as application/problem+json.

Whatever the service declines is a `RefusedError` of a kind in `KINDS`; programs go by the kind,
people by the detail.  Nothing that a request held comes back or is logged.
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
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from flukeprint.errors import listed, nearest
from flukeprint.serving.api.schemas import Problem

MEDIA_TYPE = "application/problem+json"
LOG = logging.getLogger("flukeprint.api")


@dataclass(frozen=True)
class ProblemKind:
    """A sort of refusal: HTTP status, title for people, a header that always comes with it."""

    status: int
    title: str
    header: str | None = None


# The first of a status stands for what others refuse with it.
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
    "unsupported_media_type": ProblemKind(415, "Not this media type"),
    "not_a_photograph": ProblemKind(415, "Not a photograph"),
    "invalid": ProblemKind(422, "The request is not valid"),
    "damaged_photograph": ProblemKind(422, "Damaged photograph"),
    "no_photograph": ProblemKind(422, "No photograph"),
    # Not 413, which has clients send fewer bytes: each photograph is welcome, just not together.
    "too_many_photographs": ProblemKind(422, "Too many photographs"),
    "rate_limited": ProblemKind(429, "Too many requests", "Retry-After"),
    "internal": ProblemKind(500, "A defect of the service"),
    "busy": ProblemKind(503, "Busy", "Retry-After"),
    "not_ready": ProblemKind(503, "Not ready"),
    "timeout": ProblemKind(504, "Took too long"),
}
_INTERNAL = "the service failed, not the request; its log says where"

# What is said where starlette says no more than the status; the rest is said as it is.
_DETAILS = {
    400: "the request cannot be read; see /openapi.json for what is expected",
    404: "there is nothing at this address; /openapi.json lists what there is",
    405: "this address does not take this method; the header Allow says which it takes",
}

# Of these pydantic's text comes from the declaration alone; others may quote what was sent.
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
    """A request that is declined.

    kind: a key of KINDS; detail: one line on this case, what, where and what to do, without a
    word of what was sent; retry_after: seconds, told in whole ones, at least 1.
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
    """What a route of FastAPI may answer besides its own, for its `responses=`."""
    found: dict[int | str, dict[str, Any]] = {}
    for kind in kinds:
        known = KINDS[kind]
        text = f"`{kind}`: {known.title}"
        entry = found.get(known.status)
        if entry is not None:
            entry["description"] += f"; {text}"
        else:
            schema = {"$ref": "#/components/schemas/Problem"}  # `install` puts it there
            entry = {"description": text, "content": {MEDIA_TYPE: {"schema": schema}}}
            found[known.status] = entry
        if known.header is not None:
            entry.setdefault("headers", {})[known.header] = dict(_HEADERS[known.header])
    return found


def install(app: FastAPI) -> None:
    """Have `app` answer every refusal and every failure with a problem, and say so in its schema.

    Call it before adding other middleware, which then lies around what is added here.
    """
    app.add_exception_handler(RefusedError, _refused)
    app.add_exception_handler(RequestValidationError, _not_valid)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(ClientDisconnect, _gone)
    # starlette raises again what its own catch-all has answered, and the server then logs the
    # exception's text; so failures are caught further in, and this is for middleware around it.
    app.add_exception_handler(Exception, _failed)
    app.add_middleware(Unforeseen)
    _describe(app)


class Unforeseen:
    """ASGI: any exception of the application becomes 500 with a fixed text.

    Where it happened goes to the log, without the exception's text, which may quote the request.
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
            if not started:  # else the server cuts the connection, as the answer has no end
                await RefusedError("internal", _INTERNAL).response()(scope, receive, send)


def where(error: BaseException) -> str:
    """The types and the lines of code of an exception and of what caused it; never its text."""
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


async def _refused(_: Request, error: Exception) -> Response:
    assert isinstance(error, RefusedError)
    return error.response()


async def _not_valid(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    said = []
    for found in error.errors():
        place = [str(part) for part in found["loc"]]
        if found["type"] == "extra_forbidden":
            place.pop()  # a name that the sender chose
        text = found["msg"] if found["type"] in _DECLARED else "is not valid"
        said.append(f"{' '.join(place)}: {text}")
    return RefusedError("invalid", listed(said, most=3)).response()


async def _http(_: Request, error: Exception) -> Response:
    """What starlette and FastAPI refuse; its headers, such as Allow, are kept."""
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
    return _response(named, status, title, detail, headers)


async def _gone(_: Request, error: Exception) -> Response:
    return Response(status_code=400)  # nobody is there to read it


async def _failed(_: Request, error: Exception) -> Response:
    LOG.error("a request failed: %s", where(error))
    return RefusedError("internal", _INTERNAL).response()


def _describe(app: FastAPI) -> None:
    """Put Problem into the schema, and in place of the bodies FastAPI would say 422 has."""
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
