"""What the studies are made on: the queries and the gallery of a fold, embedded.

Individuals are numbered over both, because photographs of one individual are not independent of
each other: intervals resample individuals (`individuals.py`), and halves are halves of individuals.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from flukeprint.config.schema import Config
from flukeprint.data.catalog import Catalog
from flukeprint.data.embeddings import Embeddings, Floats, Ints
from flukeprint.data.groups import photo_groups
from flukeprint.data.splits import Split
from flukeprint.errors import FlukeprintError


@dataclass(frozen=True)
class Fold:
    """The photographs of a fold as vectors, with their individuals.

    vectors: (n, d) float32 of all photographs of the catalogue, of any length, in its order.
    identities, views, groups: one entry a photograph.  Photographs of one group (copies, a burst,
        boxes of one picture; `data/groups.py`) are never compared with each other.
    queries, gallery: rows of the fold's photographs among them.
    trained: (n,) whether training saw an individual: its photographs, or others of it.
    name: of the run or the network, for texts.  number: of the fold.  seed: for everything drawn.
    """

    vectors: Floats
    identities: tuple[str | None, ...]
    views: tuple[str | None, ...] | None
    groups: Ints
    queries: Ints
    gallery: Ints
    trained: tuple[bool, ...]
    name: str
    number: int
    seed: int

    def __post_init__(self) -> None:
        n = len(self.vectors)
        columns = (self.identities, self.groups, self.trained, self.views or self.identities)
        if any(len(column) != n for column in columns):
            raise ValueError(f"every column must have {n} entries, one a photograph")
        if any(self.identities[row] is None for row in self.gallery):
            raise ValueError("a gallery photograph has no identity")

    @classmethod
    def of(
        cls, embeddings: Embeddings, catalog: Catalog, split: Split, *, name: str, number: int,
        seed: int, trained: bool = True,
    ) -> "Fold":  # fmt: skip
        """Gather a fold; the rows of `embeddings`, `catalog` and `split` are the same.

        trained: whether the network was trained on the photographs of `split.train`.

        Raises FlukeprintError where a photograph's file is missing: copies are found by bytes.
        """
        if embeddings.images != catalog.images:
            raise FlukeprintError(
                f"{name}: its embeddings are not of the photographs of its catalogue; train again"
            )
        seen = {catalog.identities[row] for row in split.train if trained} - {None}
        return cls(
            vectors=embeddings.vectors,
            identities=catalog.identities,
            views=catalog.views,
            groups=photo_groups(catalog)[0],
            queries=split.queries,
            gallery=split.gallery,
            trained=tuple(identity in seen for identity in catalog.identities),
            name=name,
            number=number,
            seed=seed,
        )

    def known_queries(self) -> Ints:
        """Rows of the queries whose individual has a photograph in the gallery."""
        there = {self.identities[row] for row in self.gallery}
        return np.array([row for row in self.queries if self.identities[row] in there], np.int64)

    def unseen(self) -> Ints:
        """Rows of the photographs of named individuals that training never saw."""
        rows = [
            row
            for row, (name, seen) in enumerate(zip(self.identities, self.trained, strict=True))
            if name is not None and not seen
        ]
        return np.array(rows, dtype=np.int64)


def fold_of_run(
    config: Config, name: str, catalog: Catalog, split: Split, embeddings: Embeddings
) -> Fold:
    """Gather the fold of a finished run.

    name: of the run's folder.  Where it was trained on pseudo-labels as well, which may be of any
    individual, no individual counts as unseen.
    """
    fold = Fold.of(
        embeddings, catalog, split, name=f"{config.name}/{name}", number=config.split.fold,
        seed=config.split.seed,
    )  # fmt: skip
    if config.data.pseudo_labels is None:
        return fold
    return replace(fold, trained=(True,) * len(catalog))


def number_individuals(identities: Sequence[str | None]) -> Ints:
    """Number the individuals (n,) of photographs, from 0 in order of appearance.

    A photograph without an identity is of an individual of its own.
    """
    number: dict[str, int] = {}
    found = np.empty(len(identities), dtype=np.int64)
    count = 0
    for row, name in enumerate(identities):
        known = None if name is None else number.get(name)
        if known is None:
            known = count
            count += 1
            if name is not None:
                number[name] = known
        found[row] = known
    return found
