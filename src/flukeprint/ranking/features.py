"""The features that ranking compares: embeddings of photographs and, optionally, keypoints."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy.typing as npt

from flukeprint.config.data import ImageConfig
from flukeprint.config.ranking import RankConfig
from flukeprint.data.catalog import Catalog
from flukeprint.data.embeddings import Embeddings
from flukeprint.errors import FlukeprintError
from flukeprint.ranking.local.keypoint_store import KeypointStore
from flukeprint.ranking.local.lightglue import keypoint_backend


@dataclass(frozen=True)
class Features:
    """Embeddings of n photographs, with their keypoints where the ranking rules match them."""

    embeddings: Embeddings
    keypoints: KeypointStore | None = None

    def __post_init__(self) -> None:
        if self.keypoints is not None and len(self.keypoints) != len(self.embeddings):
            raise ValueError("as many photographs with keypoints as with embeddings are needed")

    def __len__(self) -> int:
        return len(self.embeddings)

    def take(self, rows: npt.ArrayLike) -> "Features":
        """Select the photographs at `rows`, in that order."""
        keypoints = None if self.keypoints is None else self.keypoints.take(rows)
        return Features(self.embeddings.take(rows), keypoints)

    @staticmethod
    def concatenate(parts: Sequence["Features"]) -> "Features":
        """Join features one after the other; keypoints are kept where all parts have them."""
        stores = [part.keypoints for part in parts if part.keypoints is not None]
        return Features(
            Embeddings.concatenate([part.embeddings for part in parts]),
            KeypointStore.concatenate(stores) if len(stores) == len(parts) else None,
        )


def extract_features(
    embeddings: Embeddings,
    catalog: Catalog,
    image: ImageConfig,
    rules: RankConfig,
    *,
    progress: str | None = None,
) -> Features:
    """Add keypoints to a catalogue's embeddings, where the ranking rules match keypoints.

    Raises:
        FlukeprintError: embeddings of other photographs, a photograph that cannot be read, or a
            matcher that is not installed.
    """
    if not rules.local.candidates:
        return Features(embeddings)
    if embeddings.images != catalog.images:
        raise FlukeprintError(
            f"the embeddings are of other photographs ({len(embeddings)}) than the keypoints "
            f"({len(catalog)}); make them again"
        )
    return Features(
        embeddings,
        KeypointStore.of(
            catalog, rules.local, cache=image.cache,
            extractor=keypoint_backend(rules.local).extract,
            mirror_views=image.mirror_views, progress=progress,
        ),
    )  # fmt: skip
