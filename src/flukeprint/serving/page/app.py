"""Builds the web page: a Dash application inside the FastAPI application of the API.

Photographs go from the browser to the API and never through Dash.  The page's scripts
(`page/assets`) put the API's answers into stores; callbacks turn these, and the language, into
components.
"""

import html as markup
import logging
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from dash import Dash, dcc, html
from dash.development.base_component import Component
from fastapi import FastAPI

from flukeprint.serving.api.schemas import About, ClassInfo, GalleryMap
from flukeprint.serving.page.callbacks import add_callbacks
from flukeprint.serving.page.context import CatalogueKind, PageContext, kind_of
from flukeprint.serving.page.dash_backend import PageServer
from flukeprint.serving.page.i18n import LANGUAGES, Language, browser_texts

ASSETS: Final = Path(__file__).parent / "assets"

# Data that scripts and callbacks exchange, kept in the memory of the open page.
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

# Hidden file inputs that buttons open; they are in the document since Dash has none.
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
    """Dash with an HTML document of its own, which refers to no other site."""

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
        """The HTML document; `app_entry` and `favicon` of Dash are not used."""
        del app_entry, favicon
        # Dash would also reveal the version of Python, and ask a site for newer versions of Dash.
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
    *,
    now: Callable[[], tuple[About, GalleryMap | None]] | None = None,
) -> Dash:
    """Add the page to `server`, at the paths of `layout.PATHS`.

    classes: by identity; read again for each answer, so the mapping may grow.
    map_: None without a map.
    now: gives both anew for each answer; None: they stay.
    Routes that `server` has already come first; middleware that is added later surrounds the
    page's.
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
        on_error=_log_and_raise,
    )
    app.init_app(server)
    app.layout = _shell(info)
    kind = kind_of(classes)
    add_callbacks(app, LiveContexts(now or (lambda: (info, map_)), classes, kind))
    # Otherwise only the first visit of / does it, and pages visited before that lack scripts.
    app._setup_server()
    return app


class LiveContexts(Mapping[Language, PageContext]):
    """The context of each language, which follows changes of the gallery."""

    def __init__(
        self,
        now: Callable[[], tuple[About, GalleryMap | None]],
        classes: Mapping[str, ClassInfo],
        kind: CatalogueKind,
    ) -> None:
        self._now, self._classes, self._kind = now, classes, kind

    def __getitem__(self, language: Language) -> PageContext:
        if language not in LANGUAGES:
            raise KeyError(language)
        info, map_ = self._now()
        return PageContext(info, self._classes, map_, self._kind, language)

    def __iter__(self) -> Iterator[Language]:
        return iter(LANGUAGES)

    def __len__(self) -> int:
        return len(LANGUAGES)


def content_security_policy(app: Dash) -> str:
    """The value of Content-Security-Policy for the documents and scripts of `app`.

    It allows the app's own scripts, and the one line that starts Dash by its hash.  Plotly inserts
    style sheets, hence 'unsafe-inline', for styles only.
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
    """The layout that all pages and languages share; callbacks fill in the rest."""
    limits = {
        "max_bytes": info.max_bytes,
        "max_request_bytes": info.max_request_bytes,
        "max_photos": info.max_photos,
        "thumbnails": info.thumbnails,
    }
    texts = {language: browser_texts(language) for language in LANGUAGES}
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


def _log_and_raise(error: Exception) -> Any:
    """Log the failure of a callback, and answer 500."""
    LOGGER.error("a callback of the page failed", exc_info=error)
    raise error
