"""The base of every section of the configuration: frozen, and strict about unknown keys."""

from typing import Annotated

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
)


class Section(BaseModel):
    """Base of all sections of the configuration: frozen, and unknown keys are refused."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, validate_default=True, allow_inf_nan=False
    )


Share = Annotated[float, Field(gt=0, le=1)]
