"""The bodies of requests that change a catalogue."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from flukeprint.records.kinds import LifeStage, Sex

NAME_LENGTH, TEXT_LENGTH = 200, 5000
Name = Annotated[
    str, StringConstraints(min_length=1, max_length=NAME_LENGTH, strip_whitespace=True)
]
Text = Annotated[str, StringConstraints(max_length=TEXT_LENGTH, strip_whitespace=True)]
Number = Annotated[int, Field(ge=0, le=2**53)]


def given(text: str, *examples: Any, default: Any = ...) -> Any:
    """What a field of a request is, with examples; without a default it must be given."""
    return Field(default, description=text, examples=list(examples))


class Request(BaseModel):
    """What is asked for; unknown fields and values of another type are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Reason(Request):
    """Why something is changed."""

    reason: Text | None = given("For the history", "seen by the ranger", default=None)


class NewName(Reason):
    """A name that an animal is to get."""

    name: Name = given("The name", "Nandi")
    force: bool = given("Take a name that is nearly that of another animal", False, default=False)


class MergeWith(Reason):
    """Another animal that is the same one."""

    other: Number = given("Its id; its photographs and names come over", 9)


class AliasGone(Reason):
    """A further name that an animal loses."""

    name: Name = given("The alias", "stray_1")


class AnimalFacts(Reason):
    """What is known of an animal; what is left out stays, null forgets it."""

    sex: Sex | None = given("null: not known", "female", default=None)
    life_stage: LifeStage | None = given("null: not known", "adult", default=None)
    died: Name | None = given("A date, as precise as it is known", "2026-05", default=None)
    notes: Text | None = given("Anything else", "torn left ear", default=None)


class MoveTo(Reason):
    """Whom a photograph shows: an animal that is there, a new one, or nobody known."""

    animal: Number | None = given("Its id; null with a `new_name`, or for nobody", 9, default=None)
    new_name: Name | None = given("Name of a new animal; null: it is none", "n_273", default=None)
    force: bool = given("Take a name that is nearly that of another animal", False, default=False)
