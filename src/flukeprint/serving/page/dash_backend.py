"""How Dash stands beside an API in one FastAPI application: exact routes in, nothing swallowed.

Dash's own backend answers every path that no route matches with its page, found through a global
that holds the last application made.  Here the pages are routes of their own, so that an unknown
path stays unknown; and what visitors post to callbacks is checked before Dash looks at it.
"""

from collections.abc import Awaitable, Callable
from typing import Any

from dash import Dash
from dash.backends._fastapi import (
    FastAPIDashServer,
    reset_current_request,
    set_current_request,
)
from dash.fingerprint import check_fingerprint
from fastapi import Request, Response
from pydantic import BaseModel, Field, ValidationError
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from flukeprint.serving.page.layout import PATHS

UPDATE = "/_dash-update-component"
MOST_BYTES = 1 << 20  # of a callback's request: answers of the API, never a photograph


class Property(BaseModel):
    """A property of a component, with its value where a callback is given one."""

    id: str
    property: str
    value: Any = None


class Update(BaseModel):
    """What Dash's renderer posts to run a callback."""

    output: str
    outputs: Property | list[Property]
    inputs: list[Property]
    state: list[Property] = Field(default_factory=list)
    changedPropIds: list[str] = Field(default_factory=list)  # so named by Dash


class PageServer(FastAPIDashServer):
    """Dash in a FastAPI application that has other routes too."""

    websocket_capability = False  # no callback needs one

    def setup_index(self, dash_app: Dash) -> None:
        """A route for each page, all with the same document."""

        async def page(request: Request) -> Response:
            token = set_current_request(request)
            try:
                return Response(dash_app.index(), media_type="text/html")
            finally:
                reset_current_request(token)

        for path in PATHS:
            self.add_url_rule(path, page, endpoint=f"page {path}", methods=["GET", "HEAD"])

    def _setup_catchall(self) -> None:
        """No route for all other paths: the API says what is not there."""

    def setup_backend(self, dash_app: Dash) -> None:
        """Dash's middleware, and before it a limit of what is read."""
        super().setup_backend(dash_app)
        self.server.add_middleware(SmallUpdates)

    def serve_callback(self, dash_app: Dash) -> Callable[[Request], Awaitable[Response]]:
        """Callbacks run on what the page itself can send; anything else is a 400."""
        dispatch = super().serve_callback(dash_app)

        async def checked(request: Request) -> Response:
            if not fits(dash_app.callback_map, request.state.json_body):
                return Response("no callback of this page", 400, media_type="text/plain")
            answer: Response = await dispatch(request)
            return answer

        return checked

    def serve_component_suites(
        self, dash_app: Dash, package_name: str, fingerprinted_path: str, request: Request
    ) -> Response:
        """Scripts of Dash; one that it did not register is a 404."""
        path, _ = check_fingerprint(fingerprinted_path)
        if path not in dash_app.registered_paths.get(package_name, ()):
            return Response("no such script", 404, media_type="text/plain")
        answer: Response = super().serve_component_suites(
            dash_app, package_name, fingerprinted_path, request
        )
        return answer


def fits(callbacks: dict[str, Any], body: object) -> bool:
    """Whether a request names a callback and has exactly the properties of its registration."""
    try:
        update = Update.model_validate(body)
    except ValidationError:
        return False
    known = callbacks.get(update.output)
    if known is None or "callback" not in known:  # one that runs in the browser
        return False
    if isinstance(update.outputs, Property):
        named = f"{update.outputs.id}.{update.outputs.property}"
    else:
        named = f"..{'...'.join(f'{part.id}.{part.property}' for part in update.outputs)}.."
    given = [(part.id, part.property) for part in (*update.inputs, *update.state)]
    wanted = [(part["id"], part["property"]) for part in (*known["inputs"], *known["state"])]
    return named == update.output and given == wanted


class SmallUpdates:
    """Middleware: a callback's request of more than `MOST_BYTES` is a 413, and is not kept."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Reads the whole small body, then hands it on."""
        if scope["type"] != "http" or scope["path"] != UPDATE:
            await self.app(scope, receive, send)
            return
        body = bytearray()
        more = True
        while more:
            message = await receive()
            if message["type"] != "http.request":  # the visitor has gone
                return
            body += message.get("body", b"")
            more = message.get("more_body", False)
            if len(body) > MOST_BYTES:
                await Response("too large", 413, media_type="text/plain")(scope, receive, send)
                return
        whole: list[Message] = [{"type": "http.request", "body": bytes(body), "more_body": False}]

        async def again() -> Message:
            return whole.pop() if whole else await receive()

        await self.app(scope, again, send)
