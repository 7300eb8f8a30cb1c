"""What the page has for use in the field: what is said first, what waits, and what is held."""

from dataclasses import replace

import htpy as html
from htpy import Element

from flukeprint.serving.page.context import Content, PageContext, aria, data
from flukeprint.serving.page.views.class_card import card_view, medical_badge, name_view


def first_options(context: PageContext, *, taken: bool) -> Element:
    """What a person may want to say before a photograph is sent; all off at first.

    taken: whether date and place are worth sending.
    """
    ticks = [_tick(context, "first-boxes", "first_boxes")]
    if taken:
        ticks.append(_tick(context, "first-taken", "first_taken", "first_taken_hint"))
    return html.div(class_="first scripted")[ticks]


def _tick(context: PageContext, name: str, key: str, hint: str | None = None) -> Element:
    described = {} if hint is None else aria(describedby=f"{name}-hint")
    tick = html.input(described, type="checkbox", id=name, autocomplete="off")
    return html.div[
        html.label(class_="check", for_=name)[tick, " ", context.text(key)],
        None if hint is None else html.p(class_="hint", id=f"{name}-hint")[context.text(hint)],
    ]


def box_button(context: PageContext) -> Element:
    """The button that lets a person choose the animal in the photograph that is shown."""
    return html.p(class_="scripted", id="identify-box", hidden=True)[
        html.button(data(act="box"), class_="button plain small", type="button", id="box-choose")[
            context.text("box_choose")
        ]
    ]


def waiting_view(context: PageContext) -> Element:
    """The photographs that wait on this device, which the page's script lists."""
    buttons = [
        html.button(id=f"waiting-{act}", class_="button plain small", type="button")[
            context.text(f"waiting_{act}")
        ]
        for act in ("send", "delete")
    ]
    return html.section(
        aria(labelledby="waiting-title"), id="waiting", class_="waiting", hidden=True
    )[
        html.h2(class_="quiet", id="waiting-title", tabindex="-1")[context.text("waiting")],
        html.p(id="waiting-count", role="status"),
        html.ul(id="waiting-list"),
        html.p(id="waiting-others", class_="hint"),
        html.p(id="waiting-told", role="status", class_="hint"),
        html.div(class_="buttons")[buttons],
    ]


def held_notes(context: PageContext) -> list[Element]:
    """What a page that is held on the device says of itself, once its script runs."""
    return [
        html.p(id="held", class_="note", hidden=True)[context.text("held_page")],
        html.p(id="not-held", class_="note", hidden=True)[context.text("held_other")],
    ]


def field_notes(context: PageContext, *, cards: bool) -> Element:
    """What works without a network and what does not, and whether this device holds it."""
    can = [context.text("field_can_page"), context.text("field_can_wait")]
    parts: Content = [
        html.summary[context.text("field")],
        html.p(id="field-state", role="status"),
        html.p[context.text("field_can")],
        html.ul(class_="dots")[(html.li[line] for line in can)],
    ]
    if cards:
        link = html.a(href="/field/classes", id="field-cards")[context.kind_text("field_cards")]
        parts.append(html.p[link])
    parts.append(html.p[context.text("field_cannot")])
    parts.append(html.p[context.text("field_install")])
    return html.details(class_="field-notes scripted", id="field")[parts]


def cards_page(context: PageContext, title: Element) -> Content:
    """All classes with their cards, without photographs: it is read without a network.

    title: the heading.
    """
    # Photographs and the map are not there without a network.
    plain = replace(context, map_=None, info=context.info.model_copy(update={"thumbnails": False}))
    rows = []
    for identity in sorted(plain.classes, key=plain.name_of):
        info = plain.classes[identity]
        parts: Content = [html.span(class_="tile-name")[name_view(plain, identity)]]
        if info.card is not None and info.card.common_name is not None:
            common = getattr(info.card.common_name, plain.language)
            parts += [" ", html.span(class_="label")[common]]
        if info.card is not None and info.card.medically_important == "yes":
            parts += [" ", medical_badge(plain, "yes")]
        rows.append(html.li[html.details[html.summary[parts], card_view(plain, info)]])
    return [
        title,
        html.p(class_="lead")[context.text("cards_lead")],
        html.div(class_="picker scripted")[
            html.label(for_="cards-q")[context.text("classes_filter")],
            html.input(id="cards-q", type="search", autocomplete="off", class_="field"),
            html.p(id="cards-found", role="status", class_="hint"),
        ],
        html.ul(id="cards", class_="cards")[rows],
        html.p[html.a(href="/")[context.text("to_start")]],
    ]
