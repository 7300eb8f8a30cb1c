"""Configuration of the service: how much it takes on, from whom, and what it tells of classes."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from flukeprint.sections import Section

MEBIBYTE = 1 << 20


class TaxonomyConfig(Section):
    """A tree above the classes, for answers that are sure of a genus but not of the species."""

    table: Path  # CSV: class, then ranks from narrow to wide, such as class,genus,family,order
    confidence: float = Field(0.8, gt=0, lt=1)  # probability from which a rank is answered


class ServeConfig(Section):
    """What `flukeprint serve` allows; limits hold for each worker process."""

    host: str = "127.0.0.1"
    port: int = Field(8000, ge=0, le=65535)  # 0: any that is free
    workers: int = Field(1, ge=1)
    title: str | None = None  # of the page; else the identifier's name
    examples: Path | None = None  # folder of photographs to try, instead of the identifier's
    # A photograph is refused before it is decoded when it has more bytes or pixels.
    photo_bytes: int = Field(20 * MEBIBYTE, ge=1024)
    photo_pixels: int = Field(60_000_000, ge=10_000)
    photos: int = Field(8, ge=1, le=64)  # of one request
    request_bytes: int = Field(64 * MEBIBYTE, ge=1024)  # of all its photographs together
    queue: int = Field(32, ge=1)  # requests under way at once; beyond it 503
    batch: int = Field(8, ge=1)  # photographs that go through the network together
    timeout: float = Field(60.0, gt=0)  # seconds for a whole request
    # Requests of one address a minute that cost work; auto: 120, but none on a loopback host.
    rate: Annotated[int, Field(ge=0)] | Literal["auto"] = "auto"
    cors: tuple[str, ...] = ()  # origins of other sites that may call the API
    enroll: bool = False  # needs the token FLUKEPRINT_ENROLL_TOKEN in the environment
    false_accept: float = Field(0.01, gt=0, lt=1)  # rate at which `verify` decides
