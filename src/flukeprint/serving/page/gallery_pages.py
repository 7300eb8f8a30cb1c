"""The pages that show the gallery: similar photographs, the map, and the list of classes."""

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
LONGEST = 100  # most characters of a filter


@dataclass(frozen=True)
class ListQuery:
    """The query string of the list of classes: a text to filter names by, and a page from 1."""

    text: str
    page: int

    @classmethod
    def read(cls, search: object) -> "ListQuery":
        """Parse `?q=text&page=2`; what is not valid is ignored."""
        values = parse_qs(search.lstrip("?")) if isinstance(search, str) else {}
        page = values.get("page", ["1"])[0]
        number = int(page) if page.isascii() and page.isdigit() and len(page) < 8 else 1
        return cls(values.get("q", [""])[0].strip()[:LONGEST], max(number, 1))

    def href(self, page: int) -> str:
        """The address of another page with the same filter."""
        values = {"q": self.text, "page": str(page)} if self.text else {"page": str(page)}
        return f"/classes?{urlencode(values)}"


def similar_page(context: PageContext) -> Content:
    """The page of similar photographs, which the browser requests from the API."""
    return [
        heading(context.text("similar_title")),
        html.Section(id="similar-result", className="result", **aria(live="polite")),
    ]


def map_page(context: PageContext, search: object) -> Content:
    """The page of the map: the scatter plot, its legend, and the photograph under the pointer."""
    title = heading(context.text("map_title"))
    map_ = context.map_
    if map_ is None:
        return [title, html.P(context.text("map_none"), className="lead")]
    found = grouping(context, map_)
    page = context.kind_text("nav_classes")
    graph = html.Div(
        dcc.Graph(
            id="map-graph",
            figure=gallery_figure(context, map_, found.groups),
            config={"displayModeBar": False, "scrollZoom": True, "responsive": True},
            style={"height": "100%"},
        ),
        className="body map-graph",
        role="img",
        **aria(label=context.text("map_graph", page=page)),
    )
    names = sorted({context.name_of(identity) for identity in map_.identities})
    values = parse_qs(search.lstrip("?")) if isinstance(search, str) else {}
    picked = values.get("class", [""])[0][:LONGEST]
    picker = html.Div(
        [
            html.Label(context.kind_text("map_pick"), htmlFor="map-pick"),
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
    links = html.P(
        [
            html.Button(context.text("map_reset"), id="map-reset", className="button plain small"),
            dcc.Link(context.text("map_list"), href="/classes"),
        ],
        className="links",
    )
    photo = html.Div(id="map-photo", className="map-photo")
    aside = [picker, photo, _legend(context, found), links]
    return [
        title,
        html.P(context.text("map_lead"), className="lead"),
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
                f" {group.name or context.text('map_other')} ",
                html.Span(context.number(len(group.rows)), className="quiet"),
            ]
        )
        for group in found.groups
    ]
    title = html.H2(context.text("map_families", rank=rank), className="quiet")
    return html.Div([title, html.Ul(lines)], className="legend")


def classes_page(context: PageContext, search: object) -> Content:
    """The page of classes: a filter, and the place for what `classes_list` makes."""
    return [
        heading(context.kind_text("classes_title")),
        html.Div(
            [
                html.Label(context.text("classes_filter"), htmlFor="classes-filter"),
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

    search: the query string of the address; its page counts only if its filter is `text`.
    """
    query = ListQuery.read(search)
    if isinstance(text, str) and text.strip()[:LONGEST] != query.text:
        query = ListQuery(text.strip()[:LONGEST], 1)
    found = matching(context, query.text)
    pages = max(1, -(-len(found) // TILES))
    page = min(query.page, pages)
    counts = {
        "found": context.number(len(found)),
        "total": context.number(len(context.classes)),
    }
    parts: Content = [
        html.P(context.text("classes_found", **counts), role="status", className="hint")
    ]
    if not found:
        return [*parts, html.P(context.text("classes_nothing"))]
    shown = found[(page - 1) * TILES : page * TILES]
    parts.append(html.Ul([_tile(context, info) for info in shown], className="tiles classes"))
    if pages > 1:
        parts.append(_pager(context, query, page, pages))
    return parts


def matching(context: PageContext, text: str) -> Sequence[ClassInfo]:
    """The classes with a name that contains `text`, ignoring case, in the order of their names."""
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
        context.text("classes_photos_one")
        if info.photos == 1
        else context.text("classes_photos", photos=context.number(info.photos))
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
    summary = html.Summary(context.text("more_of", name=context.name_of(info.identity)))
    parts.append(html.Details([summary, card_view(context, info)], className="more"))
    return html.Li(parts)


def _pager(context: PageContext, query: ListQuery, page: int, pages: int) -> Component:
    where = context.text("page_of", page=context.number(page), pages=context.number(pages))
    parts: Content = []
    if page > 1:
        parts.append(dcc.Link(context.text("page_before"), href=query.href(page - 1)))
    parts.append(html.Span(where))
    if page < pages:
        parts.append(dcc.Link(context.text("page_after"), href=query.href(page + 1)))
    return html.Nav(parts, className="pager", **aria(label=context.text("classes_pages")))
