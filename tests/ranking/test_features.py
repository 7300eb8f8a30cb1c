"""Features are selected together, and keypoints are extracted only where they are matched."""

import numpy as np
import pytest

from flukeprint.config.ranking import RankConfig
from flukeprint.data.catalog import Catalog
from flukeprint.errors import FlukeprintError
from flukeprint.ranking.features import Features, extract_features
from flukeprint.ranking.local.keypoint_store import KeypointStore
from tests.ranking.embeddings import embeddings_of
from tests.ranking.local.textures import IMAGE, LOCAL, small_textured


def test_taking_photographs_takes_their_keypoints(
    textures: tuple[Features, Features, list[str | None]],
) -> None:
    _, queries, _ = textures
    rows = [5, 0, 5]
    some = queries.take(rows)
    assert len(some) == 3
    assert some.embeddings.images == tuple(queries.embeddings.images[i] for i in rows)
    assert some.keypoints is not None
    assert queries.keypoints is not None
    for place, row in enumerate(rows):
        np.testing.assert_array_equal(some.keypoints[place].points, queries.keypoints[row].points)
    mask = np.arange(len(queries)) == 2
    assert queries.take(mask).embeddings.images == (queries.embeddings.images[2],)
    assert len(queries.take([]).keypoints or ()) == 0
    with pytest.raises(ValueError, match="as many photographs"):
        Features(queries.embeddings, some.keypoints)


def test_keypoints_are_gathered_only_where_asked_for() -> None:
    photos = np.stack([small_textured(i) for i in range(3)])
    made = embeddings_of(["a", "b", "c"], 0)
    catalog = Catalog(made.images, pixels=photos, views=("left", "right", None))
    assert extract_features(made, catalog, IMAGE, RankConfig()).keypoints is None
    rules = RankConfig(local=LOCAL)
    turning = IMAGE.model_copy(update={"mirror_views": ("right",)})
    found = extract_features(made, catalog, turning, rules).keypoints
    assert found is not None
    turned = photos.copy()
    turned[1] = photos[1, :, ::-1]
    want = KeypointStore.of(Catalog(made.images, pixels=turned), LOCAL, cache=None)
    np.testing.assert_array_equal(found.points, want.points)
    np.testing.assert_array_equal(found.descriptors, want.descriptors)
    with pytest.raises(FlukeprintError, match=r"of other photographs \(3\).*\(2\)"):
        extract_features(made, catalog.take([0, 1]), IMAGE, rules)
