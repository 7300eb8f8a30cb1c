"""Validates the outcomes of requests that the page's scripts report, and shows those that failed.

An outcome is an answer of the API, a problem of the API, a lost connection, or a photograph that
the browser did not send since the API would have refused it.
"""

import math
from typing import Annotated, Literal, TypeVar, assert_never

import htpy as html
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from flukeprint.serving.page.context import Content, PageContext, data
from flukeprint.serving.page.i18n import megabytes, texts

ModelT = TypeVar("ModelT", bound=BaseModel)


class BrowserData(BaseModel):
    """Base of the models for JSON of the browser: frozen, unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class PageAnswer(BrowserData):
    """The API answered."""

    state: Literal["answer"]
    body: dict[str, object]  # as the API gave it; see `read_body`


class Refused(BrowserData):
    """The API refused the request with a problem."""

    state: Literal["problem"]
    kind: str
    status: int
    detail: str
    retry_after: float | None = Field(ge=0, le=86_400, allow_inf_nan=False)  # seconds


class Lost(BrowserData):
    """The connection failed."""

    state: Literal["lost"]


class Withheld(BrowserData):
    """The browser did not send a photograph."""

    state: Literal["withheld"]
    reason: Literal[
        "too_large", "too_large_together", "empty", "not_a_photograph", "too_many", "none"
    ]
    name: str  # of the file
    size: int = Field(ge=0)  # bytes, of all together where that is the reason


Outcome = PageAnswer | Refused | Lost | Withheld
MISREAD = Refused(state="problem", kind="internal", status=0, detail="", retry_after=None)

# Trying again may help with these; with the others the photograph itself has to change.
TEMPORARY = frozenset(
    {"rate_limited", "busy", "not_ready", "timeout", "slow_upload", "conflict", "internal"}
)
_WITHHELD_AS = {"too_many": "problem_too_many_photographs", "none": "problem_no_photograph"}
_READER: TypeAdapter[Outcome] = TypeAdapter(Annotated[Outcome, Field(discriminator="state")])


def read_outcome(stored: object) -> Outcome | None:
    """The outcome, None where there is none yet; MISREAD for data that are not valid."""
    if stored is None:
        return None
    try:
        return _READER.validate_python(stored)
    except ValidationError:
        return MISREAD


def read_body(answered: PageAnswer, model: type[ModelT]) -> ModelT | Refused:
    """The body of the API's answer as `model`, or MISREAD if it is not valid."""
    try:
        return model.model_validate(answered.body)
    except ValidationError:
        return MISREAD


class ReviewItem(BrowserData):
    """The current photograph of the review queue."""

    index: int = Field(ge=0)
    name: str
    decision: str  # "" while undecided; else "1".."5", "n" or "u"
    outcome: dict[str, object] | None  # null while it waits


def read_item(stored: object) -> ReviewItem | None:
    """The item, None where there is none."""
    try:
        return ReviewItem.model_validate(stored)
    except ValidationError:
        return None


def problem_text(context: PageContext, outcome: Refused | Lost | Withheld) -> str:
    """What went wrong and what to do, in a sentence or two; an unknown kind reads as `internal`."""
    match outcome:
        case Lost():
            return context.text("lost")
        case Withheld():
            values = {
                **context.limits(),
                "name": outcome.name,
                "size": megabytes(context.language, outcome.size, up=True),
            }
            return context.text(
                _WITHHELD_AS.get(outcome.reason, f"withheld_{outcome.reason}"), **values
            )
        case Refused():
            key = f"problem_{outcome.kind}"
            if key not in texts(context.language):
                key = "problem_internal"
            text = context.text(key, **context.limits())
            if outcome.retry_after is None:
                return text
            seconds = context.number(math.ceil(outcome.retry_after))
            return f"{text} {context.text('problem_wait', seconds=seconds)}"
    assert_never(outcome)


def problem_view(
    context: PageContext, outcome: Refused | Lost | Withheld, flow: str | None
) -> Content:
    """The text, a button to try again where that may help, and the API's detail, folded.

    flow: identify or verify, whose photographs the button sends again; None for no button.
    """
    parts: Content = [
        html.p(class_="above")[context.text("problem_title")],
        html.p(class_="below", id="problem-text")[problem_text(context, outcome)],
    ]
    temporary = isinstance(outcome, Lost) or (
        isinstance(outcome, Refused) and outcome.kind in TEMPORARY
    )
    if temporary and flow is not None:
        parts.append(
            html.button(data(act="again", flow=flow), id=f"{flow}-again", class_="button")[
                context.text("again")
            ]
        )
    if isinstance(outcome, Refused) and outcome.detail:
        words = html.p(lang="en")[outcome.detail]
        parts.append(html.details[html.summary[context.text("details")], words])
    return [html.div(class_="headline tone-problem")[parts]]
