"""The configuration's schema: every section and key with its type, default, limits and meaning.

This is the only place where a default is written.  The description of each key goes into
`docs/configuration.md`, which `python -m flukeprint.config.reference` writes.
"""

import hashlib
import json
import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    Field,
)

from flukeprint.config.base import Section
from flukeprint.config.data import DataConfig, ImageConfig, SplitConfig
from flukeprint.config.pretraining import PretrainConfig
from flukeprint.config.ranking import GalleryConfig, InferConfig, RankConfig
from flukeprint.config.training import LossConfig, ModelConfig, SamplerConfig, TrainConfig

MEBIBYTE = 1 << 20


class TaxonomyConfig(Section):
    """A tree above the classes, for answers that are sure of a genus but not of the species."""

    table: Path = Field(
        description="CSV: class, then ranks from narrow to wide, such as class,genus,family,order."
    )
    confidence: float = Field(
        0.8, gt=0, lt=1, description="Probability from which a rank is answered."
    )


class ServeConfig(Section):
    """What `flukeprint serve` allows; limits hold for each worker process."""

    host: str = Field("127.0.0.1", description="Address to listen on; 0.0.0.0 for all.")
    port: int = Field(8000, ge=0, le=65535, description="Port; 0 for any that is free.")
    workers: int = Field(
        1, ge=1,
        description="Processes, each with the network; what one enrolls all show soon after.",
    )  # fmt: skip
    title: str | None = Field(
        None, description="Title of the page; null takes the identifier's name."
    )
    examples: Path | None = Field(
        None, description="Folder of photographs to try, instead of the identifier's."
    )
    photo_bytes: int = Field(
        20 * MEBIBYTE, ge=1024, description="Most bytes of a photograph, checked before decoding."
    )
    photo_pixels: int = Field(
        60_000_000, ge=10_000, description="Most pixels of a photograph, checked before decoding."
    )
    photos: int = Field(8, ge=1, le=64, description="Most photographs of a request.")
    request_bytes: int = Field(
        64 * MEBIBYTE, ge=1024, description="Most bytes of a request's photographs together."
    )
    queue: int = Field(
        32, ge=1, description="Most requests at once; beyond it the answer is 503 with Retry-After."
    )
    batch: int = Field(8, ge=1, description="Most photographs of one pass of the network.")
    timeout: float = Field(60.0, gt=0, description="Seconds for a whole request.")
    rate: Annotated[int, Field(ge=0)] | Literal["auto"] = Field(
        "auto",
        description="Most requests of one address a minute that need the network; 0: no limit; "
        "auto: 120, on a loopback host none.",
    )
    hosts: tuple[str, ...] | Literal["auto"] = Field(
        "auto",
        description="Host names that requests may be for, whatever the port; others are refused; "
        "`['*']` allows any. auto: on a loopback host localhost, 127.0.0.1 and ::1, elsewhere "
        "any.",
    )
    cors: tuple[str, ...] = Field((), description="Origins of other sites that may call the API.")
    enroll: bool = Field(
        False, description="Allow enrolling; needs FLUKEPRINT_ENROLL_TOKEN in the environment."
    )
    people: Path | None = Field(
        None,
        description="File of people with tokens, name,role,sha256, of `flukeprint token`; with it "
        "looking needs a token too.",
    )
    photos_folder: Path | None = Field(
        None,
        description="Folder below which the training's photographs lie, by the names that the "
        "gallery has for them (as data.root/train); those that are there are shown large.",
    )
    false_accept: float = Field(
        0.01, gt=0, lt=1, description="False-accept rate at which `verify` decides."
    )


class CatalogueConfig(Section):
    """Where `flukeprint keep` begins the records of an identifier's catalogue."""

    url: str | None = Field(
        None,
        description="PostgreSQL server of a team, postgresql://user@host/database, with the "
        "password in PGPASSWORD; null: SQLite in the identifier's folder.",
    )


def _folder_name(name: str) -> str:
    """Refuse a name that runs and submissions cannot have."""
    if not all(part.strip(". ") for part in re.split(r"[/\\]", name)) or len(name) > 100:
        raise ValueError("it names a folder in runs and files in submissions; take a short word")
    return name


class Config(Section):
    """One experiment, whole."""

    name: Annotated[str, AfterValidator(_folder_name)] = Field(
        description="Name of the experiment; where a file gives none, the name of the file."
    )
    data: DataConfig = DataConfig()
    image: ImageConfig = ImageConfig()
    split: SplitConfig = SplitConfig()
    model: ModelConfig = ModelConfig()
    losses: tuple[LossConfig, ...] = (LossConfig(name="arcface"),)
    sampler: SamplerConfig = SamplerConfig()
    pretrain: PretrainConfig | None = None
    train: TrainConfig = TrainConfig()
    rank: RankConfig = RankConfig()
    infer: InferConfig = InferConfig()
    gallery: GalleryConfig = GalleryConfig()
    cards: Path | None = Field(
        None, description="CSV with what the page tells of each class: class,name and more."
    )
    taxonomy: TaxonomyConfig | None = None
    catalogue: CatalogueConfig = CatalogueConfig()
    serve: ServeConfig = ServeConfig()
    runs: Path = Field(Path("runs"), description="Folder of what training writes.")
    submissions: Path = Field(Path("submissions"), description="Folder of submissions.")

    def digest(self) -> str:
        """First 12 hex digits of the SHA-256 of all that is set, however it was written."""
        text = json.dumps(self.model_dump(mode="json"), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:12]
