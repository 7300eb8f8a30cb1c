"""What went wrong, in friendly words: an outcome that is no answer enters, components leave."""

import math
from typing import assert_never

from dash import html

from flukeprint.page.context import Content, PageContext, data
from flukeprint.page.outcomes import Lost, Refused, Withheld
from flukeprint.page.wording import megabytes
from flukeprint.page.wording_table import WORDING

# Asking again may help with these; with the others the photograph itself has to change.
PASSING = frozenset(
    {"rate_limited", "busy", "not_ready", "timeout", "slow_upload", "conflict", "internal"}
)
_WITHHELD_AS = {"too_many": "problem_too_many_photographs", "none": "problem_no_photograph"}


def problem_text(context: PageContext, outcome: Refused | Lost | Withheld) -> str:
    """One sentence or two: what, and what to do.  An unknown kind reads as a mistake of ours."""
    match outcome:
        case Lost():
            return context.say("lost")
        case Withheld():
            values = {
                **context.limits(),
                "name": outcome.name,
                "size": megabytes(context.language, outcome.size, up=True),
            }
            return context.say(
                _WITHHELD_AS.get(outcome.reason, f"withheld_{outcome.reason}"), **values
            )
        case Refused():
            key = f"problem_{outcome.kind}"
            text = context.say(key if key in WORDING else "problem_internal", **context.limits())
            if outcome.retry_after is None:
                return text
            seconds = context.number(math.ceil(outcome.retry_after))
            return f"{text} {context.say('problem_wait', seconds=seconds)}"
    assert_never(outcome)


def problem_view(
    context: PageContext, outcome: Refused | Lost | Withheld, flow: str | None
) -> Content:
    """The sentence, a button to ask again where that may help, and the API's own words folded.

    flow: identify or verify, whose photographs the button sends again; None without a button.
    """
    parts: Content = [
        html.P(context.say("problem_title"), className="above"),
        html.P(problem_text(context, outcome), className="below", id="problem-text"),
    ]
    passing = isinstance(outcome, Lost) or (
        isinstance(outcome, Refused) and outcome.kind in PASSING
    )
    if passing and flow is not None:
        parts.append(
            html.Button(
                context.say("again"),
                id=f"{flow}-again",
                className="button",
                **data(act="again", flow=flow),
            )
        )
    if isinstance(outcome, Refused) and outcome.detail:
        words = html.P(outcome.detail, lang="en")
        parts.append(html.Details([html.Summary(context.say("details")), words]))
    return [html.Div(parts, className="headline tone-problem")]
