"""The page `/docs`: Swagger UI for the OpenAPI schema, with scripts served by this server."""

import base64
import hashlib
import re
from html import escape
from importlib.resources import as_file, files

from fastapi import FastAPI
from fastapi.openapi.docs import get_swagger_ui_html
from starlette.responses import HTMLResponse, Response

from flukeprint.serving.api.problems import RefusedError

# Swagger UI's own colours of methods are too light for white letters (WCAG 2.2, 1.4.3).
_STYLE = """
main > h1 { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
.swagger-ui .opblock.opblock-get .opblock-summary-method { background: #1a5fa8; }
.swagger-ui .opblock.opblock-post .opblock-summary-method { background: #1b6e4a; }
.swagger-ui .opblock.opblock-put .opblock-summary-method { background: #8a5300; }
.swagger-ui .opblock.opblock-delete .opblock-summary-method { background: #b02a2a; }
.swagger-ui .info .title small pre.version { color: #fff; background: #4a5160; }
.swagger-ui .info .title small { background: #4a5160; }
.swagger-ui .info .title small.version-stamp { background: #4a5160; }
.swagger-ui .info .title small.version-stamp pre { color: #fff; background: #4a5160; }
.swagger-ui .info a, .swagger-ui .info .url { color: #1a5fa8; }
.swagger-ui .btn.authorize { color: #1b6e4a; border-color: #1b6e4a; }
.swagger-ui .btn.authorize span { color: #1b6e4a; }
.swagger-ui .json-schema-2020-12-expand-deep-button { color: #3b4151; }
"""
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
        # A link inside a button that opens an operation cannot be told from it by the keyboard.
        swagger_ui_parameters={"deepLinking": False},
    )
    text = usable_by_all(bytes(page.body).decode(), app.title)
    policy = docs_csp(text)

    @app.get(DOCS, include_in_schema=False)
    async def docs() -> Response:
        return HTMLResponse(text, headers={"Content-Security-Policy": policy})

    @app.get(SCRIPTS + "/{name}", include_in_schema=False)
    async def asset(name: str) -> Response:
        if name not in _FILES:
            raise RefusedError("not_found", f"there is no such file; {DOCS} names those it needs")
        with as_file(files("fastapi_offline") / "static" / name) as path:
            data = path.read_bytes()
        headers = {"Cache-Control": "max-age=86400"}
        return Response(data, media_type=_FILES[name], headers=headers)


def usable_by_all(page: str, title: str) -> str:
    """The page with what Swagger UI leaves out: its language, landmarks, and colours that contrast.

    Raises ValueError where FastAPI's page is not as it was.
    """
    for before, after in (
        ("<html>", '<html lang="en">'),
        ("</head>", f"<style>{_STYLE}</style></head>"),
        ('<div id="swagger-ui">', f'<main><h1>{escape(title)}</h1><div id="swagger-ui">'),
        ("</body>", "</main></body>"),
    ):
        if page.count(before) != 1:
            raise ValueError(f"the documentation has {page.count(before)} times {before}")
        page = page.replace(before, after)
    return page


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
