"""The callbacks of the page: they render components when stores or the address change.

These callbacks render the API's answers in the language of the visitor; those that need nothing
from the server run in the browser (`assets/browser.js`).
"""

from collections.abc import Callable, Mapping
from urllib.parse import parse_qs

from dash import ClientsideFunction, Dash, Input, Output, State, dcc, html
from dash.exceptions import PreventUpdate

from flukeprint.serving.api.schemas import Identification, Similar, Verification
from flukeprint.serving.page.about_page import about_page
from flukeprint.serving.page.context import Content, PageContext
from flukeprint.serving.page.error_view import (
    ModelT,
    PageAnswer,
    Refused,
    problem_text,
    problem_view,
    read_body,
    read_item,
    read_outcome,
)
from flukeprint.serving.page.gallery_pages import classes_list, classes_page, map_page, similar_page
from flukeprint.serving.page.headline import headline, headline_view
from flukeprint.serving.page.i18n import Language
from flukeprint.serving.page.layout import footer, header
from flukeprint.serving.page.result_view import (
    candidates_view,
    identification_view,
    similar_view,
    verification_view,
)
from flukeprint.serving.page.upload_pages import heading, identify_page, review_page, verify_page

Contexts = Mapping[Language, PageContext]


def add_callbacks(app: Dash, contexts: Contexts) -> None:
    """Register all callbacks of the page.  contexts: one for each language."""
    _layout(app, contexts)
    _identify(app, contexts)
    _verify(app, contexts)
    _review(app, contexts)
    _gallery(app, contexts)


def page_at(context: PageContext, path: object, search: object) -> Content:
    """The components of the page at a path; search: the query string of the address."""
    match path:
        case "/":
            return identify_page(context)
        case "/verify":
            return verify_page(context)
        case "/review":
            return review_page(context)
        case "/similar":
            return similar_page(context)
        case "/map":
            return map_page(context, search)
        case "/classes":
            return classes_page(context, search)
        case "/about":
            return about_page(context)
    start = html.P(dcc.Link(context.text("to_start"), href="/"))
    return [heading(context.text("nothing_here")), start]


def outcome_view(
    context: PageContext,
    stored: object,
    model: type[ModelT],
    view: Callable[[ModelT], tuple[Content, str]],
    flow: str | None = None,
) -> tuple[Content, str]:
    """The outcome of a request as components, and as one line for screen readers.

    model: the body of the API's answer.  view: components and line of such a body.
    flow: whose photographs may be sent again after a temporary problem.
    """
    outcome = read_outcome(stored)
    if outcome is None:
        return [], ""
    if isinstance(outcome, PageAnswer):
        body = read_body(outcome, model)
        if not isinstance(body, Refused):
            return view(body)
        outcome = body
    return problem_view(context, outcome, flow), problem_text(context, outcome)


def photo_of(search: object) -> int | None:
    """The id of `?photo=12`, None where there is no such number."""
    values = parse_qs(search.lstrip("?")) if isinstance(search, str) else {}
    text = values.get("photo", [""])[0]
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else None


def _context(contexts: Contexts, language: object) -> PageContext:
    """The context of a language; raises PreventUpdate until the browser has chosen one."""
    for known in contexts:
        if known == language:
            return contexts[known]
    raise PreventUpdate


def _in_browser(function: str) -> ClientsideFunction:
    return ClientsideFunction("flukeprint", function)


def _layout(app: Dash, contexts: Contexts) -> None:
    app.clientside_callback(
        _in_browser("language"),
        Output("language", "data"),
        Input("chosen-language", "data"),
        State("texts", "data"),
        State("limits", "data"),
    )
    app.clientside_callback(
        _in_browser("arrived"),
        Output("arrival", "data"),
        Input("page", "children"),
        State("url", "pathname"),
    )

    @app.callback(
        Output("header", "children"),
        Output("page", "children"),
        Output("footer", "children"),
        Input("language", "data"),
        Input("url", "pathname"),
        State("url", "search"),
    )
    def layout(language: object, path: object, search: object) -> tuple[Content, Content, Content]:
        context = _context(contexts, language)
        here = path if isinstance(path, str) else "/"
        return header(context, here), page_at(context, here, search), footer(context)


def _identify(app: Dash, contexts: Contexts) -> None:
    app.clientside_callback(
        _in_browser("photos"),
        Output("identify-photos-view", "children"),
        Input("identify-photos", "data"),
        Input("language", "data"),
    )
    _progress(app, "identify")
    app.clientside_callback(
        _in_browser("answered"),
        Output("identify-seen", "data"),
        Input("identify-result", "children"),
    )

    @app.callback(
        Output("identify-result", "children"),
        Output("identify-status-answer", "children"),
        Input("identify-outcome", "data"),
        Input("language", "data"),
    )
    def answer(stored: object, language: object) -> tuple[Content, str]:
        context = _context(contexts, language)

        def view(found: Identification) -> tuple[Content, str]:
            line = context.text("answered", headline=headline(context, found).text())
            return identification_view(context, found), line

        return outcome_view(context, stored, Identification, view, "identify")


def _verify(app: Dash, contexts: Contexts) -> None:
    app.clientside_callback(
        _in_browser("halves"),
        Output("verify-first-photo", "children"),
        Output("verify-second-photo", "children"),
        Input("verify-photos", "data"),
        Input("language", "data"),
    )
    _progress(app, "verify")

    @app.callback(
        Output("verify-result", "children"),
        Output("verify-status-answer", "children"),
        Input("verify-outcome", "data"),
        Input("language", "data"),
    )
    def answer(stored: object, language: object) -> tuple[Content, str]:
        context = _context(contexts, language)

        def view(found: Verification) -> tuple[Content, str]:
            line = context.kind_text("same" if found.same else "different")
            return verification_view(context, found), context.text("answered", headline=line)

        return outcome_view(context, stored, Verification, view, "verify")


def _review(app: Dash, contexts: Contexts) -> None:
    app.clientside_callback(
        _in_browser("queue"),
        Output("review-queue", "children"),
        Output("review-count", "children"),
        Output("review-panel", "hidden"),
        Output("review-resend", "hidden"),
        Input("review-list", "data"),
        Input("language", "data"),
    )
    app.clientside_callback(
        _in_browser("reviewed"),
        Output("review-photo", "children"),
        Input("review-current", "data"),
        Input("language", "data"),
    )
    app.clientside_callback(
        _in_browser("keys"),
        Output("review-keys", "aria-pressed"),
        Input("review-keys-used", "data"),
        Input("language", "data"),
    )

    @app.callback(
        Output("review-headline", "children"),
        Output("review-candidates", "children"),
        Input("review-current", "data"),
        Input("language", "data"),
    )
    def candidates(stored: object, language: object) -> tuple[Content, Content]:
        context = _context(contexts, language)
        item = read_item(stored)
        if item is None:
            return [], []
        outcome = read_outcome(item.outcome)
        if outcome is None:
            return [html.P(context.text("review_wait"), className="lead")], []
        found = read_body(outcome, Identification) if isinstance(outcome, PageAnswer) else outcome
        if not isinstance(found, Identification):
            return problem_view(context, found, None), []
        line = headline_view(headline(context, found))
        return [line], candidates_view(context, found, item.decision)


def _gallery(app: Dash, contexts: Contexts) -> None:
    app.clientside_callback(
        _in_browser("similar"),
        Output("similar-outcome", "data"),
        Input("url", "pathname"),
        Input("url", "search"),
    )
    app.clientside_callback(
        _in_browser("pointed"),
        Output("map-photo", "children"),
        Input("map-graph", "hoverData"),
        Input("map-graph", "clickData"),
        Input("language", "data"),
        State("limits", "data"),
    )
    app.clientside_callback(
        _in_browser("picked"),
        Output("map-graph", "figure"),
        Output("map-picked", "children"),
        Input("map-pick", "value"),
        Input("map-reset", "n_clicks"),
        State("map-graph", "figure"),
    )
    app.clientside_callback(
        _in_browser("filtered"), Output("classes-shown", "data"), Input("classes-filter", "value")
    )

    @app.callback(
        Output("similar-result", "children"),
        Input("similar-outcome", "data"),
        Input("language", "data"),
        State("url", "search"),
    )
    def similar(stored: object, language: object, search: object) -> Content:
        context = _context(contexts, language)
        if photo_of(search) is None:
            return [html.P(context.text("similar_no_photo"), className="lead")]

        def view(found: Similar) -> tuple[Content, str]:
            return similar_view(context, found), ""

        return outcome_view(context, stored, Similar, view)[0]

    @app.callback(
        Output("classes-list", "children"),
        Input("url", "search"),
        Input("classes-filter", "value"),
        Input("language", "data"),
    )
    def classes(search: object, text: object, language: object) -> Content:
        return classes_list(_context(contexts, language), search, text)


def _progress(app: Dash, flow: str) -> None:
    app.clientside_callback(
        _in_browser("progress"),
        Output(f"{flow}-progress-view", "children"),
        Output(f"{flow}-status-progress", "children"),
        Input(f"{flow}-progress", "data"),
        Input("language", "data"),
        State(f"{flow}-progress", "id"),
    )
