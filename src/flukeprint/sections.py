"""What every part of a configuration is made of: mappings enter, frozen checked values leave."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field


class Section(BaseModel):
    """A frozen part of the configuration that refuses unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)


Share = Annotated[float, Field(gt=0, le=1)]
