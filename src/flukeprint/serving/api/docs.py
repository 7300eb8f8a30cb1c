"""The page `/docs`: Swagger UI for the OpenAPI schema, with scripts served by this server."""

import base64
import hashlib
import re
from importlib.resources import as_file, files

from fastapi import FastAPI
from fastapi.openapi.docs import get_swagger_ui_html
from starlette.responses import HTMLResponse, Response

from flukeprint.serving.api.problems import RefusedError

DOCS, SCRIPTS = "/docs", "/docs-assets"
_FILES = {
    "swagger-ui-bundle.js": "text/javascript",
    "swagger-ui.css": "text/css",
    "favicon.png": "image/png",
}


def add_docs(app: FastAPI) -> None:
    """Serve `/docs` of `app`; its files come from a package, none from another site."""
    page = get_swagger_ui_html(
        openapi_url=str(app.openapi_url),
        title=app.title,
        swagger_js_url=f"{SCRIPTS}/swagger-ui-bundle.js",
        swagger_css_url=f"{SCRIPTS}/swagger-ui.css",
        swagger_favicon_url=f"{SCRIPTS}/favicon.png",
    )
    policy = docs_csp(bytes(page.body).decode())

    @app.get(DOCS, include_in_schema=False)
    async def docs() -> Response:
        return HTMLResponse(bytes(page.body), headers={"Content-Security-Policy": policy})

    @app.get(SCRIPTS + "/{name}", include_in_schema=False)
    async def asset(name: str) -> Response:
        if name not in _FILES:
            raise RefusedError("not_found", f"there is no such file; {DOCS} names those it needs")
        with as_file(files("fastapi_offline") / "static" / name) as path:
            data = path.read_bytes()
        headers = {"Cache-Control": "max-age=86400"}
        return Response(data, media_type=_FILES[name], headers=headers)


def docs_csp(page: str) -> str:
    """The Content-Security-Policy of the page: its own files and its one inline script."""
    inline = re.findall(r"<script>(.*?)</script>", page, flags=re.DOTALL)
    hashes = " ".join(
        f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"
        for script in inline
    )
    return (
        f"default-src 'none'; script-src 'self' {hashes}; style-src 'self' 'unsafe-inline'; "
        "img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    )
