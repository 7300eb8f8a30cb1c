"""Two photographs side by side: one in question, and those of the gallery that it may be like.

`compare.js` shows them large, moves them, and draws the keypoints that agree.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlencode

import htpy as html
from htpy import Element

from flukeprint.serving.page.context import Content, PageContext, aria, data, photo_url
from flukeprint.serving.page.views.photographs import file_input, heading

COMPARE = "/compare"
MOST = 24  # photographs of the gallery that are looked at one after the other


@dataclass(frozen=True)
class ComparedPhoto:
    """A photograph of the gallery.

    animal: the catalogue's id of whom it shows.  told: its view and its date, where known.
    """

    photo: int
    identity: str
    animal: int | None = None
    told: tuple[str, ...] = ()


@dataclass(frozen=True)
class SideBySide:
    """What is compared: candidates, and beside each of them the photograph in question.

    queries: of the gallery, one for each candidate; () for a photograph that the visitor has.
    item: of the queue, whose photograph it is.  at: the place of the first candidate shown.
    """

    candidates: tuple[ComparedPhoto, ...]
    queries: tuple[ComparedPhoto, ...] = ()
    item: int | None = None
    at: int = 0


def compare_href(
    photos: Sequence[int], at: int = 0, query: int | Sequence[int] | None = None
) -> str:
    """The address at which photographs of the gallery are compared, one of them first.

    query: the photograph of the gallery beside them, or one for each; None: the visitor's own.
    """
    start = max(0, min(at - MOST // 2, len(photos) - MOST))  # the wanted one among its neighbours
    some = slice(start, start + MOST)
    parts: list[tuple[str, int]] = []
    if isinstance(query, int):
        parts.append(("query", query))
    elif query is not None:
        parts += [("query", one) for one in query[some]]
    parts += [("photo", one) for one in photos[some]]
    if at > start:
        parts.append(("at", at - start + 1))
    return f"{COMPARE}?{urlencode(parts)}"


def compare_link(context: PageContext, href: str, name: str, *, here: bool = False) -> Element:
    """A link to a comparison.  here: the page's script shows it without leaving the page."""
    acts = data(act="compare") if here else {}
    label: Content = [
        context.text("compare_link"),
        html.span(class_="visually-hidden")[f": {name}"],
    ]
    return html.a(acts, href=href, class_="compare-link")[label]


def compare_page(context: PageContext, compared: SideBySide) -> Content:
    """The page of a comparison."""
    return [
        heading(context.text("compare_title")),
        html.p(class_="lead")[context.text("compare_lead")],
        compare_view(context, compared),
    ]


def compare_view(context: PageContext, compared: SideBySide) -> Element:
    """Both photographs, what moves them, and all candidates to choose from."""
    own = not compared.queries and compared.item is None
    facts = data(at=str(compared.at), item="" if compared.item is None else str(compared.item))
    return html.section({**facts, **aria(label=context.text("compare_title"))}, id="compare")[
        _tools(context),
        html.div(class_="pair")[
            _side(context, "query", _own_photograph(context) if own else []),
            _side(context, "candidate", [html.div(id="compare-verdict", class_="buttons")]),
        ],
        html.p(id="compare-said", role="status", class_="visually-hidden"),
        html.div(id="compare-matched", role="status"),
        html.h2(class_="quiet", id="compare-strip-title")[context.text("compare_candidates")],
        html.ol(aria(labelledby="compare-strip-title"), class_="strip", id="compare-strip")[
            [_candidate(context, compared, number) for number in range(len(compared.candidates))]
        ],
    ]


def _tools(context: PageContext) -> Element:
    def button(key: str, act: str, sign: str | None = None, **more: str) -> Element:
        text = context.text(key)
        named = {} if sign is None else {**aria(label=text), "title": text}
        return html.button(
            {**data(act=f"compare-{act}", **more), **named}, id=f"compare-{key.split('_')[-1]}",
            class_="button plain small", type="button",
        )[sign or text]  # fmt: skip

    def toggle(key: str, act: str, pressed: bool) -> Element:
        return html.button(
            {**data(act=f"compare-{act}"), **aria(pressed="true" if pressed else "false")},
            id=f"compare-{act}", class_="button plain small toggle", type="button",
        )[context.text(key)]  # fmt: skip

    return html.div(class_="compare-tools")[
        html.div(class_="buttons")[
            button("compare_previous", "step", step="-1"),
            html.span(id="compare-place", class_="hint"),
            button("compare_next", "step", step="1"),
        ],
        html.div(class_="buttons")[
            button("map_farther", "zoom", "\u2212", by="0.8"),
            button("map_closer", "zoom", "+", by="1.25"),
            button("compare_whole", "whole"),
            toggle("compare_together", "together", True),
            toggle("compare_points", "points", False),
        ],
        html.details(class_="with-pointer")[
            html.summary[context.text("compare_keys_title")],
            html.p(class_="hint", id="compare-keys-hint")[context.text("compare_keys_hint")],
            toggle("compare_keys", "keys", True),
        ],
        html.p(class_="hint with-pointer")[context.text("compare_hint")],
    ]


def _side(context: PageContext, side: str, below: Content) -> Element:
    return html.figure(data(side=side), class_="compared", id=f"compare-{side}")[
        html.figcaption[
            html.span(class_="compare-name")[context.text(f"compare_{side}")],
            html.span(class_="compare-told hint"),
        ],
        html.div(
            {**aria(label=context.text("compare_stage"), describedby="compare-keys-hint"),
             "tabindex": "0"},
            class_="stage", role="group",
        )[
            html.img(alt="", draggable="false"),
            html.div(class_="points")[html.svg(aria(hidden="true"))],
        ],
        html.div(class_="compare-below")[
            html.span(class_="compare-size hint"),
            html.button(
                {**data(act="compare-mirror", side=side), **aria(pressed="false")},
                id=f"compare-mirror-{side}", class_="button plain small toggle",
                type="button",
            )[context.text("compare_mirror")],
        ],
        *below,
    ]  # fmt: skip


def _own_photograph(context: PageContext) -> Content:
    return [
        html.div(class_="compare-own", id="compare-own")[
            html.p(class_="hint")[context.text("compare_own")],
            html.button(
                data(act="choose", input="file-compare"), id="compare-choose",
                class_="button plain small", type="button",
            )[context.text("choose_one")],
            file_input("file-compare"),
        ]
    ]  # fmt: skip


def _candidate(context: PageContext, compared: SideBySide, number: int) -> Element:
    one = compared.candidates[number]
    name = _name(context, one)
    facts = data(
        act="compare-show", number=str(number), photo=str(one.photo), identity=one.identity,
        name=context.name_of(one.identity), told=", ".join(one.told),
        animal="" if one.animal is None else str(one.animal),
    )  # fmt: skip
    if compared.queries:
        beside = compared.queries[number]
        facts |= {
            "data-query": str(beside.photo),
            "data-query-name": context.name_of(beside.identity),
            "data-query-told": ", ".join(beside.told),
            "data-query-animal": "" if beside.animal is None else str(beside.animal),
        }
    return html.li[
        html.button(facts, type="button", id=f"compare-show-{number}", class_="strip-photo")[
            html.img(
                src=photo_url(one.photo), alt="", width="96", height="72", loading="lazy",
                class_="photo",
            ),
            html.span[name],
        ]
    ]  # fmt: skip


def _name(context: PageContext, one: ComparedPhoto) -> str:
    return ", ".join((context.name_of(one.identity), *one.told))
