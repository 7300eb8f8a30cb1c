"""What the sections of a run's report are made from."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from flukeprint.config.schema import Config
from flukeprint.data.catalog import Catalog
from flukeprint.data.embeddings import Embeddings, Ints
from flukeprint.data.splits import Split
from flukeprint.evaluation.report.photographs import Photographs
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

    @cached_property
    def photographs(self) -> Photographs:
        """The photographs of `catalog`, each decoded once for all sections."""
        return Photographs(self.catalog)

    @cached_property
    def queries(self) -> Ints:
        """Rows (r,) of `catalog` of the reporting queries, in the order of `validation.ranking`."""
        return self.split.queries[self.validation.report]

    @property
    def truths(self) -> tuple[str | None, ...]:
        """Right answers (r,) of the reporting queries, None for a new individual."""
        return tuple(self.split.answers[place] for place in self.validation.report)
