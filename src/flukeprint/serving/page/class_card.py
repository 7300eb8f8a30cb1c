"""Components for a class: its name, a photograph of it, and its card."""

from collections.abc import Sequence
from itertools import groupby
from urllib.parse import urlencode

from dash import dcc, html
from dash.development.base_component import Component

from flukeprint.serving.api.schemas import ClassCard, ClassInfo
from flukeprint.serving.page.context import ITALIC_RANKS, Content, PageContext, aria, photo_url
from flukeprint.serving.page.i18n import rank_name

# Words in names of species and genera that are not set in italics.
UPRIGHT = frozenset({"sp.", "spp.", "subsp.", "var.", "cf.", "aff.", "or"})


def name_view(context: PageContext, identity: str) -> Component:
    """The name of a class, in italics if it is a genus or species."""
    return styled_name(context.name_of(identity), italic=context.italic(identity))


def styled_name(name: str, *, italic: bool) -> Component:
    """A name; in italics it is marked as Latin, for screen readers too, except words like `sp.`."""
    if not italic:
        return html.Span(name)
    parts: Content = []
    for upright, words in groupby(name.split(), key=UPRIGHT.__contains__):
        text = " ".join(words)
        parts += [" "] if parts else []
        parts.append(text if upright else html.I(text, className="latin", lang="la"))
    return html.Span(parts)


def photo_view(context: PageContext, photo: int, identity: str) -> Component:
    """A photograph of the gallery, or without thumbnails its name, linked to similar ones."""
    name = context.name_of(identity)
    alt = context.text("gallery_photo", photo=str(photo), name=name)
    if not context.info.thumbnails:
        return dcc.Link(alt, href=similar_href(photo))
    image = html.Img(src=photo_url(photo), alt=alt, className="photo", width="320", height="320")
    return dcc.Link(image, href=similar_href(photo), className="photo-link")


def similar_href(photo: int) -> str:
    """The address of the page of photographs that are similar to a photo of the gallery."""
    return f"/similar?photo={int(photo)}"


def card_view(context: PageContext, info: ClassInfo, *, warned: bool = False) -> Component:
    """Everything known about a class, and links to similar photographs and to the map.

    warned: `medical_view` is shown above already and is not repeated.
    """
    card = info.card
    rows: list[tuple[str, Content]] = []
    if card is not None:
        rows += _names(context, card)
        rows += [
            (rank_name(context.language, rank).capitalize(), [_ranked(rank, name)])
            for rank, name in card.lineage.items()
        ]
        for key, words in (("card_where", card.where), ("card_note", card.note)):
            if words is not None:
                rows.append((context.text(key), [getattr(words, context.language)]))
    rows.append((context.text("card_photos"), [context.number(info.photos)]))
    lines = [html.Div([html.Dt(term), html.Dd(value)]) for term, value in rows]
    parts: list[Component] = [html.Dl(lines, className="facts")]
    if card is not None and card.medically_important is not None and not warned:
        parts.insert(0, medical_view(context, card.medically_important))
    parts.append(_links(context, info))
    if card is not None and card.credit:
        parts.append(html.P(context.text("card_credit", credit=card.credit), className="credit"))
    return html.Div(parts, className="card")


def medical_view(context: PageContext, important: str, names: Sequence[str] = ()) -> Component:
    """Medical importance: a badge and an explanation.

    names: the classes meant, where that is not clear from the context.
    """
    title: Content = [medical_badge(context, important)]
    for at, name in enumerate(names):
        title += [", " if at else " ", name_view(context, name)]
    return html.Div(
        [html.P(title), html.P(context.text(f"medical_{important}_text"))],
        className=f"medical medical-{important}",
    )


def medical_badge(context: PageContext, important: str) -> Component:
    """The badge alone, with a sign, so that it does not depend on colour."""
    sign = {"yes": "⚠", "no": "✓"}.get(important, "?")
    return html.Span(
        [html.Span(f"{sign} ", **aria(hidden="true")), context.text(f"medical_{important}")],
        className=f"badge badge-{important}",
    )


def _names(context: PageContext, card: ClassCard) -> list[tuple[str, Content]]:
    rows: list[tuple[str, Content]] = [
        (context.text("card_name"), [styled_name(card.name, italic=card.rank in ITALIC_RANKS)])
    ]
    if card.common_name is not None:
        rows.append((context.text("card_common"), [getattr(card.common_name, context.language)]))
    if card.rank != "class":  # which says nothing
        rows.append((context.text("card_rank"), [rank_name(context.language, card.rank)]))
    return rows


def _ranked(rank: str, name: str) -> Component:
    return styled_name(name, italic=rank in ITALIC_RANKS)


def _links(context: PageContext, info: ClassInfo) -> Component:
    links = []
    if context.info.thumbnails:
        links.append(dcc.Link(context.text("similar_link"), href=similar_href(info.photo)))
    if context.map_ is not None:
        links.append(dcc.Link(context.text("map_link"), href=map_href(info.identity)))
    return html.P(links, className="links")


def map_href(identity: str) -> str:
    """The address of the map with a class highlighted."""
    return f"/map?{urlencode({'class': identity})}"
