"""How answers look: an Identification, a Verification or a Similar enters, components leave.

Whatever is shown stands in components as text, which the browser never reads as markup.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from dash import html
from dash.development.base_component import Component

from flukeprint.serving.api.schemas import (
    Answer,
    ClassInfo,
    Identification,
    Placement,
    Similar,
    Verification,
)
from flukeprint.serving.page.class_card import (
    card_view,
    medical_badge,
    medical_view,
    name_view,
    photo_view,
    styled_name,
)
from flukeprint.serving.page.context import ITALIC_RANKS, Content, PageContext, aria, data
from flukeprint.serving.page.i18n import percent, probability, rank_name

LIKELY = 0.1  # probability from which a class that medicine knows is warned of
Tone = Literal["sure", "unsure", "new", "outside"]
VERY = 0.9  # probability from which an answer is "very probably"
EVEN = 0.5  # and "probably"


def identification_view(context: PageContext, found: Identification) -> Content:
    """The headline, the first answer with its card, and the others."""
    over = headline(context, found)
    title = "answer_of_many" if found.photos > 1 else "answer_of_one"
    parts: Content = [
        html.H2(
            context.say(title, photos=context.number(found.photos))
            if found.photos > 1
            else context.say(title),
            className="quiet",
        ),
        headline_view(over),
    ]
    warned = _known_to_medicine(context, found)
    if warned:
        parts.append(medical_view(context, "yes", warned))
    over_list = "nearest_anyway" if found.verdict == "outside" else "five_answers"
    parts.append(html.H3(context.say(over_list), className="quiet"))
    if found.verdict == "outside":  # probabilities hold for photographs of the collection alone
        answers = [each.model_copy(update={"probability": None}) for each in found.answers]
    else:
        answers = found.answers
    rows = [
        answer_view(
            context,
            answer,
            number,
            opened=number == 1 and found.verdict == "known",
            warned=answer.identity in warned,
        )
        for number, answer in enumerate(answers, 1)
    ]
    parts.append(html.Ol(rows, className="answers"))
    return parts


@dataclass(frozen=True)
class Headline:
    """`above`, a short line; then `name` (in italics or not) with `rest` behind it; `below`."""

    tone: Tone
    above: str
    name: str
    italic: bool = False
    rest: str = ""
    below: tuple[str, ...] = ()

    def text(self) -> str:
        """The line for those who hear the page."""
        name = f"{self.name}{self.rest}"
        return name if self.tone in ("new", "outside") else f"{self.above}: {name}"


def headline_view(over: Headline) -> Component:
    """The line over the answers."""
    return html.Div(
        [
            html.P(over.above, className="above"),
            html.P(
                [styled_name(over.name, italic=over.italic), over.rest],
                className="name",
                id="answer-headline",
            ),
            *(html.P(text, className="below") for text in over.below),
        ],
        className=f"headline tone-{over.tone}",
    )


def answer_view(
    context: PageContext, answer: Answer, number: int, *, opened: bool, warned: bool = False
) -> Component:
    """One of the five answers: photographs of the gallery, name, bar, card.

    opened: whether the card is seen at once; warned: as in `card_view`.
    """
    identity = answer.identity
    body: Content = [_title(context, answer, number), score_view(context, answer)]
    info = None if identity is None else context.classes.get(identity)
    photos = _photos(context, answer)
    if info is not None:
        body.append(_card(context, info, opened=opened, warned=warned))
    return html.Li(
        [*photos, html.Div(body, className="told")],
        className="answer" + ("" if photos else " without-photos"),
        id=f"answer-{number}",
        **data(identity=identity or ""),
    )


def score_view(context: PageContext, answer: Answer) -> Component:
    """A bar of the probability, else of the similarity; the numbers as text."""
    told: list[Component] = []
    share = answer.score
    if answer.probability is not None:
        share = answer.probability
        shown = probability(context.language, answer.probability)
        told.append(html.B(context.say("probability", percent=shown)))
    score = context.number(answer.score, 2)
    key = "new_from" if answer.identity is None else "similarity"
    told.append(html.Span(context.say(key, score=score)))
    width = f"{100 * min(max(share, 0.0), 1.0):.1f}%"
    bar = html.Div(html.Div(style={"width": width}), className="bar", **aria(hidden="true"))
    return html.Div([bar, html.P(told, className="figures")], className="score")


def candidates_view(context: PageContext, found: Identification, decision: str) -> Content:
    """The five answers side by side, each with a button that accepts it.

    decision: what a reviewer has decided, "1" to "5" for one of these.
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
                            className="told",
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
    """The same or different, and how far to trust it."""
    values: dict[str, str] = {
        "score": context.number(found.score, 2),
        "threshold": context.number(found.threshold, 2),
    }
    lines = [context.say("verify_above", **values), _accepted(context, found)]
    missed = percent(context.language, found.false_reject_rate)
    lines.append(context.say("verify_reject", percent=missed))
    return [
        html.Div(
            [
                html.P(
                    context.say_kind("same" if found.same else "different"),
                    className="name",
                    id="verify-headline",
                ),
                *(html.P(line, className="below") for line in lines),
            ],
            className=f"headline tone-{'sure' if found.same else 'new'}",
        )
    ]


def similar_view(context: PageContext, found: Similar) -> Content:
    """A photo of the gallery and those beside it."""
    name = context.name_of(found.identity)
    return [
        html.P(context.say("similar_lead", name=name), className="lead"),
        html.Figure(
            [
                photo_view(context, found.photo, found.identity),
                html.Figcaption(name_view(context, found.identity)),
            ],
            className="asked",
        ),
        html.Ul(
            [
                html.Li(
                    [
                        photo_view(context, near.photo, near.identity),
                        html.P(name_view(context, near.identity), className="tile-name"),
                        html.P(
                            context.say("similarity", score=context.number(near.score, 2)),
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
        name: Component = html.Span(context.say("not_here"))
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
    summary = html.Summary(context.say("more_of", name=context.name_of(info.identity)))
    card = card_view(context, info, warned=warned)
    return html.Details([summary, card], open=opened, className="more")


def _known_to_medicine(context: PageContext, found: Identification) -> list[str]:
    """Likely answers whose bite may need treatment: told at once, not only in their cards."""
    if found.verdict == "outside":
        return []
    likely = [
        answer.identity
        for number, answer in enumerate(found.answers)
        if number == 0 or (answer.probability is not None and answer.probability >= LIKELY)
    ]
    cards = {name: context.card_of(name) for name in likely if name is not None}
    return [name for name, card in cards.items() if card and card.medically_important == "yes"]


def _accept(context: PageContext, answer: Answer, number: int, *, chosen: bool) -> Component:
    name = answer.label if answer.identity is None else context.name_of(answer.identity)
    told: list[str | Component] = [
        context.say("review_accept", number=str(number)),
        html.Span(f": {name}", className="heard"),
    ]
    return html.Button(
        told,
        id=f"review-accept-{number}",
        className="button small",
        **aria(pressed="true" if chosen else "false"),
        **data(act="decide", decision=str(number)),
    )


def _accepted(context: PageContext, found: Verification) -> str:
    point = context.info.verify
    pairs = "?" if point is None else context.number(point.pairs)
    if found.false_accept_rate <= 0:
        return context.say("verify_accept_none", pairs=pairs)
    once = context.number(float(f"{1 / found.false_accept_rate:.2g}"))
    return context.say("verify_accept", once=once, pairs=pairs)


def headline(context: PageContext, found: Identification) -> Headline:
    """The line over the answers; a rank above the class is told where the class is not sure."""
    if found.verdict == "outside":
        return _outside(context, found)
    if found.verdict == "new":
        return _new(context, found)
    placement = found.placement
    if placement is not None and placement.rank is None:
        widest = context.info.ranks[-1] if context.info.ranks else "group"
        return Headline(
            tone="unsure",
            above=context.say("unsure_all_above"),
            name=context.say("unsure_all"),
            below=(context.say("unsure_all_below", rank=rank_name(context.language, widest)),),
        )
    if placement is not None and placement.rank != "class":
        return _placed(context, placement)
    return _known(context, found)


def sure(context: PageContext, share: float | None) -> str:
    """A probability in words."""
    if share is None:
        return context.say("sure_unmeasured")
    key = "very" if share >= VERY else "probably" if share >= EVEN else "perhaps"
    return context.say(f"sure_{key}")


def _known(context: PageContext, found: Identification) -> Headline:
    first = next((each for each in found.answers if each.identity is not None), None)
    if first is None or first.identity is None:  # nothing in the gallery to answer with
        return Headline("unsure", context.say("unsure_all_above"), context.say("unsure_all"))
    return Headline(
        tone="sure" if first.probability is None or first.probability >= EVEN else "unsure",
        above=sure(context, first.probability),
        name=context.name_of(first.identity),
        italic=context.italic(first.identity),
    )


def _placed(context: PageContext, placement: Placement) -> Headline:
    rank, name = placement.rank or "", placement.name or ""
    told = rank_name(context.language, rank)
    below: tuple[str, ...] = ()
    if placement.probability is not None:
        percent = probability(context.language, placement.probability)
        below = (context.say("unsure_below", rank=told, percent=percent),)
    return Headline(
        tone="unsure",
        above=sure(context, placement.probability),
        name=name,
        italic=rank in ITALIC_RANKS,
        rest=f", {context.say_kind('unsure')}",
        below=below,
    )


def _new(context: PageContext, found: Identification) -> Headline:
    below = []
    if found.probability_unknown is not None:
        percent = probability(context.language, found.probability_unknown)
        below.append(context.say("verdict_new_below", percent=percent))
    placement = found.placement
    if placement is not None and placement.rank not in (None, "class") and placement.name:
        rank = rank_name(context.language, placement.rank or "")
        below.append(context.say("verdict_new_near", name=placement.name, rank=rank))
    return Headline(
        tone="new",
        above=context.say("verdict_new_above"),
        name=context.say_kind("verdict_new"),
        below=tuple(below),
    )


def _outside(context: PageContext, found: Identification) -> Headline:
    below: tuple[str, ...] = ()
    if context.info.outside is not None:
        below = (
            context.say(
                "verdict_outside_below",
                closeness=context.number(found.closeness, 2),
                outside=context.number(context.info.outside, 2),
            ),
        )
    return Headline(
        tone="outside",
        above=context.say("verdict_outside_above"),
        name=context.say("verdict_outside"),
        below=below,
    )
