"""The pages that show the gallery: a context enters, the components of a page leave."""

from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import parse_qs, urlencode

from dash import dcc, html
from dash.development.base_component import Component

from flukeprint.serving.api.schemas import ClassInfo
from flukeprint.serving.page.class_card import card_view, medical_badge, name_view, photo_view
from flukeprint.serving.page.context import Content, PageContext, aria
from flukeprint.serving.page.gallery_figure import Grouping, gallery_figure, grouping
from flukeprint.serving.page.i18n import rank_name
from flukeprint.serving.page.upload_pages import heading

TILES = 24  # classes on a page of the list
LONGEST = 100  # characters of a text to filter by


@dataclass(frozen=True)
class ListQuery:
    """What the address asks of the list: a text that names contain, and a page from 1."""

    text: str
    page: int

    @classmethod
    def read(cls, search: object) -> "ListQuery":
        """Of `?q=text&page=2`; what cannot be read is as if it were not there."""
        values = parse_qs(search.lstrip("?")) if isinstance(search, str) else {}
        page = values.get("page", ["1"])[0]
        number = int(page) if page.isascii() and page.isdigit() and len(page) < 8 else 1
        return cls(values.get("q", [""])[0].strip()[:LONGEST], max(number, 1))

    def href(self, page: int) -> str:
        """The address of another page of the same text."""
        values = {"q": self.text, "page": str(page)} if self.text else {"page": str(page)}
        return f"/classes?{urlencode(values)}"


def similar_page(context: PageContext) -> Content:
    """A photo of the gallery and those beside it, which the browser asks the API for."""
    return [
        heading(context.say("similar_title")),
        html.Section(id="similar-result", className="result", **aria(live="polite")),
    ]


def map_page(context: PageContext, search: object) -> Content:
    """The scatter, what it stands for, and a photograph of what is pointed at."""
    title = heading(context.say("map_title"))
    map_ = context.map_
    if map_ is None:
        return [title, html.P(context.say("map_none"), className="lead")]
    found = grouping(context, map_)
    page = context.say_kind("nav_classes")
    graph = html.Div(
        dcc.Graph(
            id="map-graph",
            figure=gallery_figure(context, map_, found.groups),
            config={"displayModeBar": False, "scrollZoom": True, "responsive": True},
            style={"height": "100%"},
        ),
        className="body map-graph",
        role="img",
        **aria(label=context.say("map_graph", page=page)),
    )
    names = sorted({context.name_of(identity) for identity in map_.identities})
    asked = parse_qs(search.lstrip("?")) if isinstance(search, str) else {}
    picked = asked.get("class", [""])[0][:LONGEST]
    picker = html.Div(
        [
            html.Label(context.say_kind("map_pick"), htmlFor="map-pick"),
            dcc.Input(
                id="map-pick",
                type="text",
                debounce=0.25,  # seconds
                list="map-names",
                value=context.name_of(picked),
                autoComplete="off",
                className="field",
            ),
            html.Datalist([html.Option(value=name) for name in names], id="map-names"),
            html.P(id="map-picked", role="status", className="hint"),
        ],
        className="picker",
    )
    ways = html.P(
        [
            html.Button(context.say("map_reset"), id="map-reset", className="button plain small"),
            dcc.Link(context.say("map_list"), href="/classes"),
        ],
        className="ways",
    )
    aside = [picker, html.Div(id="map-photo", className="map-photo"), _legend(context, found), ways]
    return [
        title,
        html.P(context.say("map_lead"), className="lead"),
        html.Div([graph, html.Div(aside, className="side")], className="columns map"),
    ]


def _legend(context: PageContext, found: Grouping) -> Component:
    if not found.rank:
        return html.Div()
    rank = rank_name(context.language, found.rank)
    lines = [
        html.Li(
            [
                html.Span(group.sign, style={"color": group.colour}, **aria(hidden="true")),
                f" {group.name or context.say('map_other')} ",
                html.Span(context.number(len(group.rows)), className="quiet"),
            ]
        )
        for group in found.groups
    ]
    title = html.H2(context.say("map_families", rank=rank), className="quiet")
    return html.Div([title, html.Ul(lines)], className="legend")


def classes_page(context: PageContext, search: object) -> Content:
    """A text to filter by, over the list that `classes_list` makes."""
    return [
        heading(context.say_kind("classes_title")),
        html.Div(
            [
                html.Label(context.say("classes_filter"), htmlFor="classes-filter"),
                dcc.Input(
                    id="classes-filter",
                    type="search",
                    debounce=0.25,  # seconds
                    value=ListQuery.read(search).text,
                    autoComplete="off",
                    className="field",
                ),
            ],
            className="picker",
        ),
        html.Section(id="classes-list"),
    ]


def classes_list(context: PageContext, search: object, text: object) -> Content:
    """The classes whose names contain `text`, `TILES` a page.

    The page is the one of the address `search`, unless that asks for another text.
    """
    asked = ListQuery.read(search)
    if isinstance(text, str) and text.strip()[:LONGEST] != asked.text:
        asked = ListQuery(text.strip()[:LONGEST], 1)
    found = matching(context, asked.text)
    pages = max(1, -(-len(found) // TILES))
    page = min(asked.page, pages)
    counts = {
        "found": context.number(len(found)),
        "total": context.number(len(context.classes)),
    }
    parts: Content = [
        html.P(context.say("classes_found", **counts), role="status", className="hint")
    ]
    if not found:
        return [*parts, html.P(context.say("classes_nothing"))]
    shown = found[(page - 1) * TILES : page * TILES]
    parts.append(html.Ul([_tile(context, info) for info in shown], className="tiles classes"))
    if pages > 1:
        parts.append(_pager(context, asked, page, pages))
    return parts


def matching(context: PageContext, text: str) -> Sequence[ClassInfo]:
    """The classes, by name, one of whose names contains `text` in any case; "" is in all."""
    wanted = text.casefold()
    found = [
        info
        for info in context.classes.values()
        if any(wanted in name.casefold() for name in _names(context, info))
    ]
    return sorted(found, key=lambda info: context.name_of(info.identity).casefold())


def _names(context: PageContext, info: ClassInfo) -> list[str]:
    names = [info.identity]
    if info.card is not None:
        names += [info.card.name, *info.card.lineage.values()]
        if info.card.common_name is not None:
            names.append(getattr(info.card.common_name, context.language))
    return names


def _tile(context: PageContext, info: ClassInfo) -> Component:
    photos = (
        context.say("classes_photos_one")
        if info.photos == 1
        else context.say("classes_photos", photos=context.number(info.photos))
    )
    parts: Content = []
    if context.info.thumbnails:
        parts.append(photo_view(context, info.photo, info.identity))
    parts.append(html.H2(name_view(context, info.identity), className="tile-name"))
    if info.card is not None and info.card.common_name is not None:
        common = getattr(info.card.common_name, context.language)
        parts.append(html.P(common, className="label"))
    if info.card is not None and info.card.medically_important == "yes":
        parts.append(medical_badge(context, "yes"))
    parts.append(html.P(photos, className="figures"))
    summary = html.Summary(context.say("more_of", name=context.name_of(info.identity)))
    parts.append(html.Details([summary, card_view(context, info)], className="more"))
    return html.Li(parts)


def _pager(context: PageContext, asked: ListQuery, page: int, pages: int) -> Component:
    where = context.say("page_of", page=context.number(page), pages=context.number(pages))
    parts: Content = []
    if page > 1:
        parts.append(dcc.Link(context.say("page_before"), href=asked.href(page - 1)))
    parts.append(html.Span(where))
    if page < pages:
        parts.append(dcc.Link(context.say("page_after"), href=asked.href(page + 1)))
    return html.Nav(parts, className="pager", **aria(label=context.say("classes_pages")))
