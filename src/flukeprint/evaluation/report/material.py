"""What the sections of a run's report are made from."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from flukeprint.config.schema import Config
from flukeprint.data.catalog import Catalog
from flukeprint.data.embeddings import Embeddings, Ints
from flukeprint.data.splits import Split
from flukeprint.evaluation.report.photographs import Photographs
from flukeprint.evaluation.studies.fold import Fold, fold_of_run
from flukeprint.evaluation.studies.triplets import HardTriplets, training_triplets
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
    def fold(self) -> Fold:
        """What the studies are made on; finds copies by their bytes, once for all sections."""
        return fold_of_run(self.config, self.folder.name, self.catalog, self.split, self.embeddings)

    @cached_property
    def triplets(self) -> HardTriplets:
        """The hardest triplets of the training photographs; rows are those of `catalog`."""
        return training_triplets(self.embeddings, self.catalog, self.split, self.config)

    @cached_property
    def queries(self) -> Ints:
        """Rows (r,) of `catalog` of the reporting queries, in the order of `validation.ranking`."""
        return self.split.queries[self.validation.report]

    @property
    def truths(self) -> tuple[str | None, ...]:
        """Right answers (r,) of the reporting queries, None for a new individual."""
        return tuple(self.split.answers[place] for place in self.validation.report)
