"""Elements for a class: its name, a photograph of it, and its card."""

from collections.abc import Sequence
from itertools import groupby
from urllib.parse import urlencode

import htpy as html
from htpy import Element

from flukeprint.serving.api.schemas import ClassCard, ClassInfo
from flukeprint.serving.page.context import ITALIC_RANKS, Content, PageContext, aria, photo_url
from flukeprint.serving.page.i18n import rank_name

# Words in names of species and genera that are not set in italics.
UPRIGHT = frozenset({"sp.", "spp.", "subsp.", "var.", "cf.", "aff.", "or"})


def name_view(context: PageContext, identity: str) -> Element:
    """The name of a class, in italics if it is a genus or species."""
    return styled_name(context.name_of(identity), italic=context.italic(identity))


def styled_name(name: str, *, italic: bool) -> Element:
    """A name; in italics it is marked as Latin, for screen readers too, except words like `sp.`."""
    if not italic:
        return html.span[name]
    parts: Content = []
    for upright, words in groupby(name.split(), key=UPRIGHT.__contains__):
        text = " ".join(words)
        parts += [" "] if parts else []
        parts.append(text if upright else html.i(class_="latin", lang="la")[text])
    return html.span[parts]


def photo_view(context: PageContext, photo: int, identity: str) -> Element:
    """A photograph of the gallery, or without thumbnails its name, linked to similar ones."""
    name = context.name_of(identity)
    alt = context.text("gallery_photo", photo=str(photo), name=name)
    if not context.info.thumbnails:
        return html.a(href=similar_href(photo))[alt]
    image = html.img(src=photo_url(photo), alt=alt, class_="photo", width="320", height="320")
    return html.a(href=similar_href(photo), class_="photo-link")[image]


def similar_href(photo: int) -> str:
    """The address of the page of photographs that are similar to a photo of the gallery."""
    return f"/similar?photo={int(photo)}"


def card_view(context: PageContext, info: ClassInfo, *, warned: bool = False) -> Element:
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
    lines = [html.div[html.dt[term], html.dd[value]] for term, value in rows]
    parts: list[Element] = [html.dl(class_="facts")[lines]]
    if card is not None and card.medically_important is not None and not warned:
        told = medical_view(context, card.medically_important)
        parts.insert(0, html.div[told, advice_view(context, card)])
    parts.append(_links(context, info))
    if card is not None and card.credit:
        parts.append(html.p(class_="credit")[context.text("card_credit", credit=card.credit)])
    return html.div(class_="card")[parts]


def medical_view(context: PageContext, important: str, names: Sequence[str] = ()) -> Element:
    """Medical importance: a badge, an explanation, and what to do, with who says so.

    names: the classes meant, where that is not clear from the context.
    """
    title: Content = [medical_badge(context, important)]
    for at, name in enumerate(names):
        title += [", " if at else " ", name_view(context, name)]
    return html.div(class_=f"medical medical-{important}")[
        html.p[title], html.p[context.text(f"medical_{important}_text")],
        [advice_view(context, context.card_of(name)) for name in names],
    ]  # fmt: skip


def advice_view(context: PageContext, card: ClassCard | None) -> Content:
    """What to do after a bite, and whom to call, with the source that says so."""
    if card is None or card.source is None:
        return []
    parts: Content = []
    if card.advice is not None:
        parts.append(html.p(class_="advice")[html.b[getattr(card.advice, context.language)]])
    if card.call is not None:
        digits = "".join(letter for letter in card.call if letter.isdigit() or letter == "+")
        number = html.a(href=f"tel:{digits}")[card.call]
        parts.append(html.p[f"{context.text('advice_call')} ", number])
    parts.append(html.p(class_="credit")[context.text("advice_source", source=card.source)])
    return parts


def medical_badge(context: PageContext, important: str) -> Element:
    """The badge alone, with a sign, so that it does not depend on colour."""
    sign = {"yes": "⚠", "no": "✓"}.get(important, "?")
    return html.span(class_=f"badge badge-{important}")[
        html.span(aria(hidden="true"))[f"{sign} "], context.text(f"medical_{important}")
    ]


def _names(context: PageContext, card: ClassCard) -> list[tuple[str, Content]]:
    rows: list[tuple[str, Content]] = [
        (context.text("card_name"), [styled_name(card.name, italic=card.rank in ITALIC_RANKS)])
    ]
    if card.common_name is not None:
        rows.append((context.text("card_common"), [getattr(card.common_name, context.language)]))
    if card.rank != "class":  # which says nothing
        rows.append((context.text("card_rank"), [rank_name(context.language, card.rank)]))
    return rows


def _ranked(rank: str, name: str) -> Element:
    return styled_name(name, italic=rank in ITALIC_RANKS)


def _links(context: PageContext, info: ClassInfo) -> Element:
    links = []
    if context.info.thumbnails:
        links.append(html.a(href=similar_href(info.photo))[context.text("similar_link")])
    if context.map_ is not None:
        links.append(html.a(href=map_href(info.identity))[context.text("map_link")])
    return html.p(class_="links")[links]


def map_href(identity: str) -> str:
    """The address of the map with a class highlighted."""
    return f"/map?{urlencode({'class': identity})}"
