"""The web page: an identifier's facts and a FastAPI application enter, a Dash application leaves.

Photographs go from the browser to the API and never through here.  Scripts of the page
(`page/assets`) hand the API's answers to stores; callbacks turn these, and the language, into
components.
"""

import html as markup
import logging
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from dash import Dash, dcc, html
from dash.development.base_component import Component
from fastapi import FastAPI

from flukeprint.serving.api.schemas import About, ClassInfo, GalleryMap
from flukeprint.serving.page.callbacks import add_callbacks
from flukeprint.serving.page.context import PageContext, kind_of
from flukeprint.serving.page.dash_backend import PageServer
from flukeprint.serving.page.i18n import LANGUAGES, browser_words

ASSETS: Final = Path(__file__).parent / "assets"

# What the page's scripts and callbacks hand to each other, all in the open page's memory.
STORES: Final = (
    "language",
    "arrival",
    "identify-photos",
    "identify-progress",
    "identify-outcome",
    "identify-seen",
    "verify-photos",
    "verify-progress",
    "verify-outcome",
    "review-list",
    "review-current",
    "review-keys-used",
    "similar-outcome",
    "classes-shown",
)

# Hidden, opened by buttons: these are the document's, since Dash has no file input.
FILE_INPUTS: Final = {
    "file-identify": "multiple",
    "file-camera": 'capture="environment"',
    "file-verify-first": "",
    "file-verify-second": "",
    "file-review": "multiple",
}
ACCEPT: Final = "image/*,.heic,.heif,.avif,.tif,.tiff,.webp"
LOGGER = logging.getLogger(__name__)


class PageApp(Dash):
    """Dash with a document of its own, which names no other site."""

    def interpolate_index(
        self,
        metas: str = "",
        title: str = "",
        css: str = "",
        config: str = "",
        scripts: str = "",
        app_entry: str = "",
        favicon: str = "",
        renderer: str = "",
    ) -> str:
        """The document; `app_entry` and `favicon` are the page's own."""
        del app_entry, favicon
        # Where newer versions of Dash are told of, and the version of Python, are nobody's need.
        config = re.sub(r'"(dash_version_url|python_version)":"[^"]*"', r'"\1":""', config)
        inputs = "\n".join(
            f'<input type="file" id="{name}" accept="{ACCEPT}" hidden {more}>'
            for name, more in FILE_INPUTS.items()
        )
        return f"""<!DOCTYPE html>
<html lang="en">
<head>
{metas}
<meta name="color-scheme" content="light dark">
<meta name="referrer" content="no-referrer">
<title>{markup.escape(title)}</title>
<link rel="icon" type="image/svg+xml" href="{self.get_asset_url("favicon.svg")}">
{css}
</head>
<body>
<div id="react-entry-point"><p class="loading">flukeprint …</p></div>
<noscript><p class="loading">This page needs JavaScript.</p>
<p class="loading" lang="es">Esta página necesita JavaScript.</p></noscript>
{inputs}
{config}
{scripts}
{renderer}
</body>
</html>"""


def build_dashboard(
    info: About,
    classes: Mapping[str, ClassInfo],
    map_: GalleryMap | None,
    server: FastAPI,
) -> Dash:
    """The page on `server`, at / and the paths of `page.frame.PATHS`.

    classes: by identity; read anew at each answer, so it may grow.  map_: None without a map.
    Routes of `server` that exist already come first; middleware that is added afterwards stands
    before the page's.
    """
    app = PageApp(
        "flukeprint",
        server=False,
        backend=PageServer,
        assets_folder=str(ASSETS),
        pages_folder="",
        use_pages=False,
        serve_locally=True,
        compress=False,
        title=info.title,
        update_title="",
        suppress_callback_exceptions=True,  # pages come and go
        add_log_handler=False,
        enable_mcp=False,
        on_error=_told,
    )
    app.init_app(server)
    app.layout = _shell(info)
    kind = kind_of(classes)
    contexts = {
        language: PageContext(info, classes, map_, kind, language) for language in LANGUAGES
    }
    add_callbacks(app, contexts)
    # Else only the first visit of / would do it, and a page visited before it would lack scripts.
    app._setup_server()
    return app


def content_security_policy(app: Dash) -> str:
    """The value of Content-Security-Policy for the documents and scripts of `app`.

    Scripts are its own files and the one line that starts Dash, by its hash.  Plotly writes
    style sheets of its own, hence 'unsafe-inline' for styles alone.
    """
    return "; ".join(
        [
            "default-src 'none'",
            f"script-src 'self' {' '.join(app.csp_hashes())}",
            "style-src 'self' 'unsafe-inline'",
            "img-src 'self' data: blob:",
            "connect-src 'self'",
            "font-src 'self'",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
        ]
    )


def _shell(info: About) -> Component:
    """What is the same on all pages and in all languages; the rest is put into it."""
    limits = {
        "max_bytes": info.max_bytes,
        "max_request_bytes": info.max_request_bytes,
        "max_photos": info.max_photos,
        "thumbnails": info.thumbnails,
    }
    texts = {language: browser_words(language) for language in LANGUAGES}
    return html.Div(
        [
            dcc.Location(id="url", refresh="callback-nav"),
            dcc.Store(id="chosen-language", storage_type="local"),
            dcc.Store(id="limits", data=limits),
            dcc.Store(id="texts", data=texts),
            *(dcc.Store(id=name) for name in STORES),
            html.Header(id="header"),
            html.P(id="gone", role="alert", hidden=True),
            html.Main(id="page", tabIndex=-1),
            html.Footer(id="footer"),
            html.Div(id="drop-over"),
        ],
        id="shell",
    )


def _told(error: Exception) -> Any:
    """A callback failed: the log has where, and the visitor's browser a 500."""
    LOGGER.error("a callback of the page failed", exc_info=error)
    raise error
