"""What the page's scripts hand in: JSON of the browser enters, a checked outcome leaves.

An outcome is an answer of the API, a problem of the API, a lost connection, or a photograph that
the browser did not send because it could not have been taken.
"""

from typing import Annotated, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

ModelT = TypeVar("ModelT", bound=BaseModel)


class Part(BaseModel):
    """Frozen; unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Answered(Part):
    """The API answered."""

    state: Literal["answer"]
    body: dict[str, object]  # as the API gave it; see `read_body`


class Refused(Part):
    """The API told a problem."""

    state: Literal["problem"]
    kind: str
    status: int
    detail: str
    retry_after: float | None = Field(ge=0, le=86_400, allow_inf_nan=False)  # seconds


class Lost(Part):
    """Nothing came back."""

    state: Literal["lost"]


class Withheld(Part):
    """A photograph that was not sent."""

    state: Literal["withheld"]
    reason: Literal[
        "too_large", "too_large_together", "empty", "not_a_photograph", "too_many", "none"
    ]
    name: str  # of the file
    size: int = Field(ge=0)  # bytes, of all together where that is the reason


Outcome = Answered | Refused | Lost | Withheld
_READER: TypeAdapter[Outcome] = TypeAdapter(Annotated[Outcome, Field(discriminator="state")])
MISREAD = Refused(state="problem", kind="internal", status=0, detail="", retry_after=None)


def read_outcome(handed_in: object) -> Outcome | None:
    """The outcome, None where there is none yet; what cannot be read is a problem of its own."""
    if handed_in is None:
        return None
    try:
        return _READER.validate_python(handed_in)
    except ValidationError:
        return MISREAD


def read_body(answered: Answered, model: type[ModelT]) -> ModelT | Refused:
    """The API's answer as `model`, or the problem that it is none."""
    try:
        return model.model_validate(answered.body)
    except ValidationError:
        return MISREAD


class ReviewItem(Part):
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
