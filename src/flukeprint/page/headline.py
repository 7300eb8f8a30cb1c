"""What an answer comes to in one line: an Identification enters, a headline in words leaves."""

from dataclasses import dataclass
from typing import Literal

from flukeprint.api_models import Identification, Placement
from flukeprint.page.context import ITALIC_RANKS, PageContext
from flukeprint.page.wording import probability, rank_name

Tone = Literal["sure", "unsure", "new", "outside"]
VERY = 0.9  # probability from which an answer is "very probably"
EVEN = 0.5  # and "probably"


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
