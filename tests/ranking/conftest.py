"""Features of drawn animals, made once for all tests of ranking."""

import numpy as np
import numpy.typing as npt
import pytest

from flukeprint.config.ranking import RankConfig
from flukeprint.data.catalog import Catalog
from flukeprint.data.embeddings import Embeddings
from flukeprint.ranking.features import Features, extract_features
from tests.ranking.embeddings import embeddings_of
from tests.ranking.local.textures import IMAGE, LOCAL, small_seen_again, small_textured


@pytest.fixture(scope="module")
def textures() -> tuple[Features, Features, list[str | None]]:
    """Eight animals with a photo each, seen again; two strangers.  Embeddings are of no use."""
    rules = RankConfig(local=LOCAL)
    known: list[str | None] = [f"w{i}" for i in range(8)]
    shown = [*range(8), *range(8), 50, 51]
    answers: list[str | None] = [f"w{i}" if i < 8 else None for i in shown]

    def features(photos: list[npt.NDArray[np.uint8]], made: Embeddings) -> Features:
        catalog = Catalog(made.images, pixels=np.stack(photos))
        return extract_features(made, catalog, IMAGE, rules)

    gallery = features([small_textured(i) for i in range(8)], embeddings_of(known, 0, dim=64))
    photos = [small_seen_again(small_textured(i)) for i in shown]
    photos[8:16] = [np.ascontiguousarray(p[4:, 6:]) for p in photos[8:16]]
    photos[8:16] = [np.pad(p, ((0, 4), (0, 6), (0, 0)), mode="edge") for p in photos[8:16]]
    return gallery, features(photos, embeddings_of(answers, 1, dim=64)), answers
