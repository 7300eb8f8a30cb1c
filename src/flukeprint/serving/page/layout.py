"""The paths of all pages, and the header and footer that every page has."""

from collections.abc import Mapping
from typing import Final

from dash import dcc, html
from dash.development.base_component import Component

from flukeprint.serving.page.context import Content, PageContext, aria, data
from flukeprint.serving.page.i18n import LANGUAGES, NAMES

# Each path with the key of its name in the navigation, None for a page that is not in it.
PATHS: Final[Mapping[str, str | None]] = {
    "/": "nav_identify",
    "/verify": "nav_verify",
    "/review": "nav_review",
    "/map": "nav_map",
    "/classes": "nav_classes",
    "/about": "nav_about",
    "/similar": None,
}


def header(context: PageContext, path: str) -> Content:
    """The name of the catalogue, the choice of languages, and the navigation."""
    brand = [
        html.Span(className="mark", **aria(hidden="true")),
        html.Span(context.info.title, className="title"),
    ]
    links = [
        html.Li(_link(context, other, key, here=other == path))
        for other, key in PATHS.items()
        if key is not None and _offered(context, other)
    ]
    return [
        html.A(context.text("skip"), href="#page", className="skip"),
        html.Div(
            [dcc.Link(brand, href="/", className="brand"), _languages(context)], className="top"
        ),
        html.Nav(html.Ul(links), **aria(label=context.text("pages"))),
    ]


def footer(context: PageContext) -> Content:
    """What is kept of a photograph (nothing), and the link to the API."""
    version = f"flukeprint {context.info.version}"
    return [
        html.P(context.text("privacy"), id="privacy"),
        html.P([version, " · ", html.A(context.text("footer_api"), href="/docs")]),
    ]


def _offered(context: PageContext, path: str) -> bool:
    if path == "/verify":
        return context.info.verify is not None
    return path != "/map" or context.map_ is not None


def _link(context: PageContext, path: str, key: str, *, here: bool) -> Component:
    name = context.kind_text(key) if key == "nav_classes" else context.text(key)
    label: Content = [name]
    if here:  # Link of Dash accepts no aria-current
        label.append(html.Span(f" {context.text('this_page')}", className="visually-hidden"))
    return dcc.Link(label, href=path, className="here" if here else "")


def _languages(context: PageContext) -> Component:
    buttons = [
        html.Button(
            [
                html.Span(language.upper(), **aria(hidden="true")),
                html.Span(NAMES[language], className="visually-hidden"),
            ],
            id=f"language-{language}",
            lang=language,
            **aria(pressed="true" if language == context.language else "false"),
            **data(act="language", language=language),
        )
        for language in LANGUAGES
    ]
    return html.Div(
        buttons, className="languages", role="group", **aria(label=context.text("language"))
    )
