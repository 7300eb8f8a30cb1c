"""The pages of a catalogue: the list of its animals, and all that is known of one."""

from collections.abc import Mapping, Sequence
from itertools import groupby
from urllib.parse import urlencode

import htpy as html
from htpy import Element

from flukeprint.serving.api.catalogue.bodies import (
    AlikeBody,
    AnimalPage,
    AnimalPhoto,
    AnimalRow,
    Animals,
    EventBody,
    Facets,
)
from flukeprint.serving.page.context import Content, PageContext, aria, data, photo_url, shown
from flukeprint.serving.page.i18n import probability
from flukeprint.serving.page.views.animal_edits import animal_edits
from flukeprint.serving.page.views.animal_map import places_map
from flukeprint.serving.page.views.compare import compare_href, compare_link
from flukeprint.serving.page.views.photographs import heading

ASKED = ("q", "place", "from", "to", "sex", "view", "sort")
SORTS = ("name", "-last_seen", "-photographs")
LONGEST = 100  # characters of a field


def animal_href(animal: int) -> str:
    """The address of an animal's page."""
    return f"/animals/{int(animal)}"


def animals_page(
    context: PageContext, found: Animals, facets: Facets, asked: Mapping[str, str],
    before: str | None = None,
) -> Content:  # fmt: skip
    """The list: a form to narrow it down, and the animals that meet what was asked.

    before: cursor of the page before; "" where that is the first, None where there is none.
    """
    counts = {"found": context.number(found.total), "total": context.number(context.info.classes)}
    parts: Content = [
        heading(context.text("animals_title")),
        _form(context, facets, asked),
        html.p(role="status", class_="hint")[context.text("classes_found", **counts)],
        html.ul(class_="tiles classes", id="animals")[
            [_tile(context, row) for row in found.animals]
        ],
    ]
    if not found.animals:
        parts.append(html.p[context.text("animals_nothing")])
    links = [
        html.a(href=_page_href(asked, cursor), rel=way)[context.text(key)]
        for way, key, cursor in (
            ("prev", "page_before", before), ("next", "page_after", found.next)
        )
        if cursor is not None
    ]  # fmt: skip
    if links:
        parts.append(html.nav(aria(label=context.text("classes_pages")), class_="pager")[links])
    return parts


def _page_href(asked: Mapping[str, str], cursor: str) -> str:
    """The address of a page of what was asked; cursor "": the first one."""
    kept = {name: asked[name] for name in ASKED if asked.get(name)}
    if cursor:
        kept["cursor"] = cursor
    return f"/animals?{urlencode(kept)}"


def _form(context: PageContext, facets: Facets, asked: Mapping[str, str]) -> Element:
    def field(name: str, kind: str = "text", hint: str | None = None) -> Element:
        return html.div[
            html.label(for_=f"animals-{name}")[context.text(f"animals_{name}")],
            html.input(
                id=f"animals-{name}", name=name, type=kind, value=asked.get(name, ""),
                class_="field", maxlength=str(LONGEST), placeholder=hint, autocomplete="off",
            ),
        ]  # fmt: skip

    def choice(name: str, values: Sequence[str], prefix: str | None = None) -> Element:
        options = [
            html.option(value=value, selected=asked.get(name, "") == value)[
                context.text(f"{prefix}_{value.lstrip('-')}") if prefix else value
            ]
            for value in values
        ]
        every = [] if name == "sort" else [html.option(value="")[context.text("animals_any")]]
        return html.div[
            html.label(for_=f"animals-{name}")[context.text(f"animals_{name}")],
            html.select(id=f"animals-{name}", name=name, class_="field")[every, options],
        ]

    return html.form(class_="picker fields", action="/animals", role="search", id="animals-form")[
        field("q", "search"), field("place"), field("from", hint="2024-05"),
        field("to", hint="2026"), choice("sex", facets.sexes, "sex"), choice("view", facets.views),
        choice("sort", SORTS, "sort"),
        html.button(class_="button plain small")[context.text("search")],
    ]  # fmt: skip


def _tile(context: PageContext, row: AnimalRow) -> Element:
    parts: Content = []
    if row.photo is not None and context.info.thumbnails:
        parts.append(
            html.img(
                src=photo_url(row.photo), alt="", class_="photo", width="320", height="240",
                loading="lazy",
            )
        )  # fmt: skip
    parts.append(html.h2(class_="tile-name")[html.a(href=animal_href(row.id))[row.name]])
    if row.aliases:
        parts.append(html.p(class_="label")[", ".join(row.aliases)])
    parts.append(html.p(class_="figures")[_counts(context, row)])
    if row.last_seen is not None:
        parts.append(html.p(class_="label")[context.text("animal_last", date=shown(row.last_seen))])
    return html.li[parts]


def _counts(context: PageContext, row: AnimalRow) -> str:
    return context.text(
        "animal_counts", photographs=context.number(row.photographs),
        encounters=context.number(row.encounters),
    )  # fmt: skip


def animal_page(
    context: PageContext, animal: AnimalPage, alike: Sequence[AlikeBody], may_change: bool
) -> Content:
    """All that is known of an animal.

    alike: the animals that it could be the same as.  may_change: whether the visitor may undo.
    """
    facts: list[tuple[str, str]] = [
        (context.text(key), value)
        for key, value in (
            ("animal_aliases", ", ".join(animal.aliases)),
            ("animals_sex", "" if animal.sex is None else context.text(f"sex_{animal.sex}")),
            (
                "animal_stage",
                "" if animal.life_stage is None else context.text(f"stage_{animal.life_stage}"),
            ),
            ("animal_died", animal.died or ""),
            ("card_note", animal.notes or ""),
            ("animal_seen", _span(animal)),
            ("card_photos", _counts(context, animal)),
        )
        if value
    ]
    rows = [html.div[html.dt[term], html.dd[value]] for term, value in facts]
    return [
        heading(animal.name),
        html.div(class_="columns animal")[
            html.div(class_="side")[
                html.dl(class_="facts")[rows],
                places_map(context, animal.seen),
                _alike(context, alike, may_change),
            ],
            html.div(class_="body")[
                _photos(context, animal.photos),
                _encounters(context, animal),
                _history(context, animal.history, may_change),
                animal_edits(context, animal) if may_change else None,
            ],
        ],
    ]


def _span(animal: AnimalPage) -> str:
    dates = [shown(date) for date in (animal.first_seen, animal.last_seen) if date is not None]
    return " - ".join(dict.fromkeys(dates))


def _photos(context: PageContext, photos: Sequence[AnimalPhoto]) -> Content:
    """The photographs by view, each view by date."""
    parts: Content = [html.h2(class_="quiet")[context.text("animal_photos")]]
    numbers = [one.photo for one in photos]
    for view, group in groupby(photos, key=lambda one: one.view):
        parts.append(html.h3[view or context.text("animal_no_view")])
        parts.append(html.ul(class_="tiles")[[_photo(context, one, numbers) for one in group]])
    return parts


def _photo(context: PageContext, one: AnimalPhoto, numbers: Sequence[int]) -> Element:
    """One of the photographs of an animal; numbers: of them all, to compare it with the others."""
    date = "" if one.date is None else shown(one.date)
    alt = context.text("animal_photo", image=one.image, date=date or "?")
    picture: Content = [alt]
    if context.info.thumbnails:
        picture = [
            html.img(
                src=photo_url(one.photo), alt=alt, class_="photo", width="320", height="240",
                loading="lazy",
            )
        ]  # fmt: skip
    href = f"{photo_url(one.photo)}?size=full" if one.full else f"/similar?photo={int(one.photo)}"
    said = [date] if date else []
    if one.decided_by == "model" and one.probability is not None:
        share = probability(context.language, one.probability)
        said.append(context.text("animal_by_model", percent=share))
    return html.li[
        html.a(href=href, class_="photo-link")[picture],
        html.p(class_="label")[", ".join(said)] if said else None,
        _beside_others(context, one, numbers),
    ]


def _beside_others(context: PageContext, one: AnimalPhoto, numbers: Sequence[int]) -> Content:
    others = [number for number in numbers if number != one.photo]
    if not others or not context.info.thumbnails:
        return []
    href = compare_href(others, min(numbers.index(one.photo), len(others) - 1), one.photo)
    return [html.p[compare_link(context, href, one.image)]]


def _encounters(context: PageContext, animal: AnimalPage) -> Content:
    """The encounters as a list, the last one first."""
    if not animal.seen:
        return []
    lines = [
        html.li[
            html.b[context.text("animal_undated") if one.date is None else shown(one.date)],
            " ",
            ", ".join(filter(None, (one.place, one.observer, one.occasion, one.notes))),
        ]
        for one in reversed(animal.seen)
    ]
    return [
        html.h2(class_="quiet")[context.text("animal_encounters")],
        html.ol(class_="timeline", id="encounters")[lines],
    ]


def _alike(context: PageContext, alike: Sequence[AlikeBody], may_change: bool) -> Content:
    if not alike:
        return []
    rows = []
    pairs = [one.photo for one in alike], [one.other for one in alike]
    for number, one in enumerate(alike):
        likely = context.text("similarity", score=context.number(one.similarity, 2))
        if one.probability is not None:
            share = probability(context.language, one.probability)
            likely = context.text("probability", percent=share)
        parts: Content = []
        if context.info.thumbnails:
            parts.append(
                html.img(
                    src=photo_url(one.other), alt="", class_="photo", width="160", height="120"
                )
            )
        parts.append(html.p[html.a(href=animal_href(one.id))[one.name]])
        parts.append(html.p(class_="figures")[likely])
        if context.info.thumbnails:
            href = compare_href(pairs[1], number, pairs[0])
            parts.append(html.p[compare_link(context, href, one.name)])
        if may_change:
            parts.append(
                html.button(
                    data(act="same", animal=str(int(one.id)), name=one.name), type="button",
                    class_="button plain small", id=f"same-{int(one.id)}",
                )[context.text("edit_same")]
            )  # fmt: skip
        rows.append(html.li[parts])
    return [
        html.h2(class_="quiet")[context.text("animal_alike")],
        html.ul(class_="tiles small", id="alike")[rows],
    ]


def _history(context: PageContext, events: Sequence[EventBody], may_change: bool) -> Content:
    if not events:
        return []
    lines = []
    for one in events:
        parts: Content = [
            html.span(class_="label")[f"{shown(one.time)[:16]} {one.author}: "],
            one.summary,
        ]
        if one.reason:
            parts.append(f" ({one.reason})")
        if one.undone_by is not None:
            parts.append(html.span(class_="label")[f" {context.text('animal_undone')}"])
        elif may_change and one.undo is not None:
            parts.append(" ")
            parts.append(
                html.button(
                    data(act="undo", undo=one.undo), class_="button plain small", type="button",
                    id=f"undo-{one.id}",
                )[context.text("animal_undo")]
            )  # fmt: skip
        lines.append(html.li(class_="undone" if one.undone_by is not None else None)[parts])
    return [
        html.h2(class_="quiet")[context.text("animal_history")],
        html.p(id="undo-said", role="status", class_="hint"),
        html.ol(class_="timeline", id="history")[lines],
    ]


def without_catalogue(context: PageContext) -> Content:
    """What the list shows where the identifier keeps no catalogue yet."""
    return [
        heading(context.text("animals_title")),
        html.p(class_="lead")[context.text("problem_no_catalogue")],
    ]
