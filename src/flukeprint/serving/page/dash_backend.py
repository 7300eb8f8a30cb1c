"""The back end that lets Dash share a FastAPI application with an API.

Dash's own back end answers every path that no route matches with its page, which it finds through
a global that holds the last application made.  Here each page has a route of its own, so that
unknown paths stay 404; and requests to callbacks are validated before Dash reads them.
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
MOST_BYTES = 1 << 20  # of a request to a callback: answers of the API, never a photograph


class Property(BaseModel):
    """A property of a component, with its value if it is an input of a callback."""

    id: str
    property: str
    value: Any = None


class Update(BaseModel):
    """The body that Dash's renderer posts to run a callback."""

    output: str
    outputs: Property | list[Property]
    inputs: list[Property]
    state: list[Property] = Field(default_factory=list)
    changedPropIds: list[str] = Field(default_factory=list)  # the name that Dash uses


class PageServer(FastAPIDashServer):
    """Dash's back end for a FastAPI application that has other routes too."""

    websocket_capability = False  # no callback needs one

    def setup_index(self, dash_app: Dash) -> None:
        """Add a route for each page, all with the same document."""

        async def page(request: Request) -> Response:
            token = set_current_request(request)
            try:
                return Response(dash_app.index(), media_type="text/html")
            finally:
                reset_current_request(token)

        for path in PATHS:
            self.add_url_rule(path, page, endpoint=f"page {path}", methods=["GET", "HEAD"])

    def _setup_catchall(self) -> None:
        """Add no route for all other paths: the API answers 404."""

    def setup_backend(self, dash_app: Dash) -> None:
        """Add Dash's middleware, and around it a limit on the size of requests."""
        super().setup_backend(dash_app)
        self.server.add_middleware(SmallUpdates)

    def serve_callback(self, dash_app: Dash) -> Callable[[Request], Awaitable[Response]]:
        """Run callbacks only with what the page itself can send; anything else is a 400."""
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
        """Serve scripts of Dash; one that it did not register is a 404."""
        path, _ = check_fingerprint(fingerprinted_path)
        if path not in dash_app.registered_paths.get(package_name, ()):
            return Response("no such script", 404, media_type="text/plain")
        answer: Response = super().serve_component_suites(
            dash_app, package_name, fingerprinted_path, request
        )
        return answer


def fits(callbacks: dict[str, Any], body: object) -> bool:
    """Whether a request is for a registered callback, with exactly its inputs and outputs."""
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
    """ASGI middleware: 413 for a request to a callback of more than `MOST_BYTES`."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Read the whole body, then pass it on in one message."""
        if scope["type"] != "http" or scope["path"] != UPDATE:
            await self.app(scope, receive, send)
            return
        body = bytearray()
        more = True
        while more:
            message = await receive()
            if message["type"] != "http.request":  # the client has disconnected
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
