"""Elements for the answers of the API: identification, verification and similar photographs.

Everything is shown as text of components, which the browser never reads as markup.
"""

from collections.abc import Callable

import htpy as html
from htpy import Element

from flukeprint.serving.api.schemas import (
    Answer,
    ClassInfo,
    Identification,
    Similar,
    Verification,
)
from flukeprint.serving.page.context import Content, PageContext, aria, data
from flukeprint.serving.page.i18n import percent, probability
from flukeprint.serving.page.views.class_card import (
    card_view,
    medical_badge,
    medical_view,
    name_view,
    photo_view,
)
from flukeprint.serving.page.views.compare import compare_href, compare_link
from flukeprint.serving.page.views.headline import headline, headline_view

LIKELY = 0.1  # probability from which the page warns of a medically important class


def identification_view(context: PageContext, found: Identification) -> Content:
    """The headline, the first answer with its card, and the others."""
    title = "answer_of_many" if found.photos > 1 else "answer_of_one"
    parts: Content = [
        html.h2(class_="quiet")[
            context.text(title, photos=context.number(found.photos))
            if found.photos > 1
            else context.text(title)
        ],
        headline_view(headline(context, found)),
    ]
    warned = _medically_important(context, found)
    if warned:
        parts.append(medical_view(context, "yes", warned))
    list_title = "nearest_anyway" if found.verdict == "outside" else "five_answers"
    parts.append(html.h3(class_="quiet")[context.text(list_title)])
    if found.verdict == "outside":
        parts.append(html.p(class_="hint")[context.text("nearest_anyway_below")])
    rows = [
        answer_view(
            context,
            answer,
            number,
            opened=number == 1 and found.verdict == "known",
            warned=answer.identity in warned,
            beside=_beside(context, found, number),
        )
        for number, answer in enumerate(found.answers, 1)
    ]
    parts.append(html.ol(class_="answers")[rows])
    return parts


def answer_view(
    context: PageContext, answer: Answer, number: int, *, opened: bool, warned: bool = False,
    beside: Element | None = None,
) -> Element:  # fmt: skip
    """One of the five answers: photographs of the gallery, name, score bar and class card.

    opened: whether the card is open at first.  warned: as in `card_view`.  beside: the link to
        see it side by side.
    """
    identity = answer.identity
    body: Content = [_title(context, answer, number), score_view(context, answer)]
    info = None if identity is None else context.classes.get(identity)
    photos = _photos(context, answer)
    if beside is not None:
        body.append(html.p[beside])
    if info is not None:
        body.append(_card(context, info, opened=opened, warned=warned))
    return html.li(
        data(identity=identity or ""),
        class_="answer" + ("" if photos else " without-photos"),
        id=f"answer-{number}",
    )[*photos, html.div(class_="text")[body]]


def score_view(context: PageContext, answer: Answer) -> Element:
    """The probability as a bar and as text; where there is none, the score by which it ranks."""
    if answer.probability is not None:
        percents = probability(context.language, answer.probability)
        return html.div(class_="score")[
            html.progress(
                aria(hidden="true"), class_="bar", max="1", value=f"{answer.probability:.4f}"
            ),
            html.p(class_="figures")[html.b[context.text("probability", percent=percents)]],
        ]
    key = "new_from" if answer.identity is None else "score"
    score = context.number(answer.score, 2)
    return html.div(class_="score")[html.p(class_="figures")[context.text(key, score=score)]]


def candidates_view(context: PageContext, found: Identification, decision: str) -> Content:
    """The five answers side by side, each with a button that accepts it.

    decision: the reviewer's decision, "1" to "5" for one of these answers.
    """
    return [
        html.ol(class_="candidates")[
            [
                html.li(class_="candidate" + (" chosen" if decision == str(number) else ""))[
                    *_photos(context, answer)[:1],
                    html.div(class_="text")[
                        _title(context, answer, number, html.h2),
                        score_view(context, answer),
                        _beside(context, found, number),
                    ],
                    _accept(context, answer, number, chosen=decision == str(number)),
                ]
                for number, answer in enumerate(found.answers, 1)
            ]
        ],
    ]


def verification_view(context: PageContext, found: Verification) -> Content:
    """Whether two photographs show the same animal, and how far to trust that."""
    values: dict[str, str] = {
        "score": context.number(found.score, 2),
        "threshold": context.number(found.threshold, 2),
    }
    lines = [context.text("verify_above", **values), _accepted(context, found)]
    missed = percent(context.language, found.false_reject_rate)
    lines.append(context.text("verify_reject", percent=missed))
    return [
        html.div(class_=f"headline tone-{'sure' if found.same else 'new'}")[
            html.p(class_="name", id="verify-headline")[
                context.kind_text("same" if found.same else "different")
            ],
            *(html.p(class_="below")[line] for line in lines),
        ]
    ]


def similar_view(context: PageContext, found: Similar) -> Content:
    """A photo of the gallery and its nearest neighbours."""
    name = context.name_of(found.identity)
    photos = [near.photo for near in found.similar]
    return [
        html.p(class_="lead")[context.text("similar_lead", name=name)],
        html.figure(class_="query")[
            photo_view(context, found.photo, found.identity),
            html.figcaption[name_view(context, found.identity)],
        ],
        html.ul(class_="tiles", id="similar-photos")[
            [
                html.li[
                    photo_view(context, near.photo, near.identity),
                    html.p(class_="tile-name")[name_view(context, near.identity)],
                    html.p(class_="figures")[
                        context.text("similarity", score=context.number(near.score, 2))
                    ],
                    _from_here(context, photos, number, found.photo, near.identity),
                ]
                for number, near in enumerate(found.similar)
            ]
        ],
    ]


def _from_here(
    context: PageContext, photos: list[int], number: int, query: int, identity: str
) -> Element | None:
    if not context.info.thumbnails:
        return None
    href = compare_href(photos, number, query)
    return html.p[compare_link(context, href, context.name_of(identity))]


def _title(
    context: PageContext, answer: Answer, number: int, heading: Callable[..., Element] = html.h4
) -> Element:
    if answer.identity is None:
        name: Element = html.span[context.text("not_here")]
        aside: Content = [html.span(class_="label")[answer.label]]
    else:
        name = name_view(context, answer.identity)
        aside = []
        card = context.card_of(answer.identity)
        if card is not None and card.common_name is not None:
            common = getattr(card.common_name, context.language)
            aside.append(html.span(class_="label")[common])
        if card is not None and card.medically_important == "yes":
            aside.append(medical_badge(context, "yes"))
    place = html.span(class_="place")[str(number)]
    return html.div(class_="answer-title")[heading(class_="answer-name")[place, " ", name], *aside]


def _photos(context: PageContext, answer: Answer) -> list[Element]:
    if answer.identity is None or not context.info.thumbnails or not answer.photos:
        return []
    shown = [photo_view(context, near.photo, answer.identity) for near in answer.photos]
    return [html.div(class_="photos")[shown]]


def _beside(context: PageContext, found: Identification, number: int) -> Element | None:
    """The link to see an answer beside the photograph, and then the others; None without photos."""
    answer = found.answers[number - 1]
    if answer.identity is None or not context.info.thumbnails or not answer.photos:
        return None
    photos = [near.photo for one in found.answers if one.identity for near in one.photos]
    href = compare_href(photos, photos.index(answer.photos[0].photo))
    return compare_link(context, href, context.name_of(answer.identity), here=True)


def _card(context: PageContext, info: ClassInfo, *, opened: bool, warned: bool) -> Element:
    summary = html.summary[context.text("more_of", name=context.name_of(info.identity))]
    card = card_view(context, info, warned=warned)
    return html.details(open=opened, class_="more")[summary, card]


def _medically_important(context: PageContext, found: Identification) -> list[str]:
    """Likely classes whose bite may need treatment: warned of at the top, not only in cards.

    An answer that is given as much as the first may be likelier than it, see `Verdict`.
    """
    if found.verdict == "outside":
        return []
    least = min(LIKELY, found.answers[0].probability or LIKELY) if found.answers else LIKELY
    likely = [
        answer.identity
        for number, answer in enumerate(found.answers)
        if number == 0 or (answer.probability is not None and answer.probability >= least)
    ]
    cards = {name: context.card_of(name) for name in likely if name is not None}
    return [name for name, card in cards.items() if card and card.medically_important == "yes"]


def _accept(context: PageContext, answer: Answer, number: int, *, chosen: bool) -> Element:
    name = answer.label if answer.identity is None else context.name_of(answer.identity)
    label: list[str | Element] = [
        context.text("review_accept", number=str(number)),
        html.span(class_="visually-hidden")[f": {name}"],
    ]
    return html.button(
        {**aria(pressed="true" if chosen else "false"), **data(act="decide", decision=str(number))},
        id=f"review-accept-{number}",
        class_="button small",
    )[label]


def _accepted(context: PageContext, found: Verification) -> str:
    point = context.info.verify
    pairs = "?" if point is None else context.number(point.pairs)
    if found.false_accept_rate <= 0:
        return context.text("verify_accept_none", pairs=pairs)
    once = context.number(float(f"{1 / found.false_accept_rate:.2g}"))
    return context.text("verify_accept", once=once, pairs=pairs)
