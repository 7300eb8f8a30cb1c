"""Components for the answers of the API: identification, verification and similar photographs.

Everything is shown as text of components, which the browser never reads as markup.
"""

from collections.abc import Callable

from dash import html
from dash.development.base_component import Component

from flukeprint.serving.api.schemas import (
    Answer,
    ClassInfo,
    Identification,
    Similar,
    Verification,
)
from flukeprint.serving.page.class_card import (
    card_view,
    medical_badge,
    medical_view,
    name_view,
    photo_view,
)
from flukeprint.serving.page.context import Content, PageContext, aria, data
from flukeprint.serving.page.headline import headline, headline_view
from flukeprint.serving.page.i18n import percent, probability

LIKELY = 0.1  # probability from which the page warns of a medically important class


def identification_view(context: PageContext, found: Identification) -> Content:
    """The headline, the first answer with its card, and the others."""
    title = "answer_of_many" if found.photos > 1 else "answer_of_one"
    parts: Content = [
        html.H2(
            context.text(title, photos=context.number(found.photos))
            if found.photos > 1
            else context.text(title),
            className="quiet",
        ),
        headline_view(headline(context, found)),
    ]
    warned = _medically_important(context, found)
    if warned:
        parts.append(medical_view(context, "yes", warned))
    list_title = "nearest_anyway" if found.verdict == "outside" else "five_answers"
    parts.append(html.H3(context.text(list_title), className="quiet"))
    if found.verdict == "outside":
        parts.append(html.P(context.text("nearest_anyway_below"), className="hint"))
    rows = [
        answer_view(
            context,
            answer,
            number,
            opened=number == 1 and found.verdict == "known",
            warned=answer.identity in warned,
        )
        for number, answer in enumerate(found.answers, 1)
    ]
    parts.append(html.Ol(rows, className="answers"))
    return parts


def answer_view(
    context: PageContext, answer: Answer, number: int, *, opened: bool, warned: bool = False
) -> Component:
    """One of the five answers: photographs of the gallery, name, score bar and class card.

    opened: whether the card is open at first.  warned: as in `card_view`.
    """
    identity = answer.identity
    body: Content = [_title(context, answer, number), score_view(context, answer)]
    info = None if identity is None else context.classes.get(identity)
    photos = _photos(context, answer)
    if info is not None:
        body.append(_card(context, info, opened=opened, warned=warned))
    return html.Li(
        [*photos, html.Div(body, className="text")],
        className="answer" + ("" if photos else " without-photos"),
        id=f"answer-{number}",
        **data(identity=identity or ""),
    )


def score_view(context: PageContext, answer: Answer) -> Component:
    """The probability as a bar and as text, where there is one, and the score as text."""
    figures: list[Component] = []
    shown: list[Component] = []
    if answer.probability is not None:
        percents = probability(context.language, answer.probability)
        figures.append(html.B(context.text("probability", percent=percents)))
        width = f"{100 * answer.probability:.1f}%"
        bar = html.Div(html.Div(style={"width": width}), className="bar", **aria(hidden="true"))
        shown.append(bar)
    score = context.number(answer.score, 2)
    key = "new_from" if answer.identity is None else "score"
    figures.append(html.Span(context.text(key, score=score)))
    return html.Div([*shown, html.P(figures, className="figures")], className="score")


def candidates_view(context: PageContext, found: Identification, decision: str) -> Content:
    """The five answers side by side, each with a button that accepts it.

    decision: the reviewer's decision, "1" to "5" for one of these answers.
    """
    return [
        html.Ol(
            [
                html.Li(
                    [
                        *_photos(context, answer)[:1],
                        html.Div(
                            [
                                _title(context, answer, number, html.H2),
                                score_view(context, answer),
                            ],
                            className="text",
                        ),
                        _accept(context, answer, number, chosen=decision == str(number)),
                    ],
                    className="candidate" + (" chosen" if decision == str(number) else ""),
                )
                for number, answer in enumerate(found.answers, 1)
            ],
            className="candidates",
        ),
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
        html.Div(
            [
                html.P(
                    context.kind_text("same" if found.same else "different"),
                    className="name",
                    id="verify-headline",
                ),
                *(html.P(line, className="below") for line in lines),
            ],
            className=f"headline tone-{'sure' if found.same else 'new'}",
        )
    ]


def similar_view(context: PageContext, found: Similar) -> Content:
    """A photo of the gallery and its nearest neighbours."""
    name = context.name_of(found.identity)
    return [
        html.P(context.text("similar_lead", name=name), className="lead"),
        html.Figure(
            [
                photo_view(context, found.photo, found.identity),
                html.Figcaption(name_view(context, found.identity)),
            ],
            className="query",
        ),
        html.Ul(
            [
                html.Li(
                    [
                        photo_view(context, near.photo, near.identity),
                        html.P(name_view(context, near.identity), className="tile-name"),
                        html.P(
                            context.text("similarity", score=context.number(near.score, 2)),
                            className="figures",
                        ),
                    ]
                )
                for near in found.similar
            ],
            className="tiles",
            id="similar-photos",
        ),
    ]


def _title(
    context: PageContext, answer: Answer, number: int, heading: Callable[..., Component] = html.H4
) -> Component:
    if answer.identity is None:
        name: Component = html.Span(context.text("not_here"))
        aside: Content = [html.Span(answer.label, className="label")]
    else:
        name = name_view(context, answer.identity)
        aside = []
        card = context.card_of(answer.identity)
        if card is not None and card.common_name is not None:
            common = getattr(card.common_name, context.language)
            aside.append(html.Span(common, className="label"))
        if card is not None and card.medically_important == "yes":
            aside.append(medical_badge(context, "yes"))
    place = html.Span(str(number), className="place")
    return html.Div(
        [heading([place, " ", name], className="answer-name"), *aside], className="answer-title"
    )


def _photos(context: PageContext, answer: Answer) -> list[Component]:
    if answer.identity is None or not context.info.thumbnails or not answer.photos:
        return []
    shown = [photo_view(context, near.photo, answer.identity) for near in answer.photos]
    return [html.Div(shown, className="photos")]


def _card(context: PageContext, info: ClassInfo, *, opened: bool, warned: bool) -> Component:
    summary = html.Summary(context.text("more_of", name=context.name_of(info.identity)))
    card = card_view(context, info, warned=warned)
    return html.Details([summary, card], open=opened, className="more")


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


def _accept(context: PageContext, answer: Answer, number: int, *, chosen: bool) -> Component:
    name = answer.label if answer.identity is None else context.name_of(answer.identity)
    label: list[str | Component] = [
        context.text("review_accept", number=str(number)),
        html.Span(f": {name}", className="visually-hidden"),
    ]
    return html.Button(
        label,
        id=f"review-accept-{number}",
        className="button small",
        **aria(pressed="true" if chosen else "false"),
        **data(act="decide", decision=str(number)),
    )


def _accepted(context: PageContext, found: Verification) -> str:
    point = context.info.verify
    pairs = "?" if point is None else context.number(point.pairs)
    if found.false_accept_rate <= 0:
        return context.text("verify_accept_none", pairs=pairs)
    once = context.number(float(f"{1 / found.false_accept_rate:.2g}"))
    return context.text("verify_accept", once=once, pairs=pairs)
