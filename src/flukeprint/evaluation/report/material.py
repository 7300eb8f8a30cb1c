"""What the sections of a run's report are made from."""

from dataclasses import dataclass
from pathlib import Path

from flukeprint.config.schema import Config
from flukeprint.data.catalog import Catalog
from flukeprint.data.embeddings import Embeddings
from flukeprint.data.splits import Split
from flukeprint.evaluation.validation import Validation


@dataclass(frozen=True)
class RunMaterial:
    """A finished run, read from its folder.

    catalog: all labelled photographs, whose rows `split` and `embeddings` share.
    validation: of the fold; its `report` are places among `split.queries`.
    """

    folder: Path
    config: Config
    catalog: Catalog
    split: Split
    embeddings: Embeddings
    validation: Validation

    def __post_init__(self) -> None:
        if self.embeddings.images != self.catalog.images:
            raise ValueError("embeddings and catalogue are not of the same photographs")
