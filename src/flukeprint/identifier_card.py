"""What an identifier says of itself: `identifier.json` enters, a `Card` leaves."""

import json
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from flukeprint.answering import Method
from flukeprint.config import ImageConfig, ModelConfig
from flukeprint.errors import FlukeprintError
from flukeprint.metrics import Scores
from flukeprint.open_set import Calibration
from flukeprint.outside import Outside
from flukeprint.scale_config import GalleryConfig
from flukeprint.sections import Section
from flukeprint.verification import Verifier

FORMAT = 3
FILE = "identifier.json"


class Measured(Section):
    """What local validation found, on photographs that training never saw."""

    text: str
    map5: float
    map5_low: float
    map5_high: float
    top1: float
    top5: float
    queries: int
    new_queries: int

    @classmethod
    def of(cls, scores: Scores) -> "Measured":
        """The figures of a fold."""
        return cls(
            text=scores.text(),
            map5=scores.map5.mean,
            map5_low=scores.map5.low,
            map5_high=scores.map5.high,
            top1=scores.top1,
            top5=scores.top5,
            queries=scores.queries,
            new_queries=scores.new_queries,
        )


class Card(Section):
    """What `identifier.json` says; what stands there since a later version has a default."""

    format: int
    name: str
    model: ModelConfig
    image: ImageConfig
    mirror: bool
    zooms: tuple[float, ...]
    threshold: float | None
    new_label: str
    stamp: str
    method: Method = Method()  # how similarities become answers
    calibration: Calibration | None = None  # None: too few queries to fit one
    outside: Outside | None = None  # None: every photograph is taken for one of these animals
    verifier: Verifier | None = None  # None: too few pairs to fit one
    measured: Measured | None = None
    backend: str = "exact"  # that searches the gallery
    gallery: GalleryConfig = GalleryConfig()
    confidence: float | None = None  # probability from which a rank of the taxonomy is answered

    @property
    def variants(self) -> int:
        """Pictures of a photograph that go through the network: zooms, mirrored too."""
        return len(self.zooms) * (2 if self.mirror else 1)


def read_card(folder: Path) -> Card:
    """The card of the identifier in `folder`.

    Raises:
        FlukeprintError: there is none, or one that this version does not understand.
    """
    file = folder / FILE
    try:
        fields: Any = json.loads(file.read_text())
    except FileNotFoundError:
        raise FlukeprintError(f"{folder} is no identifier: it has no {FILE}") from None
    except (OSError, ValueError) as error:
        raise FlukeprintError(f"{file} cannot be read: {error}") from None
    if isinstance(fields, dict) and fields.get("format") != FORMAT:
        raise FlukeprintError(
            f"{file}: format {fields.get('format')}, this version reads {FORMAT}; train again"
        )
    try:
        return Card.model_validate(fields)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise FlukeprintError(f"{file}: {key}: {first['msg']}") from None
