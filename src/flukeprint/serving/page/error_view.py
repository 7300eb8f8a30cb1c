"""What the page's scripts hand in: JSON of the browser enters, a checked outcome leaves.

An outcome is an answer of the API, a problem of the API, a lost connection, or a photograph that
the browser did not send because it could not have been taken.
"""

import math
from typing import Annotated, Literal, TypeVar, assert_never

from dash import html
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from flukeprint.serving.page.context import Content, PageContext, data
from flukeprint.serving.page.i18n import megabytes
from flukeprint.serving.page.translations import WORDING

ModelT = TypeVar("ModelT", bound=BaseModel)


class ErrorPart(BaseModel):
    """Frozen; unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class PageAnswer(ErrorPart):
    """The API answered."""

    state: Literal["answer"]
    body: dict[str, object]  # as the API gave it; see `read_body`


class Refused(ErrorPart):
    """The API told a problem."""

    state: Literal["problem"]
    kind: str
    status: int
    detail: str
    retry_after: float | None = Field(ge=0, le=86_400, allow_inf_nan=False)  # seconds


class Lost(ErrorPart):
    """Nothing came back."""

    state: Literal["lost"]


class Withheld(ErrorPart):
    """A photograph that was not sent."""

    state: Literal["withheld"]
    reason: Literal[
        "too_large", "too_large_together", "empty", "not_a_photograph", "too_many", "none"
    ]
    name: str  # of the file
    size: int = Field(ge=0)  # bytes, of all together where that is the reason


Outcome = PageAnswer | Refused | Lost | Withheld
MISREAD = Refused(state="problem", kind="internal", status=0, detail="", retry_after=None)

# Asking again may help with these; with the others the photograph itself has to change.
PASSING = frozenset(
    {"rate_limited", "busy", "not_ready", "timeout", "slow_upload", "conflict", "internal"}
)
_WITHHELD_AS = {"too_many": "problem_too_many_photographs", "none": "problem_no_photograph"}
_READER: TypeAdapter[Outcome] = TypeAdapter(Annotated[Outcome, Field(discriminator="state")])


def read_outcome(handed_in: object) -> Outcome | None:
    """The outcome, None where there is none yet; what cannot be read is a problem of its own."""
    if handed_in is None:
        return None
    try:
        return _READER.validate_python(handed_in)
    except ValidationError:
        return MISREAD


def read_body(answered: PageAnswer, model: type[ModelT]) -> ModelT | Refused:
    """The API's answer as `model`, or the problem that it is none."""
    try:
        return model.model_validate(answered.body)
    except ValidationError:
        return MISREAD


class ReviewItem(ErrorPart):
    """The photograph of the review queue that is looked at."""

    index: int = Field(ge=0)
    name: str
    decision: str  # "" while undecided; else "1".."5", "n" or "u"
    outcome: dict[str, object] | None  # null while it waits


def read_item(handed_in: object) -> ReviewItem | None:
    """The item, None where there is none."""
    try:
        return ReviewItem.model_validate(handed_in)
    except ValidationError:
        return None


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
