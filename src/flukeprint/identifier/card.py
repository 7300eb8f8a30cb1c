"""The card of an identifier, `identifier.json`: its network, recipe, fitted rules and scores."""

import json
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError

from flukeprint.config.base import Section
from flukeprint.config.data import ImageConfig
from flukeprint.config.ranking import GalleryConfig
from flukeprint.config.training import ModelConfig
from flukeprint.embedding.recipe import EmbeddingRecipe
from flukeprint.errors import FlukeprintError
from flukeprint.evaluation.metrics import FoldScores
from flukeprint.evaluation.verification import Verifier
from flukeprint.identifier.integrity import DIGESTS, bytes_digest, changed, self_digest
from flukeprint.ranking.calibration import Calibration
from flukeprint.ranking.rules import FittedRules
from flukeprint.ranking.threshold import OutOfDistribution

CARD_FORMAT = 3
KEPT_FORMAT = 4  # of an identifier that keeps a catalogue, which earlier versions would lose
FILE = "identifier.json"


class IdentifierCard(Section):
    """The content of `identifier.json`; fields that later versions added have a default."""

    format: int
    name: str
    model: ModelConfig
    image: ImageConfig
    mirror: bool
    zooms: tuple[float, ...]
    threshold: float | None
    new_label: str
    stamp: str
    method: FittedRules = FittedRules()  # the rules of ranking
    calibration: Calibration | None = None  # None: too few queries to fit one
    outside: OutOfDistribution | None = None  # None: no photograph is refused as something else
    verifier: Verifier | None = None  # None: too few pairs to fit one
    measured: FoldScores | None = None
    # Stamp of the network that was measured and fitted, where this one was trained further.
    measured_by: str | None = None
    backend: str = "exact"  # of the search in the gallery
    gallery: GalleryConfig = GalleryConfig()
    confidence: float | None = None  # least probability of an answered rank of the taxonomy
    digests: str | None = None  # of the file of digests; None: written by an earlier version
    # Names in the folder; where a catalogue lies in it, both change with every new index.
    index: str = Field("index", pattern=r"^index(-[0-9a-f]{8})?$")
    digests_file: str = Field(DIGESTS, pattern=r"^digests(-[0-9a-f]{8})?\.json$")

    def text(self) -> str:
        """The content of `identifier.json`."""
        fields = self.model_dump(mode="json")
        return json.dumps({**fields, "digest": self_digest(fields)}, indent=2) + "\n"

    @property
    def recipe(self) -> EmbeddingRecipe:
        """The embedding recipe, the same for gallery and queries."""
        return EmbeddingRecipe(self.image, self.mirror, self.zooms, self.stamp)


def card_digest(folder: Path) -> str | None:
    """Digest of the bytes of `identifier.json`, which changes with every file; None without one."""
    try:
        return bytes_digest((folder / FILE).read_bytes())
    except OSError:
        return None


def read_card(folder: Path) -> IdentifierCard:
    """Read the card of the identifier in `folder`.

    Raises:
        FlukeprintError: there is none, one that was changed, or one that this version does not
            understand.
    """
    file = folder / FILE
    try:
        fields: Any = json.loads(file.read_text())
    except FileNotFoundError:
        raise FlukeprintError(f"{folder} is no identifier: it has no {FILE}") from None
    except (OSError, ValueError) as error:
        raise FlukeprintError(f"{file} cannot be read: {error}") from None
    if isinstance(fields, dict) and fields.get("format") not in (CARD_FORMAT, KEPT_FORMAT):
        raise FlukeprintError(
            f"{file}: format {fields.get('format')}, this version reads {CARD_FORMAT}; train again"
        )
    if isinstance(fields, dict) and "digest" in fields:  # earlier versions wrote none
        if fields["digest"] != self_digest(fields):
            raise changed(file)
        del fields["digest"]
    try:
        return IdentifierCard.model_validate(fields)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise FlukeprintError(f"{file}: {key}: {first['msg']}") from None
