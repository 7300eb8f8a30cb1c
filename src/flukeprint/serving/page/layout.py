"""What stands around every page, and which there are: a path enters, header and footer leave."""

from collections.abc import Mapping
from typing import Final

from dash import dcc, html
from dash.development.base_component import Component

from flukeprint.serving.page.context import Content, PageContext, aria, data
from flukeprint.serving.page.i18n import LANGUAGES, NAMES

# Path to the key of its name in the navigation; a path that is not here is no page.
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
    """Name of the collection, the languages and the ways to the pages."""
    brand = [
        html.Span(className="mark", **aria(hidden="true")),
        html.Span(context.info.title, className="title"),
    ]
    ways = [
        html.Li(_way(context, other, key, here=other == path))
        for other, key in PATHS.items()
        if key is not None and _offered(context, other)
    ]
    return [
        html.A(context.say("skip"), href="#page", className="skip"),
        html.Div(
            [dcc.Link(brand, href="/", className="brand"), _languages(context)], className="top"
        ),
        html.Nav(html.Ul(ways), **aria(label=context.say("pages"))),
    ]


def footer(context: PageContext) -> Content:
    """What is kept of a photograph (nothing), and the way to the API."""
    version = f"flukeprint {context.info.version}"
    return [
        html.P(context.say("privacy"), id="privacy"),
        html.P([version, " · ", html.A(context.say("footer_api"), href="/docs")]),
    ]


def _offered(context: PageContext, path: str) -> bool:
    if path == "/verify":
        return context.info.verify is not None
    return path != "/map" or context.map_ is not None


def _way(context: PageContext, path: str, key: str, *, here: bool) -> Component:
    name = context.say_kind(key) if key == "nav_classes" else context.say(key)
    told: Content = [name]
    if here:  # a link of Dash takes no aria-current
        told.append(html.Span(f" {context.say('this_page')}", className="heard"))
    return dcc.Link(told, href=path, className="here" if here else "")


def _languages(context: PageContext) -> Component:
    buttons = [
        html.Button(
            [
                html.Span(language.upper(), **aria(hidden="true")),
                html.Span(NAMES[language], className="heard"),
            ],
            id=f"language-{language}",
            lang=language,
            **aria(pressed="true" if language == context.language else "false"),
            **data(act="language", language=language),
        )
        for language in LANGUAGES
    ]
    return html.Div(
        buttons, className="languages", role="group", **aria(label=context.say("language"))
    )
