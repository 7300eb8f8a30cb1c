"""The HTML document around each page: its head, header, navigation and footer."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlencode

import htpy as html
from htpy import Element
from markupsafe import Markup

from flukeprint.serving.page.assets import Assets
from flukeprint.serving.page.context import Content, PageContext, aria
from flukeprint.serving.page.i18n import LANGUAGES, NAMES, browser_texts

# Each path with the key of its name in the navigation, None for a page that is not in it.
PATHS: Final[Mapping[str, str | None]] = {
    "/": "nav_identify",
    "/verify": "nav_verify",
    "/review": "nav_review",
    "/map": "nav_map",
    "/classes": "nav_classes",
    "/animals": "nav_animals",
    "/queue": "nav_queue",
    "/about": "nav_about",
    "/similar": None,
    "/compare": None,
    "/sign-in": None,
}
# The scripts of a page besides `page.js`, which all have.
SCRIPTS: Final[Mapping[str, Sequence[str]]] = {
    "/": ("identify.js",),
    "/verify": ("verify.js",),
    "/review": ("review.js",),
    "/map": ("map.js",),
    "/classes": ("classes.js",),
    "/sign-in": ("sign_in.js",),
    "/queue": ("queue.js",),
    "/compare": ("compare_page.js",),
    "/field/classes": ("cards.js",),
}
# The styles of a page besides those of all.
STYLES: Final[Mapping[str, Sequence[str]]] = {"/": ("field.css",), "/field/classes": ("field.css",)}
THEME: Final = "#0b5d63"  # of the window's frame, as --tide of the light page


@dataclass(frozen=True)
class Visitor:
    """Who looks at a page.

    people: whether the server knows people by tokens.  name: of the one who has signed in.
    catalogue: whether there is one to look at.  reviews: whether he or she may decide photographs.
    address: of the page, to come back to.  side: longest one of a photograph that is sent, px.
    asked: what the address asks, which stays in another language.
    held: the page is kept on the device, for whoever has it, and shown without a network.
    """

    people: bool = False
    name: str | None = None
    catalogue: bool = False
    reviews: bool = False
    address: str = "/"
    side: int = 2048
    asked: Sequence[tuple[str, str]] = ()
    held: bool = False


def document(
    context: PageContext,
    visitor: Visitor,
    assets: Assets,
    path: str,
    title: str,
    content: Content,
    scripts: Sequence[str] = (),
) -> str:
    """The whole document of the page at a path.

    title: of the page as HTML, for the window.
    """
    head = html.head[
        html.meta(charset="utf-8"),
        html.meta(name="viewport", content="width=device-width, initial-scale=1"),
        html.meta(name="color-scheme", content="light dark"),
        html.meta(name="referrer", content="no-referrer"),
        html.title[Markup(title), f" · {context.info.title}"],
        html.meta(name="theme-color", content=THEME),
        html.link(rel="icon", type="image/svg+xml", href=assets.url("favicon.svg")),
        html.link(rel="apple-touch-icon", href="/icons/180.png"),
        html.link(rel="manifest", href=f"/manifest.webmanifest?lang={context.language}"),
        [html.link(rel="stylesheet", href=assets.url(name)) for name in ("page.css", "parts.css")],
        [html.link(rel="stylesheet", href=assets.url(name)) for name in STYLES.get(path, ())],
        [
            html.script(type="module", src=assets.url(name))
            for name in ("page.js", *SCRIPTS.get(path, ()), *scripts)
        ],
    ]
    body = html.body[
        html.div(id="shell")[
            html.header(id="header")[header(context, path, visitor)],
            html.p(id="gone", role="alert", hidden=True),
            html.main(id="page", tabindex="-1")[content],
            html.footer(id="footer")[footer(context, path)],
            html.div(aria(hidden="true"), id="drop-over"),
        ],
        _facts(context, visitor),
    ]
    return str(html.html(lang=context.language)[head, body])


def header(context: PageContext, path: str, visitor: Visitor) -> Content:
    """The name of the catalogue, who has signed in, the languages, and the navigation."""
    links = [
        html.li[_link(context, other, key, here=other == path)]
        for other, key in PATHS.items()
        if key is not None and _offered(context, other, visitor)
    ]
    return [
        html.a(href="#page", class_="skip")[context.text("skip")],
        html.div(class_="top")[
            html.a(href="/", class_="brand")[
                html.span(aria(hidden="true"), class_="mark"),
                html.span(class_="title")[context.info.title],
            ],
            _person(context, visitor),
            _languages(context, visitor.asked),
        ],
        html.nav(aria(label=context.text("pages")))[html.ul[links]],
    ]


def footer(context: PageContext, path: str) -> Content:
    """What is kept of a photograph (nothing, unless it is uploaded), and the link to the API."""
    version = f"flukeprint {context.info.version}"
    return [
        html.p(id="privacy")[context.text("privacy_queue" if path == "/queue" else "privacy")],
        html.p[version, " · ", html.a(href="/docs")[context.text("footer_api")]],
    ]


def _offered(context: PageContext, path: str, visitor: Visitor) -> bool:
    if path == "/animals":
        return visitor.catalogue
    if path == "/queue":
        return visitor.catalogue and visitor.reviews
    if path == "/verify":
        return context.info.verify is not None
    return path != "/map" or context.map_ is not None


def _link(context: PageContext, path: str, key: str, *, here: bool) -> Element:
    name = context.kind_text(key) if key == "nav_classes" else context.text(key)
    return html.a(aria(current="page") if here else {}, href=path, class_="here" if here else None)[
        name
    ]


def _person(context: PageContext, visitor: Visitor) -> Content:
    if not visitor.people:
        return []
    words = context.text("sign_in") if visitor.name is None else visitor.name
    href = f"/sign-in?{urlencode({'next': visitor.address})}"
    return [html.a(href=href, class_="person", id="person", rel="nofollow")[words]]


def _languages(context: PageContext, asked: Sequence[tuple[str, str]]) -> Element:
    others = [one for one in asked if one[0] != "lang"]
    links = [
        html.a(
            aria(current="true") if language == context.language else {},
            id=f"language-{language}",
            href=f"?{urlencode([*others, ('lang', language)])}",
            lang=language,
            hreflang=language,
            rel="nofollow",
        )[
            html.span(aria(hidden="true"))[language.upper()],
            html.span(class_="visually-hidden")[NAMES[language]],
        ]
        for language in LANGUAGES
    ]
    return html.div(aria(label=context.text("language")), class_="languages", role="group")[links]


def _facts(context: PageContext, visitor: Visitor) -> Element:
    """What the page's scripts need to know: limits and texts, as data that is never run."""
    info = context.info
    facts = {
        "language": context.language,
        "model": info.model,
        "version": info.version,
        "signed_in": visitor.name is not None,
        "person": visitor.name,
        "held": visitor.held,
        "limits": {
            "max_bytes": info.max_bytes,
            "max_pixels": info.max_pixels,
            "side": visitor.side,
            "max_request_bytes": info.max_request_bytes,
            "max_photos": info.max_photos,
        },
        "texts": browser_texts(context.language),
    }
    # "<" would end the element.
    text = json.dumps(facts, ensure_ascii=False).replace("<", "\\u003c")
    return html.script(type="application/json", id="facts")[Markup(text)]
