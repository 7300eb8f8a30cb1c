"""The pages that show the gallery: similar photographs, the map, and the list of classes."""

from dataclasses import dataclass
from urllib.parse import parse_qs, urlencode

import htpy as html
from htpy import Element

from flukeprint.serving.api.schemas import ClassInfo
from flukeprint.serving.page.context import Content, PageContext, aria, data, photo_url
from flukeprint.serving.page.i18n import rank_name
from flukeprint.serving.page.map_points import MapPoints
from flukeprint.serving.page.views.class_card import (
    card_view,
    medical_badge,
    name_view,
    photo_view,
    similar_href,
)
from flukeprint.serving.page.views.map_groups import Grouping
from flukeprint.serving.page.views.photographs import heading

TILES = 24  # classes on a page of the list
LONGEST = 100  # most characters of a filter


@dataclass(frozen=True)
class ListQuery:
    """The query string of the list of classes: a text to filter names by, and a page from 1."""

    text: str
    page: int

    @classmethod
    def read(cls, search: str) -> "ListQuery":
        """Parse `?q=text&page=2`; what is not valid is ignored."""
        values = parse_qs(search.lstrip("?"))
        page = values.get("page", ["1"])[0]
        number = int(page) if page.isascii() and page.isdigit() and len(page) < 8 else 1
        return cls(values.get("q", [""])[0].strip()[:LONGEST], max(number, 1))

    def href(self, page: int) -> str:
        """The address of another page with the same filter."""
        values = {"q": self.text, "page": str(page)} if self.text else {"page": str(page)}
        return f"/classes?{urlencode(values)}"


def map_page(
    context: PageContext, points: MapPoints, found: Grouping, address: str, search: str
) -> Content:
    """The page of the map: the points, their legend, and the photograph under the pointer.

    address: of the points' bytes.  search: the query string; `class` is highlighted at once.
    """
    page = context.kind_text("nav_classes")
    shown = context.number(len(points))
    wanted = parse_qs(search.lstrip("?")).get("class", [""])[0][:LONGEST]
    graph = html.div(class_="body")[
        html.div(data(points=address), id="map-graph", class_="map-graph", tabindex="0")[
            html.canvas(
                aria(label=context.text("map_graph", page=page)), id="map-canvas", role="img"
            ),
            html.div(aria(hidden="true"), id="map-mark", hidden=True),
            html.div(id="map-photo", class_="map-photo", hidden=True),
        ],
        html.div(class_="links scripted")[
            _map_button(context, "map_closer", "map-closer", "+"),
            _map_button(context, "map_farther", "map-farther", "\u2212"),
            html.button(id="map-reset", class_="button plain small", type="button")[
                context.text("map_reset")
            ],
            html.span(class_="hint")[context.text("map_shown", shown=shown, total=shown)],
        ],
        html.p(class_="hint with-pointer")[context.text("map_zoom_hint")],
    ]
    picker = html.div(class_="picker scripted")[
        html.label(for_="map-pick")[context.kind_text("map_pick")],
        html.input(
            aria(controls="map-found", describedby="map-picked"),
            id="map-pick", type="search", value=wanted, autocomplete="off", class_="field",
            maxlength=str(LONGEST),
        ),
        html.p(id="map-picked", role="status", class_="hint"),
        html.ul(id="map-found", class_="found"),
    ]  # fmt: skip
    links = html.p(class_="links")[html.a(href="/classes")[context.text("map_list")]]
    return [
        heading(context.text("map_title")),
        html.p(class_="lead")[context.text("map_lead")],
        html.div(class_="columns map")[
            graph, html.div(class_="side")[picker, _legend(context, found), links]
        ],
    ]


def without_map(context: PageContext) -> Content:
    """The page of the map of a gallery that has none."""
    return [
        heading(context.text("map_title")), html.p(class_="lead")[context.text("map_none")]
    ]  # fmt: skip


def map_photo(context: PageContext, photo: int, identity: str) -> Content:
    """The photograph of a point: its picture, its class, and the way to similar ones."""
    name = context.name_of(identity)
    parts: Content = []
    if context.info.thumbnails:
        alt = context.text("gallery_photo", photo=str(photo), name=name)
        parts.append(
            html.img(
                src=photo_url(photo), alt=alt, class_="photo", id="map-photo-image", width="320",
                height="240",
            )
        )  # fmt: skip
    parts.append(html.p(class_="tile-name")[name_view(context, identity)])
    card = context.card_of(identity)
    if card is not None and card.common_name is not None:
        parts.append(html.p(class_="label")[getattr(card.common_name, context.language)])
    parts.append(html.p[html.a(href=similar_href(photo))[context.text("similar_title")]])
    return parts


def _map_button(context: PageContext, key: str, name: str, sign: str) -> Element:
    return html.button(
        aria(label=context.text(key)), id=name, class_="button plain small", type="button"
    )[sign]


def _legend(context: PageContext, found: Grouping) -> Element:
    if not found.rank:
        return html.div()
    rank = rank_name(context.language, found.rank)
    lines = [
        html.li[
            html.span(aria(hidden="true"), class_=f"group-{group.number}")[group.sign],
            f" {group.name or context.text('map_other')} ",
            html.span(class_="quiet")[context.number(group.photos)],
        ]
        for group in found.groups
    ]
    title = html.h2(class_="quiet")[context.text("map_families", rank=rank)]
    return html.div(class_="legend")[title, html.ul[lines]]


def classes_page(context: PageContext, search: str) -> Content:
    """The page of classes: a filter, and the classes whose names contain it."""
    return [
        heading(context.kind_text("classes_title")),
        html.form(class_="picker", id="classes-form", action="/classes", role="search")[
            html.label(for_="classes-filter")[context.text("classes_filter")],
            html.input(
                id="classes-filter", name="q", type="search", value=ListQuery.read(search).text,
                autocomplete="off", class_="field", maxlength=str(LONGEST),
            ),
            html.noscript[html.button(class_="button plain small")[context.text("search")]],
        ],
        html.section(id="classes-list")[classes_list(context, search)],
    ]  # fmt: skip


def classes_list(context: PageContext, search: str) -> Content:
    """The classes whose names contain the filter of the query string, `TILES` a page."""
    query = ListQuery.read(search)
    found = context.names.find(query.text)
    pages = max(1, -(-len(found) // TILES))
    page = min(query.page, pages)
    counts = {
        "found": context.number(len(found)),
        "total": context.number(len(context.classes)),
    }
    parts: Content = [html.p(role="status", class_="hint")[context.text("classes_found", **counts)]]
    if not found:
        return [*parts, html.p[context.text("classes_nothing")]]
    shown = found[(page - 1) * TILES : page * TILES]
    parts.append(html.ul(class_="tiles classes")[[_tile(context, info) for info in shown]])
    if pages > 1:
        parts.append(_pager(context, query, page, pages))
    return parts


def _tile(context: PageContext, info: ClassInfo) -> Element:
    photos = (
        context.text("classes_photos_one")
        if info.photos == 1
        else context.text("classes_photos", photos=context.number(info.photos))
    )
    parts: Content = []
    if context.info.thumbnails:
        parts.append(photo_view(context, info.photo, info.identity))
    parts.append(html.h2(class_="tile-name")[name_view(context, info.identity)])
    if info.card is not None and info.card.common_name is not None:
        common = getattr(info.card.common_name, context.language)
        parts.append(html.p(class_="label")[common])
    if info.card is not None and info.card.medically_important == "yes":
        parts.append(medical_badge(context, "yes"))
    parts.append(html.p(class_="figures")[photos])
    summary = html.summary[context.text("more_of", name=context.name_of(info.identity))]
    parts.append(html.details(class_="more")[summary, card_view(context, info)])
    return html.li[parts]


def _pager(context: PageContext, query: ListQuery, page: int, pages: int) -> Element:
    where = context.text("page_of", page=context.number(page), pages=context.number(pages))
    parts: Content = []
    if page > 1:
        parts.append(html.a(href=query.href(page - 1))[context.text("page_before")])
    parts.append(html.span[where])
    if page < pages:
        parts.append(html.a(href=query.href(page + 1))[context.text("page_after")])
    return html.nav(aria(label=context.text("classes_pages")), class_="pager")[parts]
