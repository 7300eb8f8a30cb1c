"""Better vectors are searched as if all photographs were scored."""

import numpy as np
import pytest

from flukeprint.config.ranking import RankConfig
from flukeprint.data.embeddings import Embeddings, unit_rows
from flukeprint.ranking.scoring import Scorer
from flukeprint.search.bf16 import HalfProduct
from flukeprint.search.gallery import Gallery
from flukeprint.search.products import FloatProduct
from tests.ranking.embeddings import OFF, drawn, search

BETTER = [
    {"whiten": 4}, {"within": 0.6}, {"whiten": 4, "within": 0.5}, {"augment_gallery": 2},
    {"expand": 3}, {"whiten": 5, "within": 0.3, "augment_gallery": 3, "expand": 2, "alpha": 0.0},
]  # fmt: skip


@pytest.mark.parametrize("rules", BETTER)
@pytest.mark.parametrize("kind", [FloatProduct, HalfProduct])
def test_better_vectors_are_searched_as_if_all_were_scored(rules, kind):
    gallery, queries = drawn(300, names=40, d=12, seed=3), drawn(90, names=40, d=12, seed=4)
    gallery = Embeddings.concatenate([gallery, gallery.take([7, 50, 7])])  # copies
    scorer = Scorer(Gallery(gallery, product=kind), RankConfig(**rules))
    long = scorer.search(queries, 5, adjustment=lambda _, scores: scores)
    short = scorer.search(queries, 5)
    np.testing.assert_array_equal(short.rows, long.rows)
    np.testing.assert_allclose(short.scores, long.scores, rtol=0, atol=1e-7)


def test_within_forgets_how_an_animal_differs_from_itself():
    """Photos differ most by light, which says nothing of who it is."""
    rng = np.random.default_rng(0)
    who = np.arange(24) % 4
    light = np.where(np.arange(24) < 12, 1.0, -1.0)[:, None] * [0, 0, 0, 0, 1, 0]
    vectors = unit_rows(0.5 * np.eye(6)[who] + light + 0.05 * rng.normal(size=(24, 6)))
    names = tuple(f"w{i}" for i in who)
    whole = Embeddings(vectors, names, names, None, "net")
    # The gallery has w0 and w1 in bright light mostly, w2 and w3 in dim light.
    rows = [0, 1, 4, 5, 12, 13, 14, 15, 18, 19, 2, 3]
    gallery = Gallery(whole.take(rows))
    asked = whole.take([i for i in range(24) if i not in rows])
    bright = asked.take([i for i, row in enumerate(asked.vectors) if row[4] > 0])

    def margin(rules):
        found = search(bright, gallery, rules, top=4)
        right = found.labels == np.searchsorted(found.vocabulary, bright.identities)[:, None]
        others = np.where(right, -np.inf, found.scores).max(axis=1)
        return found.scores[right] - others

    assert np.all(margin(RankConfig(within=0.9)) > margin(OFF))
    assert np.all(margin(RankConfig(within=0.9)) > 0)
