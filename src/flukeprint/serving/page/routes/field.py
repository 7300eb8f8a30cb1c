"""The files for use without a network: manifest, icons, service worker, and what it holds.

What it holds is the same for everybody: documents of nobody in particular, without answers or
photographs, and on a server that only some may look into nothing of its classes.
"""

import hashlib
import json
from typing import Final

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from flukeprint.serving.api.problems import RefusedError
from flukeprint.serving.page.context import Content, PageContext
from flukeprint.serving.page.document import THEME, Visitor, document
from flukeprint.serving.page.i18n import LANGUAGES, Language
from flukeprint.serving.page.icons import SIZES, icon
from flukeprint.serving.page.languages import language_of
from flukeprint.serving.page.routes.identifying import offers_of
from flukeprint.serving.page.site import GalleryFacts, Routes, Site, longest_side, title_of
from flukeprint.serving.page.views.field import cards_page
from flukeprint.serving.page.views.photographs import heading, identify_page

PAGE, CARDS = "/field", "/field/classes"
GROUND: Final = "#f3f5f1"  # as --ground of the light page
# Scripts and pictures of the held documents.
FILES: Final = (
    "page.css", "parts.css", "field.css", "page.js", "identify.js", "sending.js", "bare.js",
    "field.js", "waiting.js", "store.js", "choosing.js", "boxes.js", "exif.js", "cards.js",
    "favicon.svg", "mark.svg",
)  # fmt: skip
_ASKED_AGAIN: Final = {"Cache-Control": "no-cache"}


def field_routes(site: Site) -> Routes:
    """These routes."""
    pages = Field(site)
    return (
        (PAGE, ("GET",), pages.page),
        (CARDS, ("GET",), pages.cards),
        ("/manifest.webmanifest", ("GET",), pages.manifest),
        ("/service-worker.js", ("GET",), pages.worker),
        ("/icons/{name}.png", ("GET",), pages.icon),
    )


class Field:
    """Answers the requests for these files."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self._made: tuple[GalleryFacts, dict[str, str]] | None = None  # for that state

    def page(self, request: Request) -> Response:
        """The first page as it is held."""
        return self._document(request, PAGE)

    def cards(self, request: Request) -> Response:
        """The cards of all classes as they are held; refused where only some may look."""
        return self._document(request, CARDS)

    def _document(self, request: Request, path: str) -> Response:
        text = self._documents().get(f"{path}?lang={language_of(request)}")
        if text is None:
            raise RefusedError("not_found", "classes are not held where looking needs a token")
        return HTMLResponse(text, headers=_ASKED_AGAIN)

    def manifest(self, request: Request) -> Response:
        """What a system needs to install the page (W3C, Web Application Manifest)."""
        context = self.site.context(request)
        icons = [
            {"src": f"/icons/{size}.png", "sizes": f"{size}x{size}", "type": "image/png"}
            for size in (192, 512)
        ]
        whole = {"src": "/icons/512-whole.png", "sizes": "512x512", "type": "image/png"}
        told = {
            "id": "/", "name": context.info.title, "short_name": context.info.title[:12].strip(),
            "description": context.kind_text("identify_title"), "lang": context.language,
            "start_url": "/", "scope": "/", "display": "standalone", "theme_color": THEME,
            "background_color": GROUND, "icons": [*icons, {**whole, "purpose": "maskable"}],
        }  # fmt: skip
        text = json.dumps(told, ensure_ascii=False)
        return Response(text, media_type="application/manifest+json", headers=_ASKED_AGAIN)

    def icon(self, request: Request) -> Response:
        """An icon of the manifest."""
        size, _, how = request.path_params["name"].partition("-")
        if size not in map(str, SIZES) or how not in ("", "whole"):
            raise RefusedError("not_found", "there is no icon of this size")
        data = icon(int(size), whole=bool(how) or size == "180")
        return Response(data, media_type="image/png", headers={"Cache-Control": "max-age=86400"})

    def worker(self, _: Request) -> Response:
        """The service worker, with the version of what it holds: a digest of all of it."""
        documents = self._documents()
        assets = self.site.assets
        whole = "\0".join([assets.digest, *documents.values()]).encode()
        held = {
            "version": hashlib.sha256(whole).hexdigest()[:16],
            "files": [assets.url(name) for name in FILES],
            "documents": list(documents),
            "instead": {
                "/": PAGE,
                **({} if self.site.closed else {"/classes": CARDS, CARDS: CARDS}),
            },
        }
        text = f"const HELD = {json.dumps(held)};\n{assets.source('service_worker.js')}"
        return Response(text, media_type="text/javascript", headers=_ASKED_AGAIN)

    def _documents(self) -> dict[str, str]:
        """The held documents by their addresses, of nobody in particular."""
        facts = self.site.facts()
        if self._made is None or self._made[0] is not facts:
            self._made = (
                facts,
                {
                    f"{path}?lang={language}": text
                    for language in LANGUAGES
                    for path, text in self._in_language(facts, language).items()
                },
            )
        return self._made[1]

    def _in_language(self, facts: GalleryFacts, language: Language) -> dict[str, str]:
        context = facts.english.in_language(language)
        content = identify_page(context, offers=offers_of(self.site), held=True)
        made = {PAGE: self._held(context, "/", content)}
        if not self.site.closed:
            title = heading(context.kind_text("classes_title"))
            made[CARDS] = self._held(context, CARDS, cards_page(context, title))
        return made

    def _held(self, context: PageContext, path: str, content: Content) -> str:
        visitor = Visitor(
            self.site.people, side=longest_side(self.site.service.identifier), held=True
        )
        return document(context, visitor, self.site.assets, path, title_of(content), content)
