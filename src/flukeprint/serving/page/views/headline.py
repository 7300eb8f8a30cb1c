"""The headline over the five answers: the verdict in one line, and how sure it is."""

from dataclasses import dataclass
from typing import Literal

import htpy as html
from htpy import Element

from flukeprint.serving.api.schemas import Identification, Placement
from flukeprint.serving.page.context import ITALIC_RANKS, PageContext
from flukeprint.serving.page.i18n import probability, rank_name
from flukeprint.serving.page.views.class_card import styled_name

Tone = Literal["sure", "unsure", "new", "outside"]
VERY = 0.9  # from this probability on an answer is "very probably" right
EVEN = 0.5  # and from this one on "probably"


@dataclass(frozen=True)
class Headline:
    """The parts of a headline.

    above: a short line over the name.  rest: follows the name in the same line.  latin: the
    scientific name, where `name` is the common one.  below: lines of explanation.
    """

    tone: Tone
    above: str
    name: str
    italic: bool = False
    rest: str = ""
    latin: str = ""
    below: tuple[str, ...] = ()

    def text(self) -> str:
        """The headline as one line, for screen readers."""
        name = f"{self.name}{self.rest}"
        if self.latin:
            name = f"{name} ({self.latin})"
        return name if self.tone == "outside" else f"{self.above}: {name}"


def headline_view(line: Headline) -> Element:
    """The elements of a headline."""
    return html.div(class_=f"headline tone-{line.tone}")[
        html.p(class_="above")[line.above],
        html.p(class_="name", id="answer-headline")[
            styled_name(line.name, italic=line.italic), line.rest
        ],
        html.p(class_="scientific")[styled_name(line.latin, italic=True)] if line.latin else None,
        *(html.p(class_="below")[text] for text in line.below),
    ]


def headline(context: PageContext, found: Identification) -> Headline:
    """The headline of an identification; where the class is not sure, the narrowest sure rank."""
    if found.verdict == "outside":
        return _outside(context, found)
    if found.verdict == "new":
        return _new(context, found)
    placement = found.placement
    if placement is not None and placement.rank is None:
        widest = context.info.ranks[-1] if context.info.ranks else "group"
        return Headline(
            tone="unsure",
            above=context.text("unsure_all_above"),
            name=context.text("unsure_all"),
            below=(context.text("unsure_all_below", rank=rank_name(context.language, widest)),),
        )
    if placement is not None and placement.rank != "class":
        return _placed(context, placement)
    return _known(context, found)


def sure(context: PageContext, share: float | None) -> str:
    """A probability in words, such as "very probably"."""
    if share is None:
        return context.text("sure_unmeasured")
    key = "very" if share >= VERY else "probably" if share >= EVEN else "perhaps"
    return context.text(f"sure_{key}")


def _known(context: PageContext, found: Identification) -> Headline:
    first = next((each for each in found.answers if each.identity is not None), None)
    if first is None or first.identity is None:  # an empty gallery
        return Headline("unsure", context.text("unsure_all_above"), context.text("unsure_all"))
    tone: Tone = "sure" if first.probability is None or first.probability >= EVEN else "unsure"
    name, italic = context.name_of(first.identity), context.italic(first.identity)
    card = context.card_of(first.identity)
    if card is not None and card.common_name is not None:
        common = getattr(card.common_name, context.language)
        return Headline(tone, sure(context, first.probability), common, latin=name)
    return Headline(tone, sure(context, first.probability), name, italic)


def _placed(context: PageContext, placement: Placement) -> Headline:
    rank, name = placement.rank or "", placement.name or ""
    rank_text = rank_name(context.language, rank)
    below: tuple[str, ...] = ()
    if placement.probability is not None:
        percent = probability(context.language, placement.probability)
        below = (context.text("unsure_below", rank=rank_text, percent=percent),)
    return Headline(
        tone="unsure",
        above=sure(context, placement.probability),
        name=name,
        italic=rank in ITALIC_RANKS,
        rest=f", {context.kind_text('unsure')}",
        below=below,
    )


def _new(context: PageContext, found: Identification) -> Headline:
    below = []
    share = found.answers[0].probability
    if share is not None:
        percent = probability(context.language, share)
        below.append(context.text("verdict_new_below", percent=percent))
        if share < EVEN:
            below.append(context.text("verdict_new_against"))
    placement = found.placement
    if placement is not None and placement.rank not in (None, "class") and placement.name:
        rank = rank_name(context.language, placement.rank or "")
        below.append(context.text("verdict_new_near", name=placement.name, rank=rank))
    return Headline(
        tone="new",
        above=context.text("new_unmeasured") if share is None else sure(context, share),
        name=context.kind_text("verdict_new"),
        below=tuple(below),
    )


def _outside(context: PageContext, found: Identification) -> Headline:
    below: tuple[str, ...] = ()
    if context.info.outside is not None:
        below = (
            context.text(
                "verdict_outside_below",
                closeness=context.number(found.closeness, 2),
                outside=context.number(context.info.outside, 2),
            ),
        )
    return Headline(
        tone="outside",
        above=context.text("verdict_outside_above"),
        name=context.text("verdict_outside"),
        below=below,
    )
