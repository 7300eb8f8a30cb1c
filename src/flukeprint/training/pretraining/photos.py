"""The photographs of a pretraining, without anything that labels say of them."""

from dataclasses import dataclass, replace

import numpy as np

from flukeprint.config.schema import Config
from flukeprint.data.catalog import Catalog
from flukeprint.data.doctor import check_readable
from flukeprint.data.embeddings import Ints
from flukeprint.data.groups import photo_groups
from flukeprint.data.readers.read import photos_to_identify
from flukeprint.data.splits import Split
from flukeprint.errors import FlukeprintError, counted


@dataclass(frozen=True)
class Unlabelled:
    """Photographs without identities.

    catalog: n photographs; first the `labelled` ones, whose labels were taken away, then those to
        identify.
    copies: (n,) the same number for exact copies of one photograph, which repel nobody.
    """

    catalog: Catalog
    labelled: int
    copies: Ints

    def __post_init__(self) -> None:
        if any(name is not None for name in self.catalog.identities) or self.catalog.bursts:
            raise ValueError("a pretraining must not see labels")

    def check_readable(self) -> None:
        """Refuse unreadable photographs to identify; the labelled ones are looked at anyway."""
        check_readable(self.catalog.take(range(self.labelled, len(self.catalog))))


def unlabelled_photos(config: Config, labelled: Catalog, split: Split | None) -> Unlabelled:
    """The photographs that `pretrain.photos` names.

    split: of the fold; needed where the fold's queries are left out.

    Unreadable ones to identify are left out where `data.skip_unreadable` says so.

    Raises:
        FlukeprintError: tables that cannot be read, or fewer than two different photographs.
    """
    assert config.pretrain is not None
    if config.pretrain.photos == "train":
        assert split is not None
        parts = [_stripped(labelled.take(split.train))]
    else:
        parts = [_stripped(labelled)]
        test = photos_to_identify(config.data)
        if test is not None and config.data.skip_unreadable:
            test = check_readable(test, True)
        if test is not None:
            parts.append(_renamed(_stripped(test), set(labelled.images)))
    catalog = Catalog.concatenate(parts)
    copies = photo_groups(catalog)[1]
    if len(np.unique(copies)) < 2:
        raise FlukeprintError(
            f"pretrain: {counted(len(catalog), 'photograph')}, so there is nothing to tell it "
            "from; add photographs or set pretrain=null"
        )
    return Unlabelled(catalog, len(parts[0]), copies)


def _stripped(catalog: Catalog) -> Catalog:
    """Take identities away, and bursts, which may be made of them."""
    return replace(catalog, identities=(None,) * len(catalog), bursts=None)


def _renamed(test: Catalog, taken: set[str]) -> Catalog:
    """Give photographs to identify names of their own where labelled ones have the same."""
    if not taken.intersection(test.images):
        return test
    return replace(test, images=tuple(f"to identify: {image}" for image in test.images))
